//! Tests that nothing pending fires, waits or is lost because the wall clock is wrong.

use std::time::Duration;

use super::super::driver::Driver;
use super::super::occurrence::Occurrence;
use super::driver::*;
use crate::grid::log::effect::Effect;
use crate::grid::log::input::{BrokerStarted, Input, LastRun};
use crate::grid::log::time_shift::TimeShift;
use crate::grid::log::wall_clock_change::WallClockChange;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::model::mail_message::{Delivery, DeliveryState};
use crate::grid::model::settings::{
    ClassSettings, DEFAULT_CLASS, GridSettings, MAIL_TRIGGERS, MailPolicy,
};
use crate::grid::values::event::EventBody;
use crate::grid::values::outcome::Outcome;
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::{Offset, Timestamp};

const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;

/// How far a clock may be wrong, in seconds.
const CLOCK_ERRORS: [i64; 8] = [90, -90, DAY, -DAY, YEAR, -YEAR, 20 * YEAR, -20 * YEAR];

fn with_mail() -> Timeline {
    let recipients = vec!["anna@example.org".into()];
    let on = MAIL_TRIGGERS.iter().copied().collect();
    let rules = ClassSettings::default();
    let mail = MailPolicy { recipients, triggers: on, ..MailPolicy::default() };
    let settings = GridSettings::new([(DEFAULT_CLASS.to_owned(), rules)]).with_mail(Some(mail));
    let mut timeline = Timeline::empty(settings);
    timeline.add(DB1);
    timeline
}

/// An immediate restart by a clock that is that many seconds off the journal.
fn restart_with_clock_off(timeline: &mut Timeline, seconds: i64) {
    let by = Offset::from_micros(seconds * 1_000_000);
    let settings = timeline.grid().settings().clone();
    let state = timeline.grid().state().clone();
    timeline.now = timeline.now.shifted_by(by);
    let from = if by.is_ahead() { Timestamp::MAX } else { Timestamp::MIN };
    timeline.driver = Driver::new(super::super::Grid::new(state, settings, timeline.now));
    timeline.handle(Input::BrokerStarted(BrokerStarted {
        term: 2,
        version: "0.1.0".into(),
        downtime: Some(by.ahead()),
        shift: Some(TimeShift { by, from }),
        clock_back: None,
        last_run: LastRun::Stopped,
        recovery: Vec::new(),
        missing_records: Vec::new(),
        rebuilt_from: None,
    }));
}

fn wait(timeline: &mut Timeline, length: u64) {
    timeline.advance_to(timeline.now.after(seconds(length)));
}

#[test]
fn a_boot_deadline_fires_in_its_time_however_the_clock_is_set_meanwhile() {
    for by in CLOCK_ERRORS {
        let mut timeline = Timeline::new();
        timeline.hello(1);
        wait(&mut timeline, 100);
        timeline.set_clock(by);
        wait(&mut timeline, 3);
        assert_eq!(timeline.state(), "starting", "by {by} s");
        timeline.set_clock(-by);
        wait(&mut timeline, 190);
        assert_eq!(timeline.state(), "starting", "by {by} s");
        wait(&mut timeline, 8);
        assert_eq!(timeline.failure(), "boot_timeout", "by {by} s");
        let late = timeline.db1().since.since(at(300));
        assert!(late < seconds(1) && timeline.db1().since >= at(300), "at its time, by {by} s");
        let told = state_text(&timeline);
        assert!(told.contains("no report within 300 s"), "{told}");
    }
}

fn state_text(timeline: &Timeline) -> String {
    let clock = |at: Timestamp| at.as_micros().to_string();
    super::super::explain::describe_state(timeline.db1(), timeline.now).render(clock)
}

#[test]
fn a_report_deadline_survives_a_clock_that_is_set_for_good() {
    for by in CLOCK_ERRORS {
        let mut timeline = Timeline::new();
        timeline.hello(1);
        timeline.store(maintenance(1, 34, "checking"));
        wait(&mut timeline, 30);
        timeline.set_clock(by);
        wait(&mut timeline, 29);
        assert_eq!(timeline.state(), "maintenance", "by {by} s");
        timeline.store(maintenance(1, 35, "checking"));
        wait(&mut timeline, 61);
        assert_eq!(timeline.failure(), "hung", "by {by} s");
        assert!(state_text(&timeline).starts_with("failed: hung"), "{}", state_text(&timeline));
    }
}

#[test]
fn a_waiting_mail_neither_fails_nor_waits_longer() {
    for by in CLOCK_ERRORS {
        for restarts in [false, true] {
            let mut timeline = with_mail();
            timeline.hello(1);
            timeline.store(new_event(1, EventBody::Alert { counter: None }, "disk is full"));
            wait(&mut timeline, 31);
            let message =
                timeline.grid().state().outbox().messages.values().next().unwrap().clone();
            assert_eq!(message.state, DeliveryState::InFlight);
            let delivery = Delivery::Deferred("451 later".into());
            let (message, attempt) = (message.number, message.attempts);
            timeline.handle(Input::MailDelivery { message, attempt, delivery: delivery.clone() });
            if restarts {
                restart_with_clock_off(&mut timeline, by)
            } else {
                timeline.set_clock(by)
            }
            wait(&mut timeline, 61);
            let tried = timeline.grid().state().outbox().message(message).unwrap().clone();
            assert_eq!((tried.state, tried.attempts), (DeliveryState::InFlight, 2), "by {by} s");
            timeline.handle(Input::MailDelivery { message, attempt: 2, delivery });
            let waits = timeline.grid().state().outbox().message(message).unwrap();
            assert_eq!(waits.state, DeliveryState::Waiting, "not given up, by {by} s");
            assert_eq!(waits.due_at, timeline.now.after(seconds(120)), "by {by} s");
        }
    }
}

#[test]
fn a_suppression_and_a_run_of_repeats_continue_unchanged() {
    for by in CLOCK_ERRORS {
        let mut timeline = Timeline::new();
        timeline.hello(1);
        timeline.store(started_ok(1));
        let alert = || new_event(1, EventBody::Alert { counter: None }, "disk is full");
        timeline.store(alert());
        for _ in 0..300 {
            timeline.receive(log(1));
        }
        assert!(timeline.db1().usage.suppression.is_some());
        wait(&mut timeline, 10);
        timeline.set_clock(by);
        assert_eq!(timeline.receive(alert()).0, Outcome::Repeated, "by {by} s");
        wait(&mut timeline, 45);
        assert!(timeline.db1().usage.suppression.is_some(), "by {by} s");
        wait(&mut timeline, 10);
        assert!(timeline.db1().usage.suppression.is_none(), "by {by} s");
    }
}

#[test]
fn three_failures_are_flapping_for_24_h_that_were_lived_through() {
    for by in [YEAR, -YEAR, 20 * YEAR] {
        for restarts in [false, true] {
            let mut timeline = Timeline::new();
            for n in 1..=3 {
                timeline.hello(n);
                timeline.store(start_failed(n, "no disk"));
            }
            assert!(timeline.is_open(FindingKind::Flapping));
            timeline.hello(4);
            timeline.store(started_ok(4));
            if restarts {
                restart_with_clock_off(&mut timeline, by)
            } else {
                timeline.set_clock(by)
            }
            wait(&mut timeline, 23 * 3_600);
            assert!(timeline.is_open(FindingKind::Flapping), "by {by} s");
            wait(&mut timeline, 3_700);
            assert!(!timeline.is_open(FindingKind::Flapping), "by {by} s");
        }
    }
}

#[test]
fn a_new_boot_is_new_though_the_clock_was_set_back_or_the_machine_stood_still() {
    for by in CLOCK_ERRORS {
        let mut timeline = Timeline::new();
        timeline.hello(1);
        timeline.store(started_ok(1));
        wait(&mut timeline, 300);
        timeline.set_clock(by);
        // A machine suspended for a day looks the same: this boot began within it.
        let up = if by > 0 { u64::try_from(by).unwrap() - 10 } else { 5 };
        timeline.hello_of(DB1, 2, Some(seconds(up)));
        assert_eq!(timeline.db1().boot_id(), Some(boot(2)), "by {by} s");
    }
}

#[test]
fn contact_is_lost_in_its_time_and_not_by_a_clock() {
    for by in CLOCK_ERRORS {
        let mut timeline = Timeline::new();
        let session = timeline.hello(1);
        timeline.store(started_ok(1));
        timeline.close_session(1, session);
        wait(&mut timeline, 60);
        timeline.set_clock(by);
        wait(&mut timeline, 50);
        assert!(!timeline.is_open(FindingKind::NoContact), "by {by} s");
        wait(&mut timeline, 20);
        assert!(timeline.is_open(FindingKind::NoContact), "by {by} s");
    }
}

#[test]
fn a_start_by_a_wrong_clock_fails_nothing_and_past_times_stay() {
    for by in [DAY, YEAR, 20 * YEAR] {
        let mut timeline = Timeline::new();
        timeline.hello(1);
        timeline.store(maintenance(1, 34, "checking"));
        restart_with_clock_off(&mut timeline, by);
        assert_eq!(
            timeline.db1().boot.unwrap().began_at,
            at(0),
            "that was by a clock that was right"
        );
        wait(&mut timeline, 58);
        assert_eq!(timeline.state(), "maintenance");
        let Lifecycle::Maintenance(known) = &timeline.db1().lifecycle else {
            panic!("maintenance")
        };
        assert_eq!(known.reported_at, at(0));
        // Right again: only times given since then are shifted.
        let by = Offset::from_micros(-by * 1_000_000);
        let from = timeline.now.before(seconds(58));
        timeline.store(maintenance(1, 35, "checking"));
        timeline.now = timeline.now.shifted_by(by);
        let shift = TimeShift { by, from };
        timeline.handle(Input::WallClock(WallClockChange::Followed { shift, is_confirmed: true }));
        assert_eq!(timeline.db1().boot.unwrap().began_at, at(0));
        assert_eq!(timeline.deadline(), Some(58 + 60));
    }
}

#[test]
fn an_alert_is_open_while_the_clocks_differ_and_a_start_closes_it() {
    let mut timeline = Timeline::new();
    let is_open = |timeline: &Timeline| {
        timeline
            .grid()
            .state()
            .finding(None, FindingKind::ClockDiffers)
            .map(|it| it.text.to_string())
    };
    let by = Offset::from_micros(YEAR * 1_000_000);
    timeline.handle(Input::WallClock(WallClockChange::Differs { by }));
    let words = "the wall clock of this machine is 365 d ahead of broker time, which continues by \
                 itself and follows only if that stays so; check whether the clock is right";
    assert_eq!((is_open(&timeline).as_deref(), &*timeline.description()), (Some(words), words));
    timeline.handle(Input::WallClock(WallClockChange::Agrees));
    assert_eq!(is_open(&timeline), None);
    timeline.handle(Input::WallClock(WallClockChange::Differs { by }));
    timeline.set_clock(YEAR);
    assert_eq!(is_open(&timeline), None);
    assert_eq!(
        timeline.description(),
        "the wall clock was set ahead by 365 d; broker time follows, with all pending times"
    );
    let shift = TimeShift { by, from: Timestamp::MIN };
    timeline.now = timeline.now.shifted_by(by);
    timeline.handle(Input::WallClock(WallClockChange::Followed { shift, is_confirmed: false }));
    assert!(
        is_open(&timeline).is_some_and(|text| *text == timeline.description()),
        "nobody is sure yet"
    );
    timeline.handle(Input::WallClock(WallClockChange::Trusted));
    assert_eq!(is_open(&timeline), None);
    timeline.handle(Input::WallClock(WallClockChange::Differs { by }));
    timeline.restart_after(seconds(5));
    assert_eq!(is_open(&timeline), None);
}

#[test]
fn an_event_time_right_by_either_clock_is_not_flagged() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    let year = Offset::from_micros(YEAR * 1_000_000);
    let at_time = |time: Timestamp| {
        let mut said = log(1);
        said.0.event.event_time = Some(time);
        said
    };
    let (right, wrong) = (timeline.now, timeline.now.shifted_by(year));
    assert!(timeline.store(at_time(wrong)).contains(RecordFlags::TIME_OFF));
    timeline.handle(Occurrence::OtherClock(Some(year)));
    assert!(!timeline.store(at_time(wrong)).contains(RecordFlags::TIME_OFF));
    assert!(!timeline.store(at_time(right)).contains(RecordFlags::TIME_OFF));
    assert!(timeline.store(at_time(right.after(seconds(86_400)))).contains(RecordFlags::TIME_OFF));
    timeline.handle(Occurrence::OtherClock(None));
    assert!(timeline.store(at_time(wrong)).contains(RecordFlags::TIME_OFF));
}

#[test]
fn lived_time_counts_what_brokers_lived_through_and_no_clock() {
    let mut timeline = Timeline::new();
    let began = timeline.grid().state().lived_time();
    wait(&mut timeline, 100);
    timeline.store(log(1));
    timeline.set_clock(YEAR);
    wait(&mut timeline, 10);
    timeline.store(log(1));
    timeline.set_clock(-3 * YEAR);
    timeline.restart_after(Duration::from_secs(5 * 86_400));
    wait(&mut timeline, 1);
    timeline.now = timeline.now.after(seconds(7_200));
    timeline.handle(Input::WallClock(WallClockChange::Slept { lasted: seconds(7_200) }));
    timeline.handle(Input::BrokerStopped);
    assert_eq!(timeline.grid().state().lived_time() - began, seconds(111));
    let kept = timeline.grid().state().to_effects();
    assert!(kept.iter().any(|it| matches!(it, Effect::LivedTime { .. })), "a checkpoint has it");
}

#[test]
fn the_record_of_a_start_has_the_end_of_the_run_before() {
    for (last_run, words) in [
        (LastRun::Stopped, "; the run before stopped cleanly"),
        (LastRun::Interrupted, "; the run before was interrupted: killed, or the power failed"),
    ] {
        let mut timeline = Timeline::new();
        timeline.handle(Input::BrokerStarted(BrokerStarted {
            term: 2,
            version: "0.1.0".into(),
            downtime: Some(seconds(3)),
            shift: Some(TimeShift::pause(Offset::ahead_by(seconds(3)))),
            clock_back: None,
            last_run,
            recovery: Vec::new(),
            missing_records: Vec::new(),
            rebuilt_from: None,
        }));
        assert!(timeline.description().ends_with(words), "{}", timeline.description());
    }
}
