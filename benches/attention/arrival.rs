//! Renders the core's mails as gridd does, and reads what their reader sees.
//!
//! Guarantees that sizes and subjects are those of gridd's own rendering.

use grid_broker::grid::model::mail_message::MailMessage;
use grid_broker::mail::preview;
use uuid::Uuid;

use crate::mails::{ArrivedMail, Mention};
use crate::timeline::Millis;
use crate::told_time::millis;

/// A message that the server accepted at that time.
pub(crate) fn arrived(message: &MailMessage, at: Millis) -> ArrivedMail {
    let shown = preview(message, Uuid::from_u128(7), "grid");
    let notices = message.notices.iter().map(|notice| Mention {
        name: notice.subject.to_string(),
        topic: notice.topic.to_string(),
        text: notice.text.to_string(),
        severity: notice.severity,
        is_resolved: notice.is_resolved,
        reason: match (notice.is_resolved, notice.occurrences) {
            (true, _) => "resolved".to_owned(),
            (false, 0) => "new".to_owned(),
            (false, times) => format!("{times} more"),
        },
    });
    let briefs = message.briefs.iter().map(|brief| Mention {
        name: brief.subject.to_string(),
        topic: brief.topic.to_string(),
        text: String::new(),
        severity: brief.severity,
        is_resolved: brief.is_resolved,
        reason: "a line".to_owned(),
    });
    let mut mail = ArrivedMail {
        at,
        queued_at: millis(message.queued_at),
        subject: shown.subject,
        bytes: shown.text.len() + shown.html.len(),
        is_gravest_first: true,
        mentions: notices.chain(briefs).collect(),
    };
    mail.is_gravest_first = is_gravest_first(&mail, &shown.text);
    mail
}

/// Whether no appliance is named in the text before those of the gravest severity, or their prefix.
pub(crate) fn is_gravest_first(mail: &ArrivedMail, text: &str) -> bool {
    let Some(gravest) = mail.gravest() else { return true };
    let place = |mention: &Mention| {
        let prefix = mention.name.rsplit_once('.').map_or(&*mention.name, |it| it.0);
        let name = if mention.name.is_empty() { "broker" } else { prefix };
        text.find(name).unwrap_or(usize::MAX)
    };
    let is_top = |it: &&Mention| it.severity == gravest;
    let top = mail.mentions.iter().filter(is_top).map(place).min();
    let others = mail.mentions.iter().filter(|it| !is_top(it)).map(place).min();
    match (top, others) {
        (Some(top), Some(others)) => top <= others,
        _ => true,
    }
}
