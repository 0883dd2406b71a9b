//! A broker that was killed on a full disk starts on it: it reads, refuses in words, and goes on as soon
//! as there is room.

use std::path::{Path, PathBuf};

use super::broker::{UNLIMITED, broker_with};
use crate::support::{Gridd, files_below, fill, holds, in_runtime, on_small_disk};

/// Of 64 KiB, as a running broker makes one for want of room.
const SMALL_FILE: u64 = 64 << 10;

/// A broker whose data folder is `data` on the small disk.
async fn broker_on(disk: &Path) -> Gridd {
    let settings = "[class.other]\n";
    let mut broker = broker_with(&format!("{UNLIMITED}{settings}"));
    let config = broker.folder().join("gridd.toml");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    // What is cut later must be far below what a whole file asks for.
    let text = text.replace("commit_file = \"64KiB\"", "commit_file = \"32MiB\"");
    std::fs::write(&config, format!("disk_low_water = \"1MiB\"\nballast = \"1MiB\"\n{text}"))
        .expect("the configuration");
    std::fs::create_dir_all(disk.join("data")).expect("a folder on the disk");
    std::os::unix::fs::symlink(disk.join("data"), broker.data()).expect("a way to it");
    broker.start_again().await;
    broker
}

async fn vme(broker: &Gridd, words: &[&str]) -> Option<i32> {
    broker.vme("db1", 1, words).await.code
}

async fn gridctl(broker: &Gridd, words: &[&str]) -> String {
    let answer = broker.gridctl(words).await;
    assert_eq!(answer.code, Some(0), "{answer:?}\n{}", broker.stderr());
    answer.stdout
}

fn commit_files(disk: &Path) -> Vec<PathBuf> {
    files_below(&disk.join("data/commits"))
}

/// Leaves the commit log as a broker does that made small files on a full disk and was killed as one
/// of them ended.
fn end_in_a_small_file(disk: &Path) {
    for path in commit_files(disk) {
        let bytes = std::fs::read(&path).expect("reads");
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
        assert!(end < SMALL_FILE, "{end}");
        let file = std::fs::File::options().write(true).open(&path).expect("opens");
        file.set_len(end).expect("is shorter");
    }
}

async fn starts_with_room_of(disk: &Path, left: u64) {
    let mut broker = broker_on(disk).await;
    assert_eq!(vme(&broker, &["id=log", "msg=before the kill"]).await, Some(0));
    broker.kill().await;
    end_in_a_small_file(disk);
    let _ = std::fs::remove_file(disk.join("data/ballast"));
    let filler = fill(disk, left);
    // Several times: a start on a full disk must not depend on what the one before took.
    for _ in 0..3 {
        broker.start_again().await;
        assert!(gridctl(&broker, &["log", "list"]).await.contains("before the kill"));
        assert!(gridctl(&broker, &["appliance", "list"]).await.contains("db1"));
        holds("the refusal", async || vme(&broker, &["id=log", "msg=refused"]).await == Some(5))
            .await;
        let said = broker.stderr();
        assert!(said.contains("the disk is"), "the tracing says so: {said}");
        broker.kill().await;
    }
    broker.start_again().await;
    std::fs::remove_file(filler).expect("removes");
    holds("an event that is taken", async || {
        vme(&broker, &["id=log", "msg=after it"]).await == Some(0)
    })
    .await;
    holds("all of them", async || {
        let log = gridctl(&broker, &["log", "list", "--kind", "log"]).await;
        ["before the kill", "refused", "after it"].iter().all(|text| log.contains(text))
    })
    .await;
    assert_eq!(broker.terminate().await, Some(0), "{}", broker.stderr());
}

#[test]
fn killed_with_eight_mib_free_it_starts_again() {
    on_small_disk("full_disk::killed_with_eight_mib_free_it_starts_again", 96, |disk| {
        in_runtime(starts_with_room_of(disk, 8 << 20));
    });
}

#[test]
fn killed_with_one_mib_free_it_starts_again() {
    on_small_disk("full_disk::killed_with_one_mib_free_it_starts_again", 96, |disk| {
        in_runtime(starts_with_room_of(disk, 1 << 20));
    });
}

#[test]
fn killed_with_no_byte_free_it_starts_again() {
    on_small_disk("full_disk::killed_with_no_byte_free_it_starts_again", 96, |disk| {
        in_runtime(starts_with_room_of(disk, 0));
    });
}

#[test]
fn a_larger_commit_file_needs_no_room_at_the_start() {
    let name = "full_disk::a_larger_commit_file_needs_no_room_at_the_start";
    on_small_disk(name, 128, |disk| in_runtime(starts_with_a_larger_commit_file(disk)));
}

async fn starts_with_a_larger_commit_file(disk: &Path) {
    let mut broker = broker_on(disk).await;
    assert_eq!(vme(&broker, &["id=log", "msg=a"]).await, Some(0));
    assert_eq!(broker.terminate().await, Some(0));
    let config = broker.folder().join("gridd.toml");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    // More than the whole disk has.
    let text = text.replace("commit_file = \"32MiB\"", "commit_file = \"1GiB\"");
    std::fs::write(&config, text).expect("the configuration");
    for file in commit_files(disk) {
        assert_eq!(std::fs::metadata(file).expect("is there").len(), 32 << 20);
    }
    broker.start_again().await;
    assert_eq!(vme(&broker, &["id=log", "msg=b"]).await, Some(0));
    assert_eq!(broker.terminate().await, Some(0), "{}", broker.stderr());
}
