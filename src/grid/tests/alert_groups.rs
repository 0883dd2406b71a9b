//! Tests which alerts are the same problem, with lines shaped after those of public projects.

use crate::grid::model::alert_group::group_key;
use crate::grid::values::event::Severity;

/// Each is one problem in several wordings, with other variable parts.
const PROBLEMS: &[&[&str]] = &[
    &[
        "md/raid1:md0: Disk failure on sda1, disabling device.",
        "md/raid1:md1: Disk failure on sda2, disabling device.",
    ],
    &["DegradedArray event on /dev/md0:host7", "DegradedArray event on /dev/md127:host12"],
    &[
        "RebuildFinished event detected on md device /dev/md2",
        "RebuildFinished event detected on md device /dev/md3",
    ],
    &[
        "Device: /dev/sda [SAT], 8 Currently unreadable (pending) sectors",
        "Device: /dev/sda [SAT], 1,024 Currently unreadable (pending) sectors",
    ],
    &[
        "Device: /dev/sda [SAT], 3 Offline uncorrectable sectors",
        "Device: /dev/sda [SAT], 12 Offline uncorrectable sectors",
    ],
    &[
        "Device: /dev/sda [SAT], Temperature changed +3 Celsius to 51 Celsius (Min/Max 24/51)",
        "Device: /dev/sda [SAT], Temperature changed -2 Celsius to 49 Celsius (Min/Max 24/52)",
    ],
    &[
        "Device: /dev/nvme0, FAILED SMART self-check. BACK UP DATA NOW!",
        "Device: /dev/nvme1, FAILED SMART self-check. BACK UP DATA NOW!",
    ],
    &[
        "EXT4-fs error (device sda1): ext4_find_entry:1455: inode #131073: comm ls: reading directory lblock 0",
        "EXT4-fs error (device sda1): ext4_find_entry:1455: inode #9,437,185: comm ls: reading directory lblock 17",
    ],
    &[
        "EXT4-fs (sda1): Remounting filesystem read-only",
        "EXT4-fs (sda2): Remounting filesystem read-only",
    ],
    &[
        "XFS (dm-0): metadata I/O error in \"xlog_iodone\" at daddr 0x7ffee1 len 64 error 5",
        "XFS (dm-3): metadata I/O error in \"xlog_iodone\" at daddr 0x1 len 8 error 5",
    ],
    &[
        "blk_update_request: I/O error, dev sdb, sector 1953523712 op 0x0:(READ)",
        "blk_update_request: I/O error, dev sdb, sector 88 op 0x1:(READ)",
    ],
    &[
        "Out of memory: Killed process 4711 (java) total-vm:8123456kB, anon-rss:4012345kB",
        "Out of memory: Killed process 99 (java) total-vm:123kB, anon-rss:45kB",
    ],
    &[
        "Out of memory: Killed process 812 (mysqld) total-vm:8123456kB, anon-rss:4012345kB",
        "Out of memory: Killed process 90212 (mysqld) total-vm:1kB, anon-rss:7kB",
    ],
    &[
        "INFO: task jbd2/sda1-8:312 blocked for more than 120 seconds.",
        "INFO: task jbd2/sda1-8:312 blocked for more than 241 seconds.",
    ],
    &[
        "mce: [Hardware Error]: CPU 3: Machine Check: 0 Bank 5: be00000000800400",
        "mce: [Hardware Error]: CPU 11: Machine Check: 0 Bank 7: 9c00004000010092",
    ],
    &[
        "CPU0: Core temperature above threshold, cpu clock throttled (total events = 1)",
        "CPU14: Core temperature above threshold, cpu clock throttled (total events = 20933)",
    ],
    &[
        "NETDEV WATCHDOG: eth0 (e1000e): transmit queue 0 timed out",
        "NETDEV WATCHDOG: eth1 (e1000e): transmit queue 3 timed out",
    ],
    &[
        "bond0: link status definitely down for interface eno1, disabling it",
        "bond0: link status definitely down for interface eno2, disabling it",
    ],
    &[
        "bond0: now running without any active interface!",
        "bond1: now running without any active interface!",
    ],
    &[
        "arp: ac:de:48:00:11:22 is using my IP address 10.0.0.5 on eth0!",
        "arp: 00:1b:21:3c:9d:f8 is using my IP address 192.168.17.250 on eth0!",
    ],
    &[
        "ADDRCONF(NETDEV_UP): fe80::1ff:fe23:4567:890a: IPv6 duplicate address detected!",
        "ADDRCONF(NETDEV_UP): 2001:db8:85a3::8a2e:370:7334: IPv6 duplicate address detected!",
    ],
    &["nf_conntrack: table full, dropping packet", "nf_conntrack: table full,  dropping packet"],
    &[
        "FATAL: could not write to file \"pg_wal/xlogtemp.3141\": No space left on device",
        "FATAL: could not write to file \"pg_wal/xlogtemp.27\": No space left on device",
    ],
    &["PANIC: could not locate a valid checkpoint record"],
    &[
        "ERROR: deadlock detected; Process 18021 waits for ShareLock on transaction 745; blocked by process 18030",
        "ERROR: deadlock detected; Process 7 waits for ShareLock on transaction 90817; blocked by process 22",
    ],
    &["FATAL: remaining connection slots are reserved for roles with the SUPERUSER attribute"],
    &[
        "FATAL: password authentication failed for user \"backup\"",
        "FATAL:  password authentication failed for user \"backup\"",
    ],
    &["FATAL: password authentication failed for user \"replicator\""],
    &[
        "replication lag is 35 s (limit 30 s)",
        "replication lag is 2m10s (limit 30 s)",
        "replication lag is 1,205.7 seconds (limit 30 s)",
    ],
    &[
        "standby \"db2\" is not streaming since 2026-11-28 15:59:12.123 UTC",
        "standby \"db2\" is not streaming since 2026-11-29T03:00:00Z",
    ],
    &["[ERROR] InnoDB: Unable to lock ./ibdata1 error: 11"],
    &[
        "[ERROR] [MY-012592] [InnoDB] Operating system error number 28 in a file operation.",
        "[ERROR] [MY-012592] [InnoDB] Operating system error number 5 in a file operation.",
    ],
    &[
        "Slave SQL for channel '': Worker 1 failed executing transaction '3e11fa47-71ca-11e1-9e33-c80aa9429562:23'",
        "Slave SQL for channel '': Worker 4 failed executing transaction 'a3b4f0c2-0d5e-4c1b-9a57-52540012abcd:9001'",
    ],
    &["Can't save in background: fork: Cannot allocate memory"],
    &[
        "MISCONF Redis is configured to save RDB snapshots, but it is currently not able to persist on disk.",
    ],
    &["# Cluster state changed: fail", "# Cluster state changed:  fail"],
    &["# Cluster state changed: ok"],
    &[
        "2026/11/28 15:59:12 [error] 1234#1234: *57 connect() failed (111: Connection refused) while connecting to upstream",
        "2026/11/29 03:14:15 [error] 88#88: *9001 connect() failed (111: Connection refused) while connecting to upstream",
    ],
    &[
        "2026/11/28 15:59:12 [error] 1234#1234: *57 upstream timed out (110: Connection timed out) while reading response header from upstream",
        "2026/11/29 03:14:15 [error] 7#7: *1 upstream timed out (110: Connection timed out) while reading response header from upstream",
    ],
    &[
        "2026/11/28 15:59:12 [alert] 1234#1234: worker process 4711 exited on signal 11",
        "2026/11/29 15:59:12 [alert] 1234#1234: worker process 99 exited on signal 11",
    ],
    &[
        "Server shop/web1 is DOWN, reason: Layer4 timeout, check duration: 2001ms. 2 active and 0 backup servers left.",
        "Server shop/web2 is DOWN, reason: Layer4 timeout, check duration: 5s. 1 active and 0 backup servers left.",
    ],
    &["backend shop has no server available!"],
    &[
        "Back-off restarting failed container api in pod api-7d9f8b6c5d-x2k4z_shop",
        "Back-off restarting failed container api in pod api-55c6d8f9b4-qq7wp_shop",
    ],
    &[
        "Liveness probe failed: Get \"http://10.244.1.17:8080/healthz\": context deadline exceeded",
        "Liveness probe failed: Get \"http://10.244.9.250:8080/healthz\": context deadline exceeded",
    ],
    &[
        "Readiness probe failed: HTTP probe failed with statuscode: 503",
        "Readiness probe failed: HTTP probe failed with statuscode: 500",
    ],
    &[
        "MountVolume.SetUp failed for volume \"data\" : mount failed: exit status 32",
        "MountVolume.SetUp failed for volume \"data\" : mount failed: exit status 1",
    ],
    &["etcdserver: mvcc: database space exceeded"],
    &[
        "etcd: failed to send out heartbeat on time (exceeded the 100ms timeout for 1.34s, to 8e9e05c52164694d)",
        "etcd: failed to send out heartbeat on time (exceeded the 100ms timeout for 219.6ms, to 91bc3c398fb3c146)",
    ],
    &[
        "[Controller id=1] Partition orders-3 has no leader",
        "[Controller id=2] Partition orders-11 has no leader",
    ],
    &[
        "[ReplicaManager broker=3] Shrinking ISR of partition payments-0 from 1,2,3 to 3",
        "[ReplicaManager broker=1] Shrinking ISR of partition payments-7 from 3,1 to 1,2",
    ],
    &["HEALTH_WARN 1 osds down", "HEALTH_WARN 12 osds down"],
    &["HEALTH_ERR 1/3 mons down, quorum a,b", "HEALTH_ERR 2/5 mons down, quorum a,b"],
    &[
        "HEALTH_WARN Degraded data redundancy: 117/3,210 objects degraded (3.645%), 12 pgs degraded",
        "HEALTH_WARN Degraded data redundancy: 9/3210 objects degraded (0.280%), 1 pgs degraded",
    ],
    &["pool 'tank' is degraded: 1 device removed", "pool 'tank' is degraded: 2 device removed"],
    &["pool 'backup' is degraded: 1 device removed"],
    &[
        "scrub of 'tank' finished with 17 errors on Sat Nov 28 03:14:15 2026",
        "scrub of 'tank' finished with 4 errors on Sun Dec 6 04:00:01 2026",
    ],
    &["System clock wrong by 1.281953 seconds", "System clock wrong by -0.731 seconds"],
    &["Can't synchronise: no majority"],
    &["UPS ups1@localhost on battery, 9 min left", "UPS ups1@localhost on battery, 45 s left"],
    &["UPS ups1@localhost battery needs to be replaced"],
    &["Sensor 'CPU1 Temp' is 97.5 °C (limit 95)", "Sensor 'CPU2 Temp' is 101 °C (limit 95)"],
    &["Fan FAN3 (rear) stands: 0 rpm", "Fan FAN1 (rear) stands: 120 rpm"],
    &["power supply PSU1 lost AC input", "power supply PSU2 lost AC input"],
    &[
        "certificate of shop.example.org expires in 10 days",
        "certificate of shop.example.org expires in 23 hours",
    ],
    &["certificate of mail.example.org expires in 10 days"],
    &["disk usage of /var is 97% (1.5 GiB free)", "disk usage of /var is 98.25 % (300 MiB free)"],
    &["disk usage of /srv is 97% (1.5 GiB free)"],
    &["inode usage of /var is 97%", "inode usage of /var is 100 %"],
    &["load average is 45.1, 39.7, 30.0", "load average is 7, 6.5, 120.25"],
    &[
        "backup of db1 failed after 1h 3min: exit code 2",
        "backup of db1 failed after 12 s: exit code 1",
    ],
    &["backup of db1 is 26 hours old", "backup of db1 is 3 d old"],
    &[
        "Failed password for root from 203.0.113.7 port 50221 ssh2",
        "Failed password for root from 2001:db8::17 port 4 ssh2",
    ],
    &["Failed password for invalid user admin from 203.0.113.7 port 50221 ssh2"],
    &[
        "nginx.service: Main process exited, code=exited, status=1/FAILURE",
        "nginx.service: Main process exited, code=exited, status=203/FAILURE",
    ],
    &["postgresql.service: Main process exited, code=exited, status=1/FAILURE"],
    &["nginx.service: Start request repeated too quickly."],
    &[
        "level=error ts=2026-11-28T15:59:12.123Z caller=scrape.go:1300 msg=\"Scrape commit failed\" err=\"out of bounds\"",
        "level=error ts=2026-11-30T00:00:01.9Z caller=scrape.go:1411 msg=\"Scrape commit failed\" err=\"out of bounds\"",
    ],
    &[
        "level=error ts=2026-11-28T15:59:12.123Z caller=db.go:883 msg=\"compaction failed\" err=\"no space left on device\"",
        "level=error ts=2026-11-28T16:59:12.1Z caller=db.go:883 msg=\"compaction failed\" err=\"no space left on device\"",
    ],
    &[
        r#"{"level":"error","ts":"2026-11-28T15:59:12Z","msg":"disk is 97 % full","host":"db1"}"#,
        r#"{"level":"error","ts":"2026-11-29T01:00:00Z","msg":"disk is 99.5 % full","host":"db1"}"#,
    ],
    &[r#"{"level":"error","ts":"2026-11-28T15:59:12Z","msg":"replica is lost","host":"db1"}"#],
    &[
        r#"{"time":1795881367,"alert":"DiskFull","free":1048576}"#,
        r#"{"time":1795881999,"alert":"DiskFull","free":4096}"#,
    ],
    &[r#"{"time":1795881367,"alert":"RaidDegraded","free":1048576}"#],
    &[r#"{"code":"E1001","part":"7"}"#],
    &[r#"{"code":"E1002","part":"7"}"#],
    &[r#"{"code":17,"part":7}"#],
    &[r#"{"code":18,"part":7}"#],
    &[r#"{"a":1,"b":2}"#],
    &[r#"{"a":3,"b":2}"#],
    &["[1,2,3]"],
    &["17"],
    &["18"],
    &["#5"],
    &[
        "order 9a0c7c9e-4b1e-4f6e-8a57-0d2b6c1f3e55 can't be paid",
        "order deadbeef-cafe-babe-face-abcdefabcdef can't be paid",
    ],
    &["token dGhpc2lzYXRva2Vu2026a1 was refused", "token QWxhZGRpbjpvcGVuc2VzYW1l99x7 was refused"],
    &["größe ٣ für müller zu groß", "größe ٤٢ für müller zu groß"],
    &["磁盘 sda1 的使用率为 97%", "磁盘 sda1 的使用率为 99%"],
    &["worker died in /srv/app/worker.py line 117", "worker died in /srv/app/worker.py line 42"],
    &["batch job nightly took 5 h (limit 2 h)", "batch job nightly took 350 min (limit 2 h)"],
    &["queue depth is >= 10,000 (now 12,345)", "queue depth is >= 500 (now 777)"],
    &["voltage +12V is 10.9 V", "voltage +12V is 11.2 V"],
    &["voltage of the battery is 2.9 V", "voltage of the battery is 2.75 V"],
    &[
        "wrote 5 of 17 blocks, then: input/output error",
        "wrote 1 of 9 blocks, then: input/output error",
    ],
    &["device \"sda\" is gone"],
    &["device \"sdb\" is gone"],
    &["service 'api' answers 'not found'"],
    &["service 'web' answers 'not found'"],
    &["service 'web' answers 'bad gateway'"],
];

fn group_id(text: &str) -> uuid::Uuid {
    group_key(None, None, Severity::Error, text).0
}

#[test]
fn no_two_problems_share_a_key_and_hardly_one_is_split() {
    let (mut same, mut split) = (0, Vec::new());
    let (mut crossed, mut merged) = (0, Vec::new());
    for (at, problem) in PROBLEMS.iter().enumerate() {
        for (first, one) in problem.iter().enumerate() {
            for other in &problem[first + 1..] {
                same += 1;
                if group_id(one) != group_id(other) {
                    split.push((one, other));
                }
            }
            for other in PROBLEMS[at + 1..].iter().copied().flatten() {
                crossed += 1;
                if group_id(one) == group_id(other) {
                    merged.push((one, other));
                }
            }
        }
    }
    assert!(same >= 70 && crossed >= 10_000, "{same} pairs of one problem, {crossed} of two");
    assert!(merged.is_empty(), "merged, so that alerts are lost: {merged:#?}");
    assert!(split.len() <= 3, "split, so that mails are too many: {split:#?}");
}

/// Seven texts of one appliance whose JSON has no word outside quotes.
pub(super) const JSON: [&str; 7] = [
    r#"{"alert":"disk_full"}"#,
    r#"{"alert":"raid_degraded"}"#,
    r#"{"alert":"fan_stands"}"#,
    r#"{"alert":"no_backup"}"#,
    r#"{"alert":"clock_wrong"}"#,
    r#"{"alert":"data_lost"}"#,
    r#"{"alert":"door_open"}"#,
];

#[test]
fn json_of_different_content_has_different_keys() {
    let pairs = [("host", "db"), ("code", "E"), ("id", ""), ("part", "slot-"), ("at", "0x")];
    let mut texts: Vec<String> = JSON.iter().map(ToString::to_string).collect();
    for (name, value) in pairs {
        texts.extend((1..8).map(|n| format!(r#"{{"{name}":"{value}{n}","level":"error"}}"#)));
        texts.extend((1..8).map(|n| format!(r#"{{"level":"error", "{name}":{n}}}"#)));
    }
    for (at, one) in texts.iter().enumerate() {
        for other in &texts[at + 1..] {
            assert_ne!(group_id(one), group_id(other), "{one} and {other}");
        }
    }
}
