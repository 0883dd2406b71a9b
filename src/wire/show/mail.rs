//! Encodes queued and completed mails as messages of the contract.
//!
//! Guarantees that a mail is encoded completely. Escapes nothing.

use super::{proto, proto_severity, timestamp};
use crate::grid::event::Severity;
use crate::grid::mail::{Brief, Late, Message, MessageNumber, Notice, Standing, traced};
use crate::grid::record::{Input, Record};

/// Encodes a queued mail.
pub fn mail(message: &Message) -> proto::Mail {
    let Message {
        number,
        recipient,
        owed_since,
        notices,
        more,
        briefs,
        attempts,
        standing: state,
        due,
        retried_at: _,
        last_reply,
        late,
        away: _,
    } = message;
    proto::Mail {
        number: number.0,
        recipient: recipient.to_string(),
        standing: standing(*state).into(),
        owed_since: Some(timestamp(*owed_since)),
        due: (*state == Standing::Waiting).then(|| timestamp(*due)),
        removed_at: (*state == Standing::Failed).then(|| timestamp(*due)),
        attempts: *attempts,
        last_reply: last_reply.to_string(),
        notices: notices.iter().map(notice).collect(),
        more_notices: *more,
        summary: late.as_deref().map(summary),
        briefs: briefs.iter().map(brief).collect(),
        ended_at: None,
        record_number: 0,
        joined: 0,
    }
}

/// Encodes a mail that has left the outbox, from the record of that; `None`: the record has none.
pub fn ended(number: MessageNumber, record: &Record) -> Option<proto::Mail> {
    let (message, joined) = traced(number, record)?;
    let (state, reply) = if let Input::MailAnswered { message: of, delivery, .. } = &record.input {
        match *of == number {
            true => (proto::MailStanding::Sent, delivery.reply()),
            false => (proto::MailStanding::Joined, &*message.last_reply),
        }
    } else {
        (proto::MailStanding::Removed, &*message.last_reply)
    };
    Some(proto::Mail {
        standing: state.into(),
        due: None,
        last_reply: reply.to_owned(),
        ended_at: Some(timestamp(record.at)),
        record_number: record.number,
        joined: joined.filter(|_| state == proto::MailStanding::Joined).map_or(0, |it| it.0),
        ..mail(&message)
    })
}

fn brief(brief: &Brief) -> proto::MailBrief {
    let Brief { about, matter, severity, is_resolved } = brief;
    proto::MailBrief {
        appliance: about.to_string(),
        matter: matter.to_string(),
        severity: proto_severity(*severity).into(),
        resolved: *is_resolved,
    }
}

fn summary(late: &Late) -> proto::MailSummary {
    let Late { first_at, last_at, severities, appliances } = late;
    let of_appliance = |(appliance, count): &(Box<str>, u64)| proto::AlertsOfAppliance {
        appliance: appliance.to_string(),
        count: *count,
    };
    let severities = Severity::ALL.into_iter().zip(*severities).filter(|it| it.1 > 0);
    proto::MailSummary {
        alerts: late.total(),
        first_at: Some(timestamp(*first_at)),
        last_at: Some(timestamp(*last_at)),
        appliances: appliances.iter().map(of_appliance).collect(),
        severities: severities
            .map(|(severity, count)| proto::AlertsOfSeverity {
                severity: proto_severity(severity).into(),
                count,
            })
            .collect(),
    }
}

/// Encodes the state of a mail.
pub fn standing(standing: Standing) -> proto::MailStanding {
    match standing {
        Standing::Waiting => proto::MailStanding::Waiting,
        Standing::UnderWay => proto::MailStanding::UnderWay,
        Standing::Failed => proto::MailStanding::Failed,
    }
}

fn notice(notice: &Notice) -> proto::MailNotice {
    let Notice { about, matter, severity, at, text, record, is_resolved, again } = notice;
    proto::MailNotice {
        appliance: about.to_string(),
        matter: matter.to_string(),
        severity: proto_severity(*severity).into(),
        at: Some(timestamp(*at)),
        text: text.to_string(),
        record_number: *record,
        resolved: *is_resolved,
        again: *again,
    }
}
