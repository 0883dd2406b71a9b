//! Mails that are owed, as messages of the contract.
//!
//! Guarantees that a mail is told whole. Escapes nothing.

use super::{proto, proto_severity, timestamp};
use crate::grid::event::Severity;
use crate::grid::mail::{Late, Message, Notice, Standing};

/// A mail that is owed.
pub fn mail(message: &Message) -> proto::Mail {
    let Message {
        number,
        recipient,
        owed_since,
        notices,
        more,
        attempts,
        standing: stands,
        due,
        last_reply,
        late,
        away: _,
    } = message;
    proto::Mail {
        number: number.0,
        recipient: recipient.to_string(),
        standing: standing(*stands).into(),
        owed_since: Some(timestamp(*owed_since)),
        due: (*stands != Standing::UnderWay).then(|| timestamp(*due)),
        attempts: *attempts,
        last_reply: last_reply.to_string(),
        notices: notices.iter().map(notice).collect(),
        more_notices: *more,
        summary: late.as_deref().map(summary),
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

/// How a mail stands, as it is sent.
pub fn standing(standing: Standing) -> proto::MailStanding {
    match standing {
        Standing::Waiting => proto::MailStanding::Waiting,
        Standing::UnderWay => proto::MailStanding::UnderWay,
        Standing::Failed => proto::MailStanding::Failed,
    }
}

fn notice(notice: &Notice) -> proto::MailNotice {
    let Notice { about, matter, severity, at, text, record, is_resolved } = notice;
    proto::MailNotice {
        appliance: about.to_string(),
        matter: matter.to_string(),
        severity: proto_severity(*severity).into(),
        at: Some(timestamp(*at)),
        text: text.to_string(),
        record_number: *record,
        resolved: *is_resolved,
    }
}
