//! Usage of appliances and mails read back as they were written.

use std::time::Duration;

use uuid::Uuid;

use super::tests::{INDEX, at, boot, reads_back, record, spool};
use crate::grid::log::effect::{ApplianceEffect, Effect, MailEffect};
use crate::grid::log::input::Input;
use crate::grid::model::alert_group::AlertGroup;
use crate::grid::model::mail_message::{
    BacklogDigest, BriefNotice, Delivery, DeliveryState, MailMessage, MessageNumber, Notice,
    OutboxCommand, Urgency,
};
use crate::grid::model::sequence_window::SequenceWindow;
use crate::grid::model::unmailed_alerts::UnmailedAlerts;
use crate::grid::model::usage::{
    OutcomeCounts, OutcomeKind, RareUsage, RateLimitKind, RateLimitState, Suppression,
    SuppressionPhase, Usage,
};
use crate::grid::values::event::{EventKind, Severity};
use crate::grid::values::id::AlertId;

/// A usage with every field set, each to a different value.
pub(super) fn usage() -> Usage {
    let mut spent = RateLimitState::default();
    let mut counts = OutcomeCounts::default();
    for (at_second, budget) in (1..).zip(RateLimitKind::ALL) {
        spent.set(budget, at(at_second));
    }
    let outcomes = [
        OutcomeKind::Stored,
        OutcomeKind::Repeated,
        OutcomeKind::Coalesced,
        OutcomeKind::Suppressed,
        OutcomeKind::Refused,
        OutcomeKind::Backfilled,
        OutcomeKind::BelowThreshold,
    ];
    for (count, outcome) in (1..).zip(outcomes) {
        EventKind::ALL.into_iter().for_each(|kind| counts.set(kind, outcome, count));
    }
    let suppression = Suppression { summaries: 3, ..Suppression::new(RateLimitKind::Log, at(1)) };
    let suppression = suppression.count_one(EventKind::Log, "a line", at(2));
    let suppression = Some(Box::new(suppression.count_one(EventKind::Alert, "an alert", at(3))));
    let (keys, progress_at) = (vec![alert_group()], at(4));
    let unmailed = Some(Box::new(unmailed()));
    let rare =
        RareUsage { alert_groups: keys, suppression, progress_stored_at: progress_at, unmailed };
    Usage::new(spent, counts, rare)
}

fn unmailed() -> UnmailedAlerts {
    UnmailedAlerts {
        groups: vec![("disk # is full".into(), Severity::Error, 3)],
        others: 4,
        others_severity: Some(Severity::Fatal),
        first_at: at(1),
        last_at: at(2),
        sample: "disk 7 is full".into(),
        mailed_at: Some(at(3)),
        mail_count: 5,
    }
}

fn alert_group() -> AlertGroup {
    AlertGroup {
        id: Uuid::from_u128(1),
        label: "disk # is full".into(),
        refilled_at: at(1),
        content_hash: Uuid::from_u128(2),
        record: 3,
        run_began_at: at(4),
        last_seen_at: at(5),
        repeats: 6,
        first_repeat_at: at(7),
        alert: Some(AlertId(9)),
    }
}

fn backlog_digest() -> BacklogDigest {
    let (severities, appliances) = ([1, 2, 3, 4, 5], Vec::new());
    BacklogDigest { first_at: at(1), last_at: at(2), severity_counts: severities, appliances }
}

#[test]
fn every_mail_reads_back() {
    let number = MessageNumber(7);
    let mut effects = vec![
        MailEffect::Removed { number, recipient: "anna@example.org".into(), record: None },
        MailEffect::Removed { number, recipient: "anna@example.org".into(), record: Some(7) },
        MailEffect::Finished { number, record: 7 },
        MailEffect::RecipientLimit {
            recipient: "anna@example.org".into(),
            urgency: Urgency::Repeat,
            refilled_at: at(9),
        },
        MailEffect::RecipientLimit {
            recipient: "anna@example.org".into(),
            urgency: Urgency::New(Severity::Fatal),
            refilled_at: at(9),
        },
        MailEffect::LastNumber { number },
        MailEffect::DigestCount { number, subject: "db1".into(), count: 9 },
    ];
    for state in [DeliveryState::Waiting, DeliveryState::InFlight, DeliveryState::Failed] {
        let message = MailMessage {
            number,
            recipient: "anna@example.org".into(),
            queued_at: at(1),
            notices: Vec::new(),
            omitted: 2,
            briefs: Vec::new(),
            retried_at: (state == DeliveryState::Failed).then(|| at(3)),
            attempts: 3,
            state,
            due_at: at(4),
            last_reply: "451 later".into(),
            digest: (state != DeliveryState::Failed).then(|| Box::new(backlog_digest())),
            downtime: Duration::from_secs(u64::from(state == DeliveryState::Waiting)),
            is_unreachable: true,
        };
        effects.push(MailEffect::Header { message: Box::new(message) });
    }
    let notice = Notice {
        subject: "db1".into(),
        topic: "hung".into(),
        severity: Severity::Fatal,
        at: at(5),
        text: "text".into(),
        record: 6,
        is_resolved: true,
        occurrences: 17,
        alert: Some(AlertId(9)),
        class: "web".into(),
        since: Some(at(2)),
        count: 40,
        acknowledged: true,
    };
    let brief = BriefNotice::from(&notice);
    effects.push(MailEffect::Brief { number, at: 255, brief });
    effects.push(MailEffect::Notice { number, at: 31, notice });
    let effects = effects.into_iter().map(Effect::Mail).collect();
    reads_back(&record(Input::MailDue { message: number }, effects));
    for delivery in [
        Delivery::Sent("250".into()),
        Delivery::Deferred("451".into()),
        Delivery::Refused("550".into()),
    ] {
        reads_back(&record(Input::MailDelivery { message: number, attempt: 2, delivery }, vec![]));
    }
    for order in [OutboxCommand::Retry, OutboxCommand::Drop] {
        let (by, message) = ("anna".into(), number);
        reads_back(&record(Input::MailCommand { by, message, command: order }, vec![]));
    }
}

#[test]
fn every_effect_of_admission_control_reads_back() {
    let number = INDEX;
    let mut effects = vec![
        ApplianceEffect::RateLimitsReset.of(number),
        ApplianceEffect::AlertGroup { group: alert_group() }.of(number),
        ApplianceEffect::AlertGroupForgotten { id: Uuid::max() }.of(number),
        ApplianceEffect::RepeatsReported { group: alert_group() }.of(number),
        ApplianceEffect::SuppressedAlerts { unmailed: unmailed() }.of(number),
        ApplianceEffect::Counters {
            windows: vec![SequenceWindow {
                boot: boot(),
                spool: spool().expect("a spool"),
                highest: 7,
                seen: 1.into(),
            }],
            last_event_at: at(5),
            counts: usage().counts,
        }
        .of(number),
    ];
    for budget in RateLimitKind::ALL {
        effects
            .push(ApplianceEffect::RateLimitState { limit: budget, refilled_at: at(9) }.of(number));
        for phase in [
            SuppressionPhase::Begins,
            SuppressionPhase::Counts,
            SuppressionPhase::Summarised,
            SuppressionPhase::Ends,
        ] {
            let suppression = Suppression::new(budget, at(10));
            effects.push(ApplianceEffect::Suppression { phase, suppression }.of(number));
        }
    }
    reads_back(&record(Input::Tally, effects));
}
