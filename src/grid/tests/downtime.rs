//! Tests what follows when the broker was away, or could not work.

use super::super::state::State;
use super::driver::*;
use crate::grid::log::effect::{AlertKind, Effect};
use crate::grid::log::record::{BrokerPause, Input, Record};
use crate::grid::log::time_shift::TimeShift;
use crate::grid::model::settings::ClassSettings;
use crate::grid::values::id::ApplianceIndex;
use crate::grid::values::time::Offset;

#[test]
fn the_brokers_absence_moves_each_deadline() {
    let mut story = Timeline::new();
    story.hello(1);
    story.at(100).restart_after(seconds(180));
    assert_eq!(story.deadline(), Some(480));
    story.at(479);
    assert_eq!(story.state(), "starting");
    story.at(481);
    assert_eq!(story.failure(), "boot_timeout");
}

#[test]
fn one_record_holds_the_absence_and_the_shift_of_all_deadlines() {
    let mut story = Timeline::new();
    story.add(crate::grid::values::id::ApplianceIndex(2));
    story.hello(1);
    let records = story.records.len();
    story.at(100).restart_after(seconds(180));
    assert_eq!(story.records.len(), records + 1);
    let shift = TimeShift::pause(Offset::ahead_by(seconds(180)));
    let moved = Effect::DeadlinesMoved { by: seconds(0), not_before: at(340) };
    assert_eq!(story.last().effects, [Effect::TimeShifted(shift), moved]);
}

#[test]
fn after_an_absence_no_verdict_falls_within_60_s() {
    let mut story = Timeline::new();
    story.hello(1);
    story.store(maintenance(1, 5, "a"));
    story.at(58).restart_after(seconds(1));
    assert_eq!(story.deadline(), Some(119));

    let mut story = Timeline::new();
    story.hello(1);
    story.at(295).restart_after(seconds(2));
    assert_eq!(story.deadline(), Some(357));

    let mut story = Timeline::new();
    story.hello(1);
    story.store(started_ok(1));
    story.crash_dump();
    story.at(899).restart_after(seconds(2));
    assert_eq!(story.deadline(), Some(961));
}

#[test]
fn a_deadline_that_passed_while_nobody_was_there_is_not_judged_at_the_start() {
    let mut story = Timeline::new();
    story.hello(1);
    story.at(100).restart_after(seconds(100_000));
    assert_eq!(story.deadline(), Some(100_300));
    story.at(100_299);
    assert_eq!(story.state(), "starting");
}

#[test]
fn an_absence_moves_the_time_for_progress_but_not_a_verdict_on_it() {
    let mut story = Timeline::new();
    story.hello(1);
    for tick in 0..=91 {
        story.at(tick * 10).store(maintenance(1, 34, "a"));
    }
    assert!(story.is_open(AlertKind::Stuck));
    story.restart_after(seconds(30));
    story.store(maintenance(1, 34, "a"));
    story.at(990);
    assert!(story.is_open(AlertKind::Stuck), "it has not moved, and is not said again");
    let said = story.records.iter().flat_map(|record| &record.effects);
    let stuck = said.filter(|it| matches!(it, Effect::AlertRaised { kind: AlertKind::Stuck, .. }));
    assert_eq!(stuck.count(), 1);
}

#[test]
fn changed_settings_change_no_state_that_was_decided() {
    let mut story = Timeline::new();
    story.hello(1);
    let rules = ClassSettings { boot_timeout: Some(seconds(5)), ..ClassSettings::default() };
    story.at(10).restart_with(seconds(10), one_class(rules));
    assert_eq!(story.deadline(), Some(310), "the next boot has the new limit");
}

#[test]
fn contact_is_expected_again_after_an_absence() {
    let rules = ClassSettings { lost_contact: seconds(20), ..ClassSettings::default() };
    let mut story = Timeline::with(rules);
    story.hello(1);
    story.store(started_ok(1));
    story.at(100).restart_after(seconds(1_000));
    story.at(1_159);
    assert!(!story.is_open(AlertKind::NoContact), "no verdict within 60 s");
    story.at(1_161);
    assert!(story.is_open(AlertKind::NoContact));
}

#[test]
fn who_comes_back_after_an_absence_was_never_lost() {
    let mut story = Timeline::new();
    story.hello(1);
    story.store(started_ok(1));
    story.restart_after(seconds(1_000));
    story.at(1_050).hello(1);
    story.at(10_000);
    assert!(!story.is_open(AlertKind::NoContact));
}

#[test]
fn what_was_heard_before_an_absence_is_a_duplicate_after_it() {
    let mut story = Timeline::new();
    story.store(log(1).numbered(7, 1));
    story.restart_after(seconds(10));
    let (outcome, _) = story.receive(log(1).numbered(7, 1));
    assert_eq!(outcome, crate::grid::log::record::Outcome::Duplicate);
}

#[test]
fn a_stall_moves_each_deadline_by_its_length() {
    let mut story = Timeline::new();
    story.hello(1);
    story.now = at(299);
    story.handle(Input::BrokerPaused { lasted: seconds(40), cause: BrokerPause::ProcessPaused });
    assert_eq!(story.deadline(), Some(340));
}

#[test]
fn a_stall_is_credited_to_contact_too() {
    let mut story = Timeline::new();
    let session = story.hello(1);
    story.store(started_ok(1));
    story.close_session(1, session);
    story.now = at(119);
    story.handle(Input::BrokerPaused { lasted: seconds(40), cause: BrokerPause::ProcessPaused });
    story.at(159);
    assert!(!story.is_open(AlertKind::NoContact));
    story.at(161);
    assert!(story.is_open(AlertKind::NoContact));
}

#[test]
fn a_stop_in_good_order_and_a_first_start_change_nothing() {
    let mut story = Timeline::new();
    story.hello(1);
    story.handle(Input::BrokerStopped);
    assert_eq!((story.last().effects.len(), story.deadline()), (0, Some(300)));
    story.handle(Input::BrokerStarted(crate::grid::log::record::BrokerStarted {
        term: 1,
        version: "0.1.0".into(),
        downtime: None,
        shift: None,
        clock_back: None,
        last_run: crate::grid::log::record::LastRun::Unknown,
        recovery: Vec::new(),
        missing_records: Vec::new(),
        rebuilt_from: None,
    }));
    assert_eq!((story.last().effects.len(), story.deadline()), (0, Some(300)));
}

#[test]
fn a_clock_set_back_does_not_set_records_back() {
    let mut story = Timeline::new();
    story.at(100).hello(1);
    story.now = at(0);
    story.store(log(1));
    assert_eq!(story.last().at, at(100));
}

#[test]
fn absences_of_any_length_are_no_panic() {
    let mut story = Timeline::new();
    let session = story.hello(1);
    story.store(maintenance(1, 5, "a"));
    story.close_session(1, session);
    story.handle(Input::BrokerPaused {
        lasted: std::time::Duration::MAX,
        cause: BrokerPause::ClockJumpedAhead,
    });
    story.restart_after(seconds(300_000_000_000));
    story.store(started_ok(1));
    assert_eq!(story.now, crate::grid::values::time::Timestamp::MAX);
}

#[test]
fn who_was_turned_away_by_a_full_disk_gets_that_time_back_and_60_s_of_grace() {
    let mut story = Timeline::new();
    story.hello(1);
    story.at(10).store(maintenance(1, 34, "checking"));
    story.at(15);
    story.handle(Input::BrokerPaused { lasted: seconds(2), cause: BrokerPause::DiskLow });
    assert_eq!(story.deadline(), Some(75), "60 s from now are later than 70 + 2");
    story.handle(Input::BrokerPaused { lasted: seconds(40), cause: BrokerPause::DiskLow });
    assert_eq!(story.deadline(), Some(115));
}

#[test]
fn appliances_behind_a_gap_keep_their_rows_and_nobody_takes_them_over() {
    let mut story = Timeline::new();
    let rows = [ApplianceIndex(2), ApplianceIndex(3)];
    rows.into_iter().for_each(|row| story.add(row));
    let appearing = |record: &&Record| matches!(&record.effects[..], [Effect::Appliance { number, .. }] if *number == rows[0]);
    let lost = story.records.iter().find(appearing).expect("it appeared").number;
    let mut state = State::default();
    for record in story.records.iter().filter(|record| record.number != lost) {
        state.replay(record);
    }
    assert_eq!(state.find(&name(rows[0])), None, "it lay in the gap");
    assert_eq!(state.find(&name(rows[1])), Some(rows[1]));
    assert_eq!(state.appliance(rows[1]).map(|it| it.name.clone()), Some(name(rows[1])));
    assert_eq!(state.next_number(), ApplianceIndex(4));
    let again = State::from_effects(&state.to_effects(), state.last(), state.last_at());
    assert_eq!(again, state);
}
