//! Encodes queued and completed mails as messages of the contract.
//!
//! Guarantees that a mail is encoded completely. Escapes nothing.

use super::{encode_severity, encode_timestamp, proto};
use crate::grid::log::input::Input;
use crate::grid::log::record::Record;
use crate::grid::model::mail_message::{
    BacklogDigest, BriefNotice, DeliveryState, MailMessage, MessageNumber, Notice,
};
use crate::grid::state::outbox::finished_message;
use crate::grid::values::event::Severity;

/// Encodes a queued mail.
pub fn mail(message: &MailMessage) -> proto::Mail {
    let MailMessage {
        number,
        recipient,
        queued_at,
        notices,
        omitted,
        briefs,
        attempts,
        state,
        due_at,
        retried_at: _,
        last_reply,
        digest,
        downtime: _,
        is_unreachable: _,
    } = message;
    proto::Mail {
        number: number.0,
        recipient: recipient.to_string(),
        state: mail_state(*state).into(),
        queued_since: Some(encode_timestamp(*queued_at)),
        due: (*state == DeliveryState::Waiting).then(|| encode_timestamp(*due_at)),
        removed_at: (*state == DeliveryState::Failed).then(|| encode_timestamp(*due_at)),
        attempts: *attempts,
        last_reply: last_reply.to_string(),
        notices: notices.iter().map(notice).collect(),
        more_notices: *omitted,
        summary: digest.as_deref().map(summary),
        briefs: briefs.iter().map(brief).collect(),
        ended_at: None,
        record_number: 0,
        joined: 0,
    }
}

/// Encodes a mail that has left the outbox, from the record of that; `None`: the record has none.
pub fn completed_mail(number: MessageNumber, record: &Record) -> Option<proto::Mail> {
    let (message, joined) = finished_message(number, record)?;
    let (state, reply) = if let Input::MailDelivery { message: of, delivery, .. } = &record.input {
        match *of == number {
            true => (proto::MailState::Sent, delivery.reply()),
            false => (proto::MailState::Joined, &*message.last_reply),
        }
    } else {
        (proto::MailState::Removed, &*message.last_reply)
    };
    Some(proto::Mail {
        state: state.into(),
        due: None,
        last_reply: reply.to_owned(),
        ended_at: Some(encode_timestamp(record.at)),
        record_number: record.number,
        joined: joined.filter(|_| state == proto::MailState::Joined).map_or(0, |it| it.0),
        ..mail(&message)
    })
}

fn brief(brief: &BriefNotice) -> proto::MailBrief {
    let BriefNotice { subject, topic, severity, is_resolved, alert, class } = brief;
    proto::MailBrief {
        appliance: subject.to_string(),
        kind: topic.to_string(),
        severity: encode_severity(*severity).into(),
        resolved: *is_resolved,
        alert_id: alert.map_or(0, |it| it.0),
        class: class.to_string(),
    }
}

fn summary(late: &BacklogDigest) -> proto::MailSummary {
    let BacklogDigest { first_at, last_at, severity_counts, appliances } = late;
    let of_appliance = |(appliance, count): &(Box<str>, u64)| proto::AlertsOfAppliance {
        appliance: appliance.to_string(),
        count: *count,
    };
    let severities = Severity::ALL.into_iter().zip(*severity_counts).filter(|it| it.1 > 0);
    proto::MailSummary {
        alerts: late.total(),
        first_at: Some(encode_timestamp(*first_at)),
        last_at: Some(encode_timestamp(*last_at)),
        appliances: appliances.iter().map(of_appliance).collect(),
        severities: severities
            .map(|(severity, count)| proto::AlertsOfSeverity {
                severity: encode_severity(severity).into(),
                count,
            })
            .collect(),
    }
}

/// Encodes the state of a mail.
pub fn mail_state(state: DeliveryState) -> proto::MailState {
    match state {
        DeliveryState::Waiting => proto::MailState::Waiting,
        DeliveryState::InFlight => proto::MailState::UnderWay,
        DeliveryState::Failed => proto::MailState::Failed,
    }
}

fn notice(notice: &Notice) -> proto::MailNotice {
    let Notice {
        subject,
        topic,
        severity,
        at,
        text,
        record,
        is_resolved,
        occurrences,
        alert,
        class,
        since,
        count,
        acknowledged,
    } = notice;
    proto::MailNotice {
        appliance: subject.to_string(),
        kind: topic.to_string(),
        severity: encode_severity(*severity).into(),
        at: Some(encode_timestamp(*at)),
        text: text.to_string(),
        record_number: *record,
        resolved: *is_resolved,
        repeats: *occurrences,
        alert_id: alert.map_or(0, |it| it.0),
        class: class.to_string(),
        open_since: since.map(encode_timestamp),
        count: *count,
        acknowledged: *acknowledged,
    }
}
