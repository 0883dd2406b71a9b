//! Tests how a start fails, recovers and flaps.

use super::driver::*;
use crate::grid::log::effect::AlertKind;
use crate::grid::log::record::Outcome;
use crate::grid::model::lifecycle::{EventRejection, Lifecycle};
use crate::grid::model::settings::ClassSettings;
use crate::grid::values::record_flags::RecordFlags;

#[test]
fn an_appliance_says_why_its_start_failed() {
    let mut story = Timeline::new();
    story.hello(1);
    story.at(30).store(start_failed(1, "no disk"));
    assert_eq!((story.failure(), story.since(), story.deadline()), ("reported", 30, None));
    assert_eq!(story.text(AlertKind::StartFailed), "start of db1 failed: no disk");
}

#[test]
fn a_reported_failure_stands_against_maintenance() {
    let mut story = Timeline::new();
    story.hello(1);
    story.store(start_failed(1, "no disk"));
    let refused = Outcome::Rejected(EventRejection::FailedPermanently);
    assert_eq!(story.receive(maintenance(1, 3, "y")).0, refused);
    assert_eq!(story.state(), "failed");
    story.store(start_failed(1, "another reason"));
    assert_eq!(
        story.text(AlertKind::StartFailed),
        "start of db1 failed: no disk",
        "the first stays"
    );
}

#[test]
fn started_ok_after_a_boot_timeout_is_a_late_start() {
    let mut story = Timeline::new();
    story.hello(1);
    story.at(400);
    assert!(story.is_open(AlertKind::StartFailed));
    assert!(story.store(started_ok(1)).contains(RecordFlags::LATE));
    assert_eq!((story.state(), story.since()), ("running", 400));
    assert!(!story.is_open(AlertKind::StartFailed));
}

#[test]
fn started_ok_after_another_failure_is_a_recovery() {
    let mut story = Timeline::new();
    story.hello(1);
    story.store(start_failed(1, "no disk"));
    let marks = story.store(started_ok(1));
    assert!(marks.contains(RecordFlags::RECOVERED) && !marks.contains(RecordFlags::LATE));
    assert_eq!(story.state(), "running");
    assert!(!story.is_open(AlertKind::StartFailed));
}

#[test]
fn the_appliances_own_reason_is_added_to_a_verdict() {
    let mut story = Timeline::new();
    story.hello(1);
    story.at(301);
    story.at(310).store(start_failed(1, "no disk"));
    assert_eq!((story.failure(), story.since()), ("reported", 300));
    assert_eq!(story.text(AlertKind::StartFailed), "start of db1 failed: no disk");
    assert_eq!(story.db1().failed_starts.len(), 1, "one start failed once");
}

#[test]
fn a_failure_like_the_one_before_is_open_since_the_new_one() {
    let mut story = Timeline::new();
    story.store(start_failed(1, "no disk"));
    story.at(60).store(start_failed(2, "no disk"));
    assert_eq!(story.alert(AlertKind::StartFailed).map(|alert| alert.since), Some(at(60)));
}

fn fails_at(story: &mut Timeline, boot: u128, offset: u64) {
    story.at(offset).hello(boot);
    story.store(start_failed(boot, "x"));
}

const HOUR: u64 = 3_600;

#[test]
fn three_failed_starts_within_24_h_are_flapping() {
    let mut story = Timeline::new();
    fails_at(&mut story, 1, 0);
    fails_at(&mut story, 2, 12 * HOUR);
    assert!(!story.is_open(AlertKind::Flapping));
    fails_at(&mut story, 3, 23 * HOUR);
    assert_eq!(story.text(AlertKind::Flapping), "db1 is flapping: 3 starts failed within 24 h");
}

#[test]
fn three_failed_starts_within_a_longer_time_are_not_flapping() {
    let mut story = Timeline::new();
    for (boot, hour) in [(1, 0), (2, 12), (3, 24), (4, 36), (5, 48)] {
        fails_at(&mut story, boot, hour * HOUR);
        assert!(!story.is_open(AlertKind::Flapping), "at {hour} h");
        assert!(story.db1().failed_starts.len() <= 3);
    }
}

#[test]
fn a_start_that_came_late_did_not_fail_after_all() {
    let mut story = Timeline::new();
    fails_at(&mut story, 1, 0);
    fails_at(&mut story, 2, HOUR);
    story.at(2 * HOUR).hello(3);
    story.at(2 * HOUR + 301);
    assert!(story.is_open(AlertKind::Flapping));
    assert!(story.store(started_ok(3)).contains(RecordFlags::LATE));
    assert_eq!(story.db1().failed_starts.len(), 2);
    assert!(!story.is_open(AlertKind::Flapping));
}

/// Three failures in the first two hours, then a good start.
fn flapping() -> Timeline {
    let mut story = Timeline::new();
    for boot in 1u64..=3 {
        fails_at(&mut story, u128::from(boot), (boot - 1) * HOUR);
    }
    story.at(3 * HOUR).hello(4);
    story.store(started_ok(4));
    story
}

#[test]
fn flapping_ends_by_itself_once_a_good_start_has_outlived_the_24_h() {
    let mut story = flapping();
    assert!(story.is_open(AlertKind::Flapping), "three of four failed, the last two hours ago");
    story.at(24 * HOUR - 1);
    assert!(story.is_open(AlertKind::Flapping));
    story.at(24 * HOUR + 1);
    assert!(!story.is_open(AlertKind::Flapping), "though it said nothing");
    assert_eq!(story.grid().poll_timeout(), None);
}

#[test]
fn a_stop_closes_flapping_and_only_another_failure_opens_it_again() {
    let mut story = flapping();
    story.stop();
    assert!(!story.is_open(AlertKind::Flapping));
    story.store(log(4));
    assert!(!story.is_open(AlertKind::Flapping), "a line of the log is no failure");
    fails_at(&mut story, 5, 4 * HOUR);
    assert!(story.is_open(AlertKind::Flapping));
}

#[test]
fn a_new_boot_of_an_unmanaged_appliance_makes_no_failed_start_good() {
    let mut story = Timeline::new();
    fails_at(&mut story, 1, 0);
    let rules = ClassSettings { managed: false, ..ClassSettings::default() };
    story.restart_with(seconds(1), one_class(rules));
    story.hello(2);
    assert_eq!((story.state(), story.db1().failed_starts.len()), ("running", 1));
}

#[test]
fn a_failed_start_is_neither_judged_nor_watched_any_more() {
    let mut story = Timeline::new();
    story.hello(1);
    story.at(400);
    let records = story.records.len();
    story.at(100_000);
    assert_eq!((story.records.len(), story.grid().poll_timeout()), (records, None));
    assert!(matches!(story.db1().lifecycle, Lifecycle::Failed(_)));
}
