//! Tests rate limits and suppression, over days of floods in simulated time.

use std::time::Duration;

use super::super::decide::CommandRejection;
use super::driver::*;
use crate::grid::log::command::AdminCommand;
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::input::Input;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::model::usage::{OutcomeKind, SuppressionPhase};
use crate::grid::values::event::{Counter, DroppedEvents, EventBody, EventKind, Severity};
use crate::grid::values::outcome::{EventRejection, Outcome};
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

/// A timeline with DB1 running.
pub(super) fn running() -> Timeline {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.store(started_ok(1));
    timeline
}

/// The outcomes of that many of these events, at this moment.
pub(super) fn outcomes(
    timeline: &mut Timeline,
    event: &EventBuilder,
    count: usize,
) -> Vec<Outcome> {
    (0..count).map(|_| timeline.receive(event.clone()).0).collect()
}

pub(super) fn stored(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| **outcome == Outcome::Stored).count()
}

pub(super) fn count(timeline: &Timeline, kind: EventKind, outcome: OutcomeKind) -> u64 {
    timeline.db1().usage.counts.get(kind, outcome)
}

/// The number of records other than tallies.
pub(super) fn reported(timeline: &Timeline) -> usize {
    let is_own = |input: &Input| !matches!(input, Input::Tally | Input::Alert(_));
    timeline.records.iter().filter(|record| is_own(&record.input)).count()
}

fn is_suppressed(timeline: &Timeline) -> bool {
    timeline.db1().usage.suppression.is_some()
}

#[test]
fn a_burst_of_lines_is_stored_and_the_rest_is_counted() {
    let mut timeline = running();
    let became = outcomes(timeline.at(10), &log(1), 1_000);
    assert_eq!(stored(&became), 25);
    assert!(became[25..].iter().all(|outcome| *outcome == Outcome::Suppressed));
    assert_eq!(count(&timeline, EventKind::Log, OutcomeKind::Stored), 25);
    assert_eq!(count(&timeline, EventKind::Log, OutcomeKind::Suppressed), 975);
    // One record shows an example, and 974 are suppressed.
    let shown = timeline.records.iter().filter(|record| record.outcome == Outcome::Suppressed);
    assert_eq!(shown.count(), 1);
    let suppression = timeline.db1().usage.suppression.as_ref().expect("held back");
    let held = suppression.events.as_ref().expect("some are held");
    assert_eq!(held.counts, [0, 0, 0, 974, 0]);
    assert_eq!(&*held.sample, "a line");
}

#[test]
fn a_flood_of_three_days_leaves_few_records_and_all_of_it_is_counted() {
    let mut timeline = running();
    let before = reported(&timeline);
    let minutes = 3 * 24 * 60;
    for minute in 1..=minutes {
        let became = outcomes(timeline.at(minute * 60), &log(1), 200);
        assert!(stored(&became) <= if minute == 1 { 25 } else { 12 });
        timeline.at(minute * 60 + 30);
        outcomes(&mut timeline, &log(1), 10);
    }
    let kept = count(&timeline, EventKind::Log, OutcomeKind::Stored);
    let suppressed = count(&timeline, EventKind::Log, OutcomeKind::Suppressed);
    assert_eq!(kept + suppressed, minutes * 210);
    // A burst of 25, and one per 5 s.
    assert!((minutes * 12..=minutes * 12 + 25).contains(&kept), "{kept}");
    // Besides the stored ones: the start, summaries at 1, 5, 30 min and two daily ones.
    assert_eq!(reported(&timeline) - before, usize::try_from(kept).expect("few") + 6);
}

#[test]
fn a_suppression_has_summaries_and_ends_after_a_quiet_minute() {
    let mut timeline = running();
    outcomes(timeline.at(10), &log_line("disk 3 is slow"), 100);
    timeline.at(40);
    outcomes(&mut timeline, &log_line("disk 4 is slow"), 10);
    // Quiet, except for a line within the limit.
    timeline.at(70).store(log_line("at rest"));
    assert!(is_suppressed(&timeline));
    timeline.at(71);
    assert_eq!(
        timeline.description(),
        "suppressed since +10 s: 78 log events not stored, +10 s to +40 s; \
         the last: \"disk 4 is slow\""
    );
    timeline.at(99);
    assert!(is_suppressed(&timeline));
    timeline.at(101);
    assert!(!is_suppressed(&timeline));
    assert_eq!(
        timeline.description(),
        "suppression ended: 78 log events not stored, +10 s to +40 s; \
         the last: \"disk 4 is slow\""
    );
}

#[test]
fn a_suppression_of_one_event_ends_without_counts() {
    let mut timeline = running();
    assert_eq!(stored(&outcomes(timeline.at(10), &log(1), 26)), 25);
    assert_eq!(timeline.description(), "log events exceed the rate limit `log`");
    timeline.at(71);
    assert_eq!(
        (is_suppressed(&timeline), timeline.description().as_str()),
        (false, "suppression ended")
    );
}

#[test]
fn noise_cannot_use_up_what_the_start_needs() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    outcomes(timeline.at(10), &log(1), 10_000);
    for number in 0..1_000 {
        timeline.receive(alert(&format!("alert {}", "x".repeat(number))));
        timeline.receive(counter(""));
    }
    timeline.store(maintenance(1, 5, "checking"));
    timeline.at(12).store(started_ok(1));
    assert_eq!(timeline.state(), "running");
}

#[test]
fn an_event_over_the_limit_changes_neither_boot_nor_start() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.store(started_ok(1));
    let refused = outcomes(timeline.at(5), &start_failed(1, "x"), 40);
    assert!(
        refused[..30].iter().all(|it| *it == Outcome::Rejected(EventRejection::AlreadyRunning))
    );
    assert!(refused[30..].iter().all(|it| *it == Outcome::Suppressed));
    // A new boot within its limit, but its event is not.
    let before = timeline.db1().boot;
    assert_eq!(timeline.receive(started_ok(2)).0, Outcome::Suppressed);
    assert_eq!((timeline.db1().boot, timeline.state()), (before, "running"));
    // A second later there is room for one.
    timeline.at(6).store(started_ok(2));
    assert_eq!(timeline.db1().boot_id(), Some(boot(2)));
}

#[test]
fn new_boots_are_ten_and_then_ten_an_hour() {
    let mut timeline = Timeline::new();
    for number in 1..=10 {
        timeline.hello(number);
        assert_eq!(timeline.db1().boot_id(), Some(boot(number)));
    }
    let before = timeline.records.len();
    for number in 11..=30 {
        timeline.hello(number);
    }
    assert_eq!(timeline.db1().boot_id(), Some(boot(10)));
    assert_eq!(timeline.records.len(), before + 1, "one record tells of the suppression");
    assert_eq!(timeline.description(), "session opened; new boots exceed the rate limit `boots`");
    // The suppressed boot begins with the first event that the limit allows.
    assert_eq!(timeline.at(100).receive(log(30)).0, Outcome::Suppressed);
    timeline.at(361).store(log(30));
    assert_eq!(timeline.db1().boot_id(), Some(boot(30)));
}

#[test]
fn lifting_a_suppression_ends_it_and_resets_the_limits() {
    let mut timeline = running();
    assert_eq!(stored(&outcomes(timeline.at(10), &log(1), 30)), 25);
    let unsuppress = AdminCommand::Unsuppress { name: name(DB1) };
    assert_eq!(timeline.command(unsuppress.clone()), Ok(DB1));
    assert!(!is_suppressed(&timeline));
    assert_eq!(
        timeline.description(),
        "suppression lifted, rate limits reset; suppression ended: 4 log events not stored, \
         at +10 s; the last: \"a line\""
    );
    assert_eq!(stored(&outcomes(&mut timeline, &log(1), 30)), 25);
    assert_eq!(timeline.command(unsuppress.clone()), Ok(DB1));
    let rejection = CommandRejection::NotSuppressed { name: name(DB1) };
    assert_eq!(timeline.command(unsuppress), Err(rejection));
}

#[test]
fn lines_below_the_lowest_severity_are_only_counted() {
    let mut timeline = running();
    let before = (timeline.records.len(), reported(&timeline));
    let mut debug = log(1);
    debug.0.event.severity = Severity::Debug;
    assert!(outcomes(&mut timeline, &debug, 100).iter().all(|it| *it == Outcome::BelowThreshold));
    assert_eq!(reported(&timeline), before.1);
    assert_eq!(count(&timeline, EventKind::Log, OutcomeKind::BelowThreshold), 100);
    // They use no limit.
    assert_eq!(stored(&outcomes(&mut timeline, &log(1), 30)), 25);
    // An alert is stored whatever its severity.
    let mut mild = alert("x");
    mild.0.event.severity = Severity::Debug;
    timeline.store(mild);
}

#[test]
fn reports_within_a_second_are_coalesced() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.store(maintenance(1, 1, "checking"));
    for percent in 2..=60 {
        timeline.now = timeline.now.after(Duration::from_millis(10));
        assert_eq!(timeline.receive(maintenance(1, percent, "checking")).0, Outcome::Coalesced);
    }
    let Lifecycle::Maintenance(known) = &timeline.db1().lifecycle else { panic!("in maintenance") };
    assert_eq!(known.progress.map(|it| it.percent()), Some(60));
    assert_eq!(known.report_deadline, timeline.now.after(seconds(60)));
    assert_eq!(
        timeline.receive(maintenance(1, 50, "checking")),
        (Outcome::Coalesced, RecordFlags::PROGRESS_FELL)
    );
    timeline.at(1).store(maintenance(1, 61, "checking"));
    // Their report interval counts: the deadline is that of the newest.
    timeline.at(62);
    assert_eq!(timeline.failure(), "hung");
    // A report that ends a hang is more than a report.
    timeline.store(maintenance(1, 62, "checking"));
    assert!(!timeline.is_open(FindingKind::StartFailed));
}

#[test]
fn a_flood_of_reports_does_not_stop_the_event_that_ends_it() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    let mut folded = 0;
    for tenth in 0..3_600 {
        timeline.now = at(0).after(Duration::from_millis(tenth * 100));
        let (outcome, _) = timeline.receive(maintenance(1, 5, &format!("page {tenth}")));
        folded += u64::from(outcome == Outcome::Coalesced);
        assert_ne!(outcome, Outcome::Suppressed);
    }
    assert_eq!(folded, 3_600 - 360);
    timeline.store(started_ok(1));
}

#[test]
fn a_spool_may_hold_much_and_is_bounded_too() {
    let mut timeline = running();
    let spooled = log(1).spooled(at(0));
    assert_eq!(stored(&outcomes(timeline.at(100), &spooled, 10_500)), 10_000);
    // Live events have their own limit.
    assert_eq!(stored(&outcomes(&mut timeline, &log(1), 30)), 25);
}

#[test]
fn a_crash_loses_counts_without_a_tally_and_the_events_are_received_again() {
    let mut timeline = running();
    timeline.are_tallies_deferred = true;
    outcomes(timeline.at(10), &log(1), 26);
    let mut debug = log(1).numbered(5, 7);
    debug.0.event.severity = Severity::Debug;
    assert_eq!(timeline.receive(debug.clone()).0, Outcome::BelowThreshold);
    assert_eq!(timeline.receive(debug.clone()).0, Outcome::Duplicate);
    timeline.restart_after(seconds(1));
    assert_eq!(timeline.receive(debug.clone()).0, Outcome::BelowThreshold);
    timeline.tally();
    timeline.restart_after(seconds(1));
    assert_eq!(timeline.receive(debug).0, Outcome::Duplicate);
    assert_eq!(count(&timeline, EventKind::Log, OutcomeKind::BelowThreshold), 1);
    assert!(is_suppressed(&timeline), "and what is held back stays so");
}

#[test]
fn a_tally_contains_the_suppression() {
    let mut timeline = running();
    outcomes(timeline.at(10), &log(1), 30);
    let tally = timeline.records.iter().rfind(|record| record.input == Input::Tally);
    let effects = &tally.expect("a tally").effects;
    assert!(effects.iter().any(|effect| {
        matches!(effect, Effect::Appliance { change: ApplianceEffect::Suppression { phase: SuppressionPhase::Counts, suppression, .. }, .. }
            if suppression.events.as_ref().is_some_and(|held| held.counts[3] == 4))
    }));
}

#[test]
fn what_is_pending_is_tallied_before_a_record_pushes_it_out_of_the_window() {
    let mut timeline = running();
    timeline.are_tallies_deferred = true;
    let mut debug = log(1);
    debug.0.event.severity = Severity::Debug;
    for sequence in 1..=50 {
        assert_eq!(
            timeline.receive(debug.clone().numbered(5, sequence)).0,
            Outcome::BelowThreshold
        );
    }
    // Near enough, these stay in the window.
    timeline.store(log(1).numbered(5, 128));
    assert!(timeline.grid().has_pending());
    // A crash here would lose them, and 129 would make them count as known.
    timeline.store(log(1).numbered(5, 129));
    assert!(!timeline.grid().has_pending());
    timeline.restart_after(seconds(1));
    assert_eq!(count(&timeline, EventKind::Log, OutcomeKind::BelowThreshold), 50);
    assert_eq!(timeline.receive(debug.numbered(5, 1)).0, Outcome::Duplicate);
}

#[test]
fn reports_of_an_older_boot_have_a_limit_while_the_current_one_reports() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.hello(2);
    timeline.store(maintenance(2, 1, "checking"));
    let before = reported(&timeline);
    let became = outcomes(&mut timeline, &maintenance(1, 5, "ghost"), 1_000);
    assert_eq!(became.iter().filter(|it| **it == Outcome::OlderBoot).count(), 29);
    assert_eq!(reported(&timeline) - before, 30, "and the one that begins the suppression");
}

#[test]
fn summaries_contain_all_counts_even_after_a_crash() {
    let mut timeline = running();
    timeline.are_tallies_deferred = true;
    outcomes(timeline.at(10), &log(1), 30);
    for sequence in 1..=10 {
        assert_eq!(timeline.receive(log(1).numbered(5, sequence)).0, Outcome::Suppressed);
    }
    // The summary is due, and contains what is tallied by then.
    timeline.at(69);
    outcomes(&mut timeline, &log(1), 20);
    timeline.at(71);
    timeline.restart_after(seconds(1));
    for sequence in 1..=10 {
        assert_eq!(timeline.receive(log(1).numbered(5, sequence)).0, Outcome::Duplicate);
    }
    let suppression = timeline.db1().usage.suppression.as_ref().expect("held back");
    let held = suppression.events.as_ref().map_or(0, |held| held.counts[3]);
    // The event that began it has a record and is not counted.
    assert_eq!(held + 1, count(&timeline, EventKind::Log, OutcomeKind::Suppressed));
}

#[test]
fn any_event_restores_contact_even_if_it_is_not_stored() {
    let mut timeline = Timeline::new();
    let session = timeline.hello(1);
    timeline.store(started_ok(1));
    timeline.at(100).store(alert("fan 1 stands"));
    timeline.close_session(1, session);
    timeline.at(300);
    assert!(timeline.is_open(FindingKind::NoContact));
    assert_eq!(timeline.receive(alert("fan 1 stands")).0, Outcome::Repeated);
    assert!(!timeline.is_open(FindingKind::NoContact));
    let last = timeline.records.iter().rfind(|record| record.input != Input::Tally);
    assert_eq!(last.map(|it| it.outcome), Some(Outcome::Repeated), "that has a record");
}

#[test]
fn dropped_events_are_recorded_even_if_the_next_event_is_not() {
    let mut timeline = running();
    let lost = |mut it: EventBuilder, count: u64| {
        let (kind, first_at, last_at, reason) = (Some(EventKind::Log), None, None, None);
        it.0.event.dropped_before = vec![DroppedEvents { kind, count, first_at, last_at, reason }];
        it
    };
    let mut debug = log(1);
    debug.0.event.severity = Severity::Debug;
    timeline.store(lost(debug, 17));
    outcomes(&mut timeline, &log(1), 30);
    assert_eq!(timeline.receive(lost(log(1), 100)).0, Outcome::Suppressed);
    let suppression = timeline.db1().usage.suppression.as_ref().expect("held back");
    assert!(suppression.events.as_ref().is_some_and(|held| held.counts[3] > 100));
}
