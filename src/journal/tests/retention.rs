//! What is too old or too much is forgotten, and nothing else is.

use super::*;

/// A closed journal of sealed spans with two checkpoints, the older one after `older`.
fn filled(settings: &Settings, older: u64) -> Opened {
    let mut opened = Journal::open(settings).unwrap();
    // Small blocks make small spans, and so several of them.
    for first in (1..=1000).step_by(64) {
        opened.journal.tell(Duration::from_micros(first));
        append(&mut opened, first..=1000.min(first + 63));
        wait_archived(&opened);
    }
    wait_checkpoint(&settings.dir, &opened.journal, older, b"older");
    wait_checkpoint(&settings.dir, &opened.journal, 1000, b"newer");
    let release = Arc::clone(&opened.journal.release);
    wait("the checkpoint counts", || release.older_checkpoint.load(Ordering::Acquire) == older);
    opened
}

fn keep(dir: &Path, age: Duration, bytes: u64) -> Settings {
    Settings { retention: Retention { age, bytes }, ..small(dir) }
}

const FOR_EVER: Duration = Duration::from_secs(1 << 30);

fn trim(opened: &Opened, due: TrimDue) {
    opened.journal.trim(due.last);
    wait("the trim", || opened.reader.first() == due.last + 1);
}

#[test]
fn what_is_older_than_retention_goes_in_whole_spans_and_its_space_returns() {
    let dir = tempfile::tempdir().unwrap();
    let age = Duration::from_secs(60);
    let settings = keep(dir.path(), age, u64::MAX);
    let opened = filled(&settings, 990);
    let spans = opened.journal.release.archive.ranges();
    assert!(spans.len() >= 3, "{spans:?}");
    // Each span is as old as the broker was at work when it was sealed.
    let sealed_at = |first| {
        let path = dir.path().join(format!("archive/span-{first:020}.sealed"));
        let journal = opened.journal.identity().journal;
        crate::journal::archive::Seal::read(&path, journal, first).unwrap().lived
    };
    let second = sealed_at(*spans[1].start());
    assert!(sealed_at(1) < second && second < sealed_at(*spans[2].start()));
    assert_eq!(opened.journal.trim_due(age), None, "however old the times of the records are");
    let at = age + second + Duration::from_micros(1);
    let due = opened.journal.trim_due(at).unwrap();
    assert_eq!((due.first, due.last, due.is_for_age), (1, *spans[1].end(), true));
    let archive = dir.path().join("archive");
    let before = disk::allocated_below(&archive);
    trim(&opened, due);
    assert_eq!(opened.journal.trim_due(at), None, "nothing is trimmed twice");
    wait("the space", || disk::allocated_below(&archive) + due.bytes <= before + 8192);
    let names = || disk::paths_in(&archive).unwrap();
    wait("no trash", || !names().iter().any(|path| path.extension() == Some("trash".as_ref())));
    let kept = *spans[2].start();
    let from = |number| opened.reader.forward(number, &Wanted::default(), ALL).unwrap();
    assert_eq!((from(0).records, from(0).missing.len()), (records(kept..=1000), 0));
    let down = opened.reader.backward(u64::MAX, &Wanted::default(), ALL).unwrap();
    assert_eq!(
        (down.records.len(), down.missing.len()),
        (usize::try_from(1001 - kept).unwrap(), 0)
    );
    opened.journal.close().unwrap();
    let again = Journal::open(&settings).unwrap();
    assert_eq!((again.reader.first(), again.recovered.missing.len()), (kept, 0));
    assert_eq!(read_all(&again.reader), records(kept..=1000));
}

#[test]
fn what_is_more_than_retention_goes_oldest_first() {
    let dir = tempfile::tempdir().unwrap();
    let opened = filled(&keep(dir.path(), FOR_EVER, u64::MAX), 990);
    let spans = opened.journal.release.archive.ranges();
    let all = opened.journal.release.archive.trim_due(
        Retention { age: FOR_EVER, bytes: 0 },
        Duration::ZERO,
        u64::MAX,
        0,
    );
    let all = all.unwrap();
    assert_eq!((all.first, all.last, all.is_for_age), (1, *spans.last().unwrap().end(), false));
    opened.journal.close().unwrap();
    let opened = Journal::open(&keep(dir.path(), FOR_EVER, all.bytes - 1)).unwrap();
    wait("the older checkpoint", || opened.journal.trim_due(Duration::ZERO).is_some());
    let due = opened.journal.trim_due(Duration::ZERO).unwrap();
    assert_eq!((due.first, due.last), (1, *spans[0].end()));
    trim(&opened, due);
    assert_eq!(opened.journal.trim_due(Duration::ZERO), None);
}

#[test]
fn nothing_that_the_older_checkpoint_needs_is_ever_trimmed() {
    let dir = tempfile::tempdir().unwrap();
    let settings = keep(dir.path(), Duration::from_secs(1), 0);
    let opened = filled(&settings, 500);
    let due = opened.journal.trim_due(Duration::MAX).unwrap();
    assert!(due.last <= 500, "{due:?}");
    trim(&opened, due);
    assert_eq!(opened.journal.trim_due(Duration::MAX), None);
    opened.journal.close().unwrap();
    let again = Journal::open(&settings).unwrap();
    let needed = again.reader.forward(501, &Wanted::default(), ALL).unwrap();
    assert_eq!((needed.records, needed.missing.len()), (records(501..=1000), 0));
}

#[test]
fn a_trim_cut_short_at_any_point_is_finished_by_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let settings = keep(dir.path(), FOR_EVER, 0);
    let opened = filled(&settings, 990);
    let spans = opened.journal.release.archive.ranges();
    let due = opened.journal.trim_due(Duration::ZERO).unwrap();
    // The mark alone, as if the power had failed behind it.
    let archive = dir.path().join("archive");
    let sealed = fs::read(archive.join("span-00000000000000000001.sealed")).unwrap();
    trim(&opened, due);
    opened.journal.close().unwrap();
    fs::create_dir(archive.join("span-00000000000000000001")).unwrap();
    fs::write(archive.join("span-00000000000000000001.sealed"), sealed).unwrap();
    fs::create_dir(archive.join(format!("span-{:020}.trash", spans[1].start()))).unwrap();
    let again = Journal::open(&settings).unwrap();
    assert_eq!((again.reader.first(), again.recovered.missing.len()), (due.last + 1, 0));
    wait("all trash is gone", || {
        disk::paths_in(&archive).unwrap().iter().all(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            !name.contains("trash") && !name.contains("span-00000000000000000001")
        })
    });
}

#[test]
fn a_page_that_is_overtaken_by_a_trim_names_what_went_as_trimmed() {
    let dir = tempfile::tempdir().unwrap();
    let opened = filled(&keep(dir.path(), FOR_EVER, 0), 990);
    let reader = opened.reader.clone();
    let due = opened.journal.trim_due(Duration::ZERO).unwrap();
    // A page is one call, so the trim must come in the middle of many.
    let follower = crate::tasks::spawn_thread("follower", move || {
        for _ in 0..200 {
            let up = reader.forward(1, &Wanted::default(), ALL).unwrap();
            let down = reader.backward(u64::MAX, &Wanted::default(), ALL).unwrap();
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
fn little_traffic_is_sealed_by_age_so_that_it_can_go_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let settings = keep(dir.path(), Duration::from_secs(300), u64::MAX);
    let mut opened = Journal::open(&settings).unwrap();
    append(&mut opened, 1..=3);
    opened.journal.tell(Duration::from_secs(5));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(opened.journal.release.archive.ranges(), []);
    opened.journal.tell(Duration::from_secs(11));
    wait("the seal", || opened.journal.release.archive.ranges() == [1..=3]);
    append(&mut opened, 4..=5);
    assert_eq!(read_all(&opened.reader), records(1..=5));
}

#[test]
fn how_much_is_kept_may_change_while_the_journal_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let opened = filled(&keep(dir.path(), FOR_EVER, u64::MAX), 990);
    let Opened { mut journal, reader, .. } = opened;
    assert_eq!(journal.trim_due(Duration::ZERO), None);
    journal.keep(&keep(dir.path(), FOR_EVER, 0));
    let due = journal.trim_due(Duration::ZERO).unwrap();
    journal.keep(&keep(dir.path(), FOR_EVER, u64::MAX));
    assert_eq!(journal.trim_due(Duration::ZERO), None);
    journal.trim(due.last);
    wait("the trim", || reader.first() == due.last + 1);
}

#[test]
fn another_age_seals_little_traffic_sooner() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = Journal::open(&keep(dir.path(), FOR_EVER, u64::MAX)).unwrap();
    append(&mut opened, 1..=3);
    opened.journal.tell(Duration::from_secs(11));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(opened.journal.release.archive.ranges(), []);
    opened.journal.keep(&keep(dir.path(), Duration::from_secs(300), u64::MAX));
    wait("the seal", || opened.journal.release.archive.ranges() == [1..=3]);
}

#[test]
fn another_ballast_is_made_while_the_journal_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let of = |ballast_bytes| Settings { ballast_bytes, low_water: 0, ..small(dir.path()) };
    let mut opened = Journal::open(&of(8 << 10)).unwrap();
    let ballast = || fs::metadata(dir.path().join("ballast")).map_or(0, |found| found.len());
    wait("the ballast", || ballast() == 8 << 10);
    opened.journal.keep(&of(64 << 10));
    wait("the larger one", || ballast() == 64 << 10);
    assert!(opened.journal.give_up_ballast());
}
