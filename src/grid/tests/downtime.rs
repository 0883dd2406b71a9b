//! Tests downtimes and pauses of the broker.

use super::super::state::State;
use super::driver::*;
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::input::{BrokerPause, Input};
use crate::grid::log::record::Record;
use crate::grid::log::time_shift::TimeShift;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::settings::ClassSettings;
use crate::grid::values::id::ApplianceIndex;
use crate::grid::values::time::Offset;

#[test]
fn a_downtime_moves_each_deadline() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(100).restart_after(seconds(180));
    assert_eq!(timeline.deadline(), Some(480));
    timeline.at(479);
    assert_eq!(timeline.state(), "starting");
    timeline.at(481);
    assert_eq!(timeline.failure(), "boot_timeout");
}

#[test]
fn one_record_has_the_downtime_and_the_shift_of_all_deadlines() {
    let mut timeline = Timeline::new();
    timeline.add(crate::grid::values::id::ApplianceIndex(2));
    timeline.hello(1);
    let records = timeline.records.len();
    timeline.at(100).restart_after(seconds(180));
    assert_eq!(timeline.records.len(), records + 1);
    let shift = TimeShift::pause(Offset::ahead_by(seconds(180)));
    let moved = Effect::DeadlinesMoved { by: seconds(0), not_before: at(340) };
    assert_eq!(timeline.last().effects, [Effect::TimeShifted(shift), moved]);
}

#[test]
fn after_a_downtime_no_deadline_fires_within_60_s() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.store(maintenance(1, 5, "a"));
    timeline.at(58).restart_after(seconds(1));
    assert_eq!(timeline.deadline(), Some(119));

    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(295).restart_after(seconds(2));
    assert_eq!(timeline.deadline(), Some(357));

    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.store(started_ok(1));
    timeline.crash_dump();
    timeline.at(899).restart_after(seconds(2));
    assert_eq!(timeline.deadline(), Some(961));
}

#[test]
fn a_deadline_that_passed_in_a_downtime_does_not_fire_at_the_start() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(100).restart_after(seconds(100_000));
    assert_eq!(timeline.deadline(), Some(100_300));
    timeline.at(100_299);
    assert_eq!(timeline.state(), "starting");
}

#[test]
fn a_downtime_moves_the_stuck_deadline_but_not_its_alert() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    for tick in 0..=91 {
        timeline.at(tick * 10).store(maintenance(1, 34, "a"));
    }
    assert!(timeline.is_open(FindingKind::Stuck));
    timeline.restart_after(seconds(30));
    timeline.store(maintenance(1, 34, "a"));
    timeline.at(990);
    assert!(timeline.is_open(FindingKind::Stuck), "it has not moved, and is not said again");
    let said = timeline.records.iter().flat_map(|record| &record.effects);
    let stuck =
        said.filter(|it| matches!(it, Effect::FindingRaised { kind: FindingKind::Stuck, .. }));
    assert_eq!(stuck.count(), 1);
}

#[test]
fn changed_settings_change_no_state_that_was_decided() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    let rules = ClassSettings { boot_timeout: Some(seconds(5)), ..ClassSettings::default() };
    timeline.at(10).restart_with(seconds(10), one_class(rules));
    assert_eq!(timeline.deadline(), Some(310), "the next boot has the new limit");
}

#[test]
fn contact_is_expected_again_after_a_downtime() {
    let rules = ClassSettings { lost_contact: seconds(20), ..ClassSettings::default() };
    let mut timeline = Timeline::with(rules);
    timeline.hello(1);
    timeline.store(started_ok(1));
    timeline.at(100).restart_after(seconds(1_000));
    timeline.at(1_159);
    assert!(!timeline.is_open(FindingKind::NoContact), "no verdict within 60 s");
    timeline.at(1_161);
    assert!(timeline.is_open(FindingKind::NoContact));
}

#[test]
fn an_appliance_back_after_a_downtime_never_lost_contact() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.store(started_ok(1));
    timeline.restart_after(seconds(1_000));
    timeline.at(1_050).hello(1);
    timeline.at(10_000);
    assert!(!timeline.is_open(FindingKind::NoContact));
}

#[test]
fn an_event_received_before_a_downtime_is_a_duplicate_after_it() {
    let mut timeline = Timeline::new();
    timeline.store(log(1).numbered(7, 1));
    timeline.restart_after(seconds(10));
    let (outcome, _) = timeline.receive(log(1).numbered(7, 1));
    assert_eq!(outcome, crate::grid::values::outcome::Outcome::Duplicate);
}

#[test]
fn a_pause_moves_each_deadline_by_its_length() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.now = at(299);
    timeline.handle(Input::BrokerPaused { lasted: seconds(40), cause: BrokerPause::ProcessPaused });
    assert_eq!(timeline.deadline(), Some(340));
}

#[test]
fn a_pause_extends_contact_too() {
    let mut timeline = Timeline::new();
    let session = timeline.hello(1);
    timeline.store(started_ok(1));
    timeline.close_session(1, session);
    timeline.now = at(119);
    timeline.handle(Input::BrokerPaused { lasted: seconds(40), cause: BrokerPause::ProcessPaused });
    timeline.at(159);
    assert!(!timeline.is_open(FindingKind::NoContact));
    timeline.at(161);
    assert!(timeline.is_open(FindingKind::NoContact));
}

#[test]
fn a_clean_stop_and_a_first_start_change_nothing() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.handle(Input::BrokerStopped);
    assert_eq!((timeline.last().effects.len(), timeline.deadline()), (0, Some(300)));
    timeline.handle(Input::BrokerStarted(crate::grid::log::input::BrokerStarted {
        term: 1,
        version: "0.1.0".into(),
        downtime: None,
        shift: None,
        clock_back: None,
        last_run: crate::grid::log::input::LastRun::Unknown,
        recovery: Vec::new(),
        missing_records: Vec::new(),
        rebuilt_from: None,
    }));
    assert_eq!((timeline.last().effects.len(), timeline.deadline()), (0, Some(300)));
}

#[test]
fn a_clock_set_back_does_not_set_records_back() {
    let mut timeline = Timeline::new();
    timeline.at(100).hello(1);
    timeline.now = at(0);
    timeline.store(log(1));
    assert_eq!(timeline.last().at, at(100));
}

#[test]
fn downtimes_of_any_length_do_not_panic() {
    let mut timeline = Timeline::new();
    let session = timeline.hello(1);
    timeline.store(maintenance(1, 5, "a"));
    timeline.close_session(1, session);
    timeline.handle(Input::BrokerPaused {
        lasted: std::time::Duration::MAX,
        cause: BrokerPause::ClockJumpedAhead,
    });
    timeline.restart_after(seconds(300_000_000_000));
    timeline.store(started_ok(1));
    assert_eq!(timeline.now, crate::grid::values::time::Timestamp::MAX);
}

#[test]
fn after_a_full_disk_deadlines_are_extended_with_60_s_of_grace() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(10).store(maintenance(1, 34, "checking"));
    timeline.at(15);
    timeline.handle(Input::BrokerPaused { lasted: seconds(2), cause: BrokerPause::DiskLow });
    assert_eq!(timeline.deadline(), Some(75), "60 s from now are later than 70 + 2");
    timeline.handle(Input::BrokerPaused { lasted: seconds(40), cause: BrokerPause::DiskLow });
    assert_eq!(timeline.deadline(), Some(115));
}

#[test]
fn appliances_after_a_gap_keep_their_numbers_and_none_is_reused() {
    let mut timeline = Timeline::new();
    let rows = [ApplianceIndex(2), ApplianceIndex(3)];
    rows.into_iter().for_each(|row| timeline.add(row));
    let appearing = |record: &&Record| matches!(&record.effects[..], [Effect::Appliance { number, change: ApplianceEffect::Registered { .. } }] if *number == rows[0]);
    let lost = timeline.records.iter().find(appearing).expect("it appeared").number;
    let mut state = State::default();
    for record in timeline.records.iter().filter(|record| record.number != lost) {
        state.replay(record);
    }
    assert_eq!(state.find(&name(rows[0])), None, "it lay in the gap");
    assert_eq!(state.find(&name(rows[1])), Some(rows[1]));
    assert_eq!(state.appliance(rows[1]).map(|it| it.name.clone()), Some(name(rows[1])));
    assert_eq!(state.next_number(), ApplianceIndex(4));
    let again = State::from_effects(&state.to_effects(), state.last(), state.last_at());
    assert_eq!(again, state);
}
