//! Tests how long a long start may be silent, and what follows without progress.

use super::driver::*;
use crate::grid::log::effect::{AlertKind, Effect};
use crate::grid::log::record::Outcome;
use crate::grid::model::lifecycle::{EventRejection, Lifecycle};
use crate::grid::model::settings::{ClassSettings, OnStuck};
use crate::grid::values::event::Severity;
use crate::grid::values::record_flags::RecordFlags;

/// A boot that reported 34 % at second 10.
fn story(rules: ClassSettings) -> Timeline {
    let mut story = Timeline::with(rules);
    story.hello(1);
    story.at(10).store(maintenance(1, 34, "checking database"));
    story
}

fn default_story() -> Timeline {
    story(ClassSettings::default())
}

#[test]
fn maintenance_suspends_the_boot_deadline() {
    let mut story = default_story();
    for minute in 1..=60 {
        story.at(10 + minute * 50).store(maintenance(1, 34, &format!("table {minute}")));
    }
    assert_eq!((story.state(), story.since()), ("maintenance", 10));
    story.store(started_ok(1));
    assert_eq!(story.state(), "running");
}

#[test]
fn silence_in_maintenance_fails_the_start() {
    let mut story = default_story();
    story.at(69);
    assert_eq!((story.state(), story.deadline()), ("maintenance", Some(70)));
    story.at(71);
    assert_eq!(story.failure(), "hung");
    let text = "db1 hung in maintenance: silent for 60 s, last word \"checking database\" 34 %";
    assert_eq!(story.text(AlertKind::StartFailed), text);
    assert_eq!(story.severity(AlertKind::StartFailed), Some(Severity::Error));
}

#[test]
fn a_promise_shorter_than_the_silence_is_kept_to() {
    let mut story = default_story();
    story.at(20).store(maintenance(1, 35, "b").with_next_report_within(seconds(5)));
    story.at(26);
    assert_eq!(story.failure(), "hung");
}

#[test]
fn a_longer_promise_is_cut_and_marked_and_a_class_may_allow_more() {
    let mut story = default_story();
    let marks = story.at(20).store(maintenance(1, 35, "b").with_next_report_within(seconds(600)));
    assert!(marks.contains(RecordFlags::PROMISE_CUT));
    assert_eq!(story.deadline(), Some(80));

    let rules = ClassSettings { report_interval_max: seconds(900), ..ClassSettings::default() };
    let mut story = self::story(rules);
    let marks = story.at(20).store(maintenance(1, 35, "b").with_next_report_within(seconds(600)));
    assert_eq!((marks, story.deadline()), (RecordFlags::NONE, Some(620)));
}

#[test]
fn a_class_may_judge_silence_only_once_the_boot_deadline_has_passed() {
    let mut story =
        story(ClassSettings { hung_waits_for_boot_deadline: true, ..ClassSettings::default() });
    story.at(299);
    assert_eq!(story.state(), "maintenance");
    story.at(301);
    assert_eq!(story.failure(), "hung");
}

#[test]
fn progress_that_does_not_move_for_15_min_raises_an_alert_that_progress_closes() {
    let mut story = default_story();
    for tick in 1..=91 {
        let again = maintenance(1, 34, "checking database").marked_as_repeat();
        assert!(story.at(10 + tick * 10).store(again).contains(RecordFlags::REPEATED));
    }
    assert_eq!(story.state(), "maintenance");
    assert_eq!(story.severity(AlertKind::Stuck), Some(Severity::Warn));
    assert!(
        story.text(AlertKind::Stuck).contains("34 % for 15 min"),
        "{:?}",
        story.text(AlertKind::Stuck)
    );
    let stuck =
        story.records.iter().filter(|record| record.flags.contains(RecordFlags::STUCK)).count();
    assert_eq!(stuck, 1, "said once");
    story.at(930).store(maintenance(1, 35, "checking database"));
    assert!(!story.is_open(AlertKind::Stuck));
}

#[test]
fn a_clock_or_a_spinner_in_the_text_is_no_progress() {
    // Where a percentage is known nothing else counts, not even other words.
    let all: [fn(u64) -> EventBuilder; 4] = [
        |minute| maintenance(1, 34, &format!("checking, {minute} min")),
        |minute| maintenance(1, 34, if minute % 2 == 0 { "trying a" } else { "trying b" }),
        |minute| maintenance(1, 0, &format!("checking for {minute}m12s, 12:{minute:02}")),
        |minute| maintenance(1, 0, if minute % 2 == 0 { "| checking" } else { "/ checking" }),
    ];
    for said in all {
        let mut story = Timeline::with(ClassSettings::default());
        story.hello(1);
        for step in 0..=20 {
            assert!(step > 17 || !story.is_open(AlertKind::Stuck), "after {step} steps of 50 s");
            story.at(10 + step * 50).store(said(step));
        }
        assert!(story.is_open(AlertKind::Stuck));
    }
}

#[test]
fn without_a_percentage_other_words_are_progress_and_so_is_a_part_that_begins_anew() {
    let mut story = Timeline::with(ClassSettings::default());
    story.hello(1);
    for step in 0..40 {
        let words = if step % 2 == 0 { "rolling forward" } else { "rolling back" };
        story.at(10 + step * 50).store(maintenance(1, 0, words));
        assert!(!story.is_open(AlertKind::Stuck));
    }
    story.at(2_010).store(maintenance(1, 99, "checking the first disk"));
    for percent in 1..40 {
        story.at(2_010 + u64::from(percent) * 50).store(maintenance(
            1,
            percent,
            "checking the second",
        ));
        assert!(!story.is_open(AlertKind::Stuck), "{percent} %");
    }
    // The same part again and again is not.
    for (step, percent) in (0..).zip((1..40).chain(1..40)) {
        story.at(4_010 + step * 50).store(maintenance(1, percent, "checking the second"));
    }
    assert!(story.is_open(AlertKind::Stuck));
}

#[test]
fn a_class_may_fail_a_start_that_does_not_move() {
    let mut story = story(ClassSettings { on_stuck: OnStuck::Fail, ..ClassSettings::default() });
    for tick in 1..=91 {
        story.at(10 + tick * 10);
        if story.state() == "maintenance" {
            story.store(maintenance(1, 34, "checking database").marked_as_repeat());
        }
    }
    assert_eq!(story.failure(), "no_progress");
    assert!(!story.is_open(AlertKind::Stuck));
}

#[test]
fn the_matter_of_being_stuck_ends_with_maintenance() {
    let ends: [Action; 4] = [
        |story| {
            story.store(started_ok(1));
        },
        |story| {
            story.store(start_failed(1, "x"));
        },
        Timeline::stop,
        |story| {
            story.hello(2);
        },
    ];
    for end in ends {
        let mut story = default_story();
        for tick in 1..=91 {
            story.at(10 + tick * 10).store(maintenance(1, 34, "checking database"));
        }
        assert!(story.is_open(AlertKind::Stuck));
        end(&mut story);
        assert!(!story.is_open(AlertKind::Stuck), "{}", story.state());
    }
}

#[test]
fn who_hung_may_come_back_to_maintenance() {
    let mut story = default_story();
    story.at(80);
    let marks = story.store(maintenance(1, 36, "still here"));
    assert!(marks.contains(RecordFlags::RECOVERED));
    assert_eq!((story.state(), story.since(), story.deadline()), ("maintenance", 80, Some(140)));
    assert!(!story.is_open(AlertKind::StartFailed));
}

#[test]
fn who_timed_out_may_come_late_by_way_of_maintenance() {
    let mut story = Timeline::new();
    story.hello(1);
    story.at(301);
    assert_eq!(story.failure(), "boot_timeout");
    story.store(maintenance(1, 1, "a"));
    assert_eq!(story.state(), "maintenance");
    story.store(started_ok(1));
    assert_eq!(story.state(), "running");
}

#[test]
fn a_silence_after_the_recovery_is_judged_also_by_a_class_that_waits() {
    let mut story =
        story(ClassSettings { hung_waits_for_boot_deadline: true, ..ClassSettings::default() });
    story.at(310).store(maintenance(1, 36, "b"));
    story.at(371);
    assert_eq!(story.failure(), "hung");
}

#[test]
fn the_running_refuse_maintenance_and_start_failed() {
    let mut story = Timeline::new();
    story.hello(1);
    story.store(started_ok(1));
    for event in [maintenance(1, 3, "y"), start_failed(1, "x")] {
        assert_eq!(story.receive(event).0, Outcome::Rejected(EventRejection::AlreadyRunning));
        assert_eq!(story.changes(), []);
    }
    assert_eq!(story.store(started_ok(1)), RecordFlags::NONE);
    let changes = story.changes();
    assert!(matches!(changes.as_slice(), [Effect::Boot { .. }]), "but for when it was said");
}

#[test]
fn progress_of_the_past_boot_does_not_count_in_the_next() {
    let mut story = default_story();
    story.at(20).hello(2);
    let marks = story.store(maintenance(2, 1, "a"));
    assert_eq!(marks, RecordFlags::NONE);
    let Lifecycle::Maintenance(known) = &story.db1().lifecycle else { panic!("in maintenance") };
    assert_eq!(known.best_progress.map(|best| best.percent()), Some(1));
}
