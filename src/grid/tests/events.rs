//! Tests the outcome of events in every state.

use super::driver::*;
use crate::grid::log::effect::{AlertKind, Effect};
use crate::grid::log::record::{AdminCommand, Input, Outcome, SessionHello, SessionId};
use crate::grid::model::lifecycle::EventRejection;
use crate::grid::values::event::{EventBody, Severity};
use crate::grid::values::id::{ApplianceIndex, SpoolId};
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;

#[test]
fn log_and_alert_are_taken_in_every_state() {
    let mut story = Timeline::new();
    let both = |story: &mut Timeline| {
        let state = story.db1().lifecycle.clone();
        story.store(log(1));
        let text = format!("hot while {}", state.as_str());
        story.store(new_event(1, EventBody::Alert { counter: None }, &text));
        assert_eq!(story.db1().lifecycle, state);
    };
    story.hello(1);
    both(&mut story);
    story.store(maintenance(1, 5, "a"));
    both(&mut story);
    story.at(200);
    assert_eq!(story.failure(), "hung");
    both(&mut story);
    story.at(2_000).store(started_ok(1));
    both(&mut story);
    story.crash_dump();
    both(&mut story);
    story.stop();
    both(&mut story);
}

#[test]
fn duplicates_by_boot_spool_and_sequence_leave_no_record() {
    let mut story = Timeline::new();
    story.store(log(1).numbered(7, 1));
    let records = story.records.len();
    assert_eq!(story.receive(log(1).numbered(7, 1)), (Outcome::Duplicate, RecordFlags::NONE));
    let spooled = log(1).numbered(7, 1).spooled(at(0));
    assert_eq!(story.receive(spooled).0, Outcome::Duplicate, "by whichever way it comes again");
    assert_eq!(story.records.len(), records);
    story.store(log(1).numbered(7, 2));
    story.store(log(1).numbered(8, 1));
    assert_eq!(story.receive(log(2).numbered(7, 1)).0, Outcome::Stored, "another boot counts anew");
}

#[test]
fn what_a_spool_said_is_known_though_many_calls_without_a_spool_come_between() {
    let mut story = Timeline::new();
    story.hello(1);
    story.store(log(1).numbered(7, 1));
    // Recorded, but the answer is lost on its way.
    story.at(1).store(new_event(1, EventBody::StartedOk, "").numbered(7, 2));
    for call in 1..=100 {
        let text = format!("call {call}");
        let said = new_event(1, EventBody::Log, &text).numbered(1_000 + call, 1);
        assert_ne!(story.at(2 + call / 10).receive(said).0, Outcome::Duplicate);
    }
    let spool = std::num::NonZeroU64::new(7).map(SpoolId).expect("a spool");
    assert!(story.db1().windows.contains_spool(boot(1), spool), "no hello of its agent resets it");
    assert_eq!(story.receive(started_ok(1).numbered(7, 2)).0, Outcome::Duplicate);
    assert_eq!(
        story.receive(log(1).numbered(1_100, 1)).0,
        Outcome::Duplicate,
        "the newest as well"
    );
    story.restart_after(seconds(60));
    assert_eq!(story.receive(started_ok(1).numbered(7, 2)).0, Outcome::Duplicate);
    assert_eq!(story.receive(log(1).numbered(7, 1)).0, Outcome::Duplicate);
}

#[test]
fn an_event_without_a_boot_counts_to_the_present_one() {
    let mut story = Timeline::new();
    story.hello(1);
    story.store(started_ok(0).numbered(7, 1));
    assert_eq!(story.state(), "running");
    assert_eq!(story.receive(started_ok(1).numbered(7, 1)).0, Outcome::Duplicate);
}

#[test]
fn events_without_a_number_are_never_duplicates() {
    let mut story = Timeline::new();
    for _ in 0..3 {
        story.store(log(1));
    }
}

#[test]
fn the_refused_and_the_historic_are_duplicates_when_they_come_again() {
    let mut story = Timeline::new();
    story.hello(2);
    story.store(started_ok(2));
    let refused = start_failed(2, "x").numbered(7, 1);
    assert_eq!(story.receive(refused.clone()).0, Outcome::Rejected(EventRejection::AlreadyRunning));
    assert_eq!(story.receive(refused).0, Outcome::Duplicate);
    let historic = log(1).numbered(7, 1).spooled(at(0));
    assert_eq!(story.receive(historic.clone()).0, Outcome::OlderBoot);
    assert_eq!(story.receive(historic).0, Outcome::Duplicate);
}

#[test]
fn refused_events_leave_a_record_and_change_nothing() {
    let mut story = Timeline::new();
    story.hello(1);
    story.store(started_ok(1));
    let records = story.records.len();
    let before = story.db1().clone();
    story.at(5).receive(maintenance(1, 3, "y"));
    assert_eq!(story.records.len(), records + 1);
    let record = story.last();
    assert_eq!(record.outcome, Outcome::Rejected(EventRejection::AlreadyRunning));
    let spends = |effect: &Effect| matches!(effect, Effect::RateLimitState { .. });
    assert!(record.effects.iter().all(spends));
    let mut after = story.db1().clone();
    (after.last_event_at, after.last_record) = (before.last_event_at, before.last_record);
    after.usage = before.usage.clone();
    assert_eq!(after, before);
}

#[test]
fn event_times_far_off_are_kept_and_marked() {
    let mut story = Timeline::new();
    let day = 24 * 3_600;
    for (time, is_off) in [
        (at(0), false),
        (at(300), false),
        (at(301), true),
        (at(0).before(seconds(30 * day)), false),
        (at(0).before(seconds(30 * day + 1)), true),
        (Timestamp::MIN, true),
        (Timestamp::MAX, true),
    ] {
        let marks = story.store(log(1).with_event_time(time));
        assert_eq!(marks.contains(RecordFlags::TIME_OFF), is_off, "{time:?}");
    }
}

#[test]
fn a_text_that_was_cut_is_marked() {
    let mut story = Timeline::new();
    let marks = story.store(new_event(1, EventBody::Log, &"x".repeat(5_000)));
    assert_eq!(marks, RecordFlags::TEXT_CUT);
}

#[test]
fn a_record_holds_the_input_as_received() {
    let mut story = Timeline::new();
    let said = log(1).numbered(7, 3).with_event_time(at(0)).spooled(at(0)).marked_as_repeat();
    story.receive(said.clone());
    assert_eq!(story.last().input, Input::Event(said.0));
}

#[test]
fn events_of_the_removed_are_refused_without_a_record() {
    let mut story = Timeline::new();
    story.hello(1);
    assert_eq!(story.command(AdminCommand::Remove { name: name(DB1) }), Ok(DB1));
    let before = story.records.len();
    assert_eq!(story.receive(log(1)).0, Outcome::Rejected(EventRejection::Removed));
    assert_eq!(story.records.len(), before, "it could say so for ever");
    assert_eq!(story.grid().state().appliances().count(), 0);
}

#[test]
fn a_name_that_appears_is_taken_in_once() {
    let mut story = Timeline::new();
    let row = ApplianceIndex(2);
    let appeared = |uuid| Input::Registered { name: name(row), uuid: uuid::Uuid::from_u128(uuid) };
    story.handle(appeared(5));
    assert_eq!(story.grid().state().find(&name(row)), Some(row));
    assert!(story.handle(appeared(6)).record.is_none(), "of two at once, one is first");
    let uuid = story.grid().state().appliance(row).map(|appliance| appliance.uuid);
    assert_eq!(uuid, Some(uuid::Uuid::from_u128(5)));
}

#[test]
fn acknowledgements_for_events_that_are_not_known_raise_a_fatal_alert_once() {
    let mut story = Timeline::new();
    story.hello(1);
    story.store(log(1).numbered(9, 57));
    let spool = std::num::NonZeroU64::new(9).map(SpoolId);
    let hello = |acked_through, session| {
        let (appliance, boot, uptime) = (DB1, boot(1), None);
        Input::Hello(SessionHello {
            appliance,
            boot,
            uptime,
            spool,
            acked_through,
            is_transient: false,
            session,
        })
    };
    assert_eq!(story.handle(hello(57, SessionId(90))).record, None, "all of it is known");
    story.handle(hello(70, SessionId(91)));
    let alert = story.grid().state().alert(None, AlertKind::RecordsMissing).expect("is open");
    assert_eq!(alert.severity, Severity::Fatal);
    assert_eq!(&*alert.text, "events 58 to 70 of db1 were acknowledged and are missing");
    assert_eq!(story.handle(hello(70, SessionId(92))).record, None, "it is told already");
}

#[test]
fn a_spool_that_is_forgotten_is_no_loss() {
    let mut story = Timeline::new();
    story.hello(1);
    story.store(log(1).numbered(9, 57));
    for other in 100..200 {
        story.receive(log(1).numbered(other, 2));
    }
    let (appliance, boot, uptime) = (DB1, boot(1), None);
    let spool = std::num::NonZeroU64::new(9).map(SpoolId);
    assert!(!story.db1().windows.contains_spool(boot, spool.expect("a spool")));
    let (acked_through, is_transient, session) = (57, false, SessionId(90));
    let hello =
        SessionHello { appliance, boot, uptime, spool, acked_through, is_transient, session };
    assert_eq!(story.handle(Input::Hello(hello)).record, None);
    assert!(story.grid().state().alert(None, AlertKind::RecordsMissing).is_none());
}
