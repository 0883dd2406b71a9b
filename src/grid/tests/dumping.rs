//! Tests crash dumps.

use super::super::decide::CommandRejection;
use super::driver::*;
use crate::grid::log::crash_dump::DumpResult;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::settings::ClassSettings;
use crate::grid::values::outcome::{EventRejection, Outcome};
use crate::grid::values::record_flags::RecordFlags;

/// A running appliance whose dump is taken at second 100.
fn dumping(managed: bool) -> Timeline {
    let mut timeline = Timeline::with(ClassSettings { managed, ..ClassSettings::default() });
    timeline.hello(1);
    timeline.store(started_ok(1));
    timeline.at(100).crash_dump();
    assert_eq!((timeline.state(), timeline.deadline()), ("dumping", Some(1_000)));
    timeline
}

#[test]
fn a_crash_dump_is_taken_of_the_running_and_the_failed() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.store(start_failed(1, "x"));
    timeline.crash_dump();
    assert_eq!(timeline.state(), "dumping");
    assert!(timeline.is_open(FindingKind::StartFailed), "its start failed all the same");
}

#[test]
fn there_is_nothing_to_dump_in_other_states() {
    let mut timeline = Timeline::new();
    let dump = || crash_dump(99);
    let refused = |state| Err(CommandRejection::CannotDump { name: name(DB1), state });
    let never = CommandRejection::NeverBooted { name: name(DB1) };
    assert_eq!(timeline.command(dump()), Err(never));
    timeline.hello(1);
    assert_eq!(timeline.command(dump()), refused("starting"));
    timeline.store(maintenance(1, 5, "a"));
    assert_eq!(timeline.command(dump()), refused("maintenance"));
    timeline.store(started_ok(1));
    timeline.crash_dump();
    assert_eq!(timeline.command(dump()), refused("dumping"));
    timeline.stop();
    assert_eq!(timeline.command(dump()), refused("idle"));
}

#[test]
fn a_new_boot_id_ends_dumping() {
    let mut timeline = dumping(true);
    timeline.at(200).hello(2);
    assert_eq!((timeline.state(), timeline.deadline()), ("starting", Some(500)));
}

#[test]
fn a_new_boot_id_ends_the_dumping_of_a_boot_without_an_id() {
    let mut timeline = Timeline::new();
    timeline.start_boot();
    timeline.at(301);
    timeline.crash_dump();
    timeline.at(400).hello(1);
    assert_eq!((timeline.state(), timeline.deadline()), ("starting", Some(700)));
}

#[test]
fn dumping_without_a_new_boot_fails_at_the_dump_deadline() {
    let mut timeline = dumping(true);
    timeline.at(999);
    assert_eq!(timeline.state(), "dumping");
    timeline.at(1_001);
    assert_eq!(timeline.failure(), "dump_timeout");
    let text = "db1 did not boot again after the crash dump";
    assert_eq!(timeline.text(FindingKind::StartFailed), text);
}

#[test]
fn the_unmanaged_run_after_the_dump_deadline_with_an_unknown_outcome() {
    let mut timeline = dumping(false);
    timeline.at(1_001);
    assert_eq!(timeline.state(), "running");
    assert!(timeline.last().flags.contains(RecordFlags::OUTCOME_UNKNOWN));
    assert!(!timeline.is_open(FindingKind::StartFailed));
}

#[test]
fn lifecycle_events_of_the_boot_that_is_dumped_are_refused() {
    let mut timeline = dumping(true);
    for event in [started_ok(1), start_failed(1, "x"), maintenance(1, 3, "y")] {
        assert_eq!(timeline.receive(event).0, Outcome::Rejected(EventRejection::Dumping));
    }
    timeline.store(log(1));
    assert_eq!(timeline.state(), "dumping");
}

#[test]
fn after_a_dump_timeout_only_started_ok_or_a_new_boot_helps() {
    let mut timeline = dumping(true);
    timeline.at(1_001);
    let refused = Outcome::Rejected(EventRejection::FailedPermanently);
    assert_eq!(timeline.receive(maintenance(1, 3, "y")).0, refused);
    assert!(timeline.store(started_ok(1)).contains(RecordFlags::RECOVERED));
    assert_eq!(timeline.state(), "running");
}

#[test]
fn a_start_that_completes_while_it_is_dumped_has_not_failed() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(301);
    assert_eq!(timeline.failure(), "boot_timeout");
    timeline.at(310).crash_dump();
    let flags = timeline.at(320).store(started_ok(1));
    assert!(flags.contains(RecordFlags::LATE));
    assert!(!timeline.is_open(FindingKind::StartFailed));
    timeline.at(330).driver_reports(DumpResult::Failed);
    assert_eq!((timeline.state(), timeline.since()), ("running", 320));
    assert!(timeline.grid().state().appliance(DB1).expect("it").failed_starts.is_empty());
}

#[test]
fn silence_after_a_crash_dump_without_a_boot_is_a_lost_contact() {
    let rules = ClassSettings { managed: false, ..ClassSettings::default() };
    let mut timeline = Timeline::with(rules);
    let session = timeline.hello(1);
    timeline.at(100).crash_dump();
    timeline.driver_reports(DumpResult::Done);
    timeline.at(110).close_session(1, session);
    timeline.at(1_001);
    assert_eq!(timeline.state(), "running");
    assert!(!timeline.is_open(FindingKind::NoContact));
    timeline.at(1_200);
    assert!(timeline.is_open(FindingKind::NoContact));
}

#[test]
fn silence_during_a_crash_dump_is_no_lost_contact() {
    let mut timeline = Timeline::new();
    let session = timeline.hello(1);
    timeline.store(started_ok(1));
    timeline.at(100).crash_dump();
    timeline.driver_reports(DumpResult::Done);
    timeline.at(110).close_session(1, session);
    timeline.at(900);
    assert!(!timeline.is_open(FindingKind::NoContact));
    timeline.at(1_001);
    assert_eq!(timeline.failure(), "dump_timeout", "that is told in its place");
}
