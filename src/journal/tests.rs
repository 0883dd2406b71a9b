//! The whole journal: appended records are read again, wherever they are stored by then.

mod damage;
mod full_disk;
mod packed;
mod retention;

use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::test_timeout::wait_for;

const ALL: PageLimit = PageLimit { records: usize::MAX, bytes: u64::MAX };

fn small(dir: &Path) -> JournalSettings {
    JournalSettings {
        commit_file_bytes: 16 << 10,
        segment_bytes: 4 << 10,
        ballast_bytes: 1 << 20,
        low_water: 1 << 20,
        ..JournalSettings::new(dir)
    }
}

fn open(dir: &Path) -> OpenJournal {
    Journal::open(&small(dir)).unwrap()
}

/// A record whose header and bytes depend on its number, and do not compress well.
fn record(number: u64) -> EncodedRecord {
    let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let small = |modulus: u64, shift: u32| u8::try_from((noise >> shift) % modulus).unwrap();
    let header = RecordHeader {
        at_us: i64::try_from(number).unwrap() * 10 + i64::from(small(50, 3)),
        severity: small(6, 20),
        kind: small(32, 30),
        appliance: if number < 700 { u32::from(small(4, 40)) } else { 9 },
    };
    let bytes: Vec<u8> = noise.to_le_bytes().repeat(1 + usize::from(small(20, 50)));
    EncodedRecord { number, header, bytes: bytes.into() }
}

fn records(numbers: std::ops::RangeInclusive<u64>) -> Vec<EncodedRecord> {
    numbers.map(record).collect()
}

fn append(opened: &mut OpenJournal, numbers: std::ops::RangeInclusive<u64>) {
    for commit in records(numbers).chunks(37) {
        opened.journal.append(commit).unwrap();
    }
}

fn wait(what: &str, mut reached: impl FnMut() -> bool) {
    wait_for(what, || reached().then_some(()));
}

fn wait_archived(opened: &OpenJournal) {
    let durable = opened.reader.durable();
    wait("the archive", || opened.reader.archived_through() + 64 > durable);
}

fn wait_checkpoint(dir: &Path, journal: &Journal, through: u64, state: &[u8]) {
    wait("a checkpoint begins", || {
        journal.checkpoint(through, state.to_vec()) == CheckpointStart::Started
    });
    let path =
        dir.join(format!("{}/checkpoint-{through:020}", crate::journal::recovery::CHECKPOINTS));
    wait("a checkpoint is written", || path.exists());
}

fn read_all(reader: &JournalReader) -> Vec<EncodedRecord> {
    let page = reader.forward(0, &HeaderFilter::default(), ALL).unwrap();
    assert_eq!((page.next, page.reached), (None, reader.durable()));
    page.records
}

#[test]
fn appended_records_are_there_after_a_stop_and_the_term_rises() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("not/there/yet");
    let mut opened = open(&data);
    let identity = opened.journal.identity();
    assert_eq!((opened.last_number, opened.previous_term, opened.reader.first()), (0, 0, 1));
    assert_eq!(opened.recovered, Recovered::default());
    let mut watch = opened.reader.watch_durable();
    append(&mut opened, 1..=50);
    assert!(watch.has_changed().unwrap());
    assert_eq!(*watch.borrow_and_update(), 50);
    opened.journal.close().unwrap();

    let mut opened = open(&data);
    assert_eq!((opened.last_number, opened.previous_term), (50, 1));
    assert_eq!((opened.journal.identity(), opened.journal.term()), (identity, 2));
    append(&mut opened, 51..=60);
    assert_eq!(read_all(&opened.reader), records(1..=60));
    let status = opened.reader.status().unwrap();
    assert_eq!((status.durable, status.commit_log_bytes), (60, 16 << 10));
    assert!(status.free_bytes > 0 && status.background_failures.is_empty());
}

#[test]
fn a_second_open_of_the_same_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path());
    let refused = Journal::open(&small(dir.path())).unwrap_err();
    assert!(matches!(&refused, JournalError::InUse { path } if path == dir.path()));
    drop(opened);
    open(dir.path()).journal.close().unwrap();
}

fn filters() -> impl Strategy<Value = HeaderFilter> {
    let times = (0..16_000_i64, 0..16_000_i64);
    let appliances = prop::option::of(prop::collection::hash_set(0..11_u32, 0..4));
    (prop::option::of(times), any::<u8>(), any::<u32>(), any::<bool>(), appliances).prop_map(
        |(times, severities, kinds, all_kinds, appliances)| {
            let (since_us, until_us) = times.unwrap_or((i64::MIN, i64::MAX));
            let kind_mask = if all_kinds { u32::MAX } else { kinds };
            HeaderFilter { since_us, until_us, severity_mask: severities, kind_mask, appliances }
        },
    )
}

#[test]
fn reading_equals_a_plain_list_under_every_filter_and_limit() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = open(dir.path());
    append(&mut opened, 1..=1500);
    wait_archived(&opened);
    wait("three seals", || opened.journal.log_truncation.archive.ranges().len() >= 3);
    append(&mut opened, 1501..=1550);
    wait_checkpoint(dir.path(), &opened.journal, 900, b"older");
    wait_checkpoint(dir.path(), &opened.journal, 1400, b"newer");
    wait("the log is truncated", || opened.journal.log_truncation.files.at_or_above(1) > Some(1));
    let all = records(1..=1550);
    let reader = &opened.reader;
    assert_eq!((reader.first(), read_all(reader)), (1, all.clone()));
    let limits =
        (1..200_usize, 1..100_000_u64).prop_map(|(r, bytes)| PageLimit { records: r, bytes });
    proptest!(|(filter in filters(), limit in limits, from in 0..1600_u64)| {
        let is_match = |record: &&EncodedRecord| filter.matches(&record.header);
        let up: Vec<_> = all.iter().filter(|r| r.number >= from).filter(is_match).cloned().collect();
        let down: Vec<_> =
            all.iter().rev().filter(|r| r.number <= from).filter(is_match).cloned().collect();
        let forward = |at| reader.forward(at, &filter, limit).unwrap();
        prop_assert_eq!(read_pages(from, limit, forward), up);
        let backward = |at| reader.backward(at, &filter, limit).unwrap();
        prop_assert_eq!(read_pages(from, limit, backward), down);
    });
}

fn read_pages(from: u64, limit: PageLimit, read: impl Fn(u64) -> RecordPage) -> Vec<EncodedRecord> {
    let (mut out, mut next) = (Vec::new(), Some(from));
    while let Some(at) = next {
        let page = read(at);
        assert!(page.records.len() <= limit.records && page.missing.is_empty());
        assert_ne!(page.next, Some(at), "each page advances");
        out.extend(page.records);
        next = page.next;
    }
    out
}

#[test]
fn an_unsealed_segment_is_rebuilt_during_appends() {
    let dir = tempfile::tempdir().unwrap();
    let settings = JournalSettings { segment_bytes: 1 << 20, ..small(dir.path()) };
    let mut opened = Journal::open(&settings).unwrap();
    append(&mut opened, 1..=400);
    wait_archived(&opened);
    opened.journal.close().unwrap();
    // Even if nothing of it can be read any more.
    fs::write(dir.path().join("archive/span-00000000000000000001/db"), b"rubbish").unwrap();

    let mut opened = Journal::open(&settings).unwrap();
    assert_eq!(opened.recovered, Recovered { rebuilt_segments: vec![1], ..Recovered::default() });
    append(&mut opened, 401..=500);
    wait_archived(&opened);
    assert_eq!(read_all(&opened.reader), records(1..=500));
    assert!(!dir.path().join("archive/span-00000000000000000001.trash").exists());
    assert_eq!(opened.reader.status().unwrap().background_failures, [""; 0]);
}

#[test]
fn a_damaged_segment_is_read_from_the_commit_log_while_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = open(dir.path());
    append(&mut opened, 1..=1000);
    wait("a seal", || !opened.journal.log_truncation.archive.ranges().is_empty());
    opened.journal.close().unwrap();
    // Without checkpoints nothing was removed from the commit log.
    fs::write(dir.path().join("archive/span-00000000000000000001/pack"), b"rubbish").unwrap();
    let opened = open(dir.path());
    assert!(opened.reader.archived_through() > 0);
    assert_eq!(read_all(&opened.reader), records(1..=1000));
}

/// A closed journal of 1,000 records, the older of them in sealed segments only.
fn with_sealed_segments(dir: &Path) -> Vec<std::ops::RangeInclusive<u64>> {
    let mut opened = open(dir);
    append(&mut opened, 1..=1000);
    wait_archived(&opened);
    wait_checkpoint(dir, &opened.journal, 990, b"older");
    wait_checkpoint(dir, &opened.journal, 1000, b"newer");
    let files = Arc::clone(&opened.journal.log_truncation.files);
    let segments = opened.journal.log_truncation.archive.ranges();
    wait("the log is truncated", || files.at_or_above(1) > Some(*segments[0].end()));
    let archive = Arc::clone(&opened.journal.log_truncation.archive);
    opened.journal.close().unwrap();
    archive.ranges()
}

#[test]
fn sealed_segments_survive_and_the_log_before_them_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let segments = with_sealed_segments(dir.path());
    let opened = open(dir.path());
    assert!(opened.recovered.missing.is_empty() && opened.recovered.truncated_tails.is_empty());
    assert_eq!(opened.checkpoint, Some((1000, b"newer".to_vec())));
    let sealed_through = opened.reader.archived_through();
    assert!(sealed_through >= *segments.last().unwrap().end());
    assert_eq!(read_all(&opened.reader), records(1..=1000));
}

#[test]
fn a_segment_that_lost_its_seal_is_checked_and_sealed_again() {
    let dir = tempfile::tempdir().unwrap();
    with_sealed_segments(dir.path());
    let seal = dir.path().join("archive/span-00000000000000000001.sealed");
    fs::write(&seal, b"bad").unwrap();
    let opened = open(dir.path());
    assert!(opened.recovered.missing.is_empty());
    assert_eq!(read_all(&opened.reader), records(1..=1000));
    assert!(fs::read(&seal).unwrap().len() > 64);
}

#[test]
fn a_lost_segment_is_reported_missing() {
    let dir = tempfile::tempdir().unwrap();
    let segments = with_sealed_segments(dir.path());
    let second = dir.path().join(format!("archive/span-{:020}", segments[1].start()));
    fs::remove_file(second.with_extension("sealed")).unwrap();
    fs::write(second.join("pack"), b"rubbish").unwrap();
    let opened = open(dir.path());
    assert_eq!(opened.recovered.damaged_segments, [second.with_extension("damaged")]);
    let files = &opened.journal.log_truncation.files;
    let lost = *segments[1].start()..=*segments[1].end().min(&(files.at_or_above(1).unwrap() - 1));
    assert_eq!(opened.recovered.missing, std::slice::from_ref(&lost));
    let forward = opened.reader.forward(1, &HeaderFilter::default(), ALL).unwrap();
    assert_eq!(forward.missing, std::slice::from_ref(&lost));
    let expected: Vec<_> =
        records(1..=1000).into_iter().filter(|record| !lost.contains(&record.number)).collect();
    assert_eq!(forward.records, expected);
    let backward = opened.reader.backward(u64::MAX, &HeaderFilter::default(), ALL).unwrap();
    assert_eq!((backward.missing, backward.reached), (vec![lost], 1));
    assert!(backward.records.iter().eq(expected.iter().rev()));
}

/// A journal whose commit log is lost, opened, and the last record that its archive has. When the
/// archiver ran decides how much that is; here it has an unsealed segment, and not all records.
fn without_its_commit_log() -> (tempfile::TempDir, OpenJournal, u64) {
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let segments = with_sealed_segments(dir.path());
        fs::remove_dir_all(dir.path().join("commits")).unwrap();
        let opened = open(dir.path());
        // The unsealed segment is all that is left of its records: it was checked and sealed.
        let sealed_through = opened.reader.archived_through();
        if sealed_through > *segments.last().unwrap().end() && sealed_through < 1000 {
            return (dir, opened, sealed_through);
        }
        opened.journal.close().unwrap();
    }
    panic!("in 20 journals the archiver left no part of the records to the commit log alone");
}

#[test]
fn no_number_is_assigned_twice_although_the_commit_log_is_lost() {
    let (dir, mut opened, sealed_through) = without_its_commit_log();
    assert_eq!((opened.last_number, opened.previous_term), (1000, 1));
    assert_eq!(opened.recovered.missing, [sealed_through + 1..=1000]);
    append(&mut opened, 1001..=1200);
    wait_archived(&opened);
    let page = opened.reader.forward(900, &HeaderFilter::default(), ALL).unwrap();
    assert_eq!(page.missing, [sealed_through + 1..=1000]);
    assert_eq!(page.records.last(), Some(&record(1200)));
    opened.journal.close().unwrap();
    assert_eq!(open(dir.path()).recovered.missing, [sealed_through + 1..=1000]);
}

#[test]
fn a_reader_outlives_the_journal_without_locking_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    with_sealed_segments(dir.path());
    let opened = open(dir.path());
    let reader = opened.reader.clone();
    assert_eq!(read_all(&reader).len(), 1000);
    opened.journal.close().unwrap();
    let refused = reader.forward(1, &HeaderFilter::default(), ALL);
    assert!(matches!(refused, Err(JournalError::Closed { .. })));
    assert_eq!(read_all(&open(dir.path()).reader).len(), 1000);
}

#[test]
fn readers_see_every_record_once_while_segments_are_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = open(dir.path());
    let reader = opened.reader.clone();
    let follower = crate::tasks::spawn_thread("follower", move || {
        let (mut seen, mut from) = (Vec::new(), 1);
        while seen.len() < 1200 {
            let limit = PageLimit { records: 100, bytes: 10_000 };
            let page = reader.forward(from, &HeaderFilter::default(), limit).unwrap();
            assert!(page.missing.is_empty());
            from = page.reached + 1;
            seen.extend(page.records);
        }
        seen
    })
    .unwrap();
    for first in (1..1200).step_by(100) {
        append(&mut opened, first..=first + 99);
        let _ = opened.journal.checkpoint(first, b"state".to_vec());
    }
    assert_eq!(follower.join().unwrap(), records(1..=1200));
}

#[test]
fn large_and_unpackable_records_are_archived_and_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = open(dir.path());
    let large = |number: u64| {
        let mut noise = number;
        let bytes: Vec<u8> = (0..200_000)
            .map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                noise.to_le_bytes()[7]
            })
            .collect();
        EncodedRecord { number, header: RecordHeader::default(), bytes: bytes.into() }
    };
    let all: Vec<_> = (1..=70).map(large).collect();
    opened.journal.append(&all).unwrap();
    wait_archived(&opened);
    wait("seven segments of one record", || {
        opened.journal.log_truncation.archive.ranges() == (1..=7).map(|n| n..=n).collect::<Vec<_>>()
    });
    assert_eq!(read_all(&opened.reader), all);
}
