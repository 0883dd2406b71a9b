//! Records that are too old or beyond the size are trimmed, and no others.

use super::*;

/// A journal of sealed segments with two checkpoints, the older one after `older`.
fn filled(settings: &JournalSettings, older: u64) -> OpenJournal {
    let mut opened = Journal::open(settings).unwrap();
    // Small blocks make small segments, and so several of them.
    for first in (1..=1000).step_by(64) {
        opened.journal.set_lived(Duration::from_micros(first));
        append(&mut opened, first..=1000.min(first + 63));
        wait_archived(&opened);
    }
    wait_checkpoint(&settings.dir, &opened.journal, older, b"older");
    wait_checkpoint(&settings.dir, &opened.journal, 1000, b"newer");
    let release = Arc::clone(&opened.journal.log_truncation);
    wait("the checkpoint counts", || release.older_checkpoint.load(Ordering::Acquire) == older);
    opened
}

fn with_retention(dir: &Path, age: Duration, bytes: u64) -> JournalSettings {
    JournalSettings { retention: Retention { age, bytes }, ..small(dir) }
}

const FOREVER: Duration = Duration::from_secs(1 << 30);

fn trim(opened: &OpenJournal, due: TrimDue) {
    opened.journal.trim(due.last);
    wait("the trim", || opened.reader.first() == due.last + 1);
}

#[test]
fn records_older_than_retention_are_trimmed_in_whole_segments_and_their_space_is_freed() {
    let dir = tempfile::tempdir().unwrap();
    let age = Duration::from_secs(60);
    let settings = with_retention(dir.path(), age, u64::MAX);
    let opened = filled(&settings, 990);
    let segments = opened.journal.log_truncation.archive.ranges();
    assert!(segments.len() >= 3, "{segments:?}");
    // The age of each segment is measured from the lived time when it was sealed.
    let sealed_at = |first| {
        let path = dir.path().join(format!("archive/span-{first:020}.sealed"));
        let journal = opened.journal.identity().journal;
        crate::journal::archive::Seal::read(&path, journal, first).unwrap().lived
    };
    let second = sealed_at(*segments[1].start());
    assert!(sealed_at(1) < second && second < sealed_at(*segments[2].start()));
    assert_eq!(opened.journal.trim_due(age), None, "whatever the times of the records are");
    let at = age + second + Duration::from_micros(1);
    let due = opened.journal.trim_due(at).unwrap();
    assert_eq!((due.first, due.last, due.is_by_age), (1, *segments[1].end(), true));
    let archive = dir.path().join("archive");
    let before = disk::allocated_below(&archive);
    trim(&opened, due);
    assert_eq!(opened.journal.trim_due(at), None, "nothing is trimmed twice");
    wait("the space", || disk::allocated_below(&archive) + due.bytes <= before + 8192);
    let names = || disk::paths_in(&archive).unwrap();
    wait("no trash", || !names().iter().any(|path| path.extension() == Some("trash".as_ref())));
    let oldest = *segments[2].start();
    let from = |number| opened.reader.forward(number, &HeaderFilter::default(), ALL).unwrap();
    assert_eq!((from(0).records, from(0).missing.len()), (records(oldest..=1000), 0));
    let down = opened.reader.backward(u64::MAX, &HeaderFilter::default(), ALL).unwrap();
    assert_eq!(
        (down.records.len(), down.missing.len()),
        (usize::try_from(1001 - oldest).unwrap(), 0)
    );
    opened.journal.close().unwrap();
    let again = Journal::open(&settings).unwrap();
    assert_eq!((again.reader.first(), again.recovered.missing.len()), (oldest, 0));
    assert_eq!(read_all(&again.reader), records(oldest..=1000));
}

#[test]
fn records_beyond_the_retention_size_are_trimmed_oldest_first() {
    let dir = tempfile::tempdir().unwrap();
    let opened = filled(&with_retention(dir.path(), FOREVER, u64::MAX), 990);
    let segments = opened.journal.log_truncation.archive.ranges();
    let all = opened.journal.log_truncation.archive.trim_due(
        Retention { age: FOREVER, bytes: 0 },
        Duration::ZERO,
        u64::MAX,
        0,
    );
    let all = all.unwrap();
    assert_eq!((all.first, all.last, all.is_by_age), (1, *segments.last().unwrap().end(), false));
    opened.journal.close().unwrap();
    let opened = Journal::open(&with_retention(dir.path(), FOREVER, all.bytes - 1)).unwrap();
    wait("the older checkpoint", || opened.journal.trim_due(Duration::ZERO).is_some());
    let due = opened.journal.trim_due(Duration::ZERO).unwrap();
    assert_eq!((due.first, due.last), (1, *segments[0].end()));
    trim(&opened, due);
    assert_eq!(opened.journal.trim_due(Duration::ZERO), None);
}

#[test]
fn nothing_that_the_older_checkpoint_needs_is_ever_trimmed() {
    let dir = tempfile::tempdir().unwrap();
    let settings = with_retention(dir.path(), Duration::from_secs(1), 0);
    let opened = filled(&settings, 500);
    let due = opened.journal.trim_due(Duration::MAX).unwrap();
    assert!(due.last <= 500, "{due:?}");
    trim(&opened, due);
    assert_eq!(opened.journal.trim_due(Duration::MAX), None);
    opened.journal.close().unwrap();
    let again = Journal::open(&settings).unwrap();
    let needed = again.reader.forward(501, &HeaderFilter::default(), ALL).unwrap();
    assert_eq!((needed.records, needed.missing.len()), (records(501..=1000), 0));
}

#[test]
fn an_interrupted_trim_is_finished_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let settings = with_retention(dir.path(), FOREVER, 0);
    let opened = filled(&settings, 990);
    let segments = opened.journal.log_truncation.archive.ranges();
    let due = opened.journal.trim_due(Duration::ZERO).unwrap();
    // The trim mark alone, as after a power failure.
    let archive = dir.path().join("archive");
    let sealed = fs::read(archive.join("span-00000000000000000001.sealed")).unwrap();
    trim(&opened, due);
    opened.journal.close().unwrap();
    fs::create_dir(archive.join("span-00000000000000000001")).unwrap();
    fs::write(archive.join("span-00000000000000000001.sealed"), sealed).unwrap();
    fs::create_dir(archive.join(format!("span-{:020}.trash", segments[1].start()))).unwrap();
    let again = Journal::open(&settings).unwrap();
    assert_eq!((again.reader.first(), again.recovered.missing.len()), (due.last + 1, 0));
    wait("all trash is deleted", || {
        disk::paths_in(&archive).unwrap().iter().all(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            !name.contains("trash") && !name.contains("span-00000000000000000001")
        })
    });
}

#[test]
fn a_page_read_during_a_trim_reports_what_was_trimmed() {
    let dir = tempfile::tempdir().unwrap();
    let opened = filled(&with_retention(dir.path(), FOREVER, 0), 990);
    let reader = opened.reader.clone();
    let due = opened.journal.trim_due(Duration::ZERO).unwrap();
    // A page is one call, so the trim must come in the middle of many.
    let follower = crate::tasks::spawn_thread("follower", move || {
        for _ in 0..200 {
            let up = reader.forward(1, &HeaderFilter::default(), ALL).unwrap();
            let down = reader.backward(u64::MAX, &HeaderFilter::default(), ALL).unwrap();
            for page in [up, down] {
                assert!(page.missing.is_empty(), "{:?}", page.missing);
                let numbers = page.records.len() as u64;
                let trimmed = page.trimmed.map_or(0, |it| it.end() - it.start() + 1);
                assert!(numbers + trimmed <= 1000 && numbers >= 1000 - due.last);
            }
        }
    })
    .unwrap();
    std::thread::sleep(Duration::from_millis(30));
    trim(&opened, due);
    follower.join().unwrap();
}

#[test]
fn little_traffic_is_sealed_by_age_so_that_it_can_be_trimmed_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let settings = with_retention(dir.path(), Duration::from_secs(300), u64::MAX);
    let mut opened = Journal::open(&settings).unwrap();
    append(&mut opened, 1..=3);
    opened.journal.set_lived(Duration::from_secs(5));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(opened.journal.log_truncation.archive.ranges(), []);
    opened.journal.set_lived(Duration::from_secs(11));
    wait("the seal", || opened.journal.log_truncation.archive.ranges() == [1..=3]);
    append(&mut opened, 4..=5);
    assert_eq!(read_all(&opened.reader), records(1..=5));
}

#[test]
fn retention_may_change_while_the_journal_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let opened = filled(&with_retention(dir.path(), FOREVER, u64::MAX), 990);
    let OpenJournal { mut journal, reader, .. } = opened;
    assert_eq!(journal.trim_due(Duration::ZERO), None);
    journal.reconfigure(&with_retention(dir.path(), FOREVER, 0));
    let due = journal.trim_due(Duration::ZERO).unwrap();
    journal.reconfigure(&with_retention(dir.path(), FOREVER, u64::MAX));
    assert_eq!(journal.trim_due(Duration::ZERO), None);
    journal.trim(due.last);
    wait("the trim", || reader.first() == due.last + 1);
}

#[test]
fn another_age_seals_little_traffic_sooner() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = Journal::open(&with_retention(dir.path(), FOREVER, u64::MAX)).unwrap();
    append(&mut opened, 1..=3);
    opened.journal.set_lived(Duration::from_secs(11));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(opened.journal.log_truncation.archive.ranges(), []);
    opened.journal.reconfigure(&with_retention(dir.path(), Duration::from_secs(300), u64::MAX));
    wait("the seal", || opened.journal.log_truncation.archive.ranges() == [1..=3]);
}

#[test]
fn another_ballast_is_made_while_the_journal_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let of = |ballast_bytes| JournalSettings { ballast_bytes, low_water: 0, ..small(dir.path()) };
    let mut opened = Journal::open(&of(8 << 10)).unwrap();
    let ballast = || fs::metadata(dir.path().join("ballast")).map_or(0, |found| found.len());
    wait("the ballast", || ballast() == 8 << 10);
    opened.journal.reconfigure(&of(64 << 10));
    wait("the larger one", || ballast() == 64 << 10);
    assert!(opened.journal.release_ballast());
}
