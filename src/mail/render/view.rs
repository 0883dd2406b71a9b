//! What does a mail say, before it is written as text or as HTML?
//!
//! Guarantees that both forms say the same, in times of the recipient's zone with their distance from
//! UTC, and that nothing in a view holds hidden characters. Knows nothing of HTML.

use jiff::tz::TimeZone;
use uuid::Uuid;

use super::advice::{commands, topic_of};
use super::late;
use super::subject::subject;
use crate::config::post::Look;
use crate::grid::event::Severity;
use crate::grid::mail::{Message, MessageNumber, Notice};
use crate::grid::time::Timestamp;
use crate::show::escape::escape;
use crate::show::size::count;

/// Longest text of a notice in a mail, in characters; the whole is in the grid log.
const NOTICE_CHARS_MAX: usize = 1_000;

/// A mail, as it is told.
pub(super) struct View {
    /// One line that says it all.
    pub(super) subject: String,
    /// What stands above the notices.
    pub(super) intro: Vec<String>,
    /// The notices, in the order of the message.
    pub(super) items: Vec<Item>,
    /// What stands below them.
    pub(super) footer: String,
}

/// One notice, as it is told.
pub(super) struct Item {
    /// Where, and what the matter is called.
    pub(super) title: String,
    /// What is known, by name.
    pub(super) facts: Vec<(&'static str, String)>,
    /// What was said, by whoever.
    pub(super) words: String,
    /// What to do next; not told twice in one mail.
    pub(super) advice: Option<&'static str>,
    /// Commands that look further; in a summary not told twice of one appliance.
    pub(super) commands: Vec<String>,
}

/// What the message says.
pub(super) fn view(message: &Message, journal: Uuid, look: &Look) -> View {
    let zone = look.zone_of(&message.recipient);
    let mut items: Vec<Item> = Vec::new();
    for (at, notice) in message.notices.iter().enumerate() {
        let mut item = item(notice, zone);
        let is_told = |earlier: &Notice| earlier.about == notice.about;
        if message.late.is_some() && message.notices[..at].iter().any(is_told) {
            item.commands.clear();
        }
        if items.iter().any(|earlier| earlier.advice == item.advice) {
            item.advice = None;
        }
        items.push(item);
    }
    View {
        subject: subject(message, &look.grid, zone),
        intro: intro(message, zone),
        items,
        footer: footer(message, journal, zone),
    }
}

fn item(notice: &Notice, zone: &TimeZone) -> Item {
    let topic = topic_of(&notice.matter);
    let (about, place) = match &*notice.about {
        "" => ("the broker itself".to_owned(), "broker".to_owned()),
        name => (escape(name).into_owned(), escape(name).into_owned()),
    };
    let over = if notice.is_resolved { "resolved: " } else { "" };
    let mut facts = vec![
        ("where", about),
        ("matter", what(notice, topic.one)),
        ("severity", severity(notice.severity).to_owned()),
        (if notice.is_resolved { "over since" } else { "since" }, time(notice.at, zone)),
    ];
    if notice.record > 0 {
        facts.push(("record", notice.record.to_string()));
    }
    Item {
        title: format!("{over}{place}: {}", topic.one),
        facts,
        words: shown(&notice.text),
        advice: (!notice.is_resolved).then_some(topic.advice),
        commands: commands(&notice.matter, &notice.about),
    }
}

/// The matter in words and, if an appliance named it, by its own name too.
fn what(notice: &Notice, called: &str) -> String {
    let key = escape(&notice.matter);
    match called {
        "alert" if !key.is_empty() && key != "alert" => {
            format!("alert {}", shortened(&key, 120))
        }
        _ => called.to_owned(),
    }
}

fn intro(message: &Message, zone: &TimeZone) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(late) = &message.late {
        lines.extend(late::intro(late, message, zone));
    } else if message.more > 0 {
        let left = count(message.more, "notice");
        lines.push(format!("{left} more did not fit into this mail; the grid log has them all."));
    }
    let attempt = message.attempts;
    if attempt > 1 {
        let since = time(message.owed_since, zone);
        let reply = shown(&message.last_reply);
        let why = if reply.is_empty() { String::new() } else { format!(" Last: {reply}") };
        lines.push(format!("This mail is late: owed since {since}, attempt {attempt}.{why}"));
    }
    lines
}

fn footer(message: &Message, journal: Uuid, zone: &TimeZone) -> String {
    let zone = zone.iana_name().unwrap_or("the broker's host");
    let recipient = escape(&message.recipient);
    let which = match message.number {
        MessageNumber(0) => "Test mail".to_owned(),
        MessageNumber(number) => format!("Mail {number}"),
    };
    format!("{which} of Grid Broker to {recipient}, journal {journal}. Times of {zone}.")
}

pub(super) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Debug => "debug",
        Severity::Info => "info",
        Severity::Warn => "warn",
        Severity::Error => "error",
        Severity::Fatal => "fatal",
    }
}

/// A moment to the second, with its distance from UTC.
pub(super) fn time(at: Timestamp, zone: &TimeZone) -> String {
    match jiff::Timestamp::from_microsecond(at.as_micros()) {
        Ok(at) => at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
        Err(_) => "a time beyond all calendars".to_owned(),
    }
}

fn shown(text: &str) -> String {
    shortened(&escape(text), NOTICE_CHARS_MAX)
}

fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}... (cut, the record has it all)", &text[..end]),
        None => text.to_owned(),
    }
}
