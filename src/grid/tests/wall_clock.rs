//! Nothing that is pending fires, waits or goes because the wall clock is wrong.

use std::time::Duration;

use super::super::driver::Driver;
use super::super::effect::{Effect, Matter};
use super::super::event::EventKind;
use super::super::lifecycle::Lifecycle;
use super::super::mail::{Delivery, Standing};
use super::super::marks::Marks;
use super::super::occurrence::Occurrence;
use super::super::record::{BrokerStarted, Input, LastRun, Outcome};
use super::super::settings::{ClassSettings, DEFAULT_CLASS, MAIL_WORDS, Mail, Settings};
use super::super::shift::Shift;
use super::super::time::{Offset, Timestamp};
use super::super::wall_clock::WallClock;
use super::driver::*;

const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;

/// How far a clock may be wrong, in seconds.
const WRONG_BY: [i64; 8] = [90, -90, DAY, -DAY, YEAR, -YEAR, 20 * YEAR, -20 * YEAR];

fn with_mail() -> Timeline {
    let recipients = vec!["anna@example.org".into()];
    let on = MAIL_WORDS.iter().copied().collect();
    let rules = ClassSettings::default();
    let mail = Mail { recipients, on, ..Mail::default() };
    let settings = Settings::new([(DEFAULT_CLASS.to_owned(), rules)]).with_mail(Some(mail));
    let mut story = Timeline::empty(settings);
    story.add(DB1);
    story
}

/// A start of the broker at once, by a clock that is so many seconds off what the journal says.
fn starts_off(story: &mut Timeline, seconds: i64) {
    let by = Offset::from_micros(seconds * 1_000_000);
    let settings = story.grid().settings().clone();
    let state = story.grid().state().clone();
    story.now = story.now.moved(by);
    let from = if by.is_ahead() { Timestamp::MAX } else { Timestamp::MIN };
    story.driver = Driver::new(super::super::Grid::new(state, settings, story.now));
    story.take(Input::BrokerStarted(BrokerStarted {
        term: 2,
        version: "0.1.0".into(),
        away: Some(by.ahead()),
        shift: Some(Shift { by, from }),
        clock_back: None,
        last_run: LastRun::Stopped,
        recovery: Vec::new(),
        missing: Vec::new(),
        rebuilt_from: None,
    }));
}

fn wait(story: &mut Timeline, length: u64) {
    story.go_to(story.now.after(seconds(length)));
}

#[test]
fn a_boot_deadline_fires_in_its_time_however_the_clock_is_set_meanwhile() {
    for by in WRONG_BY {
        let mut story = Timeline::new();
        story.hello(1);
        wait(&mut story, 100);
        story.clock_set(by);
        wait(&mut story, 3);
        assert_eq!(story.state(), "starting", "by {by} s");
        story.clock_set(-by);
        wait(&mut story, 190);
        assert_eq!(story.state(), "starting", "by {by} s");
        wait(&mut story, 8);
        assert_eq!(story.failure(), "boot_timeout", "by {by} s");
        let late = story.db1().since.since(at(300));
        assert!(late < seconds(1) && story.db1().since >= at(300), "at its time, by {by} s");
        let told = explain(&story);
        assert!(told.contains("nothing heard within 300 s"), "{told}");
    }
}

fn explain(story: &Timeline) -> String {
    let clock = |at: Timestamp| at.as_micros().to_string();
    super::super::explain::standing(story.db1(), story.now).worded(clock)
}

#[test]
fn a_report_deadline_survives_a_clock_that_is_set_for_good() {
    for by in WRONG_BY {
        let mut story = Timeline::new();
        story.hello(1);
        story.keep(maintenance(1, 34, "checking"));
        wait(&mut story, 30);
        story.clock_set(by);
        wait(&mut story, 29);
        assert_eq!(story.state(), "maintenance", "by {by} s");
        story.keep(maintenance(1, 35, "checking"));
        wait(&mut story, 61);
        assert_eq!(story.failure(), "hung", "by {by} s");
        assert!(explain(&story).starts_with("failed: hung"), "{}", explain(&story));
    }
}

#[test]
fn a_mail_that_waits_is_neither_given_up_nor_kept_waiting() {
    for by in WRONG_BY {
        for restarts in [false, true] {
            let mut story = with_mail();
            story.hello(1);
            story.keep(said(1, EventKind::Alert { counter: None }, "disk is full"));
            wait(&mut story, 31);
            let message = story.grid().state().outbox().messages.values().next().unwrap().clone();
            assert_eq!(message.standing, Standing::UnderWay);
            let delivery = Delivery::Deferred("451 later".into());
            let (message, attempt) = (message.number, message.attempts);
            story.take(Input::MailAnswered { message, attempt, delivery: delivery.clone() });
            if restarts {
                starts_off(&mut story, by)
            } else {
                story.clock_set(by)
            }
            wait(&mut story, 61);
            let tried = story.grid().state().outbox().message(message).unwrap().clone();
            assert_eq!((tried.standing, tried.attempts), (Standing::UnderWay, 2), "by {by} s");
            story.take(Input::MailAnswered { message, attempt: 2, delivery });
            let waits = story.grid().state().outbox().message(message).unwrap();
            assert_eq!(waits.standing, Standing::Waiting, "not given up, by {by} s");
            assert_eq!(waits.due, story.now.after(seconds(120)), "by {by} s");
        }
    }
}

#[test]
fn a_suppression_and_a_run_of_repeats_go_on_as_if_nothing_were() {
    for by in WRONG_BY {
        let mut story = Timeline::new();
        story.hello(1);
        story.keep(started_ok(1));
        let alert = || said(1, EventKind::Alert { counter: None }, "disk is full");
        story.keep(alert());
        for _ in 0..300 {
            story.hear(log(1));
        }
        assert!(story.db1().admission.suppression.is_some());
        wait(&mut story, 10);
        story.clock_set(by);
        assert_eq!(story.hear(alert()).0, Outcome::Repeated, "by {by} s");
        wait(&mut story, 45);
        assert!(story.db1().admission.suppression.is_some(), "by {by} s");
        wait(&mut story, 10);
        assert!(story.db1().admission.suppression.is_none(), "by {by} s");
    }
}

#[test]
fn three_failures_are_flapping_for_24_h_that_were_lived_through() {
    for by in [YEAR, -YEAR, 20 * YEAR] {
        for restarts in [false, true] {
            let mut story = Timeline::new();
            for n in 1..=3 {
                story.hello(n);
                story.keep(start_failed(n, "no disk"));
            }
            assert!(story.is_open(Matter::Flapping));
            story.hello(4);
            story.keep(started_ok(4));
            if restarts {
                starts_off(&mut story, by)
            } else {
                story.clock_set(by)
            }
            wait(&mut story, 23 * 3_600);
            assert!(story.is_open(Matter::Flapping), "by {by} s");
            wait(&mut story, 3_700);
            assert!(!story.is_open(Matter::Flapping), "by {by} s");
        }
    }
}

#[test]
fn a_new_boot_is_new_though_the_clock_was_set_back_or_the_machine_stood_still() {
    for by in WRONG_BY {
        let mut story = Timeline::new();
        story.hello(1);
        story.keep(started_ok(1));
        wait(&mut story, 300);
        story.clock_set(by);
        // A machine that stood still for a day looks the same: this boot began within it.
        let up = if by > 0 { u64::try_from(by).unwrap() - 10 } else { 5 };
        story.hello_of(DB1, 2, Some(seconds(up)));
        assert_eq!(story.db1().boot_id(), Some(boot(2)), "by {by} s");
    }
}

#[test]
fn contact_is_lost_in_its_time_and_not_by_a_clock() {
    for by in WRONG_BY {
        let mut story = Timeline::new();
        let session = story.hello(1);
        story.keep(started_ok(1));
        story.bye(1, session);
        wait(&mut story, 60);
        story.clock_set(by);
        wait(&mut story, 50);
        assert!(!story.is_open(Matter::NoContact), "by {by} s");
        wait(&mut story, 20);
        assert!(story.is_open(Matter::NoContact), "by {by} s");
    }
}

#[test]
fn a_start_by_a_wrong_clock_condemns_nobody_and_what_happened_keeps_its_time() {
    for by in [DAY, YEAR, 20 * YEAR] {
        let mut story = Timeline::new();
        story.hello(1);
        story.keep(maintenance(1, 34, "checking"));
        starts_off(&mut story, by);
        assert_eq!(story.db1().boot.unwrap().began_at, at(0), "that was by a clock that was right");
        wait(&mut story, 58);
        assert_eq!(story.state(), "maintenance");
        let Lifecycle::Maintenance(known) = &story.db1().lifecycle else { panic!("maintenance") };
        assert_eq!(known.reported_at, at(0));
        // Right again: only what was told since then moves.
        let by = Offset::from_micros(-by * 1_000_000);
        let from = story.now.before(seconds(58));
        story.keep(maintenance(1, 35, "checking"));
        story.now = story.now.moved(by);
        let shift = Shift { by, from };
        story.take(Input::WallClock(WallClock::Followed { shift, is_sure: true }));
        assert_eq!(story.db1().boot.unwrap().began_at, at(0));
        assert_eq!(story.deadline(), Some(58 + 60));
    }
}

#[test]
fn an_alert_is_open_while_the_clocks_differ_and_a_start_closes_it() {
    let mut story = Timeline::new();
    let is_open = |story: &Timeline| {
        story.grid().state().alert(None, Matter::ClockDiffers).map(|it| it.text.to_string())
    };
    let by = Offset::from_micros(YEAR * 1_000_000);
    story.take(Input::WallClock(WallClock::Differs { by }));
    let words = "the wall clock of this machine is 365 d ahead of broker time, which goes on by \
                 itself and follows only if that stays so; see whether the clock is right";
    assert_eq!((is_open(&story).as_deref(), &*story.words()), (Some(words), words));
    story.take(Input::WallClock(WallClock::Agrees));
    assert_eq!(is_open(&story), None);
    story.take(Input::WallClock(WallClock::Differs { by }));
    story.clock_set(YEAR);
    assert_eq!(is_open(&story), None);
    assert_eq!(
        story.words(),
        "the wall clock was set ahead by 365 d; broker time follows, and all that was pending \
         moves along"
    );
    let shift = Shift { by, from: Timestamp::MIN };
    story.now = story.now.moved(by);
    story.take(Input::WallClock(WallClock::Followed { shift, is_sure: false }));
    assert!(is_open(&story).is_some_and(|text| *text == story.words()), "nobody is sure yet");
    story.take(Input::WallClock(WallClock::Trusted));
    assert_eq!(is_open(&story), None);
    story.take(Input::WallClock(WallClock::Differs { by }));
    story.away(seconds(5));
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
    let (right, wrong) = (story.now, story.now.moved(year));
    assert!(story.keep(at_time(wrong)).has(Marks::TIME_OFF));
    story.take(Occurrence::OtherClock(Some(year)));
    assert!(!story.keep(at_time(wrong)).has(Marks::TIME_OFF));
    assert!(!story.keep(at_time(right)).has(Marks::TIME_OFF));
    assert!(story.keep(at_time(right.after(seconds(86_400)))).has(Marks::TIME_OFF));
    story.take(Occurrence::OtherClock(None));
    assert!(story.keep(at_time(wrong)).has(Marks::TIME_OFF));
}

#[test]
fn lived_time_counts_what_brokers_lived_through_and_no_clock() {
    let mut story = Timeline::new();
    let began = story.grid().state().lived();
    wait(&mut story, 100);
    story.keep(log(1));
    story.clock_set(YEAR);
    wait(&mut story, 10);
    story.keep(log(1));
    story.clock_set(-3 * YEAR);
    story.away(Duration::from_secs(5 * 86_400));
    wait(&mut story, 1);
    story.now = story.now.after(seconds(7_200));
    story.take(Input::WallClock(WallClock::Slept { lasted: seconds(7_200) }));
    story.take(Input::BrokerStopped);
    assert_eq!(story.grid().state().lived() - began, seconds(111));
    let kept = story.grid().state().to_effects();
    assert!(kept.iter().any(|it| matches!(it, Effect::Lived { .. })), "a checkpoint has it");
}

#[test]
fn a_start_says_how_the_run_before_ended() {
    for (last_run, words) in [
        (LastRun::Stopped, "; the run before was stopped in good order"),
        (LastRun::CutShort, "; the run before was cut short: killed, or the power failed"),
    ] {
        let mut story = Timeline::new();
        story.take(Input::BrokerStarted(BrokerStarted {
            term: 2,
            version: "0.1.0".into(),
            away: Some(seconds(3)),
            shift: Some(Shift::pause(Offset::ahead_by(seconds(3)))),
            clock_back: None,
            last_run,
            recovery: Vec::new(),
            missing: Vec::new(),
            rebuilt_from: None,
        }));
        assert!(story.words().ends_with(words), "{}", story.words());
    }
}
