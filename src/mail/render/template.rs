//! Gives the administrator's templates their variables, and falls back to the plain form.
//!
//! Guarantees that text of appliances is escaped before a template gets it, that a subject stays one line
//! of bounded length, and that a template that fails costs no mail: the plain form is sent, says so in its
//! first line, and tracing warns.

use jiff::tz::TimeZone;

use crate::config::mail_templates::{TemplateAlert, TemplateError, TemplateMail};
use crate::config::smtp::MessageStyle;
use crate::grid::model::mail_message::MailMessage;
use crate::mail::render::entry::{Entry, entries};
use crate::mail::render::subject::{SUBJECT_CHARS_MAX, shorten_middle, single_line};
use crate::mail::render::view_model::{MailView, format_time};
use crate::mail::render::{html, text};
use crate::show::escape::escape;

/// What a mail consists of.
pub(super) struct MailParts {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

/// The parts by the templates, or the plain form if there are none or one of them fails.
pub(super) fn apply(
    message: &MailMessage,
    look: &MessageStyle,
    mut view: MailView,
    (text, html): (String, String),
) -> MailParts {
    let Some(templates) = &look.templates else {
        return MailParts { subject: view.subject, text, html };
    };
    let mail = variables(message, look, &view.subject, &text);
    let made = templates
        .subject(&mail)
        .transpose()
        .and_then(|subject| Ok::<_, TemplateError>((subject, templates.body(&mail).transpose()?)));
    let (subject, body) = match made {
        Ok(made) => made,
        Err(error) => {
            tracing::warn!(mail = message.number.0, %error, "a template failed; the plain form is sent");
            let why = escape(&error.to_string()).into_owned();
            view.intro.insert(0, format!("A template failed, so this is the plain form: {why}"));
            let (text, html) = (text::text(&view), html::html(&view));
            return MailParts { subject: view.subject, text, html };
        }
    };
    let subject = subject.map(|it| shorten_middle(&single_line(&it), SUBJECT_CHARS_MAX));
    let subject = subject.filter(|it| !it.is_empty()).unwrap_or(view.subject);
    match body {
        Some(text) => {
            let html = html::preformatted(&subject, &text);
            MailParts { subject, text, html }
        }
        None => MailParts { subject, text, html },
    }
}

fn variables(
    message: &MailMessage,
    look: &MessageStyle,
    subject: &str,
    plain: &str,
) -> TemplateMail {
    let zone = look.zone_of(&message.recipient);
    let entries = entries(message);
    let beyond = message.omitted.saturating_sub(message.briefs.len() as u64);
    TemplateMail {
        subject: subject.to_owned(),
        plain: plain.to_owned(),
        grid: look.grid.clone(),
        recipient: escape(&message.recipient).into_owned(),
        mail: message.number.0,
        severity: entries.first().map_or("info", |it| it.severity.as_str()),
        resolved: entries.first().is_some_and(|it| it.is_resolved),
        summary: message.is_summary(),
        queued_at: format_time(message.queued_at, zone),
        attempt: message.attempts,
        total: (entries.len() as u64).saturating_add(beyond),
        alerts: entries.iter().map(|it| alert(it, zone)).collect(),
    }
}

fn alert(entry: &Entry<'_>, zone: &TimeZone) -> TemplateAlert {
    let notice = entry.notice;
    TemplateAlert {
        appliance: escape(entry.about).into_owned(),
        class: escape(entry.class).into_owned(),
        kind: escape(entry.kind()).into_owned(),
        key: escape(entry.topic).into_owned(),
        severity: entry.severity.as_str(),
        text: escape(entry.text()).into_owned(),
        since: entry.since().map_or_else(String::new, |since| format_time(since, zone)),
        count: notice.map_or(0, |it| it.count),
        repeats: notice.map_or(0, |it| it.occurrences),
        acknowledged: notice.is_some_and(|it| it.acknowledged),
        resolved: entry.is_resolved,
        alert: entry.alert.map_or(0, |it| it.0),
        record: notice.map_or(0, |it| it.record),
    }
}
