//! The same alert again: when is it counted, when is it news, and when is that told? In told time.

use super::admission::{alert, count, counter, outcomes, reported, running, stored};
use super::driver::*;
use crate::grid::log::effect::Effect;
use crate::grid::log::record::{Input, Outcome};
use crate::grid::model::alert_group::ALERT_GROUPS_MAX;
use crate::grid::model::settings::{ClassSettings, RateLimits};
use crate::grid::model::usage::OutcomeKind;
use crate::grid::values::event::{EventKind, Severity};

#[test]
fn the_same_alert_again_is_counted_and_told_of_after_5_minutes_without_it() {
    let mut story = running();
    story.at(10).store(alert("disk 3 is slow"));
    let record = story.last().number;
    for second in 0..=57 {
        assert_eq!(
            story.at(20 + second * 10).receive(alert("disk 3 is slow")).0,
            Outcome::Repeated
        );
    }
    let before = reported(&story);
    story.at(590 + 299);
    assert_eq!(reported(&story), before);
    story.at(590 + 301);
    assert_eq!(reported(&story), before + 1);
    assert_eq!(
        story.description(),
        format!("repeated 58 times, +20 s to +590 s: disk # is slow (record {record})")
    );
    // By then it is news again.
    story.store(alert("disk 3 is slow"));
    assert_eq!(count(&story, EventKind::Alert, OutcomeKind::Repeated), 58);
}

#[test]
fn another_text_of_the_key_ends_the_run_first() {
    let mut story = running();
    story.store(alert("disk 3 is slow"));
    outcomes(&mut story, &alert("disk 3 is slow"), 7);
    let before = reported(&story);
    story.at(20).store(alert("disk 4 is slow"));
    let of_run = &story.records[story.records.len() - 2];
    assert_eq!(reported(&story), before + 2);
    assert!(matches!(of_run.input, Input::RepeatsEnded { .. }));
    assert!(
        matches!(of_run.effects.as_slice(), [Effect::RepeatsReported { group, .. }] if group.repeats == 7)
    );
    // A graver one is news too, and a duplicate ends nothing.
    let fatal = |mut it: EventBuilder| {
        it.0.event.severity = Severity::Fatal;
        it
    };
    story.store(fatal(alert("disk 4 is slow")).numbered(5, 1));
    outcomes(&mut story, &fatal(alert("disk 4 is slow")), 1);
    story.store(alert("fan 1").numbered(5, 2));
    let before = reported(&story);
    assert_eq!(story.receive(alert("disk 9").numbered(5, 2)).0, Outcome::Duplicate);
    assert_eq!(reported(&story), before);
}

#[test]
fn a_run_that_goes_on_for_days_is_told_of_daily() {
    let mut story = running();
    story.store(alert("fan 1 stands"));
    let before = reported(&story);
    for minute in 1..=3 * 24 * 60 + 1 {
        assert_eq!(story.at(minute * 60).receive(alert("fan 1 stands")).0, Outcome::Repeated);
    }
    assert_eq!(reported(&story) - before, 3);
    assert!(story.description().starts_with("repeated 1440 times, "), "{}", story.description());
}

#[test]
fn alerts_have_a_budget_by_key_and_one_over_all() {
    let mut story = running();
    let of_one_key: Vec<_> =
        (0..8).map(|number| story.receive(alert(&format!("disk {number}"))).0).collect();
    assert_eq!(stored(&of_one_key), 5);
    let words = ["fan", "cpu", "net", "ups", "raid"]
        .into_iter()
        .flat_map(|what| ["slow", "hot", "dead", "late"].map(|how| format!("{what} is {how}")));
    let of_many: Vec<_> = words.map(|text| story.receive(alert(&text)).0).collect();
    assert_eq!(stored(&of_many), 15);
    assert_eq!(stored(&outcomes(&mut story, &counter(""), 12)), 10, "counters have their own");
    story.at(60).store(alert("door is open"));
    assert_eq!(story.receive(alert("disk 99")).0, Outcome::Suppressed);
    story.at(400).store(alert("disk 99"));
}

#[test]
fn keys_are_bounded_and_the_run_of_a_forgotten_one_is_told() {
    let budgets = RateLimits::UNLIMITED;
    let mut story =
        Timeline::with(ClassSettings { rate_limits: budgets, ..ClassSettings::default() });
    story.hello(1);
    let text = |number: usize| format!("alert {}", "x".repeat(number));
    for number in 1..=ALERT_GROUPS_MAX {
        story.at(u64::try_from(number).expect("small")).store(alert(&text(number)));
    }
    story.receive(alert(&text(1)));
    for number in 2..=ALERT_GROUPS_MAX {
        story.receive(alert(&text(number)));
    }
    story.store(alert(&text(ALERT_GROUPS_MAX + 1)));
    let of_run = &story.records[story.records.len() - 2];
    assert!(matches!(of_run.effects.as_slice(), [Effect::RepeatsReported { .. }]));
    assert_eq!(story.db1().usage.alert_groups.len(), ALERT_GROUPS_MAX);
    // The idle make room too, all at once.
    story.at(1_000).store(alert("another"));
    assert_eq!(story.db1().usage.alert_groups.len(), 1);
}

#[test]
fn texts_over_budget_end_no_runs() {
    let mut story = running();
    for number in 1..=5 {
        story.store(alert(&format!("disk {number}")));
    }
    let before = reported(&story);
    for _ in 0..1_000 {
        story.receive(alert("disk 5"));
        story.receive(alert("disk 4"));
    }
    assert_eq!(reported(&story) - before, 1, "the beginning of the suppression");
    assert_eq!(count(&story, EventKind::Alert, OutcomeKind::Repeated), 1_000);
}

#[test]
fn the_same_alert_in_another_boot_is_news_and_begins_it() {
    let mut story = running();
    story.store(alert("fan 1 stands"));
    let mut again = alert("fan 1 stands");
    again.0.boot = Some(boot(2));
    story.at(10).store(again);
    assert_eq!(story.db1().boot_id(), Some(boot(2)));
}
