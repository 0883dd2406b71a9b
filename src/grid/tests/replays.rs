//! Tests what replayed events change, which arrive after live ones.

use super::super::decide::Reply;
use super::super::explain;
use super::driver::*;
use crate::grid::log::input::Input;
use crate::grid::model::finding::FindingKind;
use crate::grid::values::outcome::{EventRejection, Outcome};
use crate::grid::values::record_flags::RecordFlags;

/// Receives it from the spool.
fn replay(timeline: &mut Timeline, said: EventBuilder) -> Outcome {
    let spooled_at = said.0.event.event_time.unwrap_or(at(0));
    timeline.receive(said.spooled(spooled_at)).0
}

fn booted() -> Timeline {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline
}

#[test]
fn an_event_older_than_the_newest_changes_nothing() {
    let mut timeline = booted();
    timeline.at(250).store(start_failed(1, "no disk").with_uptime(seconds(250)));
    let stale = started_ok(1).with_uptime(seconds(120)).spooled(at(120));
    let Reply::Event(outcome, flags) = timeline.handle(Input::Event(stale.0.into())).reply else {
        panic!("an event is answered");
    };
    assert_eq!((outcome, flags), (Outcome::StaleEvent, RecordFlags::REPLAYED));
    assert_eq!(explain::describe_outcome(outcome).0, "STALE");
    assert_eq!((timeline.state(), timeline.failure()), ("failed", "reported"));
    assert!(timeline.is_open(FindingKind::StartFailed));
    assert_eq!(timeline.changes(), []);
    assert_eq!(replay(&mut timeline, started_ok(1).with_uptime(seconds(251))), Outcome::Stored);
    assert_eq!(timeline.state(), "running");
    assert_eq!(
        replay(&mut timeline, start_failed(1, "x").with_uptime(seconds(9))),
        Outcome::StaleEvent
    );
    assert!(!timeline.is_open(FindingKind::StartFailed));
}

#[test]
fn without_uptime_the_sequence_counts_and_without_that_the_clock() {
    let mut timeline = booted();
    timeline.at(250).store(start_failed(1, "x").numbered(5, 9).with_event_time(at(100)));
    assert_eq!(
        replay(&mut timeline, started_ok(1).numbered(5, 8).with_event_time(at(240))),
        Outcome::StaleEvent
    );
    assert_eq!(
        replay(&mut timeline, started_ok(1).numbered(6, 3).with_event_time(at(90))),
        Outcome::StaleEvent
    );
    assert_eq!(
        replay(&mut timeline, started_ok(1).numbered(5, 10).with_event_time(at(90))),
        Outcome::Stored
    );
    let mut timeline = booted();
    timeline.at(250).store(start_failed(1, "x").with_event_time(at(100)));
    assert_eq!(
        replay(&mut timeline, started_ok(1).numbered(6, 3).with_event_time(at(101))),
        Outcome::Stored
    );
}

#[test]
fn a_wrong_clock_orders_nothing_where_uptimes_do() {
    let mut timeline = booted();
    timeline.at(250).store(start_failed(1, "x").with_uptime(seconds(250)).with_event_time(at(0)));
    let wrong = started_ok(1).with_uptime(seconds(10)).with_event_time(at(1_000_000_000));
    assert_eq!(replay(&mut timeline, wrong), Outcome::StaleEvent);
}

#[test]
fn live_events_are_applied_in_the_order_of_arrival() {
    let mut timeline = booted();
    timeline.at(100).store(start_failed(1, "x").with_uptime(seconds(100)));
    timeline.store(started_ok(1).with_uptime(seconds(50)));
    assert_eq!(timeline.state(), "running");
}

#[test]
fn a_report_from_before_the_verdict_is_no_sign_of_life_after_it() {
    let mut timeline = booted();
    timeline.at(600);
    assert_eq!(timeline.failure(), "boot_timeout");
    let before = maintenance(1, 5, "a").with_uptime(seconds(290)).with_event_time(at(290));
    assert_eq!(replay(&mut timeline, before), Outcome::StaleEvent);
    assert_eq!((timeline.failure(), timeline.since()), ("boot_timeout", 300));
    let behind = maintenance(1, 6, "a").with_uptime(seconds(310)).with_event_time(at(310));
    assert_eq!(replay(&mut timeline, behind), Outcome::Stored);
    assert_eq!(timeline.state(), "maintenance");
    assert!(!timeline.is_open(FindingKind::StartFailed));
    // Hung, and then an earlier event arrives.
    timeline.at(700);
    assert_eq!(timeline.failure(), "hung");
    let before = maintenance(1, 7, "a").with_uptime(seconds(330)).with_event_time(at(330));
    assert_eq!(replay(&mut timeline, before), Outcome::StaleEvent);
    assert_eq!(timeline.failure(), "hung");
}

#[test]
fn a_start_that_was_complete_before_the_verdict_was_not_late() {
    let mut timeline = booted();
    timeline.at(600);
    let flags = timeline
        .store(started_ok(1).with_uptime(seconds(200)).with_event_time(at(200)).spooled(at(200)));
    assert!(
        flags.contains(RecordFlags::RECOVERED) && !flags.contains(RecordFlags::LATE),
        "{flags:?}"
    );
    assert_eq!(timeline.state(), "running");
    let mut timeline = booted();
    timeline.at(600);
    assert!(
        timeline
            .store(started_ok(1).with_uptime(seconds(400)).spooled(at(400)))
            .contains(RecordFlags::LATE)
    );
}

#[test]
fn a_start_that_failed_before_the_verdict_has_its_reason() {
    let mut timeline = booted();
    timeline.at(600);
    let failed = start_failed(1, "no disk").with_uptime(seconds(200));
    assert_eq!(replay(&mut timeline, failed), Outcome::Stored);
    assert_eq!(timeline.failure(), "reported");
    assert_eq!(timeline.text(FindingKind::StartFailed), "start of db1 failed: no disk");
}

#[test]
fn no_event_from_before_a_crash_dump_changes_its_outcome() {
    let mut timeline = booted();
    timeline.at(30).store(start_failed(1, "x").with_uptime(seconds(10)));
    timeline.crash_dump();
    timeline.at(2_000);
    assert_eq!(timeline.failure(), "dump_timeout");
    let before = started_ok(1).with_uptime(seconds(20)).with_event_time(at(20));
    assert_eq!(replay(&mut timeline, before), Outcome::StaleEvent);
    assert_eq!(timeline.failure(), "dump_timeout");
}

#[test]
fn the_newest_event_is_known_after_coalescing_and_a_restart() {
    let mut timeline = booted();
    timeline.at(100).store(maintenance(1, 5, "a").with_uptime(seconds(100)));
    assert_eq!(
        timeline.receive(maintenance(1, 9, "a").with_uptime(seconds(101))).0,
        Outcome::Coalesced
    );
    timeline.restart_after(seconds(5));
    let between = maintenance(1, 7, "a").with_uptime(seconds(100) + seconds(1) / 2);
    assert_eq!(replay(&mut timeline, between), Outcome::StaleEvent);
    assert_eq!(
        replay(&mut timeline, maintenance(1, 11, "a").with_uptime(seconds(102))),
        Outcome::Stored
    );
}

#[test]
fn an_appliance_first_opens_a_session_and_then_sends_its_spool() {
    for uptime in [200, 900] {
        let mut timeline = Timeline::new();
        let session = timeline.at(1_000).hello_of(DB1, 7, Some(seconds(uptime)));
        let of_now = |timeline: &mut Timeline, said: EventBuilder, up: u64| {
            let said =
                said.with_uptime(seconds(up)).with_event_time(at(1_000 - uptime + up)).via(session);
            replay(timeline, said)
        };
        assert_eq!(of_now(&mut timeline, maintenance(7, 50, "fsck"), 50), Outcome::Stored);
        let of_before = start_failed(6, "x").with_event_time(at(1)).via(session);
        assert_eq!(replay(&mut timeline, of_before), Outcome::OlderBoot);
        assert_eq!(of_now(&mut timeline, started_ok(7), 90), Outcome::Stored);
        assert_eq!(of_now(&mut timeline, log(7), 95), Outcome::Stored);
        assert_eq!(
            replay(&mut timeline, log(6).with_event_time(at(2)).via(session)),
            Outcome::OlderBoot
        );
        assert_eq!((timeline.state(), timeline.db1().boot_id()), ("running", Some(boot(7))));
        assert!(
            !timeline.is_open(FindingKind::StartFailed)
                && !timeline.is_open(FindingKind::NameConflict)
        );
        timeline.at(10_000);
        assert_eq!(timeline.state(), "running");
    }
}

#[test]
fn an_appliance_assumed_running_may_report_a_failure_from_its_spool() {
    let mut timeline = Timeline::new();
    timeline.at(1_000).hello_of(DB1, 7, Some(seconds(900)));
    assert_eq!(timeline.state(), "running");
    assert_eq!(
        replay(&mut timeline, start_failed(7, "no disk").with_uptime(seconds(90))),
        Outcome::Stored
    );
    assert_eq!((timeline.state(), timeline.failure()), ("failed", "reported"));
}

#[test]
fn a_session_sends_for_its_own_boot() {
    let mut timeline = booted();
    let session = timeline.hello(1);
    timeline.store(started_ok(1).via(session));
    // Live, but of a boot without a session.
    assert_eq!(timeline.receive(started_ok(9).via(session)).0, Outcome::OlderBoot);
    assert_eq!((timeline.state(), timeline.db1().boot_id()), ("running", Some(boot(1))));
    assert!(!timeline.is_open(FindingKind::NameConflict));
    // Outside a session it would begin a boot.
    timeline.store(log(9));
    assert_eq!((timeline.state(), timeline.db1().boot_id()), ("starting", Some(boot(9))));
    // The older session still sends events of its own boot.
    assert_eq!(timeline.receive(started_ok(1).via(session)).0, Outcome::OlderBoot);
    // Its events of the current boot are accepted.
    timeline.store(started_ok(9).via(session));
    assert_eq!(timeline.state(), "running");
}

#[test]
fn a_stopped_boot_accepts_nothing_from_a_spool() {
    let mut timeline = booted();
    timeline.stop();
    let outcome = replay(&mut timeline, started_ok(1).with_uptime(seconds(5)));
    assert_eq!(outcome, Outcome::Rejected(EventRejection::Stopped));
}

#[test]
fn a_whole_spool_is_stored_and_beyond_it_all_is_counted_except_the_start() {
    let mut timeline = booted();
    for sequence in 1..=10_000 {
        let said = log(1).numbered(5, sequence).spooled(at(0));
        let decision = timeline.driver.handle(Input::Event(said.0.into()), at(0));
        assert_eq!(
            decision.reply,
            Reply::Event(Outcome::Stored, RecordFlags::REPLAYED),
            "{sequence}"
        );
    }
    let mut take = |said: EventBuilder, offset| {
        timeline.driver.handle(Input::Event(said.0.into()), at(offset))
    };
    let answer = |outcome| Reply::Event(outcome, RecordFlags::REPLAYED);
    let beyond = take(log(1).numbered(5, 10_001).spooled(at(0)), 0);
    assert_eq!(beyond.reply, answer(Outcome::Suppressed));
    assert!(beyond.record.is_some(), "with it the suppression begins");
    let beyond = take(log(1).numbered(5, 10_002).spooled(at(0)), 0);
    assert_eq!(beyond.reply, answer(Outcome::Suppressed));
    let start = started_ok(1).numbered(5, 10_003).with_uptime(seconds(1)).spooled(at(0));
    assert_eq!(take(start, 0).reply, answer(Outcome::Stored));
    // After a second it has a second's worth of room.
    let later = take(log(1).numbered(5, 10_004).spooled(at(0)), 1);
    assert_eq!(later.reply, answer(Outcome::Stored));
    let suppression = timeline.db1().usage.suppression.as_ref().expect("held back");
    let held = suppression.events.as_ref().expect("counted");
    assert_eq!(held.counts.iter().sum::<u64>(), 1, "and the one that has a record");
    assert_eq!(timeline.state(), "running");
}
