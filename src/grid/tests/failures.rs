//! Tests how a start fails, recovers and flaps.

use super::driver::*;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::model::settings::ClassSettings;
use crate::grid::values::outcome::{EventRejection, Outcome};
use crate::grid::values::record_flags::RecordFlags;

#[test]
fn an_appliance_reports_why_its_start_failed() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(30).store(start_failed(1, "no disk"));
    assert_eq!((timeline.failure(), timeline.since(), timeline.deadline()), ("reported", 30, None));
    assert_eq!(timeline.text(FindingKind::StartFailed), "start of db1 failed: no disk");
}

#[test]
fn a_reported_failure_stands_against_maintenance() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.store(start_failed(1, "no disk"));
    let refused = Outcome::Rejected(EventRejection::FailedPermanently);
    assert_eq!(timeline.receive(maintenance(1, 3, "y")).0, refused);
    assert_eq!(timeline.state(), "failed");
    timeline.store(start_failed(1, "another reason"));
    assert_eq!(
        timeline.text(FindingKind::StartFailed),
        "start of db1 failed: no disk",
        "the first stays"
    );
}

#[test]
fn started_ok_after_a_boot_timeout_is_a_late_start() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(400);
    assert!(timeline.is_open(FindingKind::StartFailed));
    assert!(timeline.store(started_ok(1)).contains(RecordFlags::LATE));
    assert_eq!((timeline.state(), timeline.since()), ("running", 400));
    assert!(!timeline.is_open(FindingKind::StartFailed));
}

#[test]
fn started_ok_after_another_failure_is_a_recovery() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.store(start_failed(1, "no disk"));
    let flags = timeline.store(started_ok(1));
    assert!(flags.contains(RecordFlags::RECOVERED) && !flags.contains(RecordFlags::LATE));
    assert_eq!(timeline.state(), "running");
    assert!(!timeline.is_open(FindingKind::StartFailed));
}

#[test]
fn the_appliances_own_reason_is_added_to_a_verdict() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(301);
    timeline.at(310).store(start_failed(1, "no disk"));
    assert_eq!((timeline.failure(), timeline.since()), ("reported", 300));
    assert_eq!(timeline.text(FindingKind::StartFailed), "start of db1 failed: no disk");
    assert_eq!(timeline.db1().failed_starts.len(), 1, "one start failed once");
}

#[test]
fn a_failure_like_the_one_before_is_open_since_the_new_one() {
    let mut timeline = Timeline::new();
    timeline.store(start_failed(1, "no disk"));
    timeline.at(60).store(start_failed(2, "no disk"));
    assert_eq!(timeline.alert(FindingKind::StartFailed).map(|alert| alert.since), Some(at(60)));
}

fn fails_at(timeline: &mut Timeline, boot: u128, offset: u64) {
    timeline.at(offset).hello(boot);
    timeline.store(start_failed(boot, "x"));
}

const HOUR: u64 = 3_600;

#[test]
fn three_failed_starts_within_24_h_are_flapping() {
    let mut timeline = Timeline::new();
    fails_at(&mut timeline, 1, 0);
    fails_at(&mut timeline, 2, 12 * HOUR);
    assert!(!timeline.is_open(FindingKind::Flapping));
    fails_at(&mut timeline, 3, 23 * HOUR);
    assert_eq!(
        timeline.text(FindingKind::Flapping),
        "db1 is flapping: 3 starts failed within 24 h"
    );
}

#[test]
fn three_failed_starts_within_a_longer_time_are_not_flapping() {
    let mut timeline = Timeline::new();
    for (boot, hour) in [(1, 0), (2, 12), (3, 24), (4, 36), (5, 48)] {
        fails_at(&mut timeline, boot, hour * HOUR);
        assert!(!timeline.is_open(FindingKind::Flapping), "at {hour} h");
        assert!(timeline.db1().failed_starts.len() <= 3);
    }
}

#[test]
fn a_start_that_came_late_did_not_fail_after_all() {
    let mut timeline = Timeline::new();
    fails_at(&mut timeline, 1, 0);
    fails_at(&mut timeline, 2, HOUR);
    timeline.at(2 * HOUR).hello(3);
    timeline.at(2 * HOUR + 301);
    assert!(timeline.is_open(FindingKind::Flapping));
    assert!(timeline.store(started_ok(3)).contains(RecordFlags::LATE));
    assert_eq!(timeline.db1().failed_starts.len(), 2);
    assert!(!timeline.is_open(FindingKind::Flapping));
}

/// Three failures in the first two hours, then a good start.
fn flapping() -> Timeline {
    let mut timeline = Timeline::new();
    for boot in 1u64..=3 {
        fails_at(&mut timeline, u128::from(boot), (boot - 1) * HOUR);
    }
    timeline.at(3 * HOUR).hello(4);
    timeline.store(started_ok(4));
    timeline
}

#[test]
fn flapping_ends_by_itself_once_a_good_start_has_outlived_the_24_h() {
    let mut timeline = flapping();
    assert!(
        timeline.is_open(FindingKind::Flapping),
        "three of four failed, the last two hours ago"
    );
    timeline.at(24 * HOUR - 1);
    assert!(timeline.is_open(FindingKind::Flapping));
    timeline.at(24 * HOUR + 1);
    assert!(!timeline.is_open(FindingKind::Flapping), "though it said nothing");
    // Only the alerts that ended are to be forgotten.
    assert!(timeline.grid().poll_timeout() > Some(at(30 * 24 * HOUR)));
}

#[test]
fn a_stop_closes_flapping_and_only_another_failure_opens_it_again() {
    let mut timeline = flapping();
    timeline.stop();
    assert!(!timeline.is_open(FindingKind::Flapping));
    timeline.store(log(4));
    assert!(!timeline.is_open(FindingKind::Flapping), "a line of the log is no failure");
    fails_at(&mut timeline, 5, 4 * HOUR);
    assert!(timeline.is_open(FindingKind::Flapping));
}

#[test]
fn a_new_boot_of_an_unmanaged_appliance_makes_no_failed_start_good() {
    let mut timeline = Timeline::new();
    fails_at(&mut timeline, 1, 0);
    let rules = ClassSettings { managed: false, ..ClassSettings::default() };
    timeline.restart_with(seconds(1), one_class(rules));
    timeline.hello(2);
    assert_eq!((timeline.state(), timeline.db1().failed_starts.len()), ("running", 1));
}

#[test]
fn a_failed_start_has_no_deadlines() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(400);
    let records = timeline.records.len();
    timeline.at(100_000);
    assert_eq!((timeline.records.len(), timeline.grid().poll_timeout()), (records, None));
    assert!(matches!(timeline.db1().lifecycle, Lifecycle::Failed(_)));
}
