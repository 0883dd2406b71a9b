//! Sealed segments are packed and indexed; whatever becomes of pack or index, all that is left is read.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;

const FIRST: &str = "archive/span-00000000000000000001";

fn names(segment: &Path) -> Vec<String> {
    let names = disk::paths_in(segment).unwrap().into_iter();
    names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

fn index_of(dir: &Path, segment: &std::ops::RangeInclusive<u64>) -> PathBuf {
    dir.join(format!("archive/span-{:020}/index", segment.start()))
}

#[test]
fn a_sealed_segment_is_a_pack_with_an_index_and_small_blocks_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let settings = JournalSettings { segment_bytes: 16 << 10, ..small(dir.path()) };
    let mut opened = Journal::open(&settings).unwrap();
    // Little at a time makes small blocks.
    let mut next = 1;
    while opened.journal.log_truncation.archive.ranges().is_empty() {
        append(&mut opened, next..=next + 63);
        next += 64;
        wait_archived(&opened);
    }
    let segment = dir.path().join(FIRST);
    wait("sled's files are removed", || names(&segment) == ["index", "pack"]);
    let mut pack = bytes::Bytes::from(fs::read(segment.join("pack")).unwrap());
    let mut counts = Vec::new();
    while !pack.is_empty() {
        let block = frame::Block::parse(&pack).unwrap();
        counts.push(block.header.info.count);
        bytes::Buf::advance(&mut pack, block.header.block_bytes());
    }
    let (_, others) = counts.split_last().unwrap();
    assert!(!others.is_empty() && others.iter().all(|count| *count == 256), "{counts:?}");
    assert_eq!(read_all(&opened.reader), records(1..=next - 1));
}

#[test]
fn a_start_removes_what_sled_left_beside_a_sealed_pack() {
    let dir = tempfile::tempdir().unwrap();
    with_sealed_segments(dir.path());
    let segment = dir.path().join(FIRST);
    fs::create_dir(segment.join("blobs")).unwrap();
    fs::write(segment.join("blobs/1"), b"a blob").unwrap();
    fs::write(segment.join("db"), b"pages").unwrap();
    fs::write(segment.join("pack.new"), b"a part").unwrap();
    let opened = open(dir.path());
    assert_eq!(names(&segment), ["index", "pack"]);
    assert_eq!(read_all(&opened.reader), records(1..=1000));
}

#[test]
fn a_stop_before_the_seal_leaves_a_segment_that_is_built_again() {
    for removed in [&[][..], &["index"], &["index", "pack"]] {
        let dir = tempfile::tempdir().unwrap();
        let mut opened = open(dir.path());
        let mut last = 0;
        while opened.journal.log_truncation.archive.ranges().is_empty() {
            append(&mut opened, last + 1..=last + 64);
            last += 64;
            wait_archived(&opened);
        }
        opened.journal.close().unwrap();
        let segment = dir.path().join(FIRST);
        fs::remove_file(segment.with_extension("sealed")).unwrap();
        fs::write(segment.join("pack.new"), b"a part").unwrap();
        for name in removed {
            fs::remove_file(segment.join(name)).unwrap();
        }
        let opened = open(dir.path());
        assert!(opened.recovered.rebuilt_segments.contains(&1), "{removed:?}");
        assert_eq!(opened.recovered.missing, []);
        wait("a seal again", || segment.with_extension("sealed").exists());
        assert_eq!(read_all(&opened.reader), records(1..=last), "{removed:?}");
    }
}

#[test]
fn an_index_that_is_damaged_missing_or_wrong_is_replaced_after_a_scan() {
    let dir = tempfile::tempdir().unwrap();
    let segments = with_sealed_segments(dir.path());
    let index = index_of(dir.path(), &segments[0]);
    let whole = fs::read(&index).unwrap();
    let mut seed = 11_u64;
    for round in 0..40 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(seed >> 33).unwrap() % whole.len();
        let mut bytes = whole.clone();
        match round % 5 {
            0 => bytes.truncate(at),
            1 => bytes = fs::read(index_of(dir.path(), &segments[1])).unwrap(),
            _ => bytes[at] ^= 1 << (round % 8),
        }
        fs::write(&index, bytes).unwrap();
        if round == 7 {
            fs::remove_file(&index).unwrap();
        }
        let opened = open(dir.path());
        assert_eq!(read_all(&opened.reader), records(1..=1000), "round {round}");
        assert_eq!(opened.journal.take_newly_lost(), [], "round {round}");
        opened.journal.close().unwrap();
        assert!(fs::read(&index).unwrap() == whole, "round {round}: the index is as it was");
    }
    assert!(!dir.path().join(FIRST).with_extension("damaged").exists());
}

#[test]
fn an_index_with_wrong_places_and_right_checksums_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let segments = with_sealed_segments(dir.path());
    let segment = dir.path().join(FIRST);
    let bytes = fs::read(segment.join("pack")).unwrap();
    // The pack of another seal: blocks of other lengths, and as many bytes.
    let block = frame::Block::parse(&bytes.clone().into()).unwrap();
    let info = block.header.info;
    let mut other = Vec::new();
    frame::encode(
        &mut other,
        &info,
        frame::Compression::None,
        &block.summary,
        &block.payload().unwrap(),
    )
    .unwrap();
    other.extend_from_slice(&bytes[block.header.block_bytes()..]);
    fs::write(segment.join("pack"), &other).unwrap();
    let opened = open(dir.path());
    assert_eq!(read_all(&opened.reader), records(1..=1000));
    opened.journal.close().unwrap();
    fs::write(segment.join("pack"), [&[0; 8], &bytes[..bytes.len() - 8]].concat()).unwrap();
    let opened = open(dir.path());
    let page = opened.reader.forward(0, &HeaderFilter::default(), ALL).unwrap();
    let expected = records(1..=1000).into_iter();
    let expected = expected.filter(|it| !page.missing.iter().any(|gap| gap.contains(&it.number)));
    assert!(page.records.into_iter().eq(expected));
    assert!(page.missing.iter().all(|gap| segments[0].contains(gap.end())), "{:?}", page.missing);
}

#[test]
fn a_start_continues_with_the_blocks_that_the_last_stop_left_unsealed() {
    let dir = tempfile::tempdir().unwrap();
    let settings = JournalSettings { segment_bytes: 1 << 20, ..small(dir.path()) };
    let mut all = 0;
    for _ in 0..3 {
        let mut opened = Journal::open(&settings).unwrap();
        append(&mut opened, all + 1..=all + 300);
        all += 300;
        wait_archived(&opened);
        assert_eq!(dir.path().join(FIRST).join("taken-over").exists(), all > 300);
        opened.journal.close().unwrap();
    }
    let opened = Journal::open(&settings).unwrap();
    opened.journal.set_lived(Duration::MAX / 2);
    wait("the seal", || opened.journal.log_truncation.archive.ranges() == [1..=all]);
    let segment = dir.path().join(FIRST);
    wait("sled's files are removed", || names(&segment) == ["index", "pack"]);
    let archive = &opened.journal.log_truncation.archive;
    assert!((1..=all).all(|number| archive.block_at(number).unwrap().is_some()));
    assert_eq!(read_all(&opened.reader), records(1..=all));
}

#[test]
fn blocks_of_records_that_the_commit_log_lost_are_not_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let settings = JournalSettings { segment_bytes: 1 << 20, ..small(dir.path()) };
    let mut opened = Journal::open(&settings).unwrap();
    append(&mut opened, 1..=600);
    wait_archived(&opened);
    opened.journal.close().unwrap();
    // As if the disk had not done what it said: the end of the log is gone, the archive is not.
    let newest = disk::paths_in(&dir.path().join("commits")).unwrap().pop().unwrap();
    let lost = disk::number_in_name(&newest, "", ".log").unwrap();
    assert!(lost > 64 && lost < 536, "{lost}");
    fs::remove_file(newest).unwrap();
    let mut opened = Journal::open(&settings).unwrap();
    assert_eq!(opened.last_number, lost - 1);
    let others =
        (lost..=lost + 200).map(|number| EncodedRecord { number, ..record(number + 9000) });
    let others: Vec<_> = others.collect();
    opened.journal.append(&others).unwrap();
    opened.journal.set_lived(Duration::MAX / 2);
    let archive = Arc::clone(&opened.journal.log_truncation.archive);
    wait("the seal", || archive.ranges() == [1..=lost + 200]);
    let mut archived = Vec::new();
    let mut next = 1;
    while let Some(block) = archive.block_at(next).unwrap() {
        next = block.header.info.last() + 1;
        archived.extend(record::records_in_block(&block).unwrap());
    }
    assert_eq!(archived, [records(1..=lost - 1), others].concat());
}

/// The numbers that may match, found by going from candidate to candidate and block to block.
fn visited(opened: &OpenJournal, filter: &HeaderFilter, descending: bool) -> BTreeSet<u64> {
    let archive = &opened.journal.log_truncation.archive;
    let mut visited = BTreeSet::new();
    let mut from = if descending { 1000 } else { 1 };
    let until = if descending { 1 } else { u64::MAX };
    while let Some(at) = archive.next_candidate(from, filter, descending, until).unwrap() {
        if at > 1000 {
            break;
        }
        assert!(if descending { at <= from } else { at >= from });
        let block = archive.block_at(at).ok().flatten();
        let info = block.map(|block| block.header.info);
        let (first, last) = info.map_or((at, at), |info| (info.first, info.last()));
        visited.extend(if descending { first..=at } else { at..=last });
        from = match descending {
            true if first == 1 => break,
            true => first - 1,
            false => last + 1,
        };
    }
    visited
}

#[test]
fn no_candidate_is_skipped_and_segments_that_cannot_match_are() {
    let dir = tempfile::tempdir().unwrap();
    let segments = with_sealed_segments(dir.path());
    let opened = open(dir.path());
    let sealed = *segments.last().unwrap().end();
    proptest!(|(filter in filters(), descending: bool)| {
        let visited = visited(&opened, &filter, descending);
        for record in records(1..=1000) {
            if filter.matches(&record.header) {
                prop_assert!(visited.contains(&record.number), "{}", record.number);
            }
        }
    });
    let of = |appliance| HeaderFilter {
        appliances: Some([appliance].into_iter().collect()),
        ..HeaderFilter::default()
    };
    for descending in [false, true] {
        assert!(visited(&opened, &of(10), descending).iter().all(|number| *number > sealed));
        // It spoke only after record 700.
        let late = visited(&opened, &of(9), descending);
        assert!(*segments[0].end() < 700 && late.contains(&700));
        assert!(late.iter().all(|number| !segments[0].contains(number)));
    }
    let archive = &opened.journal.log_truncation.archive;
    assert_eq!(archive.next_candidate(1000, &of(10), true, 1).unwrap(), Some(1000));
    assert_eq!(archive.next_candidate(*segments[0].end(), &of(10), true, 1).unwrap(), None);
}

#[test]
fn the_blocks_of_the_index_are_those_of_the_segment() {
    let dir = tempfile::tempdir().unwrap();
    let segments = with_sealed_segments(dir.path());
    let opened = open(dir.path());
    let archive = &opened.journal.log_truncation.archive;
    for segment in &segments {
        let blocks = archive.indexed_blocks(*segment.start()).unwrap();
        assert_eq!(
            (blocks[0].first, blocks.last().unwrap().last),
            (*segment.start(), *segment.end())
        );
        for block in &blocks {
            let within = records(block.first..=block.last);
            let times = || within.iter().map(|record| record.header.at_us);
            assert_eq!(times().min(), Some(block.at_us_min));
            assert_eq!(times().max(), Some(block.at_us_max));
            let masks = within.iter().fold((0, 0), |(severities, kinds), record| {
                (severities | 1 << record.header.severity, kinds | 1 << record.header.kind)
            });
            assert_eq!(masks, (block.severity_mask, block.kind_mask));
        }
        assert!(blocks.windows(2).all(|pair| pair[0].last + 1 == pair[1].first));
    }
}
