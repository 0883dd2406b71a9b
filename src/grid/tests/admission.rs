//! How much may be said, and what becomes of what is too much? Days of flood, told the time.

use std::time::Duration;

use super::super::decide::CommandRejection;
use super::driver::*;
use crate::grid::log::effect::{AlertKind, Effect, SuppressionPhase};
use crate::grid::log::record::{AdminCommand, Input, Outcome};
use crate::grid::model::lifecycle::{EventRejection, Lifecycle};
use crate::grid::model::usage::OutcomeKind;
use crate::grid::values::event::{
    Counter, DropReason, DroppedEvents, EventBody, EventKind, Severity,
};
use crate::grid::values::record_flags::RecordFlags;

pub(super) fn alert(text: &str) -> EventBuilder {
    new_event(1, EventBody::Alert { counter: None }, text)
}

pub(super) fn counter(text: &str) -> EventBuilder {
    new_event(1, EventBody::Alert { counter: Counter::new("n_xact", 7.0) }, text)
}

fn log_line(text: &str) -> EventBuilder {
    new_event(1, EventBody::Log, text)
}

/// A story with DB1 running.
pub(super) fn running() -> Timeline {
    let mut story = Timeline::new();
    story.hello(1);
    story.store(started_ok(1));
    story
}

/// The outcome of so many of these, at this moment.
pub(super) fn outcomes(story: &mut Timeline, said: &EventBuilder, count: usize) -> Vec<Outcome> {
    (0..count).map(|_| story.receive(said.clone()).0).collect()
}

pub(super) fn stored(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| **outcome == Outcome::Stored).count()
}

pub(super) fn count(story: &Timeline, kind: EventKind, outcome: OutcomeKind) -> u64 {
    story.db1().usage.counts.get(kind, outcome)
}

/// Records other than tallies.
pub(super) fn reported(story: &Timeline) -> usize {
    story.records.iter().filter(|record| record.input != Input::Tally).count()
}

fn is_suppressed(story: &Timeline) -> bool {
    story.db1().usage.suppression.is_some()
}

#[test]
fn a_burst_of_lines_is_kept_and_the_rest_is_counted() {
    let mut story = running();
    let became = outcomes(story.at(10), &log(1), 1_000);
    assert_eq!(stored(&became), 25);
    assert!(became[25..].iter().all(|outcome| *outcome == Outcome::Suppressed));
    assert_eq!(count(&story, EventKind::Log, OutcomeKind::Stored), 25);
    assert_eq!(count(&story, EventKind::Log, OutcomeKind::Suppressed), 975);
    // One record shows what it is about, and 974 are held.
    let shown = story.records.iter().filter(|record| record.outcome == Outcome::Suppressed);
    assert_eq!(shown.count(), 1);
    let suppression = story.db1().usage.suppression.as_ref().expect("held back");
    let held = suppression.events.as_ref().expect("some are held");
    assert_eq!(held.counts, [0, 0, 0, 974, 0]);
    assert_eq!(&*held.sample, "a line");
}

#[test]
fn a_flood_of_three_days_leaves_few_records_and_all_of_it_is_counted() {
    let mut story = running();
    let before = reported(&story);
    let minutes = 3 * 24 * 60;
    for minute in 1..=minutes {
        let became = outcomes(story.at(minute * 60), &log(1), 200);
        assert!(stored(&became) <= if minute == 1 { 25 } else { 12 });
        story.at(minute * 60 + 30);
        outcomes(&mut story, &log(1), 10);
    }
    let kept = count(&story, EventKind::Log, OutcomeKind::Stored);
    let suppressed = count(&story, EventKind::Log, OutcomeKind::Suppressed);
    assert_eq!(kept + suppressed, minutes * 210);
    // A burst of 25, and one for each of 5 s.
    assert!((minutes * 12..=minutes * 12 + 25).contains(&kept), "{kept}");
    // Besides the kept: the beginning, summaries at 1, 5, 30 min and two daily ones.
    assert_eq!(reported(&story) - before, usize::try_from(kept).expect("few") + 6);
}

#[test]
fn a_suppression_is_summed_up_and_ends_after_a_minute_of_peace() {
    let mut story = running();
    outcomes(story.at(10), &log_line("disk 3 is slow"), 100);
    story.at(40);
    outcomes(&mut story, &log_line("disk 4 is slow"), 10);
    // Peace, but for a line that fits the budget.
    story.at(70).store(log_line("at rest"));
    assert!(is_suppressed(&story));
    story.at(71);
    assert_eq!(
        story.description(),
        "held back since +10 s: 78 log events not stored, +10 s to +40 s; \
         the last: \"disk 4 is slow\""
    );
    story.at(99);
    assert!(is_suppressed(&story));
    story.at(101);
    assert!(!is_suppressed(&story));
    assert_eq!(
        story.description(),
        "held back no more: 78 log events not stored, +10 s to +40 s; \
         the last: \"disk 4 is slow\""
    );
}

#[test]
fn a_suppression_of_one_event_ends_with_nothing_held() {
    let mut story = running();
    assert_eq!(stored(&outcomes(story.at(10), &log(1), 26)), 25);
    assert_eq!(story.description(), "log events come faster than the budget `log` allows");
    story.at(71);
    assert_eq!((is_suppressed(&story), story.description().as_str()), (false, "held back no more"));
}

#[test]
fn noise_cannot_use_up_what_the_start_needs() {
    let mut story = Timeline::new();
    story.hello(1);
    outcomes(story.at(10), &log(1), 10_000);
    for number in 0..1_000 {
        story.receive(alert(&format!("alert {}", "x".repeat(number))));
        story.receive(counter(""));
    }
    story.store(maintenance(1, 5, "checking"));
    story.at(12).store(started_ok(1));
    assert_eq!(story.state(), "running");
}

#[test]
fn what_is_over_budget_changes_neither_boot_nor_start() {
    let mut story = Timeline::new();
    story.hello(1);
    story.store(started_ok(1));
    let refused = outcomes(story.at(5), &start_failed(1, "x"), 40);
    assert!(
        refused[..30].iter().all(|it| *it == Outcome::Rejected(EventRejection::AlreadyRunning))
    );
    assert!(refused[30..].iter().all(|it| *it == Outcome::Suppressed));
    // A new boot within budget, but its word is not.
    let before = story.db1().boot;
    assert_eq!(story.receive(started_ok(2)).0, Outcome::Suppressed);
    assert_eq!((story.db1().boot, story.state()), (before, "running"));
    // A second later there is room for one.
    story.at(6).store(started_ok(2));
    assert_eq!(story.db1().boot_id(), Some(boot(2)));
}

#[test]
fn new_boots_are_ten_and_then_ten_an_hour() {
    let mut story = Timeline::new();
    for number in 1..=10 {
        story.hello(number);
        assert_eq!(story.db1().boot_id(), Some(boot(number)));
    }
    let before = story.records.len();
    for number in 11..=30 {
        story.hello(number);
    }
    assert_eq!(story.db1().boot_id(), Some(boot(10)));
    assert_eq!(story.records.len(), before + 1, "one record tells of the suppression");
    assert_eq!(
        story.description(),
        "session opened; new boots come faster than the budget `boots` allows"
    );
    // The boot that was held back begins with an event for which there is room again.
    assert_eq!(story.at(100).receive(log(30)).0, Outcome::Suppressed);
    story.at(361).store(log(30));
    assert_eq!(story.db1().boot_id(), Some(boot(30)));
}

#[test]
fn lifting_ends_it_and_fills_the_budgets() {
    let mut story = running();
    assert_eq!(stored(&outcomes(story.at(10), &log(1), 30)), 25);
    let unsuppress = AdminCommand::Unsuppress { name: name(DB1) };
    assert_eq!(story.command(unsuppress.clone()), Ok(DB1));
    assert!(!is_suppressed(&story));
    assert_eq!(
        story.description(),
        "suppression lifted, budgets filled; held back no more: 4 log events not stored, \
         at +10 s; the last: \"a line\""
    );
    assert_eq!(stored(&outcomes(&mut story, &log(1), 30)), 25);
    assert_eq!(story.command(unsuppress.clone()), Ok(DB1));
    let refusal = CommandRejection::NotSuppressed { name: name(DB1) };
    assert_eq!(story.command(unsuppress), Err(refusal));
}

#[test]
fn lines_below_the_kept_severity_are_counted_only() {
    let mut story = running();
    let before = (story.records.len(), reported(&story));
    let mut debug = log(1);
    debug.0.event.severity = Severity::Debug;
    assert!(outcomes(&mut story, &debug, 100).iter().all(|it| *it == Outcome::BelowThreshold));
    assert_eq!(reported(&story), before.1);
    assert_eq!(count(&story, EventKind::Log, OutcomeKind::BelowThreshold), 100);
    // They cost nothing.
    assert_eq!(stored(&outcomes(&mut story, &log(1), 30)), 25);
    // An alert is kept whatever it says of itself.
    let mut mild = alert("x");
    mild.0.event.severity = Severity::Debug;
    story.store(mild);
}

#[test]
fn reports_within_a_second_fold_into_the_newest() {
    let mut story = Timeline::new();
    story.hello(1);
    story.store(maintenance(1, 1, "checking"));
    for percent in 2..=60 {
        story.now = story.now.after(Duration::from_millis(10));
        assert_eq!(story.receive(maintenance(1, percent, "checking")).0, Outcome::Coalesced);
    }
    let Lifecycle::Maintenance(known) = &story.db1().lifecycle else { panic!("in maintenance") };
    assert_eq!(known.progress.map(|it| it.percent()), Some(60));
    assert_eq!(known.report_deadline, story.now.after(seconds(60)));
    assert_eq!(
        story.receive(maintenance(1, 50, "checking")),
        (Outcome::Coalesced, RecordFlags::PROGRESS_FELL)
    );
    story.at(1).store(maintenance(1, 61, "checking"));
    // Their promise holds: silence is judged from the newest.
    story.at(62);
    assert_eq!(story.failure(), "hung");
    // One that ends being hung is more than a report.
    story.store(maintenance(1, 62, "checking"));
    assert!(!story.is_open(AlertKind::StartFailed));
}

#[test]
fn a_flood_of_reports_does_not_stop_the_word_that_ends_it() {
    let mut story = Timeline::new();
    story.hello(1);
    let mut folded = 0;
    for tenth in 0..3_600 {
        story.now = at(0).after(Duration::from_millis(tenth * 100));
        let (outcome, _) = story.receive(maintenance(1, 5, &format!("page {tenth}")));
        folded += u64::from(outcome == Outcome::Coalesced);
        assert_ne!(outcome, Outcome::Suppressed);
    }
    assert_eq!(folded, 3_600 - 360);
    story.store(started_ok(1));
}

#[test]
fn a_spool_may_hold_much_and_is_bounded_too() {
    let mut story = running();
    let spooled = log(1).spooled(at(0));
    assert_eq!(stored(&outcomes(story.at(100), &spooled, 10_500)), 10_000);
    // What is said live has its own budget.
    assert_eq!(stored(&outcomes(&mut story, &log(1), 30)), 25);
}

#[test]
fn what_was_absorbed_and_not_tallied_is_forgotten_by_a_crash_and_heard_again() {
    let mut story = running();
    story.are_tallies_deferred = true;
    outcomes(story.at(10), &log(1), 26);
    let mut debug = log(1).numbered(5, 7);
    debug.0.event.severity = Severity::Debug;
    assert_eq!(story.receive(debug.clone()).0, Outcome::BelowThreshold);
    assert_eq!(story.receive(debug.clone()).0, Outcome::Duplicate);
    story.restart_after(seconds(1));
    assert_eq!(story.receive(debug.clone()).0, Outcome::BelowThreshold);
    story.tally();
    story.restart_after(seconds(1));
    assert_eq!(story.receive(debug).0, Outcome::Duplicate);
    assert_eq!(count(&story, EventKind::Log, OutcomeKind::BelowThreshold), 1);
    assert!(is_suppressed(&story), "and what is held back stays so");
}

#[test]
fn a_tally_holds_what_it_tells_of_a_suppression() {
    let mut story = running();
    outcomes(story.at(10), &log(1), 30);
    let tally = story.records.iter().rfind(|record| record.input == Input::Tally);
    let effects = &tally.expect("a tally").effects;
    assert!(effects.iter().any(|effect| {
        matches!(effect, Effect::Suppression { phase: SuppressionPhase::Counts, suppression, .. }
            if suppression.events.as_ref().is_some_and(|held| held.counts[3] == 4))
    }));
}

#[test]
fn what_is_pending_is_tallied_before_a_record_pushes_it_out_of_the_window() {
    let mut story = running();
    story.are_tallies_deferred = true;
    let mut debug = log(1);
    debug.0.event.severity = Severity::Debug;
    for sequence in 1..=50 {
        assert_eq!(story.receive(debug.clone().numbered(5, sequence)).0, Outcome::BelowThreshold);
    }
    // Near enough, these stay in the window.
    story.store(log(1).numbered(5, 128));
    assert!(story.grid().has_pending());
    // A crash here would forget them, and 129 would make them known.
    story.store(log(1).numbered(5, 129));
    assert!(!story.grid().has_pending());
    story.restart_after(seconds(1));
    assert_eq!(count(&story, EventKind::Log, OutcomeKind::BelowThreshold), 50);
    assert_eq!(story.receive(debug.numbered(5, 1)).0, Outcome::Duplicate);
}

#[test]
fn reports_of_an_older_boot_have_a_budget_while_the_present_one_reports() {
    let mut story = Timeline::new();
    story.hello(1);
    story.hello(2);
    story.store(maintenance(2, 1, "checking"));
    let before = reported(&story);
    let became = outcomes(&mut story, &maintenance(1, 5, "ghost"), 1_000);
    assert_eq!(became.iter().filter(|it| **it == Outcome::OlderBoot).count(), 29);
    assert_eq!(reported(&story) - before, 30, "and the one that begins the suppression");
}

#[test]
fn what_is_summed_up_is_what_was_counted_though_a_crash_lies_between() {
    let mut story = running();
    story.are_tallies_deferred = true;
    outcomes(story.at(10), &log(1), 30);
    for sequence in 1..=10 {
        assert_eq!(story.receive(log(1).numbered(5, sequence)).0, Outcome::Suppressed);
    }
    // The summary is due, and says what is tallied by then.
    story.at(69);
    outcomes(&mut story, &log(1), 20);
    story.at(71);
    story.restart_after(seconds(1));
    for sequence in 1..=10 {
        assert_eq!(story.receive(log(1).numbered(5, sequence)).0, Outcome::Duplicate);
    }
    let suppression = story.db1().usage.suppression.as_ref().expect("held back");
    let held = suppression.events.as_ref().map_or(0, |held| held.counts[3]);
    // The one that began it has a record and is no part of the sum.
    assert_eq!(held + 1, count(&story, EventKind::Log, OutcomeKind::Suppressed));
}

#[test]
fn whoever_speaks_is_found_again_though_it_says_nothing_new() {
    let mut story = Timeline::new();
    let session = story.hello(1);
    story.store(started_ok(1));
    story.at(100).store(alert("fan 1 stands"));
    story.close_session(1, session);
    story.at(300);
    assert!(story.is_open(AlertKind::NoContact));
    assert_eq!(story.receive(alert("fan 1 stands")).0, Outcome::Repeated);
    assert!(!story.is_open(AlertKind::NoContact));
    let last = story.records.iter().rfind(|record| record.input != Input::Tally);
    assert_eq!(last.map(|it| it.outcome), Some(Outcome::Repeated), "that has a record");
}

#[test]
fn what_an_appliance_lost_is_told_though_its_next_word_is_not() {
    let mut story = running();
    let lost = |mut it: EventBuilder, count: u64| {
        let (kind, first_at, last_at, reason) = (Some(EventKind::Log), None, None, None);
        it.0.event.dropped_before = vec![DroppedEvents { kind, count, first_at, last_at, reason }];
        it
    };
    let mut debug = log(1);
    debug.0.event.severity = Severity::Debug;
    story.store(lost(debug, 17));
    outcomes(&mut story, &log(1), 30);
    assert_eq!(story.receive(lost(log(1), 100)).0, Outcome::Suppressed);
    let suppression = story.db1().usage.suppression.as_ref().expect("held back");
    assert!(suppression.events.as_ref().is_some_and(|held| held.counts[3] > 100));
}

#[test]
fn a_report_that_tells_of_losses_does_not_fold() {
    let mut story = running();
    story.hello(2);
    story.store(maintenance(2, 5, "a"));
    assert_eq!(story.receive(maintenance(2, 6, "a")).0, Outcome::Coalesced);
    let (kind, first_at, last_at, reason) = (None, None, None, Some(DropReason::SpoolFull));
    let mut telling = maintenance(2, 7, "a");
    telling.0.event.dropped_before =
        vec![DroppedEvents { kind, count: 3, first_at, last_at, reason }];
    story.store(telling);
}
