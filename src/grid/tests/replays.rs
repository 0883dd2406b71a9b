//! Tests what the events of an appliance's spool change, which come after live ones.

use super::super::decide::Reply;
use super::super::explain;
use super::driver::*;
use crate::grid::log::effect::AlertKind;
use crate::grid::log::record::{Input, Outcome};
use crate::grid::model::lifecycle::EventRejection;
use crate::grid::values::record_flags::RecordFlags;

/// Hears it out of the spool.
fn replay(story: &mut Timeline, said: EventBuilder) -> Outcome {
    let spooled_at = said.0.event.event_time.unwrap_or(at(0));
    story.receive(said.spooled(spooled_at)).0
}

fn booted() -> Timeline {
    let mut story = Timeline::new();
    story.hello(1);
    story
}

#[test]
fn what_was_said_before_the_newest_word_changes_nothing() {
    let mut story = booted();
    story.at(250).store(start_failed(1, "no disk").with_uptime(seconds(250)));
    let stale = started_ok(1).with_uptime(seconds(120)).spooled(at(120));
    let Reply::Event(outcome, marks) = story.handle(Input::Event(stale.0)).reply else {
        panic!("an event is answered");
    };
    assert_eq!((outcome, marks), (Outcome::StaleEvent, RecordFlags::REPLAYED));
    assert_eq!(explain::describe_outcome(outcome).0, "STALE");
    assert_eq!((story.state(), story.failure()), ("failed", "reported"));
    assert!(story.is_open(AlertKind::StartFailed));
    assert_eq!(story.changes(), []);
    assert_eq!(replay(&mut story, started_ok(1).with_uptime(seconds(251))), Outcome::Stored);
    assert_eq!(story.state(), "running");
    assert_eq!(
        replay(&mut story, start_failed(1, "x").with_uptime(seconds(9))),
        Outcome::StaleEvent
    );
    assert!(!story.is_open(AlertKind::StartFailed));
}

#[test]
fn without_uptime_the_number_counts_and_without_that_the_clock() {
    let mut story = booted();
    story.at(250).store(start_failed(1, "x").numbered(5, 9).with_event_time(at(100)));
    assert_eq!(
        replay(&mut story, started_ok(1).numbered(5, 8).with_event_time(at(240))),
        Outcome::StaleEvent
    );
    assert_eq!(
        replay(&mut story, started_ok(1).numbered(6, 3).with_event_time(at(90))),
        Outcome::StaleEvent
    );
    assert_eq!(
        replay(&mut story, started_ok(1).numbered(5, 10).with_event_time(at(90))),
        Outcome::Stored
    );
    let mut story = booted();
    story.at(250).store(start_failed(1, "x").with_event_time(at(100)));
    assert_eq!(
        replay(&mut story, started_ok(1).numbered(6, 3).with_event_time(at(101))),
        Outcome::Stored
    );
}

#[test]
fn a_wrong_clock_orders_nothing_where_uptimes_do() {
    let mut story = booted();
    story.at(250).store(start_failed(1, "x").with_uptime(seconds(250)).with_event_time(at(0)));
    let wrong = started_ok(1).with_uptime(seconds(10)).with_event_time(at(1_000_000_000));
    assert_eq!(replay(&mut story, wrong), Outcome::StaleEvent);
}

#[test]
fn live_words_are_taken_in_the_order_in_which_they_come() {
    let mut story = booted();
    story.at(100).store(start_failed(1, "x").with_uptime(seconds(100)));
    story.store(started_ok(1).with_uptime(seconds(50)));
    assert_eq!(story.state(), "running");
}

#[test]
fn a_report_from_before_the_verdict_is_no_sign_of_life_behind_it() {
    let mut story = booted();
    story.at(600);
    assert_eq!(story.failure(), "boot_timeout");
    let before = maintenance(1, 5, "a").with_uptime(seconds(290)).with_event_time(at(290));
    assert_eq!(replay(&mut story, before), Outcome::StaleEvent);
    assert_eq!((story.failure(), story.since()), ("boot_timeout", 300));
    let behind = maintenance(1, 6, "a").with_uptime(seconds(310)).with_event_time(at(310));
    assert_eq!(replay(&mut story, behind), Outcome::Stored);
    assert_eq!(story.state(), "maintenance");
    assert!(!story.is_open(AlertKind::StartFailed));
    // Hung, and what was said before that is heard.
    story.at(700);
    assert_eq!(story.failure(), "hung");
    let before = maintenance(1, 7, "a").with_uptime(seconds(330)).with_event_time(at(330));
    assert_eq!(replay(&mut story, before), Outcome::StaleEvent);
    assert_eq!(story.failure(), "hung");
}

#[test]
fn a_start_that_was_complete_before_the_verdict_was_not_late() {
    let mut story = booted();
    story.at(600);
    let marks = story
        .store(started_ok(1).with_uptime(seconds(200)).with_event_time(at(200)).spooled(at(200)));
    assert!(
        marks.contains(RecordFlags::RECOVERED) && !marks.contains(RecordFlags::LATE),
        "{marks:?}"
    );
    assert_eq!(story.state(), "running");
    let mut story = booted();
    story.at(600);
    assert!(
        story
            .store(started_ok(1).with_uptime(seconds(400)).spooled(at(400)))
            .contains(RecordFlags::LATE)
    );
}

#[test]
fn a_start_that_failed_before_the_verdict_is_told_with_its_reason() {
    let mut story = booted();
    story.at(600);
    let failed = start_failed(1, "no disk").with_uptime(seconds(200));
    assert_eq!(replay(&mut story, failed), Outcome::Stored);
    assert_eq!(story.failure(), "reported");
    assert_eq!(story.text(AlertKind::StartFailed), "start of db1 failed: no disk");
}

#[test]
fn no_word_from_before_a_crash_dump_makes_its_outcome_good() {
    let mut story = booted();
    story.at(30).store(start_failed(1, "x").with_uptime(seconds(10)));
    story.crash_dump();
    story.at(2_000);
    assert_eq!(story.failure(), "dump_timeout");
    let before = started_ok(1).with_uptime(seconds(20)).with_event_time(at(20));
    assert_eq!(replay(&mut story, before), Outcome::StaleEvent);
    assert_eq!(story.failure(), "dump_timeout");
}

#[test]
fn the_newest_word_is_known_though_it_folded_and_the_broker_came_back() {
    let mut story = booted();
    story.at(100).store(maintenance(1, 5, "a").with_uptime(seconds(100)));
    assert_eq!(
        story.receive(maintenance(1, 9, "a").with_uptime(seconds(101))).0,
        Outcome::Coalesced
    );
    story.restart_after(seconds(5));
    let between = maintenance(1, 7, "a").with_uptime(seconds(100) + seconds(1) / 2);
    assert_eq!(replay(&mut story, between), Outcome::StaleEvent);
    assert_eq!(
        replay(&mut story, maintenance(1, 11, "a").with_uptime(seconds(102))),
        Outcome::Stored
    );
}

#[test]
fn the_first_heard_of_an_appliance_is_a_session_and_then_its_spool() {
    for uptime in [200, 900] {
        let mut story = Timeline::new();
        let session = story.at(1_000).hello_of(DB1, 7, Some(seconds(uptime)));
        let of_now = |story: &mut Timeline, said: EventBuilder, up: u64| {
            let said =
                said.with_uptime(seconds(up)).with_event_time(at(1_000 - uptime + up)).via(session);
            replay(story, said)
        };
        assert_eq!(of_now(&mut story, maintenance(7, 50, "fsck"), 50), Outcome::Stored);
        let of_before = start_failed(6, "x").with_event_time(at(1)).via(session);
        assert_eq!(replay(&mut story, of_before), Outcome::OlderBoot);
        assert_eq!(of_now(&mut story, started_ok(7), 90), Outcome::Stored);
        assert_eq!(of_now(&mut story, log(7), 95), Outcome::Stored);
        assert_eq!(
            replay(&mut story, log(6).with_event_time(at(2)).via(session)),
            Outcome::OlderBoot
        );
        assert_eq!((story.state(), story.db1().boot_id()), ("running", Some(boot(7))));
        assert!(!story.is_open(AlertKind::StartFailed) && !story.is_open(AlertKind::NameConflict));
        story.at(10_000);
        assert_eq!(story.state(), "running");
    }
}

#[test]
fn who_is_assumed_to_run_may_say_out_of_its_spool_that_it_failed() {
    let mut story = Timeline::new();
    story.at(1_000).hello_of(DB1, 7, Some(seconds(900)));
    assert_eq!(story.state(), "running");
    assert_eq!(
        replay(&mut story, start_failed(7, "no disk").with_uptime(seconds(90))),
        Outcome::Stored
    );
    assert_eq!((story.state(), story.failure()), ("failed", "reported"));
}

#[test]
fn a_session_speaks_for_its_own_boot() {
    let mut story = booted();
    let session = story.hello(1);
    story.store(started_ok(1).via(session));
    // Live, but of a boot that no session begins.
    assert_eq!(story.receive(started_ok(9).via(session)).0, Outcome::OlderBoot);
    assert_eq!((story.state(), story.db1().boot_id()), ("running", Some(boot(1))));
    assert!(!story.is_open(AlertKind::NameConflict));
    // Outside a session it would begin one.
    story.store(log(9));
    assert_eq!((story.state(), story.db1().boot_id()), ("starting", Some(boot(9))));
    // The older session still speaks of its own.
    assert_eq!(story.receive(started_ok(1).via(session)).0, Outcome::OlderBoot);
    // What it says of the present boot is taken.
    story.store(started_ok(9).via(session));
    assert_eq!(story.state(), "running");
}

#[test]
fn a_stopped_boot_takes_nothing_out_of_a_spool() {
    let mut story = booted();
    story.stop();
    let outcome = replay(&mut story, started_ok(1).with_uptime(seconds(5)));
    assert_eq!(outcome, Outcome::Rejected(EventRejection::Stopped));
}

#[test]
fn a_whole_spool_is_kept_and_beyond_it_all_is_counted_and_the_start_still_heard() {
    let mut story = booted();
    for sequence in 1..=10_000 {
        let said = log(1).numbered(5, sequence).spooled(at(0));
        let decision = story.driver.handle(Input::Event(said.0), at(0));
        assert_eq!(
            decision.reply,
            Reply::Event(Outcome::Stored, RecordFlags::REPLAYED),
            "{sequence}"
        );
    }
    let mut take =
        |said: EventBuilder, offset| story.driver.handle(Input::Event(said.0), at(offset));
    let answer = |outcome| Reply::Event(outcome, RecordFlags::REPLAYED);
    let beyond = take(log(1).numbered(5, 10_001).spooled(at(0)), 0);
    assert_eq!(beyond.reply, answer(Outcome::Suppressed));
    assert!(beyond.record.is_some(), "with it the suppression begins");
    let beyond = take(log(1).numbered(5, 10_002).spooled(at(0)), 0);
    assert_eq!(beyond.reply, answer(Outcome::Suppressed));
    let start = started_ok(1).numbered(5, 10_003).with_uptime(seconds(1)).spooled(at(0));
    assert_eq!(take(start, 0).reply, answer(Outcome::Stored));
    // It has a second's worth of room after a second.
    let later = take(log(1).numbered(5, 10_004).spooled(at(0)), 1);
    assert_eq!(later.reply, answer(Outcome::Stored));
    let suppression = story.db1().usage.suppression.as_ref().expect("held back");
    let held = suppression.events.as_ref().expect("counted");
    assert_eq!(held.counts.iter().sum::<u64>(), 1, "and the one that has a record");
    assert_eq!(story.state(), "running");
}
