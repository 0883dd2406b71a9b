//! Tests which crash dumps are reported, and when.

use std::fs;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use grid_broker::clock::monotonic_now;

use super::*;

const PANIC: &str = "Kernel panic - not syncing: NMI: Not continuing";

/// When the boot of these tests began, in seconds.
const BOOT: u64 = 1_700_000_000;

struct Ground(tempfile::TempDir);

impl Ground {
    fn new() -> Self {
        let ground = tempfile::TempDir::new().unwrap();
        fs::create_dir(ground.path().join("crash")).unwrap();
        fs::create_dir(ground.path().join("state")).unwrap();
        Self(ground)
    }

    fn crash(&self) -> PathBuf {
        self.0.path().join("crash")
    }

    /// Writes a file below the folder of dumps, so many seconds after the boot began.
    fn write(&self, name: &str, content: &str, after_boot: i64) {
        let path = self.crash().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let at = Duration::from_secs(BOOT.strict_add_signed(after_boot));
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(SystemTime::UNIX_EPOCH + at)
            .unwrap();
    }

    fn finder(&self) -> Finder {
        self.finder_by(TrustedOwners::of_process())
    }

    fn finder_by(&self, trusted: TrustedOwners) -> Finder {
        let boot_began = Timestamp::EPOCH.after(Duration::from_secs(BOOT));
        Finder::new((self.crash(), true), &self.0.path().join("state"), trusted, boot_began)
    }

    /// A finder on a host that has been looked at before.
    fn known(&self) -> Finder {
        ReportedDumps::none(&self.0.path().join("state")).save(&BTreeSet::new()).unwrap();
        self.finder()
    }
}

/// What a look tells, by path below the folder; all is noted as reported.
fn news(finder: &mut Finder, now: Instant) -> Vec<(String, bool, String)> {
    let look = finder.look(now);
    let reported = look.news.iter().map(|(dump, words)| {
        finder.note_reported(dump);
        let path = dump.path.strip_prefix(&finder.path).unwrap();
        (path.to_string_lossy().into_owned(), dump.is_incomplete, words.clone())
    });
    reported.collect()
}

fn paths(finder: &mut Finder, now: Instant) -> Vec<String> {
    news(finder, now).into_iter().map(|(path, _, _)| path).collect()
}

#[test]
fn dumps_of_known_layouts_are_told_once_with_their_last_words() {
    let ground = Ground::new();
    let log = format!("[    0.0] Linux\n[    9.1] {PANIC}\n[    9.2] CPU: 0\n");
    ground.write("202611301612/dmesg.202611301612", &log, -30);
    ground.write("202611301612/dump.202611301612", "KDUMP", -27);
    ground.write("127.0.0.1-2026-11-30/vmcore-dmesg.txt", &log, -20);
    ground.write("127.0.0.1-2026-11-30/vmcore", "KDUMP", -20);
    ground.write("127.0.0.1-2026-11-30/kexec-dmesg.log", "x", -20);
    ground.write("vmcore", "KDUMP", -10);
    ground.write("kexec_cmd", "/sbin/kexec", -30);
    ground.write("kdump_lock", "", -30);
    let (mut finder, now) = (ground.known(), monotonic_now());
    let look = finder.look(now);
    let took: Vec<_> = look.news.iter().map(|(dump, _)| dump.took).collect();
    assert_eq!(took, [Some(Duration::from_secs(3)), None, None]);
    let reported = news(&mut finder, now);
    assert_eq!(
        reported,
        [
            ("202611301612/dump.202611301612".to_owned(), false, PANIC.to_owned()),
            ("127.0.0.1-2026-11-30/vmcore".to_owned(), false, PANIC.to_owned()),
            ("vmcore".to_owned(), false, String::new()),
        ]
    );
    assert_eq!(paths(&mut finder, now), Vec::<String>::new());
    assert_eq!(finder.save(), None);
    assert_eq!(paths(&mut ground.finder(), now), Vec::<String>::new(), "another agent");
    // The next crash.
    ground.write("202611301700/dump.202611301700", "KDUMP", -1);
    assert_eq!(paths(&mut ground.finder(), now), ["202611301700/dump.202611301700"]);
}

#[test]
fn an_incomplete_dump_is_told_when_it_stopped_growing_and_again_when_it_is_complete() {
    let ground = Ground::new();
    ground.write("1/dump-incomplete", "KD", -60);
    ground.write("2/dump-incomplete", "KD", 60);
    let (mut finder, begun) = (ground.known(), monotonic_now());
    let reported = news(&mut finder, begun);
    assert_eq!(
        reported,
        [("1/dump-incomplete".to_owned(), true, String::new())],
        "of another boot"
    );
    let later = |seconds| begun + Duration::from_secs(seconds);
    assert_eq!(paths(&mut finder, later(59)), Vec::<String>::new());
    ground.write("2/dump-incomplete", "KDU", 120);
    assert_eq!(paths(&mut finder, later(61)), Vec::<String>::new(), "it has grown");
    assert_eq!(paths(&mut finder, later(120)), Vec::<String>::new());
    assert_eq!(paths(&mut finder, later(121)), ["2/dump-incomplete"]);
    let folder = ground.crash().join("2");
    fs::rename(folder.join("dump-incomplete"), folder.join("dump.2")).unwrap();
    assert_eq!(paths(&mut finder, later(122)), Vec::<String>::new());
    let reported = news(&mut finder, later(123));
    assert_eq!(reported, [("2/dump.2".to_owned(), false, String::new())]);
    // Beside a complete one an incomplete one is the rest of a failed try.
    ground.write("2/vmcore-incomplete", "KD", -60);
    assert_eq!(paths(&mut finder, later(200)), Vec::<String>::new());
}

#[test]
fn a_dump_that_is_being_copied_is_waited_for() {
    let ground = Ground::new();
    ground.write("1/vmcore", "K", 10);
    let (mut finder, begun) = (ground.known(), monotonic_now());
    let look = finder.look(begun);
    assert!(look.news.is_empty() && look.pause == SETTLE_INTERVAL, "{look:?}");
    ground.write("1/vmcore", "KDUMP", 11);
    assert_eq!(paths(&mut finder, begun + Duration::from_secs(1)), Vec::<String>::new());
    assert_eq!(paths(&mut finder, begun + Duration::from_secs(2)), ["1/vmcore"]);
    ground.write("2/vmcore", "", -10);
    let reported = news(&mut finder, begun + Duration::from_secs(3));
    assert_eq!(reported, [("2/vmcore".to_owned(), true, String::new())], "an empty one");
}

#[test]
fn at_the_first_start_only_the_dump_before_this_boot_is_news() {
    let ground = Ground::new();
    ground.write("old/vmcore", "K", -3_601);
    ground.write("new/vmcore", "K", -3_599);
    let (mut finder, now) = (ground.finder(), monotonic_now());
    let look = finder.look(now);
    assert_eq!(look.lines.len(), 1, "{look:?}");
    assert!(look.lines[0].contains("older than this boot: 1 crash dump in "), "{look:?}");
    assert_eq!(paths(&mut finder, now), ["new/vmcore"]);
    // Without a folder at the first start all that comes is news.
    let ground = Ground::new();
    fs::remove_dir(ground.crash()).unwrap();
    let mut finder = ground.finder();
    let look = finder.look(now);
    assert!(look.lines[0].contains("No such file"), "{look:?}");
    assert!(finder.look(now).lines.is_empty(), "reported once");
    ground.write("old/vmcore", "K", -9_999);
    assert_eq!(paths(&mut finder, now), ["old/vmcore"]);
}

#[test]
fn what_is_not_told_is_found_again() {
    let ground = Ground::new();
    ground.write("1/vmcore", "K", -1);
    let (mut finder, now) = (ground.known(), monotonic_now());
    assert_eq!(finder.look(now).news.len(), 1);
    assert_eq!(finder.look(now).news.len(), 1);
    let key = finder.look(now).news[0].0.key();
    assert_eq!(ground.finder().look(now).news[0].0.key(), key, "the same call of the spool");
}

#[test]
fn links_and_dumps_of_others_are_no_dumps() {
    let ground = Ground::new();
    fs::create_dir(ground.0.path().join("elsewhere")).unwrap();
    fs::write(ground.0.path().join("elsewhere/vmcore"), "secret").unwrap();
    symlink(ground.0.path().join("elsewhere"), ground.crash().join("1")).unwrap();
    symlink(ground.0.path().join("elsewhere/vmcore"), ground.crash().join("vmcore")).unwrap();
    ground.write("2/vmcore", "K", -1);
    symlink(ground.0.path().join("elsewhere/vmcore"), ground.crash().join("2/dmesg.txt")).unwrap();
    let now = monotonic_now();
    let reported = news(&mut ground.known(), now);
    assert_eq!(reported, [("2/vmcore".to_owned(), false, String::new())]);
    let mut finder = ground.finder_by(TrustedOwners([u32::MAX - 1; 2]));
    assert_eq!(paths(&mut finder, now), Vec::<String>::new());
}

#[test]
fn many_dumps_are_told_some_at_a_time_and_hostile_names_are_only_names() {
    let ground = Ground::new();
    for number in 0..20_u8 {
        let name = format!("{number:02}\n\u{1b}[2J/dump.\u{202e}{number}");
        ground.write(&name, "K", i64::from(number) - 100);
    }
    let (mut finder, now) = (ground.known(), monotonic_now());
    let first = paths(&mut finder, now);
    assert_eq!((first.len(), finder.look(now).news.len()), (REPORTED_PER_LOOK_MAX, 4));
    assert!(first[0].starts_with("00\n"), "the oldest first: {first:?}");
    assert_eq!(paths(&mut finder, now).len(), 4);
    assert_eq!(finder.save(), None);
    assert_eq!(paths(&mut ground.finder(), now), Vec::<String>::new(), "each is one line");
}

#[test]
fn a_folder_with_too_much_in_it_is_said_once() {
    let ground = Ground::new();
    for number in 0..300 {
        ground.write(&format!("{number:04}/vmcore"), "K", number - 400);
    }
    let (mut finder, now) = (ground.known(), monotonic_now());
    let look = finder.look(now);
    assert!(look.lines[0].contains("more than is looked at"), "{look:?}");
    // 256 folders, the last by their names.
    assert!(look.news[0].0.path.ends_with("0044/vmcore"), "{look:?}");
    assert!(finder.look(now).lines.is_empty());
}

#[test]
fn what_cannot_be_read_or_written_is_said_once() {
    let ground = Ground::new();
    fs::remove_dir(ground.crash()).unwrap();
    fs::write(ground.crash(), "a file").unwrap();
    let (mut finder, now) = (ground.finder(), monotonic_now());
    let look = finder.look(now);
    assert!(look.lines[0].contains("os error 20"), "{look:?}");
    assert!(finder.look(now).lines.is_empty());
    let remembered = ground.0.path().join("state/crash-dumps");
    assert!(!remembered.exists(), "what could not be read is not known");
    // A state folder that cannot be written.
    fs::remove_file(ground.crash()).unwrap();
    ground.write("1/vmcore", "K", -1);
    fs::remove_dir(ground.0.path().join("state")).unwrap();
    let look = finder.look(now);
    assert!(look.lines[0].contains("is not remembered"), "{look:?}");
    assert_eq!(paths(&mut finder, now), ["1/vmcore"]);
    let look = finder.look(now);
    assert!(look.news.is_empty() && look.lines.is_empty(), "it is known to this process: {look:?}");
    fs::create_dir(ground.0.path().join("state")).unwrap();
    finder.look(now);
    assert!(remembered.exists(), "it is tried again");
}
