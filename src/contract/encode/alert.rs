//! Encodes alerts, and decisions about notifications, as messages of the contract.
//!
//! Guarantees that every kind and state of alerts has a number of the contract. Escapes nothing.

use super::{encode_severity, encode_timestamp, proto};
use crate::grid::explain::alert::describe_step;
use crate::grid::log::alert_effect::NotificationTrace;
use crate::grid::model::alert::{
    Acknowledgement, Alert, AlertStep, AlertStepKind, Notified, kind_named,
};
use crate::grid::model::notification::NotificationReason;
use crate::grid::values::id::SilenceId;

/// Encodes an alert without its history. The names of appliance and class are empty for the broker.
pub fn alert(appliance: &str, class: &str, alert: &Alert) -> proto::OpenAlert {
    let decision = alert.decision.map(|(reason, silence)| decision(reason, silence));
    proto::OpenAlert {
        appliance: appliance.to_owned(),
        kind: alert_kind(alert.kind).into(),
        severity: encode_severity(alert.severity).into(),
        since: Some(encode_timestamp(alert.opened_at)),
        text: alert.text.to_string(),
        id: alert.id.0,
        state: alert_state(alert.state()).into(),
        key: alert.key.to_string(),
        last_seen: Some(encode_timestamp(alert.last_seen_at)),
        count: alert.count,
        reopenings: alert.reopenings,
        acknowledgement: alert.acknowledgement.as_ref().map(acknowledgement),
        ended_at: alert.end.map(|end| encode_timestamp(end.at)),
        end_cause: alert.end.map_or("", |end| end.cause.as_str()).to_owned(),
        notified: alert.notified.map(notified),
        decision,
        closes_at: alert.closes_at.filter(|_| alert.is_open()).map(encode_timestamp),
        class: class.to_owned(),
        record_number: alert.record,
        steps: Vec::new(),
        next_decision_at: alert.next_at.map(encode_timestamp),
    }
}

/// Encodes an alert with its history.
pub fn alert_with_steps(appliance: &str, class: &str, of: &Alert) -> proto::OpenAlert {
    let steps = of.steps.iter().map(step).collect();
    proto::OpenAlert { steps, ..alert(appliance, class, of) }
}

/// The alert kind of that name.
pub fn alert_kind(name: &str) -> proto::AlertKind {
    let name = format!("ALERT_KIND_{}", name.to_ascii_uppercase());
    proto::AlertKind::from_str_name(&name).unwrap_or_default()
}

/// The name of an alert kind; `None`: unspecified.
pub fn alert_kind_name(kind: proto::AlertKind) -> Option<&'static str> {
    kind_named(&kind.as_str_name().strip_prefix("ALERT_KIND_")?.to_ascii_lowercase())
}

/// The alert state of that name.
pub fn alert_state(name: &str) -> proto::AlertState {
    let name = format!("ALERT_STATE_{}", name.to_ascii_uppercase());
    proto::AlertState::from_str_name(&name).unwrap_or_default()
}

fn acknowledgement(it: &Acknowledgement) -> proto::AlertAcknowledgement {
    let Acknowledgement { by, at, until, note } = it;
    proto::AlertAcknowledgement {
        by: by.to_string(),
        at: Some(encode_timestamp(*at)),
        until: until.map(encode_timestamp),
        note: note.to_string(),
    }
}

fn notified(it: Notified) -> proto::AlertNotification {
    let Notified { at, severity, is_end, repeats, count: _ } = it;
    proto::AlertNotification {
        at: Some(encode_timestamp(at)),
        severity: encode_severity(severity).into(),
        resolved: is_end,
        repeats,
    }
}

fn decision(reason: NotificationReason, silence: Option<SilenceId>) -> proto::AlertDecision {
    proto::AlertDecision {
        reason: reason.as_str().to_owned(),
        explanation: reason.describe().to_owned(),
        notifies: reason.notifies(),
        silence_id: silence.map_or(0, |it| it.0),
    }
}

fn step(step: &AlertStep) -> proto::AlertHistoryStep {
    let AlertStep { at, record, kind, by, note } = step;
    let word = match kind {
        AlertStepKind::Opened => "opened",
        AlertStepKind::Reopened => "reopened",
        AlertStepKind::Escalated(_) => "escalated",
        AlertStepKind::Ended(_) => "ended",
        AlertStepKind::Acknowledged => "acknowledged",
        AlertStepKind::Unacknowledged => "unacknowledged",
        AlertStepKind::AcknowledgementEnded => "acknowledgement_ended",
        AlertStepKind::Decided(_) => "decided",
    };
    proto::AlertHistoryStep {
        at: Some(encode_timestamp(*at)),
        record_number: *record,
        kind: word.to_owned(),
        explanation: describe_step(*kind),
        by: by.to_string(),
        note: note.to_string(),
    }
}

/// Encodes a decision of a record about an alert, without its messages.
pub fn explained(
    trace: &NotificationTrace,
    record: u64,
    at: crate::grid::values::time::Timestamp,
) -> proto::ExplainedDecision {
    let NotificationTrace { alert, reason, silence, receivers } = trace;
    proto::ExplainedDecision {
        record_number: record,
        at: Some(encode_timestamp(at)),
        alert_id: alert.0,
        decision: Some(decision(*reason, *silence)),
        receivers: receivers.iter().map(ToString::to_string).collect(),
        messages: Vec::new(),
        appliance: String::new(),
        key: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::model::alert::ALERT_KINDS;

    #[test]
    fn each_kind_and_state_of_alerts_has_a_number_and_its_name_back() {
        for name in ALERT_KINDS {
            let kind = alert_kind(name);
            assert_ne!(kind, proto::AlertKind::Unspecified, "{name}");
            assert_eq!(alert_kind_name(kind), Some(name));
        }
        assert_eq!(alert_kind_name(proto::AlertKind::Unspecified), None);
        for state in ["open", "acknowledged", "silenced", "resolved"] {
            assert_ne!(alert_state(state), proto::AlertState::Unspecified, "{state}");
        }
    }
}
