//! Tests the parser with the progress output that real programs write into a pipe, byte by byte.
//!
//! Captured from e2fsprogs 1.47.0, rsync 3.2.7, pv 1.6.20, zstd 1.5.4, wget 1.21.3, curl 7.88.1,
//! apt 2.6.1, ddrescue 1.27, coreutils 9.1 of Debian 12. Those of mdstat, zpool, xfs_repair,
//! pg_basebackup, partclone, qemu-img, btrfs and tqdm follow their known formats and were not
//! captured.

use super::*;
use crate::capture::line_splitter::LineSplitter;

/// Every parsed line, as it comes from a pipe: the last one need not have ended.
fn parsed_lines(output: &[u8]) -> Vec<(Option<u8>, String)> {
    let (mut lines, mut reader, mut parsed) =
        (LineSplitter::default(), ProgressParser::default(), Vec::new());
    lines.push(output, |line| parsed.extend(reader.parse(line)));
    parsed.extend(reader.parse(lines.partial_line()));
    parsed.into_iter().map(|parsed| (parsed.progress, parsed.text.unwrap_or_default())).collect()
}

/// The percentages in their order; lines without one are omitted.
fn percents(output: &[u8]) -> Vec<u8> {
    parsed_lines(output).into_iter().filter_map(|(percent, _)| percent).collect()
}

#[test]
fn fsck_passes_increase_monotonically() {
    let parsed = parsed_lines(
        b"Pass 1: Checking inodes, blocks, and sizes\n1 0 5 d.img\n1 1 5 d.img\n1 5 5 d.img\n\
          Pass 2: Checking directory structure\n2 0 85 d.img\n2 42 85 d.img\n2 85 85 d.img\n\
          3 0 85 d.img\n3 85 85 d.img\n4 5 5 d.img\n5 0 5 d.img\n5 5 5 d.img\n\
          d.img: 2091/38400 files (0.0% non-contiguous), 6820/153600 blocks\n",
    );
    let percents: Vec<_> = parsed.iter().filter_map(|(percent, _)| *percent).collect();
    assert_eq!(percents, [14, 70, 70, 79, 90, 90, 92, 95, 95, 100]);
    assert_eq!(parsed[2], (Some(14), "d.img: pass 1 of 5".to_owned()));
    assert_eq!(parsed.last().unwrap().0, None, "how much is not contiguous is no progress");
    // It restarts only with another device.
    let again = "1 5 5 /dev/sda1\n2 5 5 /dev/sda1\n1 1 5 /dev/sda1\n1 1 5 /dev/sdb1\n";
    assert_eq!(self::percents(again.as_bytes()), [70, 90, 90, 14]);
    for other in ["1 2 3", "1 2 3 4", "6 0 5 d.img", "1 6 5 d.img", "1 2 3 words and more"] {
        assert_eq!(self::percents(other.as_bytes()), [] as [u8; 0], "{other}");
    }

    let bar = b"\x01d.img: |========                                                | 14.0%   \r\
                \x02\x01                                                                 \r\x02\
                Pass 2: Checking directory structure\n\
                \x01d.img: |========================================================| 100.0%   \r";
    assert_eq!(
        parsed_lines(bar),
        [
            (Some(14), "d.img".to_owned()),
            (None, "Pass 2: Checking directory structure".to_owned()),
            (Some(100), "d.img".to_owned()),
        ]
    );
}

#[test]
fn copies_and_downloads_have_a_percentage_within_the_line() {
    let rsync = b"\r         32,768   0%    0.00kB/s    0:00:00  \
                  \r    104,857,600  33%  100.12MB/s    0:00:02  \
                  \r    314,572,800 100%  740.66MB/s    0:00:00 (xfr#1, to-chk=0/1)";
    assert_eq!(
        parsed_lines(rsync),
        [
            (None, "32,768 0% 0.00kB/s 0:00:00".to_owned()),
            (Some(33), "104,857,600 33% 100.12MB/s 0:00:02".to_owned()),
            (Some(100), "314,572,800 100% 740.66MB/s 0:00:00 (xfr#1, to-chk=0/1)".to_owned()),
        ]
    );
    let pv = b"92.0MiB 0:00:01 [92.1MiB/s] [=========>                      ] 30% ETA 0:00:02\r \
               300MiB 0:00:03 [99.1MiB/s] [================================>] 100%            \r";
    assert_eq!(
        parsed_lines(pv),
        [
            (Some(30), "92.0MiB 0:00:01 [92.1MiB/s] 30% ETA 0:00:02".to_owned()),
            (Some(100), "300MiB 0:00:03 [99.1MiB/s]".to_owned()),
        ]
    );
    assert_eq!(percents(b"3\n47\n100\n"), [3, 47, 100], "pv -n");
    let wget = b"     0K .......... .......... .......... .......... ..........  0%  421M 1s\n\
                 92150K .......... .......... .......... .......... .......... 30%  778M 0s\n\
                307150K .......... .......... .......... .......... ..........100%  778M 0s\n";
    assert_eq!(percents(wget), [30, 100]);
    let bar = b"\rbig.iso               0%[                    ]       0  --.-KB/s               \
                \rbig.iso              65%[============>       ] 197.26M   985MB/s               \
                \rbig.iso             100%[===================>] 300.00M  1.02GB/s    in 0.3s    ";
    assert_eq!(percents(bar), [65, 100]);
    let curl = b"  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current\n\
                 \x20                                Dload  Upload   Total   Spent    Left  Speed\n\
                 \r  0     0    0     0    0     0      0      0 --:--:-- --:--:-- --:--:--     0\
                 \r 34  300M   34  102M    0     0  15.4M      0  0:00:19  0:00:06  0:00:13 16.1M";
    assert_eq!(parsed_lines(curl).last().unwrap(), &(Some(34), "102M of 300M received".to_owned()));
    let hashes =
        b"\r##                                                                         3.7%\
                   \r###############################################                      66.4%";
    assert_eq!(parsed_lines(hashes), [(Some(3), String::new()), (Some(66), String::new())]);
}

#[test]
fn compression_and_disk_copies_are_parsed_and_a_ratio_is_none() {
    let zstd = b"\r                                        \rRead:     0   B /   300 MiB ==>  0%\
                 \r                                        \rRead:  92.0 MiB /   300 MiB ==> 31%\
                 \rbig                  : 31.40%   (   300 MiB =>   94.2 MiB, big.zst) \n";
    assert_eq!(percents(zstd), [31]);
    let ddrescue = b"\r\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A     ipos:  296157 kB, non-trimmed:        0 B,  current rate:    296 MB/s\n\
                     \x20  opos:  296157 kB, non-scraped:        0 B,  average rate:    296 MB/s\n\
                     non-tried:   18415 kB,  bad-sector:        0 B,    error rate:       0 B/s\n\
                     \x20 rescued:  296157 kB,   bad areas:        0,        run time:          1s\n\
                     pct rescued:   94.14%, read errors:        0,  remaining time:          1s\n\
                     \x20                             time since last successful read:          0s\n\
                     \rCopying non-tried blocks... Pass 1 (forwards)\r\x1b[A\x1b[A";
    assert_eq!(percents(ddrescue), [94]);
    let dd = b"\r104857600 bytes (105 MB, 100 MiB) copied, 1 s, 105 MB/s";
    assert_eq!(parsed_lines(dd)[0].0, None);
    assert_eq!(percents(b"    (12.34/100%)\r    (99.00/100%)\r"), [12, 99], "qemu-img -p");
    let partclone = b"\rElapsed: 00:00:01, Remaining: 00:00:10, Completed:  12.34%,   1.20GB/min,";
    assert_eq!(percents(partclone), [12]);
}

#[test]
fn arrays_pools_and_databases_are_parsed() {
    for (line, percent) in [
        (
            "      [==>..................]  recovery = 12.6% (37043392/292945152) finish=127.5min speed=33440K/sec",
            12,
        ),
        (
            "      [=>...................]  resync =  8.3% (1625088/19542016) finish=2.2min speed=135424K/sec",
            8,
        ),
        ("\t0B repaired, 19.65% done, 01:10:24 to go", 19),
        ("\t- 12:05:11: Phase 6: 45% done - estimated remaining time 12 minutes, 3 seconds", 45),
        (" 1172/23445 kB (5%), 0/1 tablespace", 5),
        (" 23455/23455 kB (100%), 1/1 tablespace", 100),
        ("Bytes scrubbed:   1.23GiB  (12.34%)", 12),
        (" 34%|\u{2588}\u{2588}\u{2588}\u{258d}      | 34/100 [00:01<00:02, 25.00it/s]", 34),
        ("(Reading database ... 45%", 45),
        ("Progress: [ 20%] [####................] ", 20),
    ] {
        assert_eq!(percents(line.as_bytes()), [percent], "{line}");
    }
    for other in [
        "1 out of about 5 chunks balanced (2 considered),  80% left",
        "/dev/sda1        41151808 12345678  26693048  33% /",
        "Filesystem     1K-blocks     Used Available Use% Mounted on",
        "Average CPU load: 34%",
    ] {
        assert_eq!(percents(other.as_bytes()), [] as [u8; 0], "{other}");
    }
    let mdstat =
        parse(b"      [==>..................]  recovery = 12.6% (370/292) finish=127.5min");
    assert_eq!(mdstat.unwrap().text.unwrap(), "recovery = 12.6% (370/292) finish=127.5min");
}

#[test]
fn a_package_manager_is_parsed() {
    let apt = b"dlstatus:1:0.0000:Retrieving file 1 of 1\ndlstatus:1:100.0000:Retrieving file 1 of 1\n\
                pmstatus:dpkg-exec:0.0000:Running dpkg\nPreparing to unpack .../hello_2.10-3_amd64.deb ...\r\n\
                pmstatus:hello:20.0000:Unpacking hello (amd64)\n\
                pmstatus:libc6:amd64:60.5000:Configuring libc6:amd64\n";
    let parsed = parsed_lines(apt);
    assert_eq!(percents(apt), [100, 20, 60]);
    assert_eq!(parsed[4], (Some(20), "Unpacking hello (amd64)".to_owned()));
    assert_eq!(parsed[5], (Some(60), "Configuring libc6:amd64".to_owned()));
}
