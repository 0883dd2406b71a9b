//! The same alert again: when is it counted, when is it news, and when is that told? In told time.

use super::super::admission::PlainOutcome;
use super::super::alert_key::KEYS_MAX;
use super::super::effect::Effect;
use super::super::event::{PlainKind, Severity};
use super::super::record::{Input, Outcome};
use super::super::settings::{Budgets, ClassSettings};
use super::admission::{alert, count, counter, kept, outcomes, running, told};
use super::driver::*;

#[test]
fn the_same_alert_again_is_counted_and_told_of_after_5_minutes_without_it() {
    let mut story = running();
    story.at(10).keep(alert("disk 3 is slow"));
    let record = story.last().number;
    for second in 0..=57 {
        assert_eq!(story.at(20 + second * 10).hear(alert("disk 3 is slow")).0, Outcome::Repeated);
    }
    let before = told(&story);
    story.at(590 + 299);
    assert_eq!(told(&story), before);
    story.at(590 + 301);
    assert_eq!(told(&story), before + 1);
    assert_eq!(
        story.words(),
        format!("repeated 58 times, +20 s to +590 s: disk # is slow (record {record})")
    );
    // By then it is news again.
    story.keep(alert("disk 3 is slow"));
    assert_eq!(count(&story, PlainKind::Alert, PlainOutcome::Repeated), 58);
}

#[test]
fn another_text_of_the_key_ends_the_run_first() {
    let mut story = running();
    story.keep(alert("disk 3 is slow"));
    outcomes(&mut story, &alert("disk 3 is slow"), 7);
    let before = told(&story);
    story.at(20).keep(alert("disk 4 is slow"));
    let of_run = &story.records[story.records.len() - 2];
    assert_eq!(told(&story), before + 2);
    assert!(matches!(of_run.input, Input::RunOver { .. }));
    assert!(matches!(of_run.effects.as_slice(), [Effect::RunTold { key, .. }] if key.repeats == 7));
    // A graver one is news too, and a duplicate ends nothing.
    let fatal = |mut it: Said| {
        it.0.event.severity = Severity::Fatal;
        it
    };
    story.keep(fatal(alert("disk 4 is slow")).numbered(5, 1));
    outcomes(&mut story, &fatal(alert("disk 4 is slow")), 1);
    story.keep(alert("fan 1").numbered(5, 2));
    let before = told(&story);
    assert_eq!(story.hear(alert("disk 9").numbered(5, 2)).0, Outcome::Duplicate);
    assert_eq!(told(&story), before);
}

#[test]
fn a_run_that_goes_on_for_days_is_told_of_daily() {
    let mut story = running();
    story.keep(alert("fan 1 stands"));
    let before = told(&story);
    for minute in 1..=3 * 24 * 60 + 1 {
        assert_eq!(story.at(minute * 60).hear(alert("fan 1 stands")).0, Outcome::Repeated);
    }
    assert_eq!(told(&story) - before, 3);
    assert!(story.words().starts_with("repeated 1440 times, "), "{}", story.words());
}

#[test]
fn alerts_have_a_budget_by_key_and_one_over_all() {
    let mut story = running();
    let of_one_key: Vec<_> =
        (0..8).map(|number| story.hear(alert(&format!("disk {number}"))).0).collect();
    assert_eq!(kept(&of_one_key), 5);
    let words = ["fan", "cpu", "net", "ups", "raid"]
        .into_iter()
        .flat_map(|what| ["slow", "hot", "dead", "late"].map(|how| format!("{what} is {how}")));
    let of_many: Vec<_> = words.map(|text| story.hear(alert(&text)).0).collect();
    assert_eq!(kept(&of_many), 15);
    assert_eq!(kept(&outcomes(&mut story, &counter(""), 12)), 10, "counters have their own");
    story.at(60).keep(alert("door is open"));
    assert_eq!(story.hear(alert("disk 99")).0, Outcome::Suppressed);
    story.at(400).keep(alert("disk 99"));
}

#[test]
fn keys_are_bounded_and_the_run_of_a_forgotten_one_is_told() {
    let budgets = Budgets::UNLIMITED;
    let mut story = Timeline::with(ClassSettings { budgets, ..ClassSettings::default() });
    story.hello(1);
    let text = |number: usize| format!("alert {}", "x".repeat(number));
    for number in 1..=KEYS_MAX {
        story.at(u64::try_from(number).expect("small")).keep(alert(&text(number)));
    }
    story.hear(alert(&text(1)));
    for number in 2..=KEYS_MAX {
        story.hear(alert(&text(number)));
    }
    story.keep(alert(&text(KEYS_MAX + 1)));
    let of_run = &story.records[story.records.len() - 2];
    assert!(matches!(of_run.effects.as_slice(), [Effect::RunTold { .. }]));
    assert_eq!(story.db1().admission.keys.len(), KEYS_MAX);
    // The idle make room too, all at once.
    story.at(1_000).keep(alert("another"));
    assert_eq!(story.db1().admission.keys.len(), 1);
}

#[test]
fn texts_over_budget_end_no_runs() {
    let mut story = running();
    for number in 1..=5 {
        story.keep(alert(&format!("disk {number}")));
    }
    let before = told(&story);
    for _ in 0..1_000 {
        story.hear(alert("disk 5"));
        story.hear(alert("disk 4"));
    }
    assert_eq!(told(&story) - before, 1, "the beginning of the suppression");
    assert_eq!(count(&story, PlainKind::Alert, PlainOutcome::Repeated), 1_000);
}

#[test]
fn the_same_alert_in_another_boot_is_news_and_begins_it() {
    let mut story = running();
    story.keep(alert("fan 1 stands"));
    let mut again = alert("fan 1 stands");
    again.0.boot = Some(boot(2));
    story.at(10).keep(again);
    assert_eq!(story.db1().boot_id(), Some(boot(2)));
}
