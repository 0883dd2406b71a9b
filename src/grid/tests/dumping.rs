//! Tests what a crash dump does to a start.

use super::super::decide::CommandRejection;
use super::driver::*;
use crate::grid::log::effect::AlertKind;
use crate::grid::log::record::{AdminCommand, Outcome};
use crate::grid::model::lifecycle::EventRejection;
use crate::grid::model::settings::ClassSettings;
use crate::grid::values::record_flags::RecordFlags;

/// A running appliance of which a dump is taken at second 100.
fn dumping(managed: bool) -> Timeline {
    let mut story = Timeline::with(ClassSettings { managed, ..ClassSettings::default() });
    story.hello(1);
    story.store(started_ok(1));
    story.at(100).crash_dump();
    assert_eq!((story.state(), story.deadline()), ("dumping", Some(1_000)));
    story
}

#[test]
fn a_crash_dump_is_taken_of_the_running_and_the_failed() {
    let mut story = Timeline::new();
    story.hello(1);
    story.store(start_failed(1, "x"));
    story.crash_dump();
    assert_eq!(story.state(), "dumping");
    assert!(!story.is_open(AlertKind::StartFailed));
}

#[test]
fn there_is_nothing_to_dump_in_other_states() {
    let mut story = Timeline::new();
    let dump = || AdminCommand::CrashDump { name: name(DB1) };
    let refused = |state| Err(CommandRejection::CannotDump { name: name(DB1), state });
    assert_eq!(story.command(dump()), refused("idle"));
    story.hello(1);
    assert_eq!(story.command(dump()), refused("starting"));
    story.store(maintenance(1, 5, "a"));
    assert_eq!(story.command(dump()), refused("maintenance"));
    story.store(started_ok(1));
    story.crash_dump();
    assert_eq!(story.command(dump()), refused("dumping"));
}

#[test]
fn a_new_boot_id_ends_dumping() {
    let mut story = dumping(true);
    story.at(200).hello(2);
    assert_eq!((story.state(), story.deadline()), ("starting", Some(500)));
}

#[test]
fn a_new_boot_id_ends_the_dumping_of_a_boot_without_an_id() {
    let mut story = Timeline::new();
    story.start_boot();
    story.at(301);
    story.crash_dump();
    story.at(400).hello(1);
    assert_eq!((story.state(), story.deadline()), ("starting", Some(700)));
}

#[test]
fn dumping_without_a_new_boot_fails_at_the_dump_deadline() {
    let mut story = dumping(true);
    story.at(999);
    assert_eq!(story.state(), "dumping");
    story.at(1_001);
    assert_eq!(story.failure(), "dump_timeout");
    let text = "db1 did not boot again after the crash dump";
    assert_eq!(story.text(AlertKind::StartFailed), text);
}

#[test]
fn the_unmanaged_run_after_the_dump_deadline_with_an_unknown_outcome() {
    let mut story = dumping(false);
    story.at(1_001);
    assert_eq!(story.state(), "running");
    assert!(story.last().flags.contains(RecordFlags::OUTCOME_UNKNOWN));
    assert!(!story.is_open(AlertKind::StartFailed));
}

#[test]
fn lifecycle_events_of_the_boot_that_is_dumped_are_refused() {
    let mut story = dumping(true);
    for event in [started_ok(1), start_failed(1, "x"), maintenance(1, 3, "y")] {
        assert_eq!(story.receive(event).0, Outcome::Rejected(EventRejection::Dumping));
    }
    story.store(log(1));
    assert_eq!(story.state(), "dumping");
}

#[test]
fn after_a_dump_timeout_only_started_ok_or_a_new_boot_helps() {
    let mut story = dumping(true);
    story.at(1_001);
    let refused = Outcome::Rejected(EventRejection::FailedPermanently);
    assert_eq!(story.receive(maintenance(1, 3, "y")).0, refused);
    assert!(story.store(started_ok(1)).contains(RecordFlags::RECOVERED));
    assert_eq!(story.state(), "running");
}
