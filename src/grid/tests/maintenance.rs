//! Tests long starts: silence, and progress that does not change.

use super::driver::*;
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::model::finding::FindingKind;
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::model::settings::{ClassSettings, OnStuck};
use crate::grid::values::event::Severity;
use crate::grid::values::outcome::{EventRejection, Outcome};
use crate::grid::values::record_flags::RecordFlags;

/// A boot that reported 34 % at second 10.
fn timeline(rules: ClassSettings) -> Timeline {
    let mut timeline = Timeline::with(rules);
    timeline.hello(1);
    timeline.at(10).store(maintenance(1, 34, "checking database"));
    timeline
}

fn default_timeline() -> Timeline {
    timeline(ClassSettings::default())
}

#[test]
fn maintenance_suspends_the_boot_deadline() {
    let mut timeline = default_timeline();
    for minute in 1..=60 {
        timeline.at(10 + minute * 50).store(maintenance(1, 34, &format!("table {minute}")));
    }
    assert_eq!((timeline.state(), timeline.since()), ("maintenance", 10));
    timeline.store(started_ok(1));
    assert_eq!(timeline.state(), "running");
}

#[test]
fn silence_in_maintenance_fails_the_start() {
    let mut timeline = default_timeline();
    timeline.at(69);
    assert_eq!((timeline.state(), timeline.deadline()), ("maintenance", Some(70)));
    timeline.at(71);
    assert_eq!(timeline.failure(), "hung");
    let text = "db1 hung in maintenance: silent for 60 s, last report \"checking database\" 34 %";
    assert_eq!(timeline.text(FindingKind::StartFailed), text);
    assert_eq!(timeline.severity(FindingKind::StartFailed), Some(Severity::Error));
}

#[test]
fn a_report_interval_shorter_than_the_silence_counts() {
    let mut timeline = default_timeline();
    timeline.at(20).store(maintenance(1, 35, "b").with_next_report_within(seconds(5)));
    timeline.at(26);
    assert_eq!(timeline.failure(), "hung");
}

#[test]
fn a_longer_report_interval_is_limited_and_flagged_and_a_class_may_allow_more() {
    let mut timeline = default_timeline();
    let flags =
        timeline.at(20).store(maintenance(1, 35, "b").with_next_report_within(seconds(600)));
    assert!(flags.contains(RecordFlags::PROMISE_CUT));
    assert_eq!(timeline.deadline(), Some(80));

    let rules = ClassSettings { report_interval_max: seconds(900), ..ClassSettings::default() };
    let mut timeline = self::timeline(rules);
    let flags =
        timeline.at(20).store(maintenance(1, 35, "b").with_next_report_within(seconds(600)));
    assert_eq!((flags, timeline.deadline()), (RecordFlags::NONE, Some(620)));
}

#[test]
fn a_class_may_ignore_silence_until_the_boot_deadline() {
    let mut timeline =
        timeline(ClassSettings { hung_waits_for_boot_deadline: true, ..ClassSettings::default() });
    timeline.at(299);
    assert_eq!(timeline.state(), "maintenance");
    timeline.at(301);
    assert_eq!(timeline.failure(), "hung");
}

#[test]
fn progress_that_does_not_move_for_15_min_raises_an_alert_that_progress_closes() {
    let mut timeline = default_timeline();
    for tick in 1..=91 {
        let again = maintenance(1, 34, "checking database").marked_as_repeat();
        assert!(timeline.at(10 + tick * 10).store(again).contains(RecordFlags::REPEATED));
    }
    assert_eq!(timeline.state(), "maintenance");
    assert_eq!(timeline.severity(FindingKind::Stuck), Some(Severity::Warn));
    assert!(
        timeline.text(FindingKind::Stuck).contains("34 % for 15 min"),
        "{:?}",
        timeline.text(FindingKind::Stuck)
    );
    let stuck =
        timeline.records.iter().filter(|record| record.flags.contains(RecordFlags::STUCK)).count();
    assert_eq!(stuck, 1, "said once");
    timeline.at(930).store(maintenance(1, 35, "checking database"));
    assert!(!timeline.is_open(FindingKind::Stuck));
}

#[test]
fn a_clock_or_a_spinner_in_the_text_is_no_progress() {
    // Where a percentage is known nothing else counts, not even another text.
    let all: [fn(u64) -> EventBuilder; 4] = [
        |minute| maintenance(1, 34, &format!("checking, {minute} min")),
        |minute| maintenance(1, 34, if minute % 2 == 0 { "trying a" } else { "trying b" }),
        |minute| maintenance(1, 0, &format!("checking for {minute}m12s, 12:{minute:02}")),
        |minute| maintenance(1, 0, if minute % 2 == 0 { "| checking" } else { "/ checking" }),
    ];
    for said in all {
        let mut timeline = Timeline::with(ClassSettings::default());
        timeline.hello(1);
        for step in 0..=20 {
            assert!(
                step > 17 || !timeline.is_open(FindingKind::Stuck),
                "after {step} steps of 50 s"
            );
            timeline.at(10 + step * 50).store(said(step));
        }
        assert!(timeline.is_open(FindingKind::Stuck));
    }
}

#[test]
fn without_a_percentage_another_text_is_progress_and_so_is_a_new_part() {
    let mut timeline = Timeline::with(ClassSettings::default());
    timeline.hello(1);
    for step in 0..40 {
        let words = if step % 2 == 0 { "rolling forward" } else { "rolling back" };
        timeline.at(10 + step * 50).store(maintenance(1, 0, words));
        assert!(!timeline.is_open(FindingKind::Stuck));
    }
    timeline.at(2_010).store(maintenance(1, 99, "checking the first disk"));
    for percent in 1..40 {
        timeline.at(2_010 + u64::from(percent) * 50).store(maintenance(
            1,
            percent,
            "checking the second",
        ));
        assert!(!timeline.is_open(FindingKind::Stuck), "{percent} %");
    }
    // The same part again and again is not progress.
    for (step, percent) in (0..).zip((1..40).chain(1..40)) {
        timeline.at(4_010 + step * 50).store(maintenance(1, percent, "checking the second"));
    }
    assert!(timeline.is_open(FindingKind::Stuck));
}

#[test]
fn a_class_may_fail_a_start_that_does_not_move() {
    let mut timeline =
        timeline(ClassSettings { on_stuck: OnStuck::Fail, ..ClassSettings::default() });
    for tick in 1..=91 {
        timeline.at(10 + tick * 10);
        if timeline.state() == "maintenance" {
            timeline.store(maintenance(1, 34, "checking database").marked_as_repeat());
        }
    }
    assert_eq!(timeline.failure(), "no_progress");
    assert!(!timeline.is_open(FindingKind::Stuck));
}

#[test]
fn the_stuck_alert_ends_with_maintenance() {
    let ends: [Action; 4] = [
        |timeline| {
            timeline.store(started_ok(1));
        },
        |timeline| {
            timeline.store(start_failed(1, "x"));
        },
        Timeline::stop,
        |timeline| {
            timeline.hello(2);
        },
    ];
    for end in ends {
        let mut timeline = default_timeline();
        for tick in 1..=91 {
            timeline.at(10 + tick * 10).store(maintenance(1, 34, "checking database"));
        }
        assert!(timeline.is_open(FindingKind::Stuck));
        end(&mut timeline);
        assert!(!timeline.is_open(FindingKind::Stuck), "{}", timeline.state());
    }
}

#[test]
fn who_hung_may_come_back_to_maintenance() {
    let mut timeline = default_timeline();
    timeline.at(80);
    let flags = timeline.store(maintenance(1, 36, "still here"));
    assert!(flags.contains(RecordFlags::RECOVERED));
    assert_eq!(
        (timeline.state(), timeline.since(), timeline.deadline()),
        ("maintenance", 80, Some(140))
    );
    assert!(!timeline.is_open(FindingKind::StartFailed));
}

#[test]
fn who_timed_out_may_come_late_by_way_of_maintenance() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(301);
    assert_eq!(timeline.failure(), "boot_timeout");
    timeline.store(maintenance(1, 1, "a"));
    assert_eq!(timeline.state(), "maintenance");
    timeline.store(started_ok(1));
    assert_eq!(timeline.state(), "running");
}

#[test]
fn silence_after_a_recovery_is_a_hang_even_for_a_class_that_waits() {
    let mut timeline =
        timeline(ClassSettings { hung_waits_for_boot_deadline: true, ..ClassSettings::default() });
    timeline.at(310).store(maintenance(1, 36, "b"));
    timeline.at(371);
    assert_eq!(timeline.failure(), "hung");
}

#[test]
fn the_running_refuse_maintenance_and_start_failed() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.store(started_ok(1));
    for event in [maintenance(1, 3, "y"), start_failed(1, "x")] {
        assert_eq!(timeline.receive(event).0, Outcome::Rejected(EventRejection::AlreadyRunning));
        assert_eq!(timeline.changes(), []);
    }
    assert_eq!(timeline.store(started_ok(1)), RecordFlags::NONE);
    let changes = timeline.changes();
    assert!(
        matches!(
            changes.as_slice(),
            [Effect::Appliance { change: ApplianceEffect::Boot { .. }, .. }]
        ),
        "but for when it was said"
    );
}

#[test]
fn progress_of_the_past_boot_does_not_count_in_the_next() {
    let mut timeline = default_timeline();
    timeline.at(20).hello(2);
    let flags = timeline.store(maintenance(2, 1, "a"));
    assert_eq!(flags, RecordFlags::NONE);
    let Lifecycle::Maintenance(known) = &timeline.db1().lifecycle else { panic!("in maintenance") };
    assert_eq!(known.best_progress.map(|best| best.percent()), Some(1));
}
