//! Both halves for mails: what is owed, what came of it.

use std::time::Duration;

use super::input::severity;
use super::to_proto::{micros, severity_number};
use super::{DecodeError, proto};
use crate::grid::mail::{
    Brief, Delivery, Late, MailEffect, MailOrder, Message, MessageNumber, Notice, Standing, Urgency,
};
use crate::grid::record::Input;
use crate::grid::time::Timestamp;

pub(super) fn answered(message: MessageNumber, attempt: u32, it: &Delivery) -> proto::MailAnswered {
    let kind = match it {
        Delivery::Sent(_) => proto::DeliveryKind::Sent,
        Delivery::Deferred(_) => proto::DeliveryKind::Deferred,
        Delivery::Refused(_) => proto::DeliveryKind::Refused,
    };
    let reply = it.reply().to_owned();
    proto::MailAnswered { message: message.0, attempt, kind: kind.into(), reply }
}

pub(super) fn read_answered(it: proto::MailAnswered) -> Result<Input, DecodeError> {
    use proto::DeliveryKind as K;
    let reply = it.reply.into();
    let delivery = match K::try_from(it.kind) {
        Ok(K::Sent) => Delivery::Sent(reply),
        Ok(K::Deferred) => Delivery::Deferred(reply),
        Ok(K::Refused) => Delivery::Refused(reply),
        Ok(K::Unspecified) | Err(_) => {
            return Err(DecodeError::Newer { what: "what came of a mail" });
        }
    };
    let (message, attempt) = (MessageNumber(it.message), it.attempt);
    Ok(Input::MailAnswered { message, attempt, delivery })
}

pub(super) fn ordered(by: &str, message: MessageNumber, order: MailOrder) -> proto::MailOrdered {
    let kind = match order {
        MailOrder::Retry => proto::MailOrderKind::Retry,
        MailOrder::Drop => proto::MailOrderKind::Drop,
    };
    proto::MailOrdered { by: by.to_owned(), message: message.0, kind: kind.into() }
}

pub(super) fn read_ordered(it: proto::MailOrdered) -> Result<Input, DecodeError> {
    use proto::MailOrderKind as K;
    let order = match K::try_from(it.kind) {
        Ok(K::Retry) => MailOrder::Retry,
        Ok(K::Drop) => MailOrder::Drop,
        Ok(K::Unspecified) | Err(_) => {
            return Err(DecodeError::Newer { what: "an order about a mail" });
        }
    };
    Ok(Input::MailOrdered { by: it.by.into(), message: MessageNumber(it.message), order })
}

pub(super) fn change(change: &MailEffect) -> proto::MailChange {
    use proto::mail_change::Change as P;
    let change = match change {
        MailEffect::Stands { message: it } => P::Message(message(it)),
        MailEffect::Notice { number, at, notice: it } => P::Notice(notice(*number, *at, it)),
        MailEffect::LateOf { number, about, count } => {
            let (number, about, count) = (number.0, about.to_string(), *count);
            P::LateOf(proto::MessageLateOf { number, about, count })
        }
        MailEffect::Gone { number, recipient, record } => {
            let (number, recipient) = (number.0, recipient.to_string());
            P::Gone(proto::MessageGone { number, recipient, record: record.unwrap_or(0) })
        }
        MailEffect::Trace { number, record } => {
            P::Trace(proto::MessageTrace { number: number.0, record: *record })
        }
        MailEffect::Brief { number, at, brief: it } => P::Brief(brief(*number, *at, it)),
        MailEffect::RecipientSpent { recipient, urgency, full_at } => {
            let (recipient, full_at_us) = (recipient.to_string(), full_at.as_micros());
            let urgency = match urgency {
                Urgency::Repeat => 0,
                Urgency::News(severity) => severity_number(*severity),
            };
            P::RecipientSpent(proto::RecipientSpent { recipient, urgency, full_at_us })
        }
        MailEffect::LastNumber { number } => {
            P::LastMessage(proto::LastMessage { number: number.0 })
        }
    };
    proto::MailChange { change: Some(change) }
}

pub(super) fn read_change(it: proto::MailChange) -> Result<MailEffect, DecodeError> {
    use proto::mail_change::Change as P;
    Ok(match it.change.ok_or(DecodeError::Newer { what: "a change of the outbox" })? {
        P::Message(it) => read_message(it)?,
        P::Notice(it) => read_notice(it)?,
        P::LateOf(it) => {
            let (number, about) = (MessageNumber(it.number), it.about.into());
            MailEffect::LateOf { number, about, count: it.count }
        }
        P::Gone(it) => {
            let (number, recipient) = (MessageNumber(it.number), it.recipient.into());
            let record = Some(it.record).filter(|record| *record > 0);
            MailEffect::Gone { number, recipient, record }
        }
        P::Trace(it) => MailEffect::Trace { number: MessageNumber(it.number), record: it.record },
        P::Brief(it) => read_brief(it)?,
        P::RecipientSpent(it) => MailEffect::RecipientSpent {
            recipient: it.recipient.into(),
            urgency: match it.urgency {
                0 => Urgency::Repeat,
                grave => Urgency::News(severity(grave)?),
            },
            full_at: Timestamp::from_micros(it.full_at_us),
        },
        P::LastMessage(it) => MailEffect::LastNumber { number: MessageNumber(it.number) },
    })
}

fn message(message: &Message) -> proto::MessageIs {
    let standing = match message.standing {
        Standing::Waiting => proto::MessageStanding::Waiting,
        Standing::UnderWay => proto::MessageStanding::UnderWay,
        Standing::Failed => proto::MessageStanding::Failed,
    };
    proto::MessageIs {
        number: message.number.0,
        recipient: message.recipient.to_string(),
        owed_since_us: message.owed_since.as_micros(),
        more: message.more,
        attempts: message.attempts,
        standing: standing.into(),
        due_us: message.due.as_micros(),
        last_reply: message.last_reply.to_string(),
        retried_at_us: message.retried_at.map(Timestamp::as_micros),
        late: message.late.as_ref().map(|late| proto::MessageLate {
            first_at_us: late.first_at.as_micros(),
            last_at_us: late.last_at.as_micros(),
            severities: late.severities.to_vec(),
        }),
        away_us: micros(message.away),
    }
}

fn read_message(it: proto::MessageIs) -> Result<MailEffect, DecodeError> {
    use proto::MessageStanding as S;
    let standing = match S::try_from(it.standing) {
        Ok(S::Waiting) => Standing::Waiting,
        Ok(S::UnderWay) => Standing::UnderWay,
        Ok(S::Failed) => Standing::Failed,
        Ok(S::Unspecified) | Err(_) => {
            return Err(DecodeError::Newer { what: "how a mail stands" });
        }
    };
    let message = Message {
        number: MessageNumber(it.number),
        recipient: it.recipient.into(),
        owed_since: Timestamp::from_micros(it.owed_since_us),
        notices: Vec::new(),
        briefs: Vec::new(),
        more: it.more,
        retried_at: it.retried_at_us.map(Timestamp::from_micros),
        attempts: it.attempts,
        standing,
        due: Timestamp::from_micros(it.due_us),
        last_reply: it.last_reply.into(),
        late: it.late.map(|late| read_late(&late)).transpose()?,
        away: Duration::from_micros(it.away_us),
    };
    Ok(MailEffect::Stands { message: Box::new(message) })
}

fn read_late(it: &proto::MessageLate) -> Result<Box<Late>, DecodeError> {
    let severities = it.severities.as_slice().try_into();
    Ok(Box::new(Late {
        first_at: Timestamp::from_micros(it.first_at_us),
        last_at: Timestamp::from_micros(it.last_at_us),
        severities: severities
            .map_err(|_| DecodeError::Impossible { what: "the counts of a summary" })?,
        appliances: Vec::new(),
    }))
}

fn notice(number: MessageNumber, at: usize, notice: &Notice) -> proto::MessageNotice {
    proto::MessageNotice {
        number: number.0,
        at: u32::try_from(at).unwrap_or(u32::MAX),
        about: notice.about.to_string(),
        matter: notice.matter.to_string(),
        severity: severity_number(notice.severity),
        at_us: notice.at.as_micros(),
        text: notice.text.to_string(),
        record: notice.record,
        is_resolved: notice.is_resolved,
        again: notice.again,
    }
}

fn brief(number: MessageNumber, at: usize, brief: &Brief) -> proto::MessageBrief {
    proto::MessageBrief {
        number: number.0,
        at: u32::try_from(at).unwrap_or(u32::MAX),
        about: brief.about.to_string(),
        matter: brief.matter.to_string(),
        severity: severity_number(brief.severity),
        is_resolved: brief.is_resolved,
    }
}

fn read_brief(it: proto::MessageBrief) -> Result<MailEffect, DecodeError> {
    let at = usize::try_from(it.at).unwrap_or(usize::MAX);
    let (about, matter) = (it.about.into(), it.matter.into());
    let (severity, is_resolved) = (severity(it.severity)?, it.is_resolved);
    let brief = Brief { about, matter, severity, is_resolved };
    Ok(MailEffect::Brief { number: MessageNumber(it.number), at, brief })
}

fn read_notice(it: proto::MessageNotice) -> Result<MailEffect, DecodeError> {
    let at = usize::try_from(it.at).unwrap_or(usize::MAX);
    let notice = Notice {
        about: it.about.into(),
        matter: it.matter.into(),
        severity: severity(it.severity)?,
        at: Timestamp::from_micros(it.at_us),
        text: it.text.into(),
        record: it.record,
        is_resolved: it.is_resolved,
        again: it.again,
    };
    Ok(MailEffect::Notice { number: MessageNumber(it.number), at, notice })
}
