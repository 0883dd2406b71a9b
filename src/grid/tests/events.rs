//! Tests the outcomes of events in every state.

use super::driver::*;
use crate::grid::log::command::AdminCommand;
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::input::{Input, SessionHello};
use crate::grid::model::finding::FindingKind;
use crate::grid::values::event::{EventBody, Severity};
use crate::grid::values::id::{ApplianceIndex, SessionId, SpoolId};
use crate::grid::values::outcome::{EventRejection, Outcome};
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;

#[test]
fn log_and_alert_are_stored_in_every_state() {
    let mut timeline = Timeline::new();
    let both = |timeline: &mut Timeline| {
        let state = timeline.db1().lifecycle.clone();
        timeline.store(log(1));
        let text = format!("hot while {}", state.as_str());
        timeline.store(new_event(1, EventBody::Alert { counter: None }, &text));
        assert_eq!(timeline.db1().lifecycle, state);
    };
    timeline.hello(1);
    both(&mut timeline);
    timeline.store(maintenance(1, 5, "a"));
    both(&mut timeline);
    timeline.at(200);
    assert_eq!(timeline.failure(), "hung");
    both(&mut timeline);
    timeline.at(2_000).store(started_ok(1));
    both(&mut timeline);
    timeline.crash_dump();
    both(&mut timeline);
    timeline.stop();
    both(&mut timeline);
}

#[test]
fn duplicates_by_boot_spool_and_sequence_leave_no_record() {
    let mut timeline = Timeline::new();
    timeline.store(log(1).numbered(7, 1));
    let records = timeline.records.len();
    assert_eq!(timeline.receive(log(1).numbered(7, 1)), (Outcome::Duplicate, RecordFlags::NONE));
    let spooled = log(1).numbered(7, 1).spooled(at(0));
    assert_eq!(timeline.receive(spooled).0, Outcome::Duplicate, "by whichever way it comes again");
    assert_eq!(timeline.records.len(), records);
    timeline.store(log(1).numbered(7, 2));
    timeline.store(log(1).numbered(8, 1));
    assert_eq!(
        timeline.receive(log(2).numbered(7, 1)).0,
        Outcome::Stored,
        "another boot counts anew"
    );
}

#[test]
fn events_of_a_spool_stay_known_after_many_calls_without_a_spool() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.store(log(1).numbered(7, 1));
    // Recorded, but the acknowledgement is lost.
    timeline.at(1).store(new_event(1, EventBody::StartedOk, "").numbered(7, 2));
    for call in 1..=100 {
        let text = format!("call {call}");
        let said = new_event(1, EventBody::Log, &text).numbered(1_000 + call, 1);
        assert_ne!(timeline.at(2 + call / 10).receive(said).0, Outcome::Duplicate);
    }
    let spool = std::num::NonZeroU64::new(7).map(SpoolId).expect("a spool");
    assert!(
        timeline.db1().windows.contains_spool(boot(1), spool),
        "no hello of its agent resets it"
    );
    assert_eq!(timeline.receive(started_ok(1).numbered(7, 2)).0, Outcome::Duplicate);
    assert_eq!(
        timeline.receive(log(1).numbered(1_100, 1)).0,
        Outcome::Duplicate,
        "the newest as well"
    );
    timeline.restart_after(seconds(60));
    assert_eq!(timeline.receive(started_ok(1).numbered(7, 2)).0, Outcome::Duplicate);
    assert_eq!(timeline.receive(log(1).numbered(7, 1)).0, Outcome::Duplicate);
}

#[test]
fn an_event_without_a_boot_counts_to_the_present_one() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.store(started_ok(0).numbered(7, 1));
    assert_eq!(timeline.state(), "running");
    assert_eq!(timeline.receive(started_ok(1).numbered(7, 1)).0, Outcome::Duplicate);
}

#[test]
fn events_without_a_number_are_never_duplicates() {
    let mut timeline = Timeline::new();
    for _ in 0..3 {
        timeline.store(log(1));
    }
}

#[test]
fn the_refused_and_the_historic_are_duplicates_when_they_come_again() {
    let mut timeline = Timeline::new();
    timeline.hello(2);
    timeline.store(started_ok(2));
    let refused = start_failed(2, "x").numbered(7, 1);
    assert_eq!(
        timeline.receive(refused.clone()).0,
        Outcome::Rejected(EventRejection::AlreadyRunning)
    );
    assert_eq!(timeline.receive(refused).0, Outcome::Duplicate);
    let historic = log(1).numbered(7, 1).spooled(at(0));
    assert_eq!(timeline.receive(historic.clone()).0, Outcome::OlderBoot);
    assert_eq!(timeline.receive(historic).0, Outcome::Duplicate);
}

#[test]
fn refused_events_leave_a_record_and_change_nothing() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.store(started_ok(1));
    let records = timeline.records.len();
    let before = timeline.db1().clone();
    timeline.at(5).receive(maintenance(1, 3, "y"));
    assert_eq!(timeline.records.len(), records + 1);
    let record = timeline.last();
    assert_eq!(record.outcome, Outcome::Rejected(EventRejection::AlreadyRunning));
    let spends = |effect: &Effect| {
        matches!(effect.of_appliance(), Some(ApplianceEffect::RateLimitState { .. }))
    };
    assert!(record.effects.iter().all(spends));
    let mut after = timeline.db1().clone();
    (after.last_event_at, after.last_record) = (before.last_event_at, before.last_record);
    after.usage = before.usage.clone();
    assert_eq!(after, before);
}

#[test]
fn event_times_far_off_are_stored_and_flagged() {
    let mut timeline = Timeline::new();
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
        let flags = timeline.store(log(1).with_event_time(time));
        assert_eq!(flags.contains(RecordFlags::TIME_OFF), is_off, "{time:?}");
    }
}

#[test]
fn a_truncated_text_is_flagged() {
    let mut timeline = Timeline::new();
    let flags = timeline.store(new_event(1, EventBody::Log, &"x".repeat(5_000)));
    assert_eq!(flags, RecordFlags::TEXT_CUT);
}

#[test]
fn a_record_contains_the_input_as_received() {
    let mut timeline = Timeline::new();
    let said = log(1).numbered(7, 3).with_event_time(at(0)).spooled(at(0)).marked_as_repeat();
    timeline.receive(said.clone());
    assert_eq!(timeline.last().input, Input::Event(said.0.into()));
}

#[test]
fn events_of_the_removed_are_refused_without_a_record() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    assert_eq!(timeline.command(AdminCommand::Remove { name: name(DB1) }), Ok(DB1));
    let before = timeline.records.len();
    assert_eq!(timeline.receive(log(1)).0, Outcome::Rejected(EventRejection::Removed));
    assert_eq!(timeline.records.len(), before, "it could say so for ever");
    assert_eq!(timeline.grid().state().appliances().count(), 0);
}

#[test]
fn an_unknown_name_is_registered_once() {
    let mut timeline = Timeline::new();
    let row = ApplianceIndex(2);
    let appeared = |uuid| Input::Registered { name: name(row), uuid: uuid::Uuid::from_u128(uuid) };
    timeline.handle(appeared(5));
    assert_eq!(timeline.grid().state().find(&name(row)), Some(row));
    assert!(timeline.handle(appeared(6)).record.is_none(), "of two at once, one is first");
    let uuid = timeline.grid().state().appliance(row).map(|appliance| appliance.uuid);
    assert_eq!(uuid, Some(uuid::Uuid::from_u128(5)));
}

#[test]
fn acknowledgements_for_events_that_are_not_known_raise_a_fatal_alert_once() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.store(log(1).numbered(9, 57));
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
    assert_eq!(timeline.handle(hello(57, SessionId(90))).record, None, "all of it is known");
    timeline.handle(hello(70, SessionId(91)));
    let alert =
        timeline.grid().state().finding(None, FindingKind::RecordsMissing).expect("is open");
    assert_eq!(alert.severity, Severity::Fatal);
    assert_eq!(&*alert.text, "events 58 to 70 of db1 were acknowledged and are missing");
    assert_eq!(timeline.handle(hello(70, SessionId(92))).record, None, "it is told already");
}

#[test]
fn a_forgotten_spool_is_no_loss() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.store(log(1).numbered(9, 57));
    for other in 100..200 {
        timeline.receive(log(1).numbered(other, 2));
    }
    let (appliance, boot, uptime) = (DB1, boot(1), None);
    let spool = std::num::NonZeroU64::new(9).map(SpoolId);
    assert!(!timeline.db1().windows.contains_spool(boot, spool.expect("a spool")));
    let (acked_through, is_transient, session) = (57, false, SessionId(90));
    let hello =
        SessionHello { appliance, boot, uptime, spool, acked_through, is_transient, session };
    assert_eq!(timeline.handle(Input::Hello(hello)).record, None);
    assert!(timeline.grid().state().finding(None, FindingKind::RecordsMissing).is_none());
}
