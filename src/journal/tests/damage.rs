//! A damaged segment: what can be read is still returned, the rest is reported missing.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::*;

/// The number of flips, truncations and lost files that are tried; `GRID_TEST_DAMAGES` overrides
/// it.
const DAMAGES: u64 = 40;

/// A closed journal of 2,000 records in large segments, with nothing of them in the commit log.
fn closed_journal(dir: &Path) -> (JournalSettings, Vec<RangeInclusive<u64>>) {
    let settings = JournalSettings { segment_bytes: 8 << 10, ..small(dir) };
    let mut opened = Journal::open(&settings).unwrap();
    for first in (1..=2000).step_by(64) {
        append(&mut opened, first..=2000.min(first + 63));
        wait_archived(&opened);
    }
    wait_checkpoint(dir, &opened.journal, 1990, b"older");
    wait_checkpoint(dir, &opened.journal, 2000, b"newer");
    let segments = opened.journal.log_truncation.archive.ranges();
    let files = Arc::clone(&opened.journal.log_truncation.files);
    wait("the log is truncated", || files.at_or_above(1) > Some(*segments[1].end()));
    opened.journal.close().unwrap();
    assert!(segments.len() >= 2, "{segments:?}");
    (settings, segments)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in disk::paths_in(from).unwrap() {
        let there = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &there);
        } else {
            fs::copy(&path, &there).unwrap();
        }
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let (dirs, mut files): (Vec<_>, Vec<_>) =
        disk::paths_in(folder).unwrap().into_iter().partition(|path| path.is_dir());
    files.extend(dirs.iter().flat_map(|dir| files_below(dir)));
    files.retain(|path| fs::metadata(path).unwrap().len() > 0);
    files
}

/// Reads all, upwards and downwards; returns what is missing. All else must be as it was appended.
fn read_both_ways(reader: &JournalReader) -> Vec<RangeInclusive<u64>> {
    let up = reader.forward(0, &HeaderFilter::default(), ALL).unwrap();
    let is_readable = |number: &u64| !up.missing.iter().any(|gap| gap.contains(number));
    let expected: Vec<_> = (1..=2000).filter(is_readable).map(record).collect();
    assert_eq!(up.records, expected);
    let mut down = reader.backward(u64::MAX, &HeaderFilter::default(), ALL).unwrap();
    down.records.reverse();
    assert_eq!(down.records, expected);
    up.missing
}

fn numbers(ranges: &[RangeInclusive<u64>]) -> Vec<u64> {
    ranges.iter().flat_map(Clone::clone).collect()
}

#[test]
fn a_segment_whose_seal_is_damaged_is_sealed_again_although_the_log_has_its_records() {
    let dir = tempfile::tempdir().unwrap();
    let settings = JournalSettings { segment_bytes: 8 << 10, ..small(dir.path()) };
    let mut opened = Journal::open(&settings).unwrap();
    append(&mut opened, 1..=2000);
    let ranges = |opened: &OpenJournal| opened.journal.log_truncation.archive.ranges();
    wait("several sealed segments", || ranges(&opened).len() >= 3);
    let segments = ranges(&opened);
    opened.journal.close().unwrap();
    let seal = dir.path().join(format!("archive/span-{:020}.sealed", segments[0].start()));
    let mut bytes = fs::read(&seal).unwrap();
    bytes[20] ^= 1;
    fs::write(&seal, bytes).unwrap();

    let opened = Journal::open(&settings).unwrap();
    assert!(!opened.recovered.rebuilt_segments.contains(segments[0].start()));
    assert_eq!(ranges(&opened)[0], segments[0]);
    // Now the log is truncated.
    wait_checkpoint(dir.path(), &opened.journal, 1990, b"older");
    wait_checkpoint(dir.path(), &opened.journal, 2000, b"newer");
    let files = Arc::clone(&opened.journal.log_truncation.files);
    wait("the log is truncated", || files.at_or_above(1) > Some(*segments[1].end()));
    assert_eq!(read_both_ways(&opened.reader), []);
}

#[test]
fn a_damaged_block_is_reported_and_the_rest_of_its_segment_is_read_now_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (settings, segments) = closed_journal(dir.path());
    let segment = dir.path().join(format!("archive/span-{:020}", segments[1].start()));
    let path = segment.join("pack");
    let mut bytes = fs::read(&path).unwrap();
    let first = frame::BlockHeader::parse(&bytes).unwrap();
    let second = frame::BlockHeader::parse(&bytes[first.block_bytes()..]).unwrap();
    bytes[first.block_bytes() + second.block_bytes() - 9] ^= 4;
    fs::write(&path, bytes).unwrap();

    let opened = Journal::open(&settings).unwrap();
    assert!(opened.recovered.missing.is_empty(), "sealed segments are opened lazily");
    let missing = read_both_ways(&opened.reader);
    let lost = second.info.first..=second.info.last();
    assert_eq!(missing, std::slice::from_ref(&lost));
    assert_eq!(opened.journal.take_newly_lost(), missing);
    assert_eq!(opened.journal.take_newly_lost(), []);
    assert!(segment.with_extension("damaged").exists() && segment.exists());
    opened.journal.close().unwrap();

    let again = Journal::open(&settings).unwrap();
    assert_eq!(again.recovered.missing, std::slice::from_ref(&lost));
    assert_eq!(read_both_ways(&again.reader), [lost]);
    assert_eq!(again.journal.take_newly_lost(), [], "a known loss is not reported again");
}

#[test]
fn whatever_happens_to_a_sealed_segment_nothing_false_is_read_and_all_losses_are_reported() {
    let template = tempfile::tempdir().unwrap();
    let (_, segments) = closed_journal(template.path());
    let damages = std::env::var("GRID_TEST_DAMAGES").ok().and_then(|it| it.parse().ok());
    let (mut seed, mut lost_most, mut lossy_rounds) = (7_u64, 0, 0);
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for round in 0..damages.unwrap_or(DAMAGES) {
        let dir = tempfile::tempdir().unwrap();
        copy(template.path(), dir.path());
        let segment = dir.path().join(format!("archive/span-{:020}", segments[1].start()));
        let files = files_below(&segment);
        let path = &files[usize::try_from(random(files.len() as u64)).unwrap()];
        let mut bytes = fs::read(path).unwrap();
        let at = usize::try_from(random(bytes.len() as u64)).unwrap();
        match round % 8 {
            0 => bytes.truncate(at),
            1 => bytes.fill(0),
            2 => bytes[at..].fill(0xa5),
            _ => bytes[at] ^= 1 << random(8),
        }
        fs::write(path, &bytes).unwrap();
        let settings = JournalSettings { segment_bytes: 8 << 10, ..small(dir.path()) };
        let opened = Journal::open(&settings).unwrap();
        let missing = read_both_ways(&opened.reader);
        assert_eq!(missing, opened.journal.take_newly_lost(), "round {round}");
        let lost = numbers(&missing);
        assert!(
            lost.iter().all(|number| segments[1].contains(number)),
            "round {round}: {missing:?}"
        );
        lossy_rounds += u64::from(!lost.is_empty());
        if round % 8 > 2 {
            lost_most = lost_most.max(lost.len());
        }
        opened.journal.close().unwrap();
        let again = Journal::open(&settings).unwrap();
        assert_eq!(again.recovered.missing, missing, "round {round}");
        assert_eq!(read_both_ways(&again.reader), missing, "round {round}");
    }
    let all = segments[1].end() - segments[1].start() + 1;
    assert!(lossy_rounds > 0, "some damage loses records");
    assert!(lost_most <= 256, "one flipped bit loses one block at most: {lost_most} of {all}");
}

#[test]
fn a_segment_that_vanished_is_reported_at_run_time() {
    let dir = tempfile::tempdir().unwrap();
    let (settings, segments) = closed_journal(dir.path());
    let opened = Journal::open(&settings).unwrap();
    fs::remove_dir_all(dir.path().join(format!("archive/span-{:020}", segments[1].start())))
        .unwrap();
    let missing = read_both_ways(&opened.reader);
    assert_eq!(missing, std::slice::from_ref(&segments[1]));
    assert_eq!(opened.journal.take_newly_lost(), missing);
    opened.journal.close().unwrap();
    assert_eq!(Journal::open(&settings).unwrap().recovered.missing, missing);
}

#[test]
fn what_the_commit_log_still_has_is_not_missing() {
    let dir = tempfile::tempdir().unwrap();
    let settings = small(dir.path());
    let mut opened = Journal::open(&settings).unwrap();
    append(&mut opened, 1..=2000);
    wait_archived(&opened);
    let first = opened.journal.log_truncation.archive.ranges()[0].clone();
    opened.journal.close().unwrap();
    let segment = dir.path().join(format!("archive/span-{:020}", first.start()));
    for path in files_below(&segment) {
        fs::write(path, b"rubbish").unwrap();
    }
    let opened = Journal::open(&settings).unwrap();
    assert_eq!(read_both_ways(&opened.reader), []);
    assert_eq!(opened.journal.take_newly_lost(), []);
    assert_eq!(opened.journal.log_truncation.archive.ranges()[0], first);
}

#[test]
fn an_interrupted_repair_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let (settings, segments) = closed_journal(dir.path());
    let segment = dir.path().join(format!("archive/span-{:020}", segments[1].start()));
    fs::rename(&segment, segment.with_extension("damaged")).unwrap();
    fs::create_dir(segment.with_extension("rebuilt")).unwrap();
    let opened = Journal::open(&settings).unwrap();
    assert!(opened.recovered.missing.is_empty());
    assert_eq!(read_both_ways(&opened.reader), []);
    wait("no leftovers", || !segment.with_extension("rebuilt.trash").exists());
    assert!(segment.exists() && !segment.with_extension("damaged").exists());
}
