//! Nothing that is pending fires, waits or goes because the wall clock is wrong.

use std::time::Duration;

use super::super::driver::Driver;
use super::super::occurrence::Occurrence;
use super::driver::*;
use crate::grid::log::effect::{AlertKind, Effect};
use crate::grid::log::record::{BrokerStarted, Input, LastRun, Outcome};
use crate::grid::log::time_shift::TimeShift;
use crate::grid::log::wall_clock_change::WallClockChange;
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::model::mail_message::{Delivery, DeliveryState};
use crate::grid::model::settings::{
    ClassSettings, DEFAULT_CLASS, GridSettings, MAIL_TRIGGERS, MailPolicy,
};
use crate::grid::values::event::EventBody;
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
    let mut story = Timeline::empty(settings);
    story.add(DB1);
    story
}

/// A start of the broker at once, by a clock that is so many seconds off what the journal says.
fn restart_with_clock_off(story: &mut Timeline, seconds: i64) {
    let by = Offset::from_micros(seconds * 1_000_000);
    let settings = story.grid().settings().clone();
    let state = story.grid().state().clone();
    story.now = story.now.shifted_by(by);
    let from = if by.is_ahead() { Timestamp::MAX } else { Timestamp::MIN };
    story.driver = Driver::new(super::super::Grid::new(state, settings, story.now));
    story.handle(Input::BrokerStarted(BrokerStarted {
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

fn wait(story: &mut Timeline, length: u64) {
    story.advance_to(story.now.after(seconds(length)));
}

#[test]
fn a_boot_deadline_fires_in_its_time_however_the_clock_is_set_meanwhile() {
    for by in CLOCK_ERRORS {
        let mut story = Timeline::new();
        story.hello(1);
        wait(&mut story, 100);
        story.set_clock(by);
        wait(&mut story, 3);
        assert_eq!(story.state(), "starting", "by {by} s");
        story.set_clock(-by);
        wait(&mut story, 190);
        assert_eq!(story.state(), "starting", "by {by} s");
        wait(&mut story, 8);
        assert_eq!(story.failure(), "boot_timeout", "by {by} s");
        let late = story.db1().since.since(at(300));
        assert!(late < seconds(1) && story.db1().since >= at(300), "at its time, by {by} s");
        let told = state_text(&story);
        assert!(told.contains("nothing heard within 300 s"), "{told}");
    }
}

fn state_text(story: &Timeline) -> String {
    let clock = |at: Timestamp| at.as_micros().to_string();
    super::super::explain::describe_state(story.db1(), story.now).render(clock)
}

#[test]
fn a_report_deadline_survives_a_clock_that_is_set_for_good() {
    for by in CLOCK_ERRORS {
        let mut story = Timeline::new();
        story.hello(1);
        story.store(maintenance(1, 34, "checking"));
        wait(&mut story, 30);
        story.set_clock(by);
        wait(&mut story, 29);
        assert_eq!(story.state(), "maintenance", "by {by} s");
        story.store(maintenance(1, 35, "checking"));
        wait(&mut story, 61);
        assert_eq!(story.failure(), "hung", "by {by} s");
        assert!(state_text(&story).starts_with("failed: hung"), "{}", state_text(&story));
    }
}

#[test]
fn a_mail_that_waits_is_neither_given_up_nor_kept_waiting() {
    for by in CLOCK_ERRORS {
        for restarts in [false, true] {
            let mut story = with_mail();
            story.hello(1);
            story.store(new_event(1, EventBody::Alert { counter: None }, "disk is full"));
            wait(&mut story, 31);
            let message = story.grid().state().outbox().messages.values().next().unwrap().clone();
            assert_eq!(message.state, DeliveryState::InFlight);
            let delivery = Delivery::Deferred("451 later".into());
            let (message, attempt) = (message.number, message.attempts);
            story.handle(Input::MailDelivery { message, attempt, delivery: delivery.clone() });
            if restarts {
                restart_with_clock_off(&mut story, by)
            } else {
                story.set_clock(by)
            }
            wait(&mut story, 61);
            let tried = story.grid().state().outbox().message(message).unwrap().clone();
            assert_eq!((tried.state, tried.attempts), (DeliveryState::InFlight, 2), "by {by} s");
            story.handle(Input::MailDelivery { message, attempt: 2, delivery });
            let waits = story.grid().state().outbox().message(message).unwrap();
            assert_eq!(waits.state, DeliveryState::Waiting, "not given up, by {by} s");
            assert_eq!(waits.due_at, story.now.after(seconds(120)), "by {by} s");
        }
    }
}

#[test]
fn a_suppression_and_a_run_of_repeats_go_on_as_if_nothing_were() {
    for by in CLOCK_ERRORS {
        let mut story = Timeline::new();
        story.hello(1);
        story.store(started_ok(1));
        let alert = || new_event(1, EventBody::Alert { counter: None }, "disk is full");
        story.store(alert());
        for _ in 0..300 {
            story.receive(log(1));
        }
        assert!(story.db1().usage.suppression.is_some());
        wait(&mut story, 10);
        story.set_clock(by);
        assert_eq!(story.receive(alert()).0, Outcome::Repeated, "by {by} s");
        wait(&mut story, 45);
        assert!(story.db1().usage.suppression.is_some(), "by {by} s");
        wait(&mut story, 10);
        assert!(story.db1().usage.suppression.is_none(), "by {by} s");
    }
}

#[test]
fn three_failures_are_flapping_for_24_h_that_were_lived_through() {
    for by in [YEAR, -YEAR, 20 * YEAR] {
        for restarts in [false, true] {
            let mut story = Timeline::new();
            for n in 1..=3 {
                story.hello(n);
                story.store(start_failed(n, "no disk"));
            }
            assert!(story.is_open(AlertKind::Flapping));
            story.hello(4);
            story.store(started_ok(4));
            if restarts {
                restart_with_clock_off(&mut story, by)
            } else {
                story.set_clock(by)
            }
            wait(&mut story, 23 * 3_600);
            assert!(story.is_open(AlertKind::Flapping), "by {by} s");
            wait(&mut story, 3_700);
            assert!(!story.is_open(AlertKind::Flapping), "by {by} s");
        }
    }
}

#[test]
fn a_new_boot_is_new_though_the_clock_was_set_back_or_the_machine_stood_still() {
    for by in CLOCK_ERRORS {
        let mut story = Timeline::new();
        story.hello(1);
        story.store(started_ok(1));
        wait(&mut story, 300);
        story.set_clock(by);
        // A machine that stood still for a day looks the same: this boot began within it.
        let up = if by > 0 { u64::try_from(by).unwrap() - 10 } else { 5 };
        story.hello_of(DB1, 2, Some(seconds(up)));
        assert_eq!(story.db1().boot_id(), Some(boot(2)), "by {by} s");
    }
}

#[test]
fn contact_is_lost_in_its_time_and_not_by_a_clock() {
    for by in CLOCK_ERRORS {
        let mut story = Timeline::new();
        let session = story.hello(1);
        story.store(started_ok(1));
        story.close_session(1, session);
        wait(&mut story, 60);
        story.set_clock(by);
        wait(&mut story, 50);
        assert!(!story.is_open(AlertKind::NoContact), "by {by} s");
        wait(&mut story, 20);
        assert!(story.is_open(AlertKind::NoContact), "by {by} s");
    }
}

#[test]
fn a_start_by_a_wrong_clock_condemns_nobody_and_what_happened_keeps_its_time() {
    for by in [DAY, YEAR, 20 * YEAR] {
        let mut story = Timeline::new();
        story.hello(1);
        story.store(maintenance(1, 34, "checking"));
        restart_with_clock_off(&mut story, by);
        assert_eq!(story.db1().boot.unwrap().began_at, at(0), "that was by a clock that was right");
        wait(&mut story, 58);
        assert_eq!(story.state(), "maintenance");
        let Lifecycle::Maintenance(known) = &story.db1().lifecycle else { panic!("maintenance") };
        assert_eq!(known.reported_at, at(0));
        // Right again: only what was told since then moves.
        let by = Offset::from_micros(-by * 1_000_000);
        let from = story.now.before(seconds(58));
        story.store(maintenance(1, 35, "checking"));
        story.now = story.now.shifted_by(by);
        let shift = TimeShift { by, from };
        story.handle(Input::WallClock(WallClockChange::Followed { shift, is_confirmed: true }));
        assert_eq!(story.db1().boot.unwrap().began_at, at(0));
        assert_eq!(story.deadline(), Some(58 + 60));
    }
}

#[test]
fn an_alert_is_open_while_the_clocks_differ_and_a_start_closes_it() {
    let mut story = Timeline::new();
    let is_open = |story: &Timeline| {
        story.grid().state().alert(None, AlertKind::ClockDiffers).map(|it| it.text.to_string())
    };
    let by = Offset::from_micros(YEAR * 1_000_000);
    story.handle(Input::WallClock(WallClockChange::Differs { by }));
    let words = "the wall clock of this machine is 365 d ahead of broker time, which goes on by \
                 itself and follows only if that stays so; see whether the clock is right";
    assert_eq!((is_open(&story).as_deref(), &*story.description()), (Some(words), words));
    story.handle(Input::WallClock(WallClockChange::Agrees));
    assert_eq!(is_open(&story), None);
    story.handle(Input::WallClock(WallClockChange::Differs { by }));
    story.set_clock(YEAR);
    assert_eq!(is_open(&story), None);
    assert_eq!(
        story.description(),
        "the wall clock was set ahead by 365 d; broker time follows, and all that was pending \
         moves along"
    );
    let shift = TimeShift { by, from: Timestamp::MIN };
    story.now = story.now.shifted_by(by);
    story.handle(Input::WallClock(WallClockChange::Followed { shift, is_confirmed: false }));
    assert!(is_open(&story).is_some_and(|text| *text == story.description()), "nobody is sure yet");
    story.handle(Input::WallClock(WallClockChange::Trusted));
    assert_eq!(is_open(&story), None);
    story.handle(Input::WallClock(WallClockChange::Differs { by }));
    story.restart_after(seconds(5));
    assert_eq!(is_open(&story), None);
}

#[test]
fn who_is_right_by_either_clock_is_not_told_to_be_wrong() {
    let mut story = Timeline::new();
    story.hello(1);
    let year = Offset::from_micros(YEAR * 1_000_000);
    let at_time = |time: Timestamp| {
        let mut said = log(1);
        said.0.event.event_time = Some(time);
        said
    };
    let (right, wrong) = (story.now, story.now.shifted_by(year));
    assert!(story.store(at_time(wrong)).contains(RecordFlags::TIME_OFF));
    story.handle(Occurrence::OtherClock(Some(year)));
    assert!(!story.store(at_time(wrong)).contains(RecordFlags::TIME_OFF));
    assert!(!story.store(at_time(right)).contains(RecordFlags::TIME_OFF));
    assert!(story.store(at_time(right.after(seconds(86_400)))).contains(RecordFlags::TIME_OFF));
    story.handle(Occurrence::OtherClock(None));
    assert!(story.store(at_time(wrong)).contains(RecordFlags::TIME_OFF));
}

#[test]
fn lived_time_counts_what_brokers_lived_through_and_no_clock() {
    let mut story = Timeline::new();
    let began = story.grid().state().lived_time();
    wait(&mut story, 100);
    story.store(log(1));
    story.set_clock(YEAR);
    wait(&mut story, 10);
    story.store(log(1));
    story.set_clock(-3 * YEAR);
    story.restart_after(Duration::from_secs(5 * 86_400));
    wait(&mut story, 1);
    story.now = story.now.after(seconds(7_200));
    story.handle(Input::WallClock(WallClockChange::Slept { lasted: seconds(7_200) }));
    story.handle(Input::BrokerStopped);
    assert_eq!(story.grid().state().lived_time() - began, seconds(111));
    let kept = story.grid().state().to_effects();
    assert!(kept.iter().any(|it| matches!(it, Effect::LivedTime { .. })), "a checkpoint has it");
}

#[test]
fn a_start_says_how_the_run_before_ended() {
    for (last_run, words) in [
        (LastRun::Stopped, "; the run before was stopped in good order"),
        (LastRun::Interrupted, "; the run before was cut short: killed, or the power failed"),
    ] {
        let mut story = Timeline::new();
        story.handle(Input::BrokerStarted(BrokerStarted {
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
        assert!(story.description().ends_with(words), "{}", story.description());
    }
}
