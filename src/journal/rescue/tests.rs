//! A journal is written to a stream and restored from it; damaged parts are lost, and reported.

mod attachments;
mod soundness;
mod verifying;

use std::fs;
use std::path::Path;

use super::*;
use crate::grid::log::input::{BrokerStarted, Input, LastRun};
use crate::grid::log::record::Record;
use crate::grid::state::State;
use crate::grid::values::outcome::Outcome;
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;
use crate::journal::*;
use crate::test_timeout::wait_for;

const ALL: PageLimit = PageLimit { records: usize::MAX, bytes: u64::MAX };

fn open(dir: &Path) -> OpenJournal {
    let settings = JournalSettings {
        commit_file_bytes: 16 << 10,
        segment_bytes: 4 << 10,
        ballast_bytes: 1 << 20,
        low_water: 1 << 20,
        ..JournalSettings::new(dir)
    };
    Journal::open(&settings).unwrap()
}

fn record(number: u64) -> EncodedRecord {
    // Does not compress well.
    let noise = |at: u64| (number * 32 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let version: String = (0..=number % 9).map(|at| format!("{:x}", noise(at))).collect();
    let started = BrokerStarted {
        term: 1,
        version: version.into(),
        downtime: None,
        shift: None,
        clock_back: None,
        last_run: LastRun::Unknown,
        recovery: Vec::new(),
        missing_records: Vec::new(),
        rebuilt_from: None,
    };
    let record = Record {
        number,
        at: Timestamp::from_micros(1),
        input: Input::BrokerStarted(started),
        outcome: Outcome::Stored,
        flags: RecordFlags::NONE,
        effects: Vec::new(),
    };
    let bytes = crate::codec::encode_record(&record).into();
    EncodedRecord { number, header: RecordHeader::default(), bytes }
}

fn state(through: u64) -> Vec<u8> {
    let mut state = State::default();
    state.skip_to(through);
    crate::codec::encode_state(&state)
}

fn records(numbers: std::ops::RangeInclusive<u64>) -> Vec<EncodedRecord> {
    numbers.map(record).collect()
}

fn wait(what: &str, mut reached: impl FnMut() -> bool) {
    wait_for(what, || reached().then_some(()));
}

/// A journal of 1000 records, sealed segments, two checkpoints, the commit log truncated.
fn journal(dir: &Path) -> OpenJournal {
    let mut opened = open(dir);
    for commit in records(1..=1000).chunks(37) {
        opened.journal.append(commit).unwrap();
    }
    wait("the archive", || opened.reader.archived_through() + 64 > 1000);
    wait("seals", || opened.journal.log_truncation.archive.ranges().len() >= 3);
    for through in [600, 900] {
        wait("a checkpoint begins", || {
            opened.journal.checkpoint(through, state(through)) == CheckpointStart::Started
        });
        let path =
            checkpoint::checkpoint_path(&dir.join(crate::journal::recovery::CHECKPOINTS), through);
        wait("a checkpoint is written", || path.exists());
    }
    opened
}

fn backup(opened: &OpenJournal) -> Vec<u8> {
    let identity = opened.journal.identity();
    opened.reader.back_up(identity, 1, &[], Vec::new(), |_, _| Ok(())).unwrap().0
}

fn restored(dir: &Path, stream: &[u8]) -> (Restored, std::path::PathBuf) {
    let (file, data) = (dir.join("stream"), dir.join("restored"));
    fs::write(&file, stream).unwrap();
    (restore(&file, &data, |_| {}).unwrap(), data)
}

fn read_all(reader: &JournalReader) -> RecordPage {
    reader.forward(0, &HeaderFilter::default(), ALL).unwrap()
}

#[test]
fn a_backup_restores_to_the_same_journal_with_a_higher_term() {
    let dir = tempfile::tempdir().unwrap();
    let opened = journal(&dir.path().join("data"));
    let (restored, data) = restored(dir.path(), &backup(&opened));
    assert!(restored.is_intact());
    assert_eq!(restored.identity, opened.journal.identity());
    assert_eq!((restored.checkpoint, restored.summary.records), (Some(900), 1000));

    let mut again = open(&data);
    assert_eq!(again.journal.identity(), opened.journal.identity());
    assert_eq!((again.last_number, again.previous_term), (1000, 2));
    assert_eq!(again.checkpoint, Some((900, state(900))));
    assert!(again.recovered.missing.is_empty() && again.recovered.truncated_tails.is_empty());
    again.journal.append(&[record(1001)]).unwrap();
    assert_eq!(read_all(&again.reader).records, records(1..=1001));
}

#[test]
fn a_backup_during_appends_contains_all_up_to_its_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = journal(&dir.path().join("data"));
    let reader = opened.reader.clone();
    let identity = opened.journal.identity();
    let copy = crate::tasks::spawn_thread("copy", move || {
        let before = reader.durable();
        (before, reader.back_up(identity, 1, &[], Vec::new(), |_, _| Ok(())).unwrap().0)
    })
    .unwrap();
    for number in 1001..=1400 {
        opened.journal.append(&[record(number)]).unwrap();
        if number % 50 == 0 {
            let _ = opened.journal.checkpoint(number, b"later".to_vec());
        }
    }
    let (before, stream) = copy.join().unwrap();
    let (restored, data) = restored(dir.path(), &stream);
    let last = *restored.summary.range.as_ref().unwrap().end();
    assert!(restored.is_intact() && last >= before);
    assert!(restored.checkpoint.unwrap() <= last);
    assert_eq!(read_all(&open(&data).reader).records, records(1..=last));
}

#[test]
fn a_journal_without_records_or_with_its_beginning_trimmed_is_restored_too() {
    let dir = tempfile::tempdir().unwrap();
    let empty = open(&dir.path().join("data"));
    let (restored, data) = restored(dir.path(), &backup(&empty));
    assert!(restored.is_intact() && restored.summary.range.is_none());
    assert_eq!(open(&data).last_number, 0);

    let identity = empty.journal.identity();
    let head = stream::StreamHead {
        identity,
        term: 4,
        first: 500,
        last: 620,
        checkpoint: None,
        estimated_bytes: 0,
        attachments: 0,
    };
    let mut writer = stream::StreamWriter::new(Vec::new(), head, &[]).unwrap();
    for number in (500..=550).chain(600..=620) {
        writer.write_record(record(number)).unwrap();
    }
    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    let (restored, data) = super::tests::restored(&other, &writer.finish().unwrap().0);
    assert_eq!((restored.is_intact(), restored.summary.missing), (true, vec![551..=599]));
    let opened = open(&data);
    assert_eq!((opened.last_number, opened.reader.first()), (620, 500));
    assert_eq!((opened.previous_term, opened.recovered.missing), (5, vec![551..=599]));
    assert_eq!(read_all(&opened.reader).records, [records(500..=550), records(600..=620)].concat());
}

#[test]
fn a_damaged_backup_restores_what_is_whole_and_reports_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let opened = journal(&dir.path().join("data"));
    let mut whole = backup(&opened);
    let end = whole.len();
    whole[end - 2000] ^= 1;
    let (restored, data) = restored(dir.path(), &whole);
    assert!(!restored.is_intact());
    let missing = restored.summary.missing.clone();
    assert_eq!(missing.len(), 1);
    let again = open(&data);
    let expected: Vec<_> =
        records(1..=1000).into_iter().filter(|it| !missing[0].contains(&it.number)).collect();
    assert_eq!(read_all(&again.reader).records, expected);
}

#[test]
fn a_folder_that_is_not_empty_is_not_restored_into() {
    let dir = tempfile::tempdir().unwrap();
    let opened = journal(&dir.path().join("data"));
    let (_, data) = restored(dir.path(), &backup(&opened));
    let stream = dir.path().join("stream");
    assert_eq!(
        restore(&stream, &data, |_| {}).unwrap_err().to_string(),
        format!("{} is not empty: give a new folder, or move away what is in it", data.display())
    );
    let half = dir.path().join("half");
    fs::create_dir_all(half.join("restoring")).unwrap();
    let text = format!(
        "there is an unfinished restore in {}: empty the folder and run `gridd journal restore` again",
        half.display()
    );
    assert_eq!(restore(&stream, &half, |_| {}).unwrap_err().to_string(), text);
    assert_eq!(Journal::open(&JournalSettings::new(&half)).unwrap_err().to_string(), text);
}

fn salvaged(dir: &Path) -> (Vec<u8>, Salvaged) {
    salvage(dir, &[], &[], |_| {}, Vec::new()).unwrap()
}

/// All files of a data folder by name and content, to detect writes.
fn content(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let files = inventory::files_below(dir).unwrap();
    files.into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

#[test]
fn all_of_a_sound_folder_is_salvaged_and_it_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let opened = journal(&data);
    assert!(opened.reader.first() == 1 && opened.journal.log_truncation.archive.ranges().len() > 2);
    let identity = opened.journal.identity();
    assert_eq!(
        salvage(&data, &[], &[], |_| {}, Vec::new()).unwrap_err().to_string(),
        format!(
            "a gridd is running in {}: stop it first, or copy its journal with \
             `gridctl journal backup FILE`",
            data.display()
        )
    );
    opened.journal.close().unwrap();
    let before = content(&data);
    let (stream, found) = salvaged(&data);
    assert!(content(&data) == before, "the folder was written");
    assert!(found.is_intact());
    assert_eq!((found.head.identity, found.written.records), (identity, 1000));
    let (restored, data) = restored(dir.path(), &stream);
    assert_eq!((restored.is_intact(), restored.checkpoint), (true, Some(900)));
    assert_eq!(read_all(&open(&data).reader).records, records(1..=1000));
}

#[test]
fn what_is_left_of_a_damaged_folder_is_salvaged_and_the_rest_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let opened = journal(&data);
    let segments = opened.journal.log_truncation.archive.ranges();
    opened.journal.close().unwrap();
    fs::remove_file(data.join("identity")).unwrap();
    let segment = |at: usize| data.join(format!("archive/span-{:020}", segments[at].start()));
    fs::remove_dir_all(segment(1)).unwrap();
    fs::rename(segment(0), segment(0).with_extension("damaged")).unwrap();
    // A damaged index does not affect a scan.
    let index = segment(2).join("index");
    let mut bytes = fs::read(&index).unwrap();
    bytes[..16].fill(0xff);
    fs::write(&index, bytes).unwrap();

    let (stream, found) = salvaged(&data);
    assert!(found.identity_lost && !found.is_intact());
    assert_eq!(found.missing, [segments[1].clone()]);
    let (restored, data) = restored(dir.path(), &stream);
    assert_eq!((restored.checkpoint, restored.summary.missing), (Some(900), found.missing));
    let whole = records(1..=1000).into_iter().filter(|it| !segments[1].contains(&it.number));
    assert!(read_all(&open(&data).reader).records.into_iter().eq(whole));
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(matches!(check(&empty, |_| {}), Err(JournalError::NoJournal { .. })));
    let nothing = salvage(&empty, &[], &[], |_| {}, Vec::new()).unwrap_err();
    assert!(matches!(nothing, SalvageError::Journal(JournalError::NoJournal { .. })));
}
