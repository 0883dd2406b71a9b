//! A broker that was killed on a full disk starts on it: it reads, refuses in words, and goes on as soon
//! as there is room.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use grid_broker::clock::monotonic_now;

use super::broker::{Broker, UNLIMITED};
use crate::support::{fill, on_small_disk};

/// Longest wait for a change, on a machine that is busy.
const SOON: Duration = Duration::from_secs(60);

/// Of 64 KiB, as a running broker makes one for want of room.
const SMALL_FILE: u64 = 64 << 10;

/// A broker whose data folder is `data` on the small disk.
fn broker_on(disk: &Path) -> Broker {
    let settings = "[class.other]\n";
    let mut broker = Broker::with(&format!("{UNLIMITED}{settings}"));
    let config = broker.root().join("gridd.toml");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    // What is cut later must be far below what a whole file asks for.
    let text = text.replace("commit_file = \"64KiB\"", "commit_file = \"32MiB\"");
    std::fs::write(&config, format!("disk_low_water = \"1MiB\"\nballast = \"1MiB\"\n{text}"))
        .expect("the configuration");
    std::fs::create_dir_all(disk.join("data")).expect("a folder on the disk");
    std::os::unix::fs::symlink(disk.join("data"), broker.data()).expect("a way to it");
    broker.start();
    broker
}

fn program(name: &str, broker: &Broker, words: &[&str]) -> Output {
    let mut command = Command::new(name);
    command.env_clear().env("USER", "tester").env("VME_STATE", broker.root().join("vme"));
    command.env("VME_BOOT_ID", "11111111-1111-1111-1111-111111111111");
    command.args(["--broker", &broker.grpc]).args(words);
    command.output().expect("it runs")
}

fn vme(broker: &Broker, words: &[&str]) -> Output {
    let words = [&["--appliance", "db1"], words].concat();
    program(env!("CARGO_BIN_EXE_vme"), broker, &words)
}

fn gridctl(broker: &Broker, words: &[&str]) -> String {
    let answer = program(env!("CARGO_BIN_EXE_gridctl"), broker, words);
    assert!(answer.status.success(), "{answer:?}\n{}", broker.said());
    String::from_utf8(answer.stdout).expect("UTF-8")
}

fn until(what: &str, broker: &Broker, mut reached: impl FnMut() -> bool) {
    let end = monotonic_now() + SOON;
    while !reached() {
        assert!(monotonic_now() < end, "not reached: {what}\n{}", broker.said());
        thread::sleep(Duration::from_millis(50));
    }
}

fn commit_files(disk: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(disk.join("data/commits")).expect("a folder");
    entries.map(|entry| entry.expect("an entry").path()).collect()
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

fn starts_with_room_of(disk: &Path, left: u64) {
    let mut broker = broker_on(disk);
    assert!(vme(&broker, &["id=log", "msg=before the kill"]).status.success());
    broker.kill();
    end_in_a_small_file(disk);
    let _ = std::fs::remove_file(disk.join("data/ballast"));
    let filler = fill(disk, left);
    // Several times: a start on a full disk must not depend on what the one before took.
    for _ in 0..3 {
        broker.start();
        assert!(gridctl(&broker, &["log", "list"]).contains("before the kill"));
        assert!(gridctl(&broker, &["appliance", "list"]).contains("db1"));
        until("the refusal", &broker, || {
            let answer = vme(&broker, &["id=log", "msg=refused"]);
            answer.status.code() == Some(5)
        });
        let said = broker.said();
        assert!(said.contains("the disk is"), "the tracing says so: {said}");
        broker.kill();
    }
    broker.start();
    std::fs::remove_file(filler).expect("removes");
    until("an event that is taken", &broker, || {
        vme(&broker, &["id=log", "msg=after it"]).status.success()
    });
    until("all of them", &broker, || {
        let log = gridctl(&broker, &["log", "list", "--kind", "log"]);
        ["before the kill", "refused", "after it"].iter().all(|text| log.contains(text))
    });
    assert!(broker.terminate().success(), "{}", broker.said());
}

#[test]
fn killed_with_eight_mib_free_it_starts_again() {
    on_small_disk("full_disk::killed_with_eight_mib_free_it_starts_again", 96, |disk| {
        starts_with_room_of(disk, 8 << 20);
    });
}

#[test]
fn killed_with_one_mib_free_it_starts_again() {
    on_small_disk("full_disk::killed_with_one_mib_free_it_starts_again", 96, |disk| {
        starts_with_room_of(disk, 1 << 20);
    });
}

#[test]
fn killed_with_no_byte_free_it_starts_again() {
    on_small_disk("full_disk::killed_with_no_byte_free_it_starts_again", 96, |disk| {
        starts_with_room_of(disk, 0);
    });
}

#[test]
fn a_larger_commit_file_needs_no_room_at_the_start() {
    let name = "full_disk::a_larger_commit_file_needs_no_room_at_the_start";
    on_small_disk(name, 128, |disk| {
        let mut broker = broker_on(disk);
        assert!(vme(&broker, &["id=log", "msg=a"]).status.success());
        assert!(broker.terminate().success());
        let config = broker.root().join("gridd.toml");
        let text = std::fs::read_to_string(&config).expect("the configuration");
        // More than the whole disk has.
        let text = text.replace("commit_file = \"32MiB\"", "commit_file = \"1GiB\"");
        std::fs::write(&config, text).expect("the configuration");
        for file in commit_files(disk) {
            assert_eq!(std::fs::metadata(file).expect("is there").len(), 32 << 20);
        }
        broker.start();
        assert!(vme(&broker, &["id=log", "msg=b"]).status.success());
        assert!(broker.terminate().success(), "{}", broker.said());
    });
}
