//! Journals of released formats: whatever comes later must read them and see the same.
//!
//! `v1/data` is a data folder with sealed spans, commit log and two checkpoints; `v1/journal.stream`
//! the same as a stream; `v1/state.txt` and `v1/records.txt` what they say. All four were written
//! once, by `GRID_WRITE_GOLDEN=1 cargo test --test journals`, and are not written again: a change
//! that makes these tests fail makes every journal out there unreadable. A new format gets a
//! folder of its own: `v2/journal.stream` is that of `v1` with attachments. Zeros at the ends of files are left out in `v1/data` and put back here.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a test speaks and may panic")]

mod authority;
mod golden;
#[path = "../support/mod.rs"]
mod support;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use grid_broker::codec;
use grid_broker::grid::log::effect::Effect;
use grid_broker::grid::state::State;
use grid_broker::journal::{
    EncodedRecord, HeaderFilter, Journal, JournalSettings, OpenJournal, PageLimit, rescue, stream,
};

use crate::support::oracle::fold;

const ALL: PageLimit = PageLimit { records: usize::MAX, bytes: u64::MAX };
/// sled reads whole segments.
const SEGMENT_BYTES: u64 = 2 << 20;

fn v1() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journals/v1")
}

fn v2_stream() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journals/v2/journal.stream")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|it| (it.path(), it.file_name())).unwrap();
        let target = to.join(&name);
        if path.is_dir() {
            copy(&path, &target);
            continue;
        }
        fs::copy(&path, &target).unwrap();
        if name == "db" {
            let file = fs::File::options().write(true).open(&target).unwrap();
            let bytes = file.metadata().unwrap().len();
            file.set_len(bytes.next_multiple_of(SEGMENT_BYTES)).unwrap();
        }
    }
}

fn read_all(opened: &OpenJournal) -> Vec<EncodedRecord> {
    let page = opened.reader.forward(0, &HeaderFilter::default(), ALL).unwrap();
    assert!(page.missing.is_empty(), "{:?}", page.missing);
    page.records
}

/// A checkpoint of format 1 knows no lived time: behind one it counts from there, in a fold of all
/// records from the first. Everything else is the same.
fn without_lived_time(state: &State) -> State {
    let mut effects = state.to_effects();
    effects.retain(|effect| !matches!(effect, Effect::LivedTime { .. }));
    State::from_effects(&effects, state.last(), state.last_at())
}

fn assert_golden(opened: &OpenJournal) {
    assert!(opened.recovered.failed_checkpoints.is_empty());
    assert!(opened.recovered.missing.is_empty() && opened.recovered.damaged_segments.is_empty());
    let records = read_all(opened);
    let expected = fs::read_to_string(v1().join("records.txt")).unwrap();
    assert_eq!(text::records(&records), expected);

    let mut from_records = State::default();
    fold(&mut from_records, &records);
    let (_, checkpoint) = opened.checkpoint.as_ref().unwrap();
    let mut from_checkpoint = codec::decode_state(checkpoint).unwrap();
    fold(&mut from_checkpoint, &records);
    assert_eq!(without_lived_time(&from_checkpoint), without_lived_time(&from_records));
    let expected = fs::read_to_string(v1().join("state.txt")).unwrap();
    assert_eq!(text::state(&from_records), expected);
}

#[test]
fn a_data_folder_of_format_1_opens_with_the_same_records_and_state() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    copy(&v1().join("data"), &data);
    let report = rescue::check(&data, |_| {}).unwrap();
    assert!(report.is_sound() && report.sealed_segments > 0, "{report:?}");
    let opened = Journal::open(&JournalSettings::new(&data)).unwrap();
    assert_golden(&opened);
}

#[test]
fn a_stream_of_format_1_restores_to_the_same_records_and_state() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let restored = rescue::restore(&v1().join("journal.stream"), &data, |_| {}).unwrap();
    assert!(restored.is_intact(), "{restored:?}");
    assert_golden(&Journal::open(&JournalSettings::new(&data)).unwrap());
}

#[test]
fn a_stream_of_format_2_has_its_attachments_and_the_same_records_and_state() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let restored = rescue::restore(&v2_stream(), &data, |_| {}).unwrap();
    assert!(restored.is_intact(), "{restored:?}");
    for (name, content) in golden::ATTACHMENTS {
        assert_eq!(fs::read_to_string(data.join(name)).unwrap(), content);
    }
    assert_golden(&Journal::open(&JournalSettings::new(&data)).unwrap());
}

#[test]
fn a_broker_started_on_a_restored_journal_has_the_same_grid_log_and_state() {
    let dir = tempfile::tempdir().unwrap();
    let settings = JournalSettings::new(dir.path().join("data"));
    rescue::restore(&v1().join("journal.stream"), &settings.dir, |_| {}).unwrap();
    golden::start(&settings).unwrap();
    let opened = Journal::open(&settings).unwrap();
    let records = read_all(&opened);
    let expected = fs::read_to_string(v1().join("records.txt")).unwrap();
    let (before, since) = records.split_at(expected.lines().count());
    assert_eq!(text::records(before), expected);
    assert!(!since.is_empty(), "the start and the stop are records");
    // What the broker saved when it stopped is the fold of all, the old ones and its own.
    let mut from_records = State::default();
    fold(&mut from_records, &records);
    let (_, checkpoint) = opened.checkpoint.as_ref().unwrap();
    let from_checkpoint = codec::decode_state(checkpoint).unwrap();
    assert_eq!(without_lived_time(&from_checkpoint), without_lived_time(&from_records));
}

#[test]
fn what_is_salvaged_of_a_data_folder_of_format_1_is_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    copy(&v1().join("data"), &data);
    let (bytes, salvaged) = rescue::salvage(&data, &[], &[], |_| {}, Vec::new()).unwrap();
    assert!(salvaged.is_intact());
    let mut reader = stream::StreamReader::open(&bytes[..]).unwrap();
    let mut records = Vec::new();
    while let Some(item) = reader.next_item().unwrap() {
        if let stream::StreamItem::Records(more) = item {
            records.extend(more);
        }
    }
    let expected = fs::read_to_string(v1().join("records.txt")).unwrap();
    assert_eq!(text::records(&records), expected);
}

#[test]
fn a_broker_refuses_to_start_on_a_record_of_a_newer_one() {
    let dir = tempfile::tempdir().unwrap();
    let settings = JournalSettings::new(dir.path());
    let mut opened = Journal::open(&settings).unwrap();
    let newer = codec::proto::Record {
        number: 1,
        effects: vec![codec::proto::Effect { change: None }],
        ..Default::default()
    };
    let bytes = prost::Message::encode_to_vec(&newer).into();
    let mark = grid_broker::journal::RecordHeader::default();
    opened.journal.append(&[EncodedRecord { number: 1, header: mark, bytes }]).unwrap();
    opened.journal.close().unwrap();
    assert_eq!(
        golden::start(&settings).unwrap_err(),
        format!(
            "record 1 of the journal in {} cannot be used: an effect is unknown: written by a \
             newer gridd, which must be used to read it",
            dir.path().display()
        )
    );
}
