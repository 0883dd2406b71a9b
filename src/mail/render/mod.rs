//! Renders a message of the core as a mail: headers, plain text and HTML.
//!
//! Guarantees that the same message gives the same bytes at each attempt except for the line about
//! the delay, that headers contain nothing but what is set here, and that text of appliances is
//! displayed, never interpreted: not by a terminal, a browser, a shell or the structure of the mail.
//! Reads no clock.

mod advice;
mod causes;
mod html;
mod late;
mod subject;
mod text;
mod view;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use uuid::Uuid;

use self::view::{Detail, View};
use super::conversation::Letter;
use crate::config::post::{Look, address};
use crate::grid::event::Severity;
use crate::grid::mail::{Message, MessageNumber, Notice, Standing};
use crate::grid::time::Timestamp;

/// Most bytes of the text and the HTML of a mail together, where possible.
const BODY_BYTES_MAX: usize = 16_000;

/// The last second of the year 9999, the largest `Date`.
const DATE_SECONDS_MAX: u64 = 253_402_300_799;

/// Why a message cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoLetter {
    /// The recipient is not a valid address.
    #[error("`{0}` is not a mail address; only ASCII is supported")]
    Address(String),
    /// lettre cannot build the mail.
    #[error("cannot build the mail: {0}")]
    Parts(#[from] lettre::error::Error),
}

/// Renders a message for its latest attempt.
pub(super) fn render(
    message: &Message,
    journal: Uuid,
    from: &Mailbox,
    look: &Look,
) -> Result<Letter, NoLetter> {
    let Some(to) = address(&message.recipient) else {
        return Err(NoLetter::Address(message.recipient.to_string()));
    };
    let (view, text, html) = fitting(message, journal, look);
    let mut builder = lettre::Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to.clone()))
        .subject(view.subject.clone())
        .date(date(message.owed_since))
        .message_id(Some(id(message, journal)))
        .raw_header(header("List-Id", &format!("Grid Broker <{}.grid-broker>", look.grid)))
        .raw_header(header("Auto-Submitted", "auto-generated"));
    if let Some(thread) = thread(message, journal) {
        builder = builder.in_reply_to(thread.clone()).references(thread);
    }
    // `=_` occurs neither in quoted-printable nor in base64, and no line of a part begins with text
    // of others: no text can end a part.
    let parts = MultiPart::alternative()
        .boundary(format!("=_{}", Uuid::new_v5(&journal, id(message, journal).as_bytes()).simple()))
        .singlepart(part(ContentType::TEXT_PLAIN, text))
        .singlepart(part(ContentType::TEXT_HTML, html));
    let mail = builder.multipart(parts)?;
    Ok(Letter { from: from.email.clone(), to, bytes: mail.formatted() })
}

/// The view as text and HTML, with as much detail as fits.
fn fitting(message: &Message, journal: Uuid, look: &Look) -> (View, String, String) {
    let mut details = Detail::ALL.into_iter();
    loop {
        let detail = details.next();
        let view = view::view(message, journal, look, detail.unwrap_or(Detail::LEAST));
        let (text, html) = (text::text(&view), html::html(&view));
        if detail.is_none() || text.len() + html.len() <= BODY_BYTES_MAX {
            return (view, text, html);
        }
    }
}

fn part(kind: ContentType, body: String) -> SinglePart {
    SinglePart::builder().header(kind).body(body)
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// The Message-ID, the same at each attempt, so that duplicates are recognisable.
fn id(message: &Message, journal: Uuid) -> String {
    match message.number {
        MessageNumber(0) => {
            let at = message.owed_since.as_micros();
            format!("<test-{at}.{}@grid-broker>", journal.simple())
        }
        MessageNumber(number) => format!("<mail-{number}.{}@grid-broker>", journal.simple()),
    }
}

/// The id that all mails about one alert kind of one appliance refer to; no mail has it.
fn thread(message: &Message, journal: Uuid) -> Option<String> {
    let (first, others) = message.notices.split_first()?;
    let is_same = |it: &Notice| (&it.about, &it.matter) == (&first.about, &first.matter);
    let is_several = message.more > 0 || message.late.is_some();
    if is_several || !others.iter().all(is_same) {
        return None;
    }
    // Neither name nor alert kind contains NUL when it comes from the core; if so, two threads merge.
    let thread = Uuid::new_v5(&journal, format!("{}\0{}", first.about, first.matter).as_bytes());
    Some(format!("<matter-{}@grid-broker>", thread.simple()))
}

/// The time at which the mail was queued. A delayed mail keeps its date.
fn date(at: Timestamp) -> SystemTime {
    let micros = u64::try_from(at.as_micros()).unwrap_or(0);
    UNIX_EPOCH + Duration::from_micros(micros).min(Duration::from_secs(DATE_SECONDS_MAX))
}

/// The message of `gridctl mail test`.
pub(super) fn test_message(address: &str, now: Timestamp) -> Message {
    let notice = Notice {
        about: "".into(),
        matter: "test".into(),
        severity: Severity::Info,
        at: now,
        text: "this is a test: mail reaches this address".into(),
        record: 0,
        is_resolved: false,
        again: 0,
    };
    Message {
        number: MessageNumber(0),
        recipient: address.into(),
        owed_since: now,
        notices: vec![notice],
        more: 0,
        briefs: Vec::new(),
        attempts: 1,
        standing: Standing::UnderWay,
        due: now,
        retried_at: None,
        last_reply: "".into(),
        late: None,
        away: Duration::ZERO,
    }
}

#[cfg(test)]
mod tests;
