//! Tests lost contact and duplicate names.

use super::driver::*;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::settings::ClassSettings;
use crate::grid::values::event::Severity;
use crate::grid::values::outcome::Outcome;

/// A running appliance with a session open in boot 1.
fn running() -> (Timeline, crate::grid::values::id::SessionId) {
    let mut timeline = Timeline::new();
    let session = timeline.hello(1);
    timeline.store(started_ok(1).via(session));
    (timeline, session)
}

#[test]
fn no_contact_is_an_alert_and_the_state_stays() {
    let (mut timeline, session) = running();
    timeline.at(100).close_session(1, session);
    timeline.at(219);
    assert!(!timeline.is_open(FindingKind::NoContact));
    timeline.at(221);
    assert_eq!(timeline.severity(FindingKind::NoContact), Some(Severity::Warn));
    assert_eq!((timeline.state(), timeline.since()), ("running", 0));
    assert!(timeline.text(FindingKind::NoContact).starts_with("no contact with db1 for 2 min"));
}

#[test]
fn contact_is_there_again_with_a_session_or_a_live_report() {
    let returns: [Action; 2] = [
        |timeline| {
            timeline.hello(1);
        },
        |timeline| {
            timeline.store(log(1));
        },
    ];
    for comes_back in returns {
        let (mut timeline, session) = running();
        timeline.close_session(1, session);
        timeline.at(200);
        assert!(timeline.is_open(FindingKind::NoContact));
        comes_back(&mut timeline);
        assert!(!timeline.is_open(FindingKind::NoContact));
    }
}

#[test]
fn a_spooled_report_is_no_contact() {
    let (mut timeline, session) = running();
    timeline.close_session(1, session);
    timeline.at(200).store(log(1).spooled(at(5)));
    assert!(timeline.is_open(FindingKind::NoContact));
}

#[test]
fn a_live_report_without_a_session_extends_contact() {
    let (mut timeline, session) = running();
    timeline.close_session(1, session);
    timeline.at(100).store(log(1));
    timeline.at(219);
    assert!(!timeline.is_open(FindingKind::NoContact));
    timeline.at(221);
    assert!(timeline.is_open(FindingKind::NoContact));
}

#[test]
fn contact_holds_so_long_as_one_session_is_open() {
    let (mut timeline, first) = running();
    let sessions: Vec<_> = (0..20).map(|_| timeline.hello(1)).collect();
    timeline.close_session(1, first);
    for session in &sessions[..19] {
        timeline.close_session(1, *session);
    }
    timeline.at(1_000);
    assert!(!timeline.is_open(FindingKind::NoContact));
    timeline.close_session(1, sessions[19]);
    timeline.at(1_121);
    assert!(timeline.is_open(FindingKind::NoContact));
    assert_eq!(timeline.grid().sessions().open_count(), 0);
}

#[test]
fn who_never_had_a_session_cannot_lose_contact() {
    let mut timeline = Timeline::new();
    timeline.store(started_ok(1));
    timeline.at(100_000);
    assert!(!timeline.is_open(FindingKind::NoContact));
}

#[test]
fn a_session_that_comes_and_goes_begins_the_boot_and_its_end_is_no_loss() {
    let mut timeline = Timeline::new();
    let session = timeline.transient_hello(1);
    assert_eq!(timeline.state(), "starting");
    timeline.store(started_ok(1).via(session));
    timeline.at(10).close_session(1, session);
    timeline.at(100_000);
    assert!(!timeline.is_open(FindingKind::NoContact));
    timeline.restart_after(seconds(30));
    timeline.at(200_000);
    assert!(!timeline.is_open(FindingKind::NoContact), "neither after a start of the broker");
}

#[test]
fn a_session_that_comes_and_goes_is_contact_like_a_live_report() {
    let (mut timeline, agent) = running();
    timeline.close_session(1, agent);
    timeline.at(100);
    let session = timeline.transient_hello(1);
    timeline.at(1_000);
    assert!(!timeline.is_open(FindingKind::NoContact), "it lasts");
    timeline.close_session(1, session);
    timeline.at(1_119);
    assert!(!timeline.is_open(FindingKind::NoContact));
    timeline.at(1_121);
    assert!(timeline.is_open(FindingKind::NoContact), "the agent is still gone");
    let again = timeline.transient_hello(1);
    assert!(!timeline.is_open(FindingKind::NoContact));
    timeline.close_session(1, again);
    timeline.at(1_300);
    assert!(timeline.is_open(FindingKind::NoContact));
}

#[test]
fn a_session_that_comes_and_goes_takes_nothing_from_one_that_lasts() {
    let (mut timeline, agent) = running();
    let session = timeline.at(10).transient_hello(1);
    timeline.close_session(1, session);
    timeline.at(1_000);
    assert!(!timeline.is_open(FindingKind::NoContact), "the agent is there");
    timeline.close_session(1, agent);
    timeline.at(1_121);
    assert!(timeline.is_open(FindingKind::NoContact));
    // In the next boot no agent was seen yet.
    let next = timeline.at(1_200).transient_hello(2);
    timeline.store(started_ok(2).via(next));
    timeline.close_session(2, next);
    timeline.at(9_000);
    assert!(!timeline.is_open(FindingKind::NoContact));
}

#[test]
fn a_class_has_its_own_contact_timeout() {
    let rules = ClassSettings { lost_contact: seconds(20), ..ClassSettings::default() };
    let mut timeline = Timeline::with(rules);
    let session = timeline.hello(1);
    timeline.close_session(1, session);
    timeline.at(21);
    assert!(timeline.is_open(FindingKind::NoContact));
}

#[test]
fn the_stopped_lose_no_contact() {
    let (mut timeline, session) = running();
    timeline.close_session(1, session);
    timeline.stop();
    timeline.at(1_000);
    assert!(!timeline.is_open(FindingKind::NoContact));
    assert_eq!(timeline.grid().poll_timeout(), None);
}

#[test]
fn a_stop_closes_the_loss_of_contact() {
    let (mut timeline, session) = running();
    timeline.close_session(1, session);
    timeline.at(200);
    assert!(timeline.is_open(FindingKind::NoContact));
    timeline.stop();
    assert!(!timeline.is_open(FindingKind::NoContact));
}

#[test]
fn an_announced_boot_needs_no_contact_before_its_first_session() {
    let (mut timeline, session) = running();
    timeline.close_session(1, session);
    timeline.at(60).start_boot();
    timeline.at(200);
    assert!(!timeline.is_open(FindingKind::NoContact), "the boot deadline judges it");

    let (mut timeline, session) = running();
    timeline.close_session(1, session);
    timeline.at(200);
    timeline.start_boot();
    assert!(
        !timeline.is_open(FindingKind::NoContact),
        "contact with the boot before is of no interest"
    );
}

#[test]
fn two_live_sessions_of_different_boots_raise_an_alert() {
    let (mut timeline, _) = running();
    timeline.at(10).hello(2);
    timeline.at(69);
    assert!(!timeline.is_open(FindingKind::NameConflict), "one of them may be dead");
    timeline.at(71);
    assert_eq!(timeline.severity(FindingKind::NameConflict), Some(Severity::Error));
    assert!(timeline.text(FindingKind::NameConflict).starts_with("two machines report as db1"));
}

#[test]
fn a_live_event_of_the_older_of_two_sessions_raises_the_alert_at_once() {
    let (mut timeline, first) = running();
    timeline.at(10).hello(2);
    assert_eq!(timeline.receive(log(1).via(first)).0, Outcome::OlderBoot);
    assert!(timeline.is_open(FindingKind::NameConflict));
}

#[test]
fn a_replay_after_a_reboot_is_no_second_machine() {
    let (mut timeline, first) = running();
    let second = timeline.at(10).hello(2);
    timeline.receive(log(1).via(second).spooled(at(5)));
    assert!(!timeline.is_open(FindingKind::NameConflict), "the old session is not yet found dead");
    timeline.at(40).close_session(1, first);
    timeline.at(1_000);
    assert!(!timeline.is_open(FindingKind::NameConflict));
}

#[test]
fn two_sessions_of_one_boot_are_one_machine() {
    let (mut timeline, _) = running();
    timeline.hello(1);
    timeline.at(1_000);
    assert!(!timeline.is_open(FindingKind::NameConflict));
}

#[test]
fn a_third_session_does_not_postpone_the_alert() {
    let (mut timeline, _) = running();
    timeline.at(10).hello(2);
    for offset in [30, 50, 69] {
        let more = timeline.at(offset).hello(2);
        timeline.close_session(2, more);
    }
    timeline.at(71);
    assert!(timeline.is_open(FindingKind::NameConflict));
}

#[test]
fn the_alert_of_two_machines_ends_with_the_session_of_one() {
    let (mut timeline, first) = running();
    timeline.at(10).hello(2);
    timeline.at(80).store(log(2));
    timeline.at(500);
    assert!(timeline.is_open(FindingKind::NameConflict), "both are still there");
    timeline.close_session(1, first);
    assert!(!timeline.is_open(FindingKind::NameConflict));
}

fn with_conflict() -> Timeline {
    let (mut timeline, _) = running();
    timeline.at(10).hello(2);
    timeline.at(80);
    assert!(timeline.is_open(FindingKind::NameConflict));
    timeline
}

#[test]
fn the_alert_of_two_machines_outlives_the_broker_if_both_come_back() {
    let mut timeline = with_conflict();
    timeline.restart_after(seconds(30));
    timeline.hello(2);
    timeline.hello(1);
    timeline.at(1_000);
    assert!(timeline.is_open(FindingKind::NameConflict));
}

#[test]
fn the_alert_of_two_machines_ends_if_only_one_comes_back_to_the_broker() {
    let mut timeline = with_conflict();
    timeline.restart_after(seconds(30));
    timeline.at(120).hello(2);
    assert!(timeline.is_open(FindingKind::NameConflict), "the other one has 60 s too");
    timeline.at(171);
    assert!(!timeline.is_open(FindingKind::NameConflict));
}

#[test]
fn a_removed_appliance_raises_no_alert() {
    let (mut timeline, session) = running();
    timeline.hello(2);
    let order = crate::grid::log::command::AdminCommand::Remove { name: name(DB1) };
    assert_eq!(timeline.command(order), Ok(DB1));
    timeline.at(200);
    timeline.close_session(1, session);
    timeline.times_out(DB1);
    timeline.at(1_000);
    assert_eq!(timeline.grid().state().findings().count(), 0);
    assert_eq!(timeline.grid().poll_timeout(), None);
}
