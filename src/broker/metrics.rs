//! Updates the metrics of the event loop: events and mails by outcome, deadlines by result.
//!
//! Guarantees labels from fixed lists. Does not know who reads the numbers.

use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::record::Record;
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::model::mail_message::{Delivery, WEBHOOK_PREFIX};
use crate::grid::values::event::EventKind;
use crate::grid::values::outcome::Outcome;
use crate::metrics::{Label, Metrics};

/// Events of one commit by kind and outcome: a look-up in the metrics for each event would cost more
/// than its decision.
#[derive(Debug, Default)]
pub(super) struct EventCounts(Vec<(EventKind, Label, u64)>);

impl EventCounts {
    /// Counts an event that was decided.
    pub(super) fn count(&mut self, kind: EventKind, outcome: Outcome) {
        let outcome = outcome_label(outcome);
        match self.0.iter_mut().find(|it| it.0 == kind && it.1 == outcome) {
            Some((_, _, count)) => *count += 1,
            None => self.0.push((kind, outcome, 1)),
        }
    }

    /// Adds all to the metrics.
    pub(super) fn add_to(&mut self, metrics: &Metrics) {
        for (kind, outcome, count) in self.0.drain(..) {
            metrics.events(Label(kind.as_str()), outcome, count);
        }
    }
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

/// Counts an attempt to deliver a message to `recipient`: a mail, or one to a webhook.
pub(super) fn count_delivery(metrics: &Metrics, recipient: &str, delivery: &Delivery) {
    let outcome = Label(match delivery {
        Delivery::Sent(_) => "sent",
        Delivery::Deferred(_) | Delivery::Unreachable(_) => "deferred",
        Delivery::Refused(_) => "refused",
    });
    if recipient.starts_with(WEBHOOK_PREFIX) {
        metrics.webhook(outcome);
    } else {
        metrics.mail(outcome);
    }
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
    let raises = |effect: &Effect| matches!(effect, Effect::FindingRaised { .. });
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
