//! Tests contact with appliances, and two machines under one name.

use super::driver::*;
use crate::grid::log::effect::AlertKind;
use crate::grid::log::record::Outcome;
use crate::grid::model::settings::ClassSettings;
use crate::grid::values::event::Severity;

/// A running appliance with a session open in boot 1.
fn running() -> (Timeline, crate::grid::log::record::SessionId) {
    let mut story = Timeline::new();
    let session = story.hello(1);
    story.store(started_ok(1).via(session));
    (story, session)
}

#[test]
fn no_contact_is_an_alert_and_the_state_stays() {
    let (mut story, session) = running();
    story.at(100).close_session(1, session);
    story.at(219);
    assert!(!story.is_open(AlertKind::NoContact));
    story.at(221);
    assert_eq!(story.severity(AlertKind::NoContact), Some(Severity::Warn));
    assert_eq!((story.state(), story.since()), ("running", 0));
    assert!(story.text(AlertKind::NoContact).starts_with("no contact with db1 for 2 min"));
}

#[test]
fn contact_is_there_again_with_a_session_or_a_live_report() {
    let returns: [Action; 2] = [
        |story| {
            story.hello(1);
        },
        |story| {
            story.store(log(1));
        },
    ];
    for comes_back in returns {
        let (mut story, session) = running();
        story.close_session(1, session);
        story.at(200);
        assert!(story.is_open(AlertKind::NoContact));
        comes_back(&mut story);
        assert!(!story.is_open(AlertKind::NoContact));
    }
}

#[test]
fn a_spooled_report_is_no_contact() {
    let (mut story, session) = running();
    story.close_session(1, session);
    story.at(200).store(log(1).spooled(at(5)));
    assert!(story.is_open(AlertKind::NoContact));
}

#[test]
fn a_live_report_without_a_session_puts_the_loss_of_contact_off() {
    let (mut story, session) = running();
    story.close_session(1, session);
    story.at(100).store(log(1));
    story.at(219);
    assert!(!story.is_open(AlertKind::NoContact));
    story.at(221);
    assert!(story.is_open(AlertKind::NoContact));
}

#[test]
fn contact_holds_so_long_as_one_session_is_open() {
    let (mut story, first) = running();
    let sessions: Vec<_> = (0..20).map(|_| story.hello(1)).collect();
    story.close_session(1, first);
    for session in &sessions[..19] {
        story.close_session(1, *session);
    }
    story.at(1_000);
    assert!(!story.is_open(AlertKind::NoContact));
    story.close_session(1, sessions[19]);
    story.at(1_121);
    assert!(story.is_open(AlertKind::NoContact));
    assert_eq!(story.grid().sessions().open_count(), 0);
}

#[test]
fn who_never_had_a_session_cannot_lose_contact() {
    let mut story = Timeline::new();
    story.store(started_ok(1));
    story.at(100_000);
    assert!(!story.is_open(AlertKind::NoContact));
}

#[test]
fn a_session_that_comes_and_goes_begins_the_boot_and_its_end_is_no_loss() {
    let mut story = Timeline::new();
    let session = story.transient_hello(1);
    assert_eq!(story.state(), "starting");
    story.store(started_ok(1).via(session));
    story.at(10).close_session(1, session);
    story.at(100_000);
    assert!(!story.is_open(AlertKind::NoContact));
    story.restart_after(seconds(30));
    story.at(200_000);
    assert!(!story.is_open(AlertKind::NoContact), "neither after a start of the broker");
}

#[test]
fn a_session_that_comes_and_goes_is_contact_like_a_live_report() {
    let (mut story, agent) = running();
    story.close_session(1, agent);
    story.at(100);
    let session = story.transient_hello(1);
    story.at(1_000);
    assert!(!story.is_open(AlertKind::NoContact), "it lasts");
    story.close_session(1, session);
    story.at(1_119);
    assert!(!story.is_open(AlertKind::NoContact));
    story.at(1_121);
    assert!(story.is_open(AlertKind::NoContact), "the agent is still gone");
    let again = story.transient_hello(1);
    assert!(!story.is_open(AlertKind::NoContact));
    story.close_session(1, again);
    story.at(1_300);
    assert!(story.is_open(AlertKind::NoContact));
}

#[test]
fn a_session_that_comes_and_goes_takes_nothing_from_one_that_lasts() {
    let (mut story, agent) = running();
    let session = story.at(10).transient_hello(1);
    story.close_session(1, session);
    story.at(1_000);
    assert!(!story.is_open(AlertKind::NoContact), "the agent is there");
    story.close_session(1, agent);
    story.at(1_121);
    assert!(story.is_open(AlertKind::NoContact));
    // In the next boot no agent was seen yet.
    let next = story.at(1_200).transient_hello(2);
    story.store(started_ok(2).via(next));
    story.close_session(2, next);
    story.at(9_000);
    assert!(!story.is_open(AlertKind::NoContact));
}

#[test]
fn a_class_has_its_own_patience_with_contact() {
    let rules = ClassSettings { lost_contact: seconds(20), ..ClassSettings::default() };
    let mut story = Timeline::with(rules);
    let session = story.hello(1);
    story.close_session(1, session);
    story.at(21);
    assert!(story.is_open(AlertKind::NoContact));
}

#[test]
fn the_stopped_lose_no_contact() {
    let (mut story, session) = running();
    story.close_session(1, session);
    story.stop();
    story.at(1_000);
    assert!(!story.is_open(AlertKind::NoContact));
    assert_eq!(story.grid().poll_timeout(), None);
}

#[test]
fn a_stop_closes_the_loss_of_contact() {
    let (mut story, session) = running();
    story.close_session(1, session);
    story.at(200);
    assert!(story.is_open(AlertKind::NoContact));
    story.stop();
    assert!(!story.is_open(AlertKind::NoContact));
}

#[test]
fn a_boot_that_an_orchestrator_begins_owes_no_contact_before_its_first_session() {
    let (mut story, session) = running();
    story.close_session(1, session);
    story.at(60).start_boot();
    story.at(200);
    assert!(!story.is_open(AlertKind::NoContact), "the boot deadline judges it");

    let (mut story, session) = running();
    story.close_session(1, session);
    story.at(200);
    story.start_boot();
    assert!(!story.is_open(AlertKind::NoContact), "contact with the boot before is of no interest");
}

#[test]
fn two_live_sessions_of_different_boots_raise_an_alert() {
    let (mut story, _) = running();
    story.at(10).hello(2);
    story.at(69);
    assert!(!story.is_open(AlertKind::NameConflict), "one of them may be dead");
    story.at(71);
    assert_eq!(story.severity(AlertKind::NameConflict), Some(Severity::Error));
    assert!(story.text(AlertKind::NameConflict).starts_with("two machines speak as db1"));
}

#[test]
fn a_live_event_of_the_older_of_two_sessions_raises_the_alert_at_once() {
    let (mut story, first) = running();
    story.at(10).hello(2);
    assert_eq!(story.receive(log(1).via(first)).0, Outcome::OlderBoot);
    assert!(story.is_open(AlertKind::NameConflict));
}

#[test]
fn a_replay_after_a_reboot_is_no_second_machine() {
    let (mut story, first) = running();
    let second = story.at(10).hello(2);
    story.receive(log(1).via(second).spooled(at(5)));
    assert!(!story.is_open(AlertKind::NameConflict), "the old session is not yet found dead");
    story.at(40).close_session(1, first);
    story.at(1_000);
    assert!(!story.is_open(AlertKind::NameConflict));
}

#[test]
fn two_sessions_of_one_boot_are_one_machine() {
    let (mut story, _) = running();
    story.hello(1);
    story.at(1_000);
    assert!(!story.is_open(AlertKind::NameConflict));
}

#[test]
fn a_third_session_does_not_put_the_verdict_off() {
    let (mut story, _) = running();
    story.at(10).hello(2);
    for offset in [30, 50, 69] {
        let more = story.at(offset).hello(2);
        story.close_session(2, more);
    }
    story.at(71);
    assert!(story.is_open(AlertKind::NameConflict));
}

#[test]
fn the_alert_of_two_machines_ends_with_the_session_of_one() {
    let (mut story, first) = running();
    story.at(10).hello(2);
    story.at(80).store(log(2));
    story.at(500);
    assert!(story.is_open(AlertKind::NameConflict), "both are still there");
    story.close_session(1, first);
    assert!(!story.is_open(AlertKind::NameConflict));
}

fn with_conflict() -> Timeline {
    let (mut story, _) = running();
    story.at(10).hello(2);
    story.at(80);
    assert!(story.is_open(AlertKind::NameConflict));
    story
}

#[test]
fn the_alert_of_two_machines_outlives_the_broker_if_both_come_back() {
    let mut story = with_conflict();
    story.restart_after(seconds(30));
    story.hello(2);
    story.hello(1);
    story.at(1_000);
    assert!(story.is_open(AlertKind::NameConflict));
}

#[test]
fn the_alert_of_two_machines_ends_if_only_one_comes_back_to_the_broker() {
    let mut story = with_conflict();
    story.restart_after(seconds(30));
    story.at(120).hello(2);
    assert!(story.is_open(AlertKind::NameConflict), "the other one has 60 s too");
    story.at(171);
    assert!(!story.is_open(AlertKind::NameConflict));
}

#[test]
fn what_ends_for_the_removed_is_no_matter() {
    let (mut story, session) = running();
    story.hello(2);
    let order = crate::grid::log::record::AdminCommand::Remove { name: name(DB1) };
    assert_eq!(story.command(order), Ok(DB1));
    story.at(200);
    story.close_session(1, session);
    story.times_out(DB1);
    story.at(1_000);
    assert_eq!(story.grid().state().alerts().count(), 0);
    assert_eq!(story.grid().poll_timeout(), None);
}
