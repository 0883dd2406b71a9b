//! Tests repeated alerts: when they are counted, when they are new, and when they are recorded.

use super::admission::{alert, count, counter, outcomes, reported, running, stored};
use super::driver::*;
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::input::Input;
use crate::grid::model::alert_group::ALERT_GROUPS_MAX;
use crate::grid::model::settings::{ClassSettings, RateLimits};
use crate::grid::model::usage::OutcomeKind;
use crate::grid::values::event::{DropReason, DroppedEvents, EventKind, Severity};
use crate::grid::values::outcome::Outcome;

#[test]
fn a_repeated_alert_is_counted_and_recorded_after_5_quiet_minutes() {
    let mut timeline = running();
    timeline.at(10).store(alert("3 files are slow"));
    let record = timeline.last().number;
    for second in 0..=57 {
        assert_eq!(
            timeline.at(20 + second * 10).receive(alert("3 files are slow")).0,
            Outcome::Repeated
        );
    }
    let before = reported(&timeline);
    timeline.at(590 + 299);
    assert_eq!(reported(&timeline), before);
    timeline.at(590 + 301);
    assert_eq!(reported(&timeline), before + 1);
    assert_eq!(
        timeline.description(),
        format!("repeated 58 times, +20 s to +590 s: # file is slow (record {record})")
    );
    // By then it is new again.
    timeline.store(alert("3 files are slow"));
    assert_eq!(count(&timeline, EventKind::Alert, OutcomeKind::Repeated), 58);
}

#[test]
fn another_text_of_the_key_ends_the_run_first() {
    let mut timeline = running();
    timeline.store(alert("3 files are slow"));
    outcomes(&mut timeline, &alert("3 files are slow"), 7);
    let before = reported(&timeline);
    timeline.at(20).store(alert("4 files are slow"));
    let of_run = &timeline.records[timeline.records.len() - 2];
    assert_eq!(reported(&timeline), before + 2);
    assert!(matches!(of_run.input, Input::RepeatsEnded { .. }));
    assert!(
        matches!(of_run.effects.as_slice(), [Effect::Appliance { change: ApplianceEffect::RepeatsReported { group, .. }, .. }, ..] if group.repeats == 7)
    );
    // A more severe one is new too, and a duplicate ends no run.
    let fatal = |mut it: EventBuilder| {
        it.0.event.severity = Severity::Fatal;
        it
    };
    timeline.store(fatal(alert("4 files are slow")).numbered(5, 1));
    outcomes(&mut timeline, &fatal(alert("4 files are slow")), 1);
    timeline.store(alert("fan 1").numbered(5, 2));
    let before = reported(&timeline);
    assert_eq!(timeline.receive(alert("9 files").numbered(5, 2)).0, Outcome::Duplicate);
    assert_eq!(reported(&timeline), before);
}

#[test]
fn a_run_of_days_is_recorded_daily() {
    let mut timeline = running();
    timeline.store(alert("fan 1 stands"));
    let before = reported(&timeline);
    for minute in 1..=3 * 24 * 60 + 1 {
        assert_eq!(timeline.at(minute * 60).receive(alert("fan 1 stands")).0, Outcome::Repeated);
    }
    assert_eq!(reported(&timeline) - before, 3);
    assert!(
        timeline.description().starts_with("repeated 1440 times, "),
        "{}",
        timeline.description()
    );
}

#[test]
fn alerts_have_a_limit_per_group_and_one_over_all() {
    let mut timeline = running();
    let of_one_key: Vec<_> =
        (0..8).map(|number| timeline.receive(alert(&format!("{number} files"))).0).collect();
    assert_eq!(stored(&of_one_key), 5);
    let words = ["fan", "cpu", "net", "ups", "raid"]
        .into_iter()
        .flat_map(|what| ["slow", "hot", "dead", "late"].map(|how| format!("{what} is {how}")));
    let of_many: Vec<_> = words.map(|text| timeline.receive(alert(&text)).0).collect();
    assert_eq!(stored(&of_many), 15);
    assert_eq!(stored(&outcomes(&mut timeline, &counter(""), 12)), 10, "counters have their own");
    timeline.at(60).store(alert("door is open"));
    assert_eq!(timeline.receive(alert("99 files")).0, Outcome::Suppressed);
    timeline.at(400).store(alert("99 files"));
}

#[test]
fn groups_are_bounded_and_the_run_of_a_removed_one_is_recorded() {
    let budgets = RateLimits::UNLIMITED;
    let mut timeline =
        Timeline::with(ClassSettings { rate_limits: budgets, ..ClassSettings::default() });
    timeline.hello(1);
    let text = |number: usize| format!("alert {}", "x".repeat(number));
    for number in 1..=ALERT_GROUPS_MAX {
        timeline.at(u64::try_from(number).expect("small")).store(alert(&text(number)));
    }
    timeline.receive(alert(&text(1)));
    for number in 2..=ALERT_GROUPS_MAX {
        timeline.receive(alert(&text(number)));
    }
    timeline.store(alert(&text(ALERT_GROUPS_MAX + 1)));
    let of_run = &timeline.records[timeline.records.len() - 2];
    assert!(matches!(
        of_run.effects.as_slice(),
        [Effect::Appliance { change: ApplianceEffect::RepeatsReported { .. }, .. }, ..]
    ));
    assert_eq!(timeline.db1().usage.alert_groups.len(), ALERT_GROUPS_MAX);
    // All idle ones are removed, too.
    timeline.at(1_000).store(alert("another"));
    assert_eq!(timeline.db1().usage.alert_groups.len(), 1);
}

#[test]
fn texts_over_the_limit_end_no_runs() {
    let mut timeline = running();
    for number in 1..=5 {
        timeline.store(alert(&format!("{number} files")));
    }
    let before = reported(&timeline);
    for _ in 0..1_000 {
        timeline.receive(alert("5 files"));
        timeline.receive(alert("4 files"));
    }
    assert_eq!(reported(&timeline) - before, 1, "the beginning of the suppression");
    assert_eq!(count(&timeline, EventKind::Alert, OutcomeKind::Repeated), 1_000);
}

#[test]
fn the_same_alert_in_another_boot_is_new_and_begins_it() {
    let mut timeline = running();
    timeline.store(alert("fan 1 stands"));
    let mut again = alert("fan 1 stands");
    again.0.boot = Some(boot(2));
    timeline.at(10).store(again);
    assert_eq!(timeline.db1().boot_id(), Some(boot(2)));
}

#[test]
fn a_report_with_dropped_events_is_not_coalesced() {
    let mut timeline = running();
    timeline.hello(2);
    timeline.store(maintenance(2, 5, "a"));
    assert_eq!(timeline.receive(maintenance(2, 6, "a")).0, Outcome::Coalesced);
    let (kind, first_at, last_at, reason) = (None, None, None, Some(DropReason::SpoolFull));
    let mut telling = maintenance(2, 7, "a");
    telling.0.event.dropped_before =
        vec![DroppedEvents { kind, count: 3, first_at, last_at, reason }];
    timeline.store(telling);
}
