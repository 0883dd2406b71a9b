//! Appended records are there after any stop; unfinished commits never are.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::recovery::RecoveredLog;
use super::*;
use crate::journal::commit_batch::BLOCK_RECORDS;
use crate::journal::record::{EncodedRecord, RECORD_BYTES_MAX, RecordHeader, records_in_block};
use crate::journal::recovery::missing_ranges;

const JOURNAL: Uuid = Uuid::from_u128(9);

pub(super) fn record(number: u64, bytes: usize) -> EncodedRecord {
    let mark = RecordHeader { at_us: 1, severity: 1, kind: 2, appliance: 3 };
    let byte = u8::try_from(number % 251).unwrap() + 1;
    EncodedRecord { number, header: mark, bytes: vec![byte; bytes].into() }
}

fn records(numbers: std::ops::RangeInclusive<u64>) -> Vec<EncodedRecord> {
    numbers.map(|number| record(number, 100)).collect()
}

fn batch(records: &[EncodedRecord]) -> CommitBatch {
    CommitBatch::from_records(records)
}

fn open_term(folder: &Path, file_bytes: u64, term: u64) -> RecoveredLog {
    let mut found = open(folder.to_owned(), JOURNAL, file_bytes).unwrap();
    found.log.set_term(term);
    found
}

fn read_all(files: &LogFiles) -> Vec<EncodedRecord> {
    let mut out = Vec::new();
    let mut next = 1;
    while let Some(number) = files.at_or_above(next) {
        let blocks = files.blocks_at(number).unwrap().unwrap();
        let found = blocks.iter().flat_map(|block| records_in_block(block).unwrap());
        out.extend(found.filter(|record| record.number >= number));
        next = out.last().unwrap().number + 1;
    }
    out
}

fn missing(found: &RecoveredLog) -> Vec<std::ops::RangeInclusive<u64>> {
    let files = found.log.files();
    missing_ranges(files.first(), &mut files.ranges(), found.log.next_number() - 1)
}

fn log_files(folder: &Path) -> Vec<PathBuf> {
    disk::paths_in(folder).unwrap()
}

#[test]
fn commits_come_back_from_several_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut found = open_term(dir.path(), 4096, 1);
    let mut expected = Vec::new();
    for first in (1..=91).step_by(10) {
        let commit = records(first..=first + 9);
        found.log.append(&mut batch(&commit)).unwrap();
        expected.extend(commit);
        assert_eq!(read_all(found.log.files()), expected);
    }
    let large = [record(101, 9000), record(102, 1)];
    found.log.append(&mut batch(&large)).unwrap();
    expected.extend(large);
    drop(found);

    assert!(log_files(dir.path()).len() > 3);
    let again = open_term(dir.path(), 4096, 2);
    assert_eq!((again.log.next_number(), again.term), (103, 1));
    assert_eq!((again.truncated_tails.len(), missing(&again).len()), (0, 0));
    assert_eq!(read_all(again.log.files()), expected);
}

#[test]
fn a_record_beyond_the_limit_is_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut found = open_term(dir.path(), 4096, 1);
    let refused = found.log.append(&mut batch(&[record(1, RECORD_BYTES_MAX + 1)]));
    assert!(matches!(refused, Err(JournalError::RecordTooLarge { number: 1, .. })));
    found.log.append(&mut batch(&[record(1, RECORD_BYTES_MAX)])).unwrap();
}

#[test]
fn a_tail_torn_at_any_byte_loses_nothing_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut found = open_term(dir.path(), 1024, 1);
    found.log.append(&mut batch(&records(1..=2))).unwrap();
    let before = usize::try_from(found.log.active.as_ref().unwrap().end).unwrap();
    found.log.append(&mut batch(&records(3..=4))).unwrap();
    let after = usize::try_from(found.log.active.as_ref().unwrap().end).unwrap();
    drop(found);
    let path = log_files(dir.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    for torn in before..after {
        let mut bytes = whole.clone();
        bytes[torn..].fill(0);
        fs::write(&path, &bytes).unwrap();
        let mut found = open_term(dir.path(), 1024, 2);
        assert_eq!(read_all(found.log.files()), records(1..=2), "torn at {torn}");
        assert!(missing(&found).is_empty());
        assert_eq!(found.truncated_tails.len(), usize::from(torn > before), "torn at {torn}");
        found.log.append(&mut batch(&[record(3, 7)])).unwrap();
        drop(found);
        let again = open_term(dir.path(), 1024, 3);
        assert_eq!(read_all(again.log.files()).last(), Some(&record(3, 7)));
        assert_eq!((again.log.next_number(), again.truncated_tails.len(), again.term), (4, 0, 2));
    }
}

#[test]
fn blocks_after_a_torn_one_of_the_same_commit_are_zeroed_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut found = open_term(dir.path(), 1 << 20, 1);
    found.log.append(&mut batch(&records(1..=2))).unwrap();
    let torn = found.log.active.as_ref().unwrap().end;
    found
        .log
        .append(&mut batch(&(3..=5000).map(|number| record(number, 20)).collect::<Vec<_>>()))
        .unwrap();
    drop(found);
    flip(&log_files(dir.path())[0], torn + 200);
    let mut found = open_term(dir.path(), 1 << 20, 2);
    assert_eq!(
        (found.log.next_number(), missing(&found).len(), found.truncated_tails.len()),
        (3, 0, 1)
    );
    assert_eq!(found.truncated_tails[0].offset, torn);
    // The stale second block must not follow a new commit that ends where the block begins.
    let whole: Vec<_> = (3..=3 + u64::from(BLOCK_RECORDS) - 1).map(|n| record(n, 20)).collect();
    found.log.append(&mut batch(&whole)).unwrap();
    drop(found);
    assert_eq!(open_term(dir.path(), 1 << 20, 3).log.next_number(), 3 + u64::from(BLOCK_RECORDS));
}

#[test]
fn a_stale_block_of_an_older_term_is_not_mistaken_for_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let (mut newer, mut older) = (batch(&records(1..=2)), batch(&records(3..=4)));
    let (newer, older) = (newer.finish(JOURNAL, 2, 1), older.finish(JOURNAL, 1, 3));
    let bytes = [newer.unwrap().0, older.unwrap().0].concat();
    fs::write(dir.path().join(file_name(1)), &bytes).unwrap();
    let found = open_term(dir.path(), 4096, 3);
    assert_eq!((found.log.next_number(), found.truncated_tails.len()), (3, 1));
}

fn flip(path: &Path, at: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 4;
    fs::write(path, bytes).unwrap();
}

#[test]
fn damage_before_an_acknowledged_commit_is_reported_and_the_rest_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut found = open_term(dir.path(), 1 << 20, 1);
    found.log.append(&mut batch(&records(1..=2))).unwrap();
    let second = found.log.active.as_ref().unwrap().end;
    found.log.append(&mut batch(&records(3..=4))).unwrap();
    found.log.append(&mut batch(&records(5..=6))).unwrap();
    drop(found);
    flip(&log_files(dir.path())[0], second + 70);
    for term in 2..4 {
        let mut found = open_term(dir.path(), 1 << 20, term);
        assert_eq!(missing(&found), [3..=4]);
        assert_eq!((found.truncated_tails.len(), found.log.next_number()), (0, 5 + 2 * (term - 1)));
        assert_eq!(found.log.files().at_or_above(3), Some(5));
        assert_eq!(found.log.files().at_or_below(4), Some(2));
        assert!(found.log.files().blocks_at(4).unwrap().is_none());
        let next = found.log.next_number();
        found.log.append(&mut batch(&records(next..=next + 1))).unwrap();
        assert_eq!(read_all(found.log.files()).last().unwrap().number, next + 1);
    }
}

#[test]
fn a_lost_file_in_the_middle_is_reported_and_later_ones_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut found = open_term(dir.path(), 1024, 1);
    for first in (1..=16).step_by(5) {
        found.log.append(&mut batch(&records(first..=first + 4))).unwrap();
    }
    drop(found);
    let files = log_files(dir.path());
    assert_eq!(files.len(), 4);
    fs::remove_file(&files[1]).unwrap();
    flip(&files[2], 500);
    let found = open_term(dir.path(), 1024, 2);
    assert_eq!(missing(&found), [6..=15]);
    assert_eq!(read_all(found.log.files()).len(), 10);
    assert_eq!(found.log.next_number(), 21);
}

#[test]
fn a_file_created_for_a_commit_that_was_never_written_is_used_or_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut found = open_term(dir.path(), 1024, 1);
    found.log.append(&mut batch(&records(1..=2))).unwrap();
    drop(found);
    fs::write(dir.path().join(file_name(3)), [0; 10]).unwrap();
    let mut found = open_term(dir.path(), 1024, 2);
    found.log.append(&mut batch(&records(3..=3))).unwrap();
    assert_eq!(log_files(dir.path()).len(), 2);
    drop(found);
    assert_eq!(read_all(open_term(dir.path(), 1024, 3).log.files()), records(1..=3));
}

#[test]
fn only_files_without_newer_records_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut found = open_term(dir.path(), 1024, 1);
    for first in (1..=16).step_by(5) {
        found.log.append(&mut batch(&records(first..=first + 4))).unwrap();
    }
    let files = Arc::clone(found.log.files());
    files.remove_through(9).unwrap();
    assert_eq!((files.at_or_above(1), log_files(dir.path()).len()), (Some(6), 3));
    files.remove_through(10).unwrap();
    assert_eq!(files.at_or_above(1), Some(11));
    files.remove_through(1000).unwrap();
    assert_eq!((files.at_or_above(1), log_files(dir.path()).len()), (Some(16), 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_flipped_bit_never_hides_more_than_is_reported_missing(at: prop::sample::Index, bit in 0..8u32) {
        let dir = tempfile::tempdir().unwrap();
        let mut found = open_term(dir.path(), 1024, 1);
        for first in (1..=26).step_by(5) {
            found.log.append(&mut batch(&records(first..=first + 4))).unwrap();
        }
        drop(found);
        let files = log_files(dir.path());
        let path = &files[at.index(files.len())];
        let mut bytes = fs::read(path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        fs::write(path, bytes).unwrap();
        let found = open_term(dir.path(), 1024, 2);
        let read: Vec<u64> = read_all(found.log.files()).iter().map(|r| r.number).collect();
        let missing = missing(&found);
        let is_readable = |number: &u64| !missing.iter().any(|gap| gap.contains(number));
        prop_assert_eq!(read, (1..found.log.next_number()).filter(is_readable).collect::<Vec<_>>());
        prop_assert!(found.log.next_number() >= 26, "only the last commit has no later one to prove it");
    }
}

#[test]
fn damage_at_the_very_beginning_is_found_by_the_name_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut found = open_term(dir.path(), 1024, 1);
    found.log.append(&mut batch(&records(1..=2))).unwrap();
    found.log.append(&mut batch(&records(3..=4))).unwrap();
    drop(found);
    flip(&log_files(dir.path())[0], 0);
    let found = open_term(dir.path(), 1024, 2);
    assert_eq!((missing(&found), read_all(found.log.files())), (vec![1..=2], records(3..=4)));
}
