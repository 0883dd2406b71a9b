//! Tests the spool at its limits: full disk, full spool, held lock.

use std::num::NonZeroUsize;

use super::*;

#[test]
fn a_full_disk_is_told_and_leaves_what_is_there() {
    let test = "spool::tests::at_the_limits::a_full_disk_is_told_and_leaves_what_is_there";
    crate::small_disk::on_small_disk(test, 1, |disk| {
        let sender = SenderId { appliance: "db1".to_owned(), boot: Some(BOOT) };
        let limits = SpoolLimits { events: 1_000, bytes: 64 << 10 };
        let spool = Spool::open(&disk.join("vme"), limits, sender).unwrap();
        append(&spool, log("a"));
        let filler = crate::small_disk::fill(disk, 0);
        let reserved = NonZeroUsize::new(100).unwrap();
        for number in 0..reserved.get() {
            append(&spool, log(&format!("into the room that was reserved {number}")));
        }
        let mut failed = None;
        for number in 0..3_000 {
            let event = log(&format!("{number} {}", "x".repeat(500)));
            if let Err(error) = spool.append(vec![event], EntryState::Waiting) {
                failed = Some(error.to_string());
                break;
            }
        }
        let failed = failed.expect("at last the disk is full");
        assert!(failed.contains("No space left on device"), "{failed}");
        assert!(!spool.waiting().unwrap().is_empty());
        std::fs::remove_file(filler).unwrap();
        append(&spool, log("room again"));
        assert_eq!(texts(&spool).last().unwrap(), "room again");
    });
}

#[test]
fn the_file_stays_within_its_limits() {
    let folder = folder();
    let limits = SpoolLimits { events: 50, bytes: 20_000 };
    let spool = open(&folder, limits);
    let path = folder.path().join("vme/spool");
    for number in 0..2_000 {
        append(&spool, log(&format!("{number} {}", "x".repeat(number % 900))));
        let bytes = std::fs::metadata(&path).unwrap().len();
        assert!(bytes <= 2 * 20_000 + 4_000, "{bytes}");
    }
    let waiting = spool.waiting().unwrap();
    assert!(waiting.len() <= 50 && waiting.len() > 10);
    let reported: u64 =
        events(&spool).iter().flat_map(|it| &it.lost_before).map(|it| it.count).sum();
    assert_eq!(reported + waiting.len() as u64, 2_000, "each is waiting or reported");
    let keys: Vec<EventKey> = waiting.iter().map(|it| it.key).collect();
    acknowledge(&spool, &keys);
    assert!(spool.waiting().unwrap().is_empty());
}

#[test]
fn a_lock_held_too_long_and_a_world_writable_folder_are_errors() {
    let folder = folder();
    let spool = open(&folder, SpoolLimits::default());
    let _held = LockGuard::try_acquire(&spool.path("lock")).unwrap().unwrap();
    let sender = SenderId { appliance: "db1".to_owned(), boot: None };
    let timeout = Duration::from_millis(20);
    let path = spool.folder().to_owned();
    let busy = Spool::open_with_timeout(timeout, &path, SpoolLimits::default(), sender.clone())
        .unwrap_err();
    assert!(busy.to_string().contains("lock is held by another process"), "{busy}");
    let all = folder.path().join("all");
    std::fs::create_dir(&all).unwrap();
    std::fs::set_permissions(&all, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let refused = Spool::open(&all, SpoolLimits::default(), sender).unwrap_err();
    assert!(refused.to_string().contains("can be written by all users"), "{refused}");
}
