//! Builds the content of a mail, independent of text and HTML.
//!
//! Guarantees that both formats have the same content, with times in the recipient's zone and their
//! UTC offset, and that nothing in a view contains hidden characters. Does not know HTML.

use std::time::Duration;

use jiff::tz::TimeZone;
use uuid::Uuid;

use super::subject::subject;
use crate::config::smtp::MessageStyle;
use crate::grid::model::mail_message::{MailMessage, MessageNumber};
use crate::grid::values::id::AlertId;
use crate::grid::values::time::Timestamp;
use crate::identity::ack_link::AckGrant;
use crate::mail::render::MailOrigin;
use crate::mail::render::entry::entries;
use crate::mail::render::{digest, items, summary};
use crate::show::count::format_count;
use crate::show::escape::escape;

/// How long a link acknowledges, since the mail was queued.
const ACK_LINK_LIFE: Duration = Duration::from_secs(7 * 86_400);

/// Longest text of a notice in a mail, in characters; the grid log contains the whole text.
const NOTICE_CHARS_MAX: usize = 1_000;

/// Most names in one block: as many as a mail has entries.
const NAMES_MAX: usize = 288;

/// The level of detail of a mail: lower, if it would be too large otherwise.
#[derive(Clone, Copy)]
pub(super) struct DetailLevel {
    /// Longest text of a notice, in characters.
    pub(super) text_chars: usize,
    /// Most items.
    pub(super) blocks: usize,
    /// Most rows of a table.
    pub(super) rows: usize,
    /// Most names in one block.
    pub(super) names: usize,
    /// Whether text and HTML may each have the whole size.
    pub(super) is_large: bool,
}

impl DetailLevel {
    /// The least.
    pub(super) const LEAST: Self =
        Self { text_chars: 80, blocks: 3, rows: 4, names: 8, is_large: true };

    /// From the most to the least detail. Names are left out last: somebody searches for them.
    pub(super) const ALL: [Self; 6] = [
        Self::new(NOTICE_CHARS_MAX, 64, 32),
        Self::new(300, 32, 32),
        Self::new(120, 16, 20),
        Self::new(100, 8, 10),
        Self { is_large: true, ..Self::new(100, 6, 8) },
        Self { names: 80, is_large: true, ..Self::new(80, 5, 6) },
    ];

    const fn new(text_chars: usize, blocks: usize, rows: usize) -> Self {
        Self { text_chars, blocks, rows, names: NAMES_MAX, is_large: false }
    }
}

/// The content of a mail.
pub(super) struct MailView {
    /// The subject.
    pub(super) subject: String,
    /// The text above the items.
    pub(super) intro: Vec<String>,
    /// What is reported, the gravest first.
    pub(super) items: Vec<MailItem>,
    /// The text below the items.
    pub(super) footer: String,
}

/// One item of a mail.
#[derive(Default)]
pub(super) struct MailItem {
    /// The appliance and the title of the alert kind.
    pub(super) title: String,
    /// Facts, by name.
    pub(super) facts: Vec<(&'static str, String)>,
    /// The text of the notice.
    pub(super) text: String,
    /// One line each for many of one kind.
    pub(super) table: Table,
    /// Further notices, one line each.
    pub(super) more: Vec<String>,
    /// What to do next; not repeated within one mail.
    pub(super) hint: Option<&'static str>,
    /// Commands that show details; in a digest not repeated for one appliance.
    pub(super) commands: Vec<String>,
    /// The alerts that a link acknowledges.
    pub(super) alerts: Vec<AlertId>,
    /// The link that acknowledges them.
    pub(super) link: Option<String>,
}

/// Rows of cells under titles; no rows: no table.
#[derive(Default)]
pub(super) struct Table {
    /// The title of each column.
    pub(super) columns: Vec<&'static str>,
    /// Each has one cell for each column.
    pub(super) rows: Vec<Vec<String>>,
}

/// Builds the view of a message with the given detail.
pub(super) fn build_view(
    message: &MailMessage,
    origin: &MailOrigin,
    look: &MessageStyle,
    detail: DetailLevel,
) -> MailView {
    let zone = look.zone_of(&message.recipient);
    let entries = entries(message);
    let mut items = if message.digest.is_some() {
        items::digest_items(message, zone, detail)
    } else if message.is_summary() {
        summary::items(message, &entries, detail)
    } else {
        items::items(&entries, zone, detail)
    };
    let mut seen = Vec::new();
    for item in &mut items {
        let is_repeated = item.hint.is_some_and(|it| it.is_empty() || seen.contains(&it));
        seen.extend(item.hint.filter(|_| !is_repeated));
        item.hint = item.hint.filter(|_| !is_repeated);
        item.link = ack_link(message, &item.alerts, origin, look);
    }
    MailView {
        subject: subject(message, &look.grid, zone),
        intro: intro(message, zone, detail),
        items,
        footer: footer(message, origin.journal, zone),
    }
}

/// The link that acknowledges these alerts; `None`: there are none, or links are off.
fn ack_link(
    message: &MailMessage,
    alerts: &[AlertId],
    origin: &MailOrigin,
    look: &MessageStyle,
) -> Option<String> {
    let key = origin.ack_key.as_ref().filter(|_| !look.public_url.is_empty())?;
    // By the time of the message, so that it is the same at each attempt.
    let expires_at = message.queued_at.after(ACK_LINK_LIFE);
    let grant =
        AckGrant { alerts: alerts.to_vec(), receiver: message.recipient.clone(), expires_at };
    let url = look.public_url.trim_end_matches('/');
    Some(format!("{url}/ack/{}", key.sign(&grant)?))
}

fn intro(message: &MailMessage, zone: &TimeZone, detail: DetailLevel) -> Vec<String> {
    let mut lines = Vec::new();
    let beyond = message.omitted.saturating_sub(message.briefs.len() as u64);
    if let Some(late) = &message.digest {
        lines.extend(digest::intro(late, message, zone));
    } else if beyond > 0 {
        let left = format_count(beyond, "notice");
        lines.push(format!(
            "{left} more did not fit into this mail; the grid log contains them all."
        ));
    }
    let attempt = message.attempts;
    if attempt > 1 {
        let since = format_time(message.queued_at, zone);
        let reply = escaped(&message.last_reply, detail.text_chars.max(200));
        let why = if reply.is_empty() { String::new() } else { format!(" Last: {reply}") };
        lines.push(format!("This mail is late: queued since {since}, attempt {attempt}.{why}"));
    }
    lines
}

fn footer(message: &MailMessage, journal: Uuid, zone: &TimeZone) -> String {
    let zone = zone.iana_name().unwrap_or("the broker's host");
    let recipient = escape(&message.recipient);
    let which = match message.number {
        MessageNumber(0) => "Test mail".to_owned(),
        MessageNumber(number) => format!("Mail {number}"),
    };
    format!("{which} of Grid Broker to {recipient}, journal {journal}. Times of {zone}.")
}

/// A time to the second, with its UTC offset.
pub(super) fn format_time(at: Timestamp, zone: &TimeZone) -> String {
    match jiff::Timestamp::from_microsecond(at.as_micros()) {
        Ok(at) => at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
        Err(_) => "a time out of range".to_owned(),
    }
}

pub(super) fn escaped(text: &str, chars_max: usize) -> String {
    truncated(&escape(text), chars_max)
}

pub(super) fn truncated(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}... (truncated, the record has all of it)", &text[..end]),
        None => text.to_owned(),
    }
}
