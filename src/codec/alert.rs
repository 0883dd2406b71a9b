//! Encodes and decodes alerts, decisions about notifications, and commands about alerts.
//!
//! Guarantees that an unknown value is an error. Decides nothing.

use super::effect::{decode_finding_kind, encode_finding_kind};
use super::proto::effect::Change as P;
use super::values::{decode_severity, decode_uuid, severity_number};
use super::{DecodeError, proto, silence};
use crate::grid::log::alert_effect::{AlertEffect, NotificationTrace};
use crate::grid::log::alert_input::{AlertCommand, AlertInput};
use crate::grid::log::input::Input;
use crate::grid::model::alert::{
    Acknowledgement, Alert, AlertEnd, AlertSource, AlertStep, AlertStepKind, EndCause, Notified,
    kind_named,
};
use crate::grid::model::notification::NotificationReason;
use crate::grid::values::id::{AlertId, ApplianceIndex, SilenceId};
use crate::grid::values::time::Timestamp;

pub(super) fn encode_effect(change: &AlertEffect) -> P {
    match change {
        AlertEffect::Changed { alert } => P::Alert(encode_alert(alert)),
        AlertEffect::Forgotten { id } => P::AlertForgotten(proto::AlertForgotten { id: id.0 }),
        AlertEffect::Silence { silence } => P::Silence(silence::encode(silence)),
        AlertEffect::SilenceForgotten { id } => {
            P::SilenceForgotten(proto::SilenceForgotten { id: id.0 })
        }
        AlertEffect::Decided(trace) => P::Notification(proto::NotificationDecision {
            alert: trace.alert.0,
            reason: encode_reason(trace.reason).into(),
            silence: trace.silence.map_or(0, |id| id.0),
            receivers: trace.receivers.iter().map(ToString::to_string).collect(),
        }),
        AlertEffect::LastNumbers { alert, silence } => {
            P::AlertNumbers(proto::AlertNumbers { alert: alert.0, silence: silence.0 })
        }
    }
}

pub(super) fn decode_decision(it: proto::NotificationDecision) -> Result<AlertEffect, DecodeError> {
    Ok(AlertEffect::Decided(NotificationTrace {
        alert: AlertId(it.alert),
        reason: decode_reason(it.reason)?.ok_or(DecodeError::Impossible { what: "a decision" })?,
        silence: silence_id(it.silence),
        receivers: it.receivers.into_iter().map(Into::into).collect(),
    }))
}

fn silence_id(number: u64) -> Option<SilenceId> {
    Some(number).filter(|number| *number > 0).map(SilenceId)
}

fn encode_alert(alert: &Alert) -> proto::AlertState {
    use proto::alert_state::Source as S;
    let source = match alert.source {
        AlertSource::Event(id) => S::Event(id.as_bytes().to_vec()),
        AlertSource::Finding(kind) => S::Finding(encode_finding_kind(kind).into()),
        AlertSource::Counter(id) => S::Counter(id.as_bytes().to_vec()),
        AlertSource::Suppression => S::Suppression(proto::AlertSuppression {}),
        AlertSource::EventsLost => S::EventsLost(proto::AlertEventsLost {}),
    };
    proto::AlertState {
        id: alert.id.0,
        number: alert.appliance.map_or(0, |number| number.0),
        source: Some(source),
        kind: alert.kind.to_owned(),
        key: alert.key.to_string(),
        group: alert.group.to_string(),
        severity: severity_number(alert.severity),
        text: alert.text.to_string(),
        record: alert.record,
        opened_at_us: alert.opened_at.as_micros(),
        last_seen_at_us: alert.last_seen_at.as_micros(),
        count: alert.count,
        reopenings: alert.reopenings,
        ended_at_us: alert.end.map(|end| end.at.as_micros()),
        end_cause: alert.end.map_or(0, |end| encode_end_cause(end.cause).into()),
        acknowledgement: alert.acknowledgement.as_ref().map(|it| proto::AlertAcknowledgement {
            by: it.by.to_string(),
            at_us: it.at.as_micros(),
            until_us: it.until.map(Timestamp::as_micros),
            note: it.note.to_string(),
        }),
        notified: alert.notified.as_ref().map(|it| proto::AlertNotified {
            at_us: it.at.as_micros(),
            severity: severity_number(it.severity),
            is_end: it.is_end,
            repeats: it.repeats,
            count: it.count,
        }),
        reason: alert.decision.map_or(0, |(reason, _)| encode_reason(reason).into()),
        silence: alert.decision.and_then(|(_, silence)| silence).map_or(0, |id| id.0),
        next_at_us: alert.next_at.map(Timestamp::as_micros),
        closes_at_us: alert.closes_at.map(Timestamp::as_micros),
        steps: alert.steps.iter().map(encode_step).collect(),
    }
}

pub(super) fn decode_state(it: proto::AlertState) -> Result<AlertEffect, DecodeError> {
    use proto::alert_state::Source as S;
    let source = match it.source.ok_or(DecodeError::Newer { what: "the source of an alert" })? {
        S::Event(id) => AlertSource::Event(decode_uuid(&id)?),
        S::Finding(kind) => AlertSource::Finding(decode_finding_kind(kind)?),
        S::Counter(id) => AlertSource::Counter(decode_uuid(&id)?),
        S::Suppression(_) => AlertSource::Suppression,
        S::EventsLost(_) => AlertSource::EventsLost,
    };
    let end = match it.ended_at_us {
        Some(at) => {
            let cause = decode_end_cause(it.end_cause)?;
            Some(AlertEnd { at: Timestamp::from_micros(at), cause })
        }
        None => None,
    };
    let notified = match it.notified {
        Some(it) => Some(Notified {
            at: Timestamp::from_micros(it.at_us),
            severity: decode_severity(it.severity)?,
            is_end: it.is_end,
            repeats: it.repeats,
            count: it.count,
        }),
        None => None,
    };
    let decision = decode_reason(it.reason)?.map(|reason| (reason, silence_id(it.silence)));
    let alert = Alert {
        id: AlertId(it.id),
        appliance: (it.number > 0).then_some(ApplianceIndex(it.number)),
        source,
        kind: kind_named(&it.kind).ok_or(DecodeError::Newer { what: "a kind of alert" })?,
        key: it.key.into(),
        group: it.group.into(),
        severity: decode_severity(it.severity)?,
        text: it.text.into(),
        record: it.record,
        opened_at: Timestamp::from_micros(it.opened_at_us),
        last_seen_at: Timestamp::from_micros(it.last_seen_at_us),
        count: it.count,
        reopenings: it.reopenings,
        end,
        acknowledgement: it.acknowledgement.map(|it| Acknowledgement {
            by: it.by.into(),
            at: Timestamp::from_micros(it.at_us),
            until: it.until_us.map(Timestamp::from_micros),
            note: it.note.into(),
        }),
        notified,
        decision,
        next_at: it.next_at_us.map(Timestamp::from_micros),
        closes_at: it.closes_at_us.map(Timestamp::from_micros),
        steps: it.steps.into_iter().map(decode_step).collect::<Result<_, _>>()?,
    };
    Ok(AlertEffect::Changed { alert: Box::new(alert) })
}

fn encode_step(step: &AlertStep) -> proto::AlertHistoryStep {
    use proto::alert_history_step::Kind as K;
    let kind = match step.kind {
        AlertStepKind::Opened => K::Opened(true),
        AlertStepKind::Reopened => K::Reopened(true),
        AlertStepKind::Escalated(severity) => K::Escalated(severity_number(severity)),
        AlertStepKind::Ended(cause) => K::Ended(encode_end_cause(cause).into()),
        AlertStepKind::Acknowledged => K::Acknowledged(true),
        AlertStepKind::Unacknowledged => K::Unacknowledged(true),
        AlertStepKind::AcknowledgementEnded => K::AcknowledgementEnded(true),
        AlertStepKind::Decided(reason) => K::Decided(encode_reason(reason).into()),
    };
    proto::AlertHistoryStep {
        at_us: step.at.as_micros(),
        record: step.record,
        kind: Some(kind),
        by: step.by.to_string(),
        note: step.note.to_string(),
    }
}

fn decode_step(it: proto::AlertHistoryStep) -> Result<AlertStep, DecodeError> {
    use proto::alert_history_step::Kind as K;
    let unknown = DecodeError::Newer { what: "a step of an alert" };
    let kind = match it.kind.ok_or(unknown)? {
        K::Opened(_) => AlertStepKind::Opened,
        K::Reopened(_) => AlertStepKind::Reopened,
        K::Escalated(severity) => AlertStepKind::Escalated(decode_severity(severity)?),
        K::Ended(cause) => AlertStepKind::Ended(decode_end_cause(cause)?),
        K::Acknowledged(_) => AlertStepKind::Acknowledged,
        K::Unacknowledged(_) => AlertStepKind::Unacknowledged,
        K::AcknowledgementEnded(_) => AlertStepKind::AcknowledgementEnded,
        K::Decided(reason) => AlertStepKind::Decided(
            decode_reason(reason)?.ok_or(DecodeError::Impossible { what: "a decision" })?,
        ),
    };
    let (at, record) = (Timestamp::from_micros(it.at_us), it.record);
    Ok(AlertStep { at, record, kind, by: it.by.into(), note: it.note.into() })
}

fn encode_end_cause(cause: EndCause) -> proto::AlertEndCause {
    match cause {
        EndCause::Appliance => proto::AlertEndCause::Appliance,
        EndCause::Condition => proto::AlertEndCause::Condition,
        EndCause::Administrator => proto::AlertEndCause::Administrator,
        EndCause::Quiet => proto::AlertEndCause::Quiet,
        EndCause::Displaced => proto::AlertEndCause::Displaced,
    }
}

fn decode_end_cause(cause: i32) -> Result<EndCause, DecodeError> {
    use proto::AlertEndCause as C;
    Ok(match C::try_from(cause) {
        Ok(C::Appliance) => EndCause::Appliance,
        Ok(C::Condition) => EndCause::Condition,
        Ok(C::Administrator) => EndCause::Administrator,
        Ok(C::Quiet) => EndCause::Quiet,
        Ok(C::Displaced) => EndCause::Displaced,
        Ok(C::Unspecified) | Err(_) => {
            return Err(DecodeError::Newer { what: "the end of an alert" });
        }
    })
}

fn encode_reason(reason: NotificationReason) -> proto::NotificationReason {
    use NotificationReason as R;
    match reason {
        R::New => proto::NotificationReason::New,
        R::Graver => proto::NotificationReason::Graver,
        R::Reopened => proto::NotificationReason::Reopened,
        R::Repeated => proto::NotificationReason::Repeated,
        R::Resolved => proto::NotificationReason::Resolved,
        R::NotConfigured => proto::NotificationReason::NotConfigured,
        R::Silenced => proto::NotificationReason::Silenced,
        R::Acknowledged => proto::NotificationReason::Acknowledged,
        R::Grouped => proto::NotificationReason::Grouped,
        R::RepeatInterval => proto::NotificationReason::RepeatInterval,
        R::Unchanged => proto::NotificationReason::Unchanged,
        R::NeverNotified => proto::NotificationReason::NeverNotified,
    }
}

fn decode_reason(reason: i32) -> Result<Option<NotificationReason>, DecodeError> {
    use NotificationReason as R;
    use proto::NotificationReason as N;
    Ok(Some(match N::try_from(reason) {
        Ok(N::Unspecified) => return Ok(None),
        Ok(N::New) => R::New,
        Ok(N::Graver) => R::Graver,
        Ok(N::Reopened) => R::Reopened,
        Ok(N::Repeated) => R::Repeated,
        Ok(N::Resolved) => R::Resolved,
        Ok(N::NotConfigured) => R::NotConfigured,
        Ok(N::Silenced) => R::Silenced,
        Ok(N::Acknowledged) => R::Acknowledged,
        Ok(N::Grouped) => R::Grouped,
        Ok(N::RepeatInterval) => R::RepeatInterval,
        Ok(N::Unchanged) => R::Unchanged,
        Ok(N::NeverNotified) => R::NeverNotified,
        Err(_) => return Err(DecodeError::Newer { what: "a decision about a notification" }),
    }))
}

pub(super) fn encode_command(by: &str, id: AlertId, command: &AlertCommand) -> proto::AlertCommand {
    use proto::alert_command::Command as C;
    let command = match command {
        AlertCommand::Acknowledge { until, note, is_first } => {
            C::Acknowledge(proto::AcknowledgeAlert {
                until_us: until.map(Timestamp::as_micros),
                note: note.to_string(),
                is_first: *is_first,
            })
        }
        AlertCommand::Unacknowledge => C::Unacknowledge(true),
        AlertCommand::Resolve { note } => C::Resolve(note.to_string()),
    };
    proto::AlertCommand { by: by.to_owned(), id: id.0, command: Some(command) }
}

pub(super) fn decode_command(it: proto::AlertCommand) -> Result<Input, DecodeError> {
    use proto::alert_command::Command as C;
    let unknown = DecodeError::Newer { what: "a command about an alert" };
    let command = match it.command.ok_or(unknown)? {
        C::Acknowledge(it) => AlertCommand::Acknowledge {
            until: it.until_us.map(Timestamp::from_micros),
            note: it.note.into(),
            is_first: it.is_first,
        },
        C::Unacknowledge(_) => AlertCommand::Unacknowledge,
        C::Resolve(note) => AlertCommand::Resolve { note: note.into() },
    };
    let (by, id) = (it.by.into(), AlertId(it.id));
    Ok(Input::Alert(AlertInput::Command { by, id, command }))
}
