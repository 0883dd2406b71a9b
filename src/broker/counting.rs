//! Updates the metrics of the event loop: events and mails by outcome, deadlines by result.
//!
//! Guarantees labels from fixed lists. Does not know who reads the numbers.

use crate::grid::effect::Effect;
use crate::grid::event::EventKind;
use crate::grid::lifecycle::Lifecycle;
use crate::grid::mail::Delivery;
use crate::grid::record::{Outcome, Record};
use crate::metrics::{Metrics, Word};
use crate::wire::show;

/// The label of an event's kind.
pub(super) fn kind(kind: &EventKind) -> Word {
    Word(match kind {
        EventKind::StartedOk => "started_ok",
        EventKind::StartFailed => "start_failed",
        EventKind::Maintenance { .. } => "maintenance",
        EventKind::Log => "log",
        EventKind::Alert { .. } => "alert",
    })
}

/// Counts an event that was decided.
pub(super) fn event(metrics: &Metrics, kind: Word, outcome: Outcome) {
    metrics.event(kind, Word::without("OUTCOME_", show::outcome(outcome).as_str_name()));
}

/// Counts an attempt to deliver a mail.
pub(super) fn mail(metrics: &Metrics, delivery: &Delivery) {
    metrics.mail(Word(match delivery {
        Delivery::Sent(_) => "sent",
        Delivery::Deferred(_) => "deferred",
        Delivery::Refused(_) => "refused",
    }));
}

/// Counts a deadline that was decided.
pub(super) fn deadline(metrics: &Metrics, record: Option<&Record>) {
    let effects = record.map(|record| record.effects.as_slice()).unwrap_or_default();
    let fails = |effect: &Effect| {
        matches!(effect, Effect::Lifecycle { lifecycle: Lifecycle::Failed(_), .. })
    };
    let raises = |effect: &Effect| matches!(effect, Effect::AlertRaised { .. });
    metrics.deadline(Word(if effects.iter().any(fails) {
        "failed"
    } else if effects.iter().any(raises) {
        "alert"
    } else if record.is_some() {
        "other"
    } else {
        "nothing"
    }));
}
