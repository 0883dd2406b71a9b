//! Updates the metrics of the event loop: events and mails by outcome, deadlines by result.
//!
//! Guarantees labels from fixed lists. Does not know who reads the numbers.

use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::record::Record;
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::model::mail_message::Delivery;
use crate::grid::values::outcome::Outcome;
use crate::metrics::{Label, Metrics};

/// Counts an event that was decided.
pub(super) fn count_event(metrics: &Metrics, kind: Label, outcome: Outcome) {
    metrics.event(kind, outcome_label(outcome));
}

/// The contract's name of an outcome, without its prefix.
fn outcome_label(outcome: Outcome) -> Label {
    Label(match outcome {
        Outcome::Stored => "kept",
        Outcome::Repeated => "repeated",
        Outcome::Coalesced => "folded",
        Outcome::Suppressed => "suppressed",
        Outcome::BelowThreshold => "not_kept",
        Outcome::Duplicate => "duplicate",
        Outcome::OlderBoot | Outcome::StaleEvent => "history",
        Outcome::Rejected(_) => "refused",
    })
}

/// Counts an attempt to deliver a mail.
pub(super) fn count_mail_attempt(metrics: &Metrics, delivery: &Delivery) {
    metrics.mail(Label(match delivery {
        Delivery::Sent(_) => "sent",
        Delivery::Deferred(_) => "deferred",
        Delivery::Refused(_) => "refused",
    }));
}

/// Counts a deadline that was decided.
pub(super) fn count_deadline(metrics: &Metrics, record: Option<&Record>) {
    let effects = record.map(|record| record.effects.as_slice()).unwrap_or_default();
    let fails = |effect: &Effect| {
        matches!(
            effect.of_appliance(),
            Some(ApplianceEffect::Lifecycle { lifecycle: Lifecycle::Failed(_), .. })
        )
    };
    let raises = |effect: &Effect| matches!(effect, Effect::AlertRaised { .. });
    metrics.deadline(Label(if effects.iter().any(fails) {
        "failed"
    } else if effects.iter().any(raises) {
        "alert"
    } else if record.is_some() {
        "other"
    } else {
        "nothing"
    }));
}
