//! Encodes and decodes mails: queued messages, and results of deliveries.
//!
//! Guarantees that an unknown value is an error. Does not know SMTP.

use std::time::Duration;

use super::values::decode_severity;
use super::values::{micros, severity_number};
use super::{DecodeError, proto};
use crate::grid::log::effect::MailEffect;
use crate::grid::log::input::Input;
use crate::grid::model::mail_message::{
    BacklogDigest, BriefNotice, Delivery, DeliveryState, MailMessage, MessageNumber, Notice,
    OutboxCommand, Urgency,
};
use crate::grid::values::id::AlertId;
use crate::grid::values::time::Timestamp;

pub(super) fn encode_delivery(
    message: MessageNumber,
    attempt: u32,
    it: &Delivery,
) -> proto::MailDelivery {
    let kind = match it {
        Delivery::Sent(_) => proto::DeliveryKind::Sent,
        Delivery::Deferred(_) => proto::DeliveryKind::Deferred,
        Delivery::Unreachable(_) => proto::DeliveryKind::Unreachable,
        Delivery::Refused(_) => proto::DeliveryKind::Refused,
    };
    let reply = it.reply().to_owned();
    proto::MailDelivery { message: message.0, attempt, kind: kind.into(), reply }
}

pub(super) fn decode_delivery(it: proto::MailDelivery) -> Result<Input, DecodeError> {
    use proto::DeliveryKind as K;
    let reply = it.reply.into();
    let delivery = match K::try_from(it.kind) {
        Ok(K::Sent) => Delivery::Sent(reply),
        Ok(K::Deferred) => Delivery::Deferred(reply),
        Ok(K::Unreachable) => Delivery::Unreachable(reply),
        Ok(K::Refused) => Delivery::Refused(reply),
        Ok(K::Unspecified) | Err(_) => {
            return Err(DecodeError::Newer { what: "the result of a delivery" });
        }
    };
    let (message, attempt) = (MessageNumber(it.message), it.attempt);
    Ok(Input::MailDelivery { message, attempt, delivery })
}

pub(super) fn encode_command(
    by: &str,
    message: MessageNumber,
    command: OutboxCommand,
) -> proto::MailCommand {
    let kind = match command {
        OutboxCommand::Retry => proto::OutboxCommandKind::Retry,
        OutboxCommand::Drop => proto::OutboxCommandKind::Drop,
    };
    proto::MailCommand { by: by.to_owned(), message: message.0, kind: kind.into() }
}

pub(super) fn decode_command(it: proto::MailCommand) -> Result<Input, DecodeError> {
    use proto::OutboxCommandKind as K;
    let order = match K::try_from(it.kind) {
        Ok(K::Retry) => OutboxCommand::Retry,
        Ok(K::Drop) => OutboxCommand::Drop,
        Ok(K::Unspecified) | Err(_) => {
            return Err(DecodeError::Newer { what: "a command about a mail" });
        }
    };
    Ok(Input::MailCommand { by: it.by.into(), message: MessageNumber(it.message), command: order })
}

pub(super) fn encode_effect(change: &MailEffect) -> proto::MailChange {
    use proto::mail_change::Change as P;
    let change = match change {
        MailEffect::Header { message: it } => P::Message(encode_message(it)),
        MailEffect::Notice { number, at, notice: it } => P::Notice(encode_notice(*number, *at, it)),
        MailEffect::DigestCount { number, subject, count } => {
            let (number, about, count) = (number.0, subject.to_string(), *count);
            P::DigestCount(proto::DigestCount { number, subject: about, count })
        }
        MailEffect::Removed { number, recipient, record } => {
            let (number, recipient) = (number.0, recipient.to_string());
            P::Removed(proto::MessageRemoved { number, recipient, record: record.unwrap_or(0) })
        }
        MailEffect::Finished { number, record } => {
            P::Finished(proto::MessageFinished { number: number.0, record: *record })
        }
        MailEffect::Brief { number, at, brief: it } => P::Brief(encode_brief(*number, *at, it)),
        MailEffect::RecipientLimit { recipient, urgency, refilled_at } => {
            let (recipient, full_at_us) = (recipient.to_string(), refilled_at.as_micros());
            let urgency = match urgency {
                Urgency::Repeat => 0,
                Urgency::New(severity) => severity_number(*severity),
            };
            P::RecipientLimit(proto::RecipientLimit {
                recipient,
                urgency,
                refilled_at_us: full_at_us,
            })
        }
        MailEffect::LastNumber { number } => {
            P::LastMessage(proto::LastMessage { number: number.0 })
        }
    };
    proto::MailChange { change: Some(change) }
}

pub(super) fn decode_effect(it: proto::MailChange) -> Result<MailEffect, DecodeError> {
    use proto::mail_change::Change as P;
    Ok(match it.change.ok_or(DecodeError::Newer { what: "a change of the outbox" })? {
        P::Message(it) => decode_message(it)?,
        P::Notice(it) => decode_notice(it)?,
        P::DigestCount(it) => {
            let (number, about) = (MessageNumber(it.number), it.subject.into());
            MailEffect::DigestCount { number, subject: about, count: it.count }
        }
        P::Removed(it) => {
            let (number, recipient) = (MessageNumber(it.number), it.recipient.into());
            let record = Some(it.record).filter(|record| *record > 0);
            MailEffect::Removed { number, recipient, record }
        }
        P::Finished(it) => {
            MailEffect::Finished { number: MessageNumber(it.number), record: it.record }
        }
        P::Brief(it) => decode_brief(it)?,
        P::RecipientLimit(it) => MailEffect::RecipientLimit {
            recipient: it.recipient.into(),
            urgency: match it.urgency {
                0 => Urgency::Repeat,
                grave => Urgency::New(decode_severity(grave)?),
            },
            refilled_at: Timestamp::from_micros(it.refilled_at_us),
        },
        P::LastMessage(it) => MailEffect::LastNumber { number: MessageNumber(it.number) },
    })
}

fn encode_message(message: &MailMessage) -> proto::MessageState {
    let state = match message.state {
        DeliveryState::Waiting => proto::DeliveryState::Waiting,
        DeliveryState::InFlight => proto::DeliveryState::InFlight,
        DeliveryState::Failed => proto::DeliveryState::Failed,
    };
    proto::MessageState {
        number: message.number.0,
        recipient: message.recipient.to_string(),
        queued_since_us: message.queued_at.as_micros(),
        omitted: message.omitted,
        attempts: message.attempts,
        state: state.into(),
        due_us: message.due_at.as_micros(),
        last_reply: message.last_reply.to_string(),
        retried_at_us: message.retried_at.map(Timestamp::as_micros),
        backlog_digest: message.digest.as_ref().map(|late| proto::BacklogDigest {
            first_at_us: late.first_at.as_micros(),
            last_at_us: late.last_at.as_micros(),
            severities: late.severity_counts.to_vec(),
        }),
        downtime_us: micros(message.downtime),
        is_unreachable: message.is_unreachable,
    }
}

fn decode_message(it: proto::MessageState) -> Result<MailEffect, DecodeError> {
    use proto::DeliveryState as S;
    let state = match S::try_from(it.state) {
        Ok(S::Waiting) => DeliveryState::Waiting,
        Ok(S::InFlight) => DeliveryState::InFlight,
        Ok(S::Failed) => DeliveryState::Failed,
        Ok(S::Unspecified) | Err(_) => {
            return Err(DecodeError::Newer { what: "the state of a mail" });
        }
    };
    let message = MailMessage {
        number: MessageNumber(it.number),
        recipient: it.recipient.into(),
        queued_at: Timestamp::from_micros(it.queued_since_us),
        notices: Vec::new(),
        briefs: Vec::new(),
        omitted: it.omitted,
        retried_at: it.retried_at_us.map(Timestamp::from_micros),
        attempts: it.attempts,
        state,
        due_at: Timestamp::from_micros(it.due_us),
        last_reply: it.last_reply.into(),
        digest: it.backlog_digest.map(|late| decode_digest(&late)).transpose()?,
        downtime: Duration::from_micros(it.downtime_us),
        is_unreachable: it.is_unreachable,
    };
    Ok(MailEffect::Header { message: Box::new(message) })
}

fn decode_digest(it: &proto::BacklogDigest) -> Result<Box<BacklogDigest>, DecodeError> {
    let severities = it.severities.as_slice().try_into();
    Ok(Box::new(BacklogDigest {
        first_at: Timestamp::from_micros(it.first_at_us),
        last_at: Timestamp::from_micros(it.last_at_us),
        severity_counts: severities
            .map_err(|_| DecodeError::Impossible { what: "the counts of a digest" })?,
        appliances: Vec::new(),
    }))
}

fn encode_notice(number: MessageNumber, at: usize, notice: &Notice) -> proto::MessageNotice {
    proto::MessageNotice {
        number: number.0,
        at: u32::try_from(at).unwrap_or(u32::MAX),
        subject: notice.subject.to_string(),
        topic: notice.topic.to_string(),
        severity: severity_number(notice.severity),
        at_us: notice.at.as_micros(),
        text: notice.text.to_string(),
        record: notice.record,
        is_resolved: notice.is_resolved,
        occurrences: notice.occurrences,
        alert: notice.alert.map_or(0, |it| it.0),
        class: notice.class.to_string(),
        since_us: notice.since.map(Timestamp::as_micros),
        count: notice.count,
        acknowledged: notice.acknowledged,
    }
}

fn encode_brief(number: MessageNumber, at: usize, brief: &BriefNotice) -> proto::MessageBrief {
    proto::MessageBrief {
        number: number.0,
        at: u32::try_from(at).unwrap_or(u32::MAX),
        subject: brief.subject.to_string(),
        topic: brief.topic.to_string(),
        severity: severity_number(brief.severity),
        is_resolved: brief.is_resolved,
        alert: brief.alert.map_or(0, |it| it.0),
        class: brief.class.to_string(),
    }
}

fn decode_brief(it: proto::MessageBrief) -> Result<MailEffect, DecodeError> {
    let at = usize::try_from(it.at).unwrap_or(usize::MAX);
    let brief = BriefNotice {
        subject: it.subject.into(),
        topic: it.topic.into(),
        severity: decode_severity(it.severity)?,
        is_resolved: it.is_resolved,
        alert: AlertId::from_number(it.alert),
        class: it.class.into(),
    };
    Ok(MailEffect::Brief { number: MessageNumber(it.number), at, brief })
}

fn decode_notice(it: proto::MessageNotice) -> Result<MailEffect, DecodeError> {
    let at = usize::try_from(it.at).unwrap_or(usize::MAX);
    let notice = Notice {
        subject: it.subject.into(),
        topic: it.topic.into(),
        severity: decode_severity(it.severity)?,
        at: Timestamp::from_micros(it.at_us),
        text: it.text.into(),
        record: it.record,
        is_resolved: it.is_resolved,
        occurrences: it.occurrences,
        alert: AlertId::from_number(it.alert),
        class: it.class.into(),
        since: it.since_us.map(Timestamp::from_micros),
        count: it.count,
        acknowledged: it.acknowledged,
    };
    Ok(MailEffect::Notice { number: MessageNumber(it.number), at, notice })
}
