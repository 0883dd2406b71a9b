//! Renders a message of the core as a mail: headers, plain text and HTML.
//!
//! Guarantees that the same message gives the same bytes at each attempt except for the line about
//! the delay, that headers contain nothing but what is set here, and that text of appliances is
//! displayed, never interpreted: not by a terminal, a browser, a shell or the structure of the mail.
//! Reads no clock.

mod digest;
mod entry;
mod hints;
mod html;
mod items;
pub(super) mod preview;
mod shared_problem;
mod subject;
mod summary;
mod template;
mod text;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use uuid::Uuid;

use crate::config::smtp::{MessageStyle, parse_address};
use crate::grid::model::mail_message::{DeliveryState, MailMessage, MessageNumber, Notice};
use crate::grid::values::event::Severity;
use crate::grid::values::time::Timestamp;
use crate::identity::ack_link::AckKey;
use crate::mail::render::template::MailParts;
use crate::mail::render::view_model::{DetailLevel, MailView};
use crate::mail::smtp_session::OutgoingMessage;

/// Most bytes of the text and the HTML of a mail together; of each, if names would be left out.
const BODY_BYTES_MAX: usize = 16_000;

/// The last second of the year 9999, the largest `Date`.
const DATE_SECONDS_MAX: u64 = 253_402_300_799;

/// Why a message cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub(super) enum RenderError {
    /// The recipient is not a valid address.
    #[error("`{0}` is not a mail address; only ASCII is supported")]
    Address(String),
    /// lettre cannot build the mail.
    #[error("cannot build the mail: {0}")]
    Parts(#[from] lettre::error::Error),
}

/// Whose mails are rendered: the broker's journal, and the key of links. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MailOrigin {
    /// The id of the journal, in ids of mails.
    pub journal: Uuid,
    /// The key that signs links for acknowledging; `None`: there are no links.
    pub ack_key: Option<AckKey>,
}

/// Renders a message for its latest attempt.
pub(super) fn render(
    message: &MailMessage,
    origin: &MailOrigin,
    from: &Mailbox,
    look: &MessageStyle,
) -> Result<OutgoingMessage, RenderError> {
    let Some(to) = parse_address(&message.recipient) else {
        return Err(RenderError::Address(message.recipient.to_string()));
    };
    let journal = origin.journal;
    let (view, text, html) = fit_to_size(message, origin, look);
    let MailParts { subject, text, html } = template::apply(message, look, view, (text, html));
    let mut builder = lettre::Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to.clone()))
        .subject(subject)
        .date(date(message.queued_at))
        .message_id(Some(message_id(message, journal)))
        .raw_header(header("List-Id", &format!("Grid Broker <{}.grid-broker>", look.grid)))
        .raw_header(header("Auto-Submitted", "auto-generated"));
    if let Some(thread) = thread_id(message, journal) {
        builder = builder.in_reply_to(thread.clone()).references(thread);
    }
    // `=_` occurs neither in quoted-printable nor in base64, and no line of a part begins with text
    // of others: no text can end a part.
    let parts = MultiPart::alternative()
        .boundary(format!(
            "=_{}",
            Uuid::new_v5(&journal, message_id(message, journal).as_bytes()).simple()
        ))
        .singlepart(mime_part(ContentType::TEXT_PLAIN, text))
        .singlepart(mime_part(ContentType::TEXT_HTML, html));
    let mail = builder.multipart(parts)?;
    Ok(OutgoingMessage { from: from.email.clone(), to, bytes: mail.formatted() })
}

/// The view as text and HTML, with as much detail as fits.
fn fit_to_size(
    message: &MailMessage,
    origin: &MailOrigin,
    look: &MessageStyle,
) -> (MailView, String, String) {
    let mut details = DetailLevel::ALL.into_iter();
    loop {
        let detail = details.next();
        let view =
            view_model::build_view(message, origin, look, detail.unwrap_or(DetailLevel::LEAST));
        let (text, html) = (text::text(&view), html::html(&view));
        let size = match detail.is_some_and(|it| it.is_large) {
            true => text.len().max(html.len()),
            false => text.len() + html.len(),
        };
        if detail.is_none() || size <= BODY_BYTES_MAX {
            return (view, text, html);
        }
    }
}

fn mime_part(kind: ContentType, body: String) -> SinglePart {
    SinglePart::builder().header(kind).body(body)
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// The Message-ID, the same at each attempt, so that duplicates are recognisable.
fn message_id(message: &MailMessage, journal: Uuid) -> String {
    match message.number {
        MessageNumber(0) => {
            let at = message.queued_at.as_micros();
            format!("<test-{at}.{}@grid-broker>", journal.simple())
        }
        MessageNumber(number) => format!("<mail-{number}.{}@grid-broker>", journal.simple()),
    }
}

/// The id that all mails about one alert kind of one appliance refer to; no mail has it.
fn thread_id(message: &MailMessage, journal: Uuid) -> Option<String> {
    let (first, others) = message.notices.split_first()?;
    let is_same = |it: &Notice| (&it.subject, &it.topic) == (&first.subject, &first.topic);
    let is_several = message.omitted > 0 || message.digest.is_some();
    if is_several || !others.iter().all(is_same) {
        return None;
    }
    // Neither name nor alert kind contains NUL when it comes from the core; if so, two threads merge.
    let thread = Uuid::new_v5(&journal, format!("{}\0{}", first.subject, first.topic).as_bytes());
    Some(format!("<alert-{}@grid-broker>", thread.simple()))
}

/// The time at which the mail was queued. A delayed mail keeps its date.
fn date(at: Timestamp) -> SystemTime {
    let micros = u64::try_from(at.as_micros()).unwrap_or(0);
    UNIX_EPOCH + Duration::from_micros(micros).min(Duration::from_secs(DATE_SECONDS_MAX))
}

/// The message of `gridctl mail test`.
pub(super) fn test_message(address: &str, now: Timestamp) -> MailMessage {
    let notice = Notice {
        subject: "".into(),
        topic: "test".into(),
        severity: Severity::Info,
        at: now,
        text: "this is a test: mail reaches this address".into(),
        record: 0,
        is_resolved: false,
        occurrences: 0,
        alert: None,
        class: "".into(),
        since: None,
        count: 0,
        acknowledged: false,
    };
    MailMessage {
        number: MessageNumber(0),
        recipient: address.into(),
        queued_at: now,
        notices: vec![notice],
        omitted: 0,
        briefs: Vec::new(),
        attempts: 1,
        state: DeliveryState::InFlight,
        due_at: now,
        retried_at: None,
        last_reply: "".into(),
        digest: None,
        downtime: Duration::ZERO,
        is_unreachable: false,
    }
}

#[cfg(test)]
mod tests;
mod view_model;
