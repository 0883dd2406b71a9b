//! Builds the content of a mail, independent of text and HTML.
//!
//! Guarantees that both formats have the same content, with times in the recipient's zone and their
//! UTC offset, and that nothing in a view contains hidden characters. Does not know HTML.

use jiff::tz::TimeZone;
use uuid::Uuid;

use super::subject::{subject, truncate_at_word};
use crate::config::smtp::MessageStyle;
use crate::grid::model::mail_message::{BriefNotice, MailMessage, MessageNumber, Notice};
use crate::grid::values::event::Severity;
use crate::grid::values::time::Timestamp;
use crate::mail::render::digest;
use crate::mail::render::hints::{commands, topic_of};
use crate::mail::render::shared_problem::{SharedProblem, SharedProblems, sorted_by_severity};
use crate::show::count::format_count;
use crate::show::escape::escape;

/// Longest text of a notice in a mail, in characters; the grid log contains the whole text.
const NOTICE_CHARS_MAX: usize = 1_000;

/// Most names of one shared problem, and most lines of abbreviated notices.
const NAMES_MAX: usize = 160;

/// The level of detail of a mail: lower, if it would be too large otherwise.
#[derive(Clone, Copy)]
pub(super) struct DetailLevel {
    /// Longest text of a notice, in characters.
    text_chars: usize,
    /// Most items.
    blocks: usize,
    /// Most names of a shared problem, or lines.
    names: usize,
}

impl DetailLevel {
    /// The least.
    pub(super) const LEAST: Self = Self { text_chars: 80, blocks: 4, names: 20 };

    /// From the most to the least detail.
    pub(super) const ALL: [Self; 4] = [
        Self { text_chars: NOTICE_CHARS_MAX, blocks: 64, names: NAMES_MAX },
        Self { text_chars: 300, blocks: 32, names: NAMES_MAX },
        Self { text_chars: 120, blocks: 16, names: NAMES_MAX },
        Self { text_chars: 100, blocks: 8, names: 80 },
    ];
}

/// The content of a mail.
pub(super) struct MailView {
    /// The subject.
    pub(super) subject: String,
    /// The text above the items.
    pub(super) intro: Vec<String>,
    /// The notices, the most severe first, one item per appliance.
    pub(super) items: Vec<MailItem>,
    /// The text below the items.
    pub(super) footer: String,
}

/// One item of a mail.
pub(super) struct MailItem {
    /// The appliance and the title of the alert kind.
    pub(super) title: String,
    /// Facts, by name.
    pub(super) facts: Vec<(&'static str, String)>,
    /// The text of the notice.
    pub(super) text: String,
    /// Further notices, one line each.
    pub(super) more: Vec<String>,
    /// What to do next; not repeated within one mail.
    pub(super) hint: Option<&'static str>,
    /// Commands that show details; in a digest not repeated for one appliance.
    pub(super) commands: Vec<String>,
}

/// Builds the view of a message with the given detail.
pub(super) fn build_view(
    message: &MailMessage,
    journal: Uuid,
    look: &MessageStyle,
    detail: DetailLevel,
) -> MailView {
    let zone = look.zone_of(&message.recipient);
    let (mut items, left_out) = if message.digest.is_some() {
        (digest_items(message, zone, detail), 0)
    } else {
        appliance_items(message, zone, detail)
    };
    let mut seen = Vec::new();
    for item in &mut items {
        let is_repeated = item.hint.is_some_and(|it| it.is_empty() || seen.contains(&it));
        seen.extend(item.hint.filter(|_| !is_repeated));
        item.hint = item.hint.filter(|_| !is_repeated);
    }
    MailView {
        subject: subject(message, &look.grid, zone),
        intro: intro(message, zone, left_out),
        items,
        footer: footer(message, journal, zone),
    }
}

/// A digest lists its alerts in their order.
fn digest_items(message: &MailMessage, zone: &TimeZone, detail: DetailLevel) -> Vec<MailItem> {
    let mut items: Vec<MailItem> = Vec::new();
    for (at, notice) in message.notices.iter().enumerate().take(detail.blocks) {
        let mut item = mail_item(notice, zone, detail);
        let is_same_appliance = |earlier: &Notice| earlier.subject == notice.subject;
        if message.notices[..at].iter().any(is_same_appliance) {
            item.commands.clear();
        }
        items.push(item);
    }
    items
}

/// One item per appliance, and one per shared problem, the most severe first; and the number of
/// notices that do not fit.
fn appliance_items(
    message: &MailMessage,
    zone: &TimeZone,
    detail: DetailLevel,
) -> (Vec<MailItem>, u64) {
    let causes = SharedProblems::from_message(message);
    let mut items = Vec::new();
    let mut done: Vec<&Notice> = Vec::new();
    let mut left_out = 0;
    let sorted = sorted_by_severity(&message.notices);
    for notice in sorted.iter().copied() {
        if done.iter().any(|it| std::ptr::eq(*it, notice)) {
            continue;
        }
        let crowd = causes.problem_of(notice);
        let is_with = |it: &Notice| match crowd {
            Some(_) => {
                (&it.topic, it.severity, it.is_resolved)
                    == (&notice.topic, notice.severity, notice.is_resolved)
            }
            None => it.subject == notice.subject && causes.problem_of(it).is_none(),
        };
        let with: Vec<_> = sorted.iter().copied().filter(|it| is_with(it)).collect();
        done.extend(&with);
        if items.len() >= detail.blocks {
            left_out += with.len() as u64;
            continue;
        }
        items.push(match crowd {
            Some(crowd) => problem_item(notice, crowd, &with, zone, detail),
            None => appliance_item(notice, &with, zone, detail),
        });
    }
    let lines = message.briefs.iter();
    let lines = lines.filter(|it| !causes.contains(&it.topic, it.severity, it.is_resolved));
    let lines: Vec<_> =
        lines.map(|it| format!("{} {}", it.severity.as_str(), brief_line(it))).collect();
    if !lines.is_empty() {
        items.push(MailItem {
            title: format!("{} more", lines.len()),
            facts: Vec::new(),
            text: String::new(),
            more: truncated_list(&lines, detail.names),
            hint: None,
            commands: Vec::new(),
        });
    }
    (items, left_out)
}

/// An appliance, or the broker, with all its notices.
fn appliance_item(
    notice: &Notice,
    all: &[&Notice],
    zone: &TimeZone,
    detail: DetailLevel,
) -> MailItem {
    let mut item = mail_item(notice, zone, detail);
    let others = all.len() - 1;
    if others > 0 {
        item.title = format!("{}, and {others} more", item.title);
    }
    item.more = all[1..]
        .iter()
        .map(|it| {
            let (grave, at) = (it.severity.as_str(), format_time(it.at, zone));
            let over = if it.is_resolved { ", resolved" } else { "" };
            let again = repeat_note(it).map_or_else(String::new, |again| format!(" ({again})"));
            format!("{grave}{over}, {at}: {}{again}", escaped(&it.text, detail.text_chars))
        })
        .collect();
    item
}

/// A shared problem: the number of appliances of each application, an example, and their names.
fn problem_item(
    notice: &Notice,
    crowd: &SharedProblem<'_>,
    all: &[&Notice],
    zone: &TimeZone,
    detail: DetailLevel,
) -> MailItem {
    let mut item = mail_item(notice, zone, detail);
    let over = if notice.is_resolved { "resolved: " } else { "" };
    item.title = format!("{over}{}: {}", crowd.scope(), crowd.plural_title());
    let prefixes = crowd.prefixes().into_iter().map(|(prefix, count)| match prefix.as_str() {
        "" => format!("{count} others"),
        prefix => format!("{count} of {prefix}"),
    });
    let prefixes: Vec<_> = prefixes.collect();
    let first = all.iter().map(|it| it.at).min().unwrap_or(notice.at);
    let last = all.iter().map(|it| it.at).max().unwrap_or(notice.at);
    for (name, value) in &mut item.facts {
        match *name {
            "where" => *value = truncated_list(&prefixes, detail.names).join(", "),
            "since" if first != last => {
                *value = format!("{} to {}", format_time(first, zone), format_time(last, zone));
            }
            _ => {}
        }
    }
    item.facts.retain(|it| it.0 != "record");
    let names: Vec<_> = crowd.names.iter().map(|name| escape(name).into_owned()).collect();
    item.more = vec![format!("all: {}", truncated_list(&names, detail.names).join(", "))];
    item.commands =
        vec!["gridctl alert list".to_owned(), "gridctl log list --severity=warn".to_owned()];
    item
}

fn brief_line(brief: &BriefNotice) -> String {
    let location = if brief.subject.is_empty() { "broker".into() } else { escape(&brief.subject) };
    let over = if brief.is_resolved { ", resolved" } else { "" };
    let title = match topic_of(&brief.topic).title {
        "alert" => escape(&brief.topic).into_owned(),
        called => called.to_owned(),
    };
    format!("{location}: {}{over}", truncate_at_word(&title, 80))
}

fn truncated_list(all: &[String], most: usize) -> Vec<String> {
    let mut list: Vec<_> = all.iter().take(most).cloned().collect();
    if all.len() > most {
        list.push(format!("and {} more", all.len() - most));
    }
    list
}

/// How often it was reported since the last mail, if it continues.
fn repeat_note(notice: &Notice) -> Option<String> {
    match notice.occurrences {
        0 => None,
        1 => Some("once since the last mail on it".to_owned()),
        times => Some(format!("{times} times since the last mail on it")),
    }
}

fn mail_item(notice: &Notice, zone: &TimeZone, detail: DetailLevel) -> MailItem {
    let topic = topic_of(&notice.topic);
    let (about, place) = match &*notice.subject {
        "" => ("the broker itself".to_owned(), "broker".to_owned()),
        name => (escape(name).into_owned(), escape(name).into_owned()),
    };
    let over = if notice.is_resolved { "resolved: " } else { "" };
    let mut facts = vec![
        ("where", about),
        ("kind", alert_title(notice, topic.title)),
        ("severity", severity_label(notice.severity).to_owned()),
        (if notice.is_resolved { "resolved" } else { "since" }, format_time(notice.at, zone)),
    ];
    facts.extend(repeat_note(notice).map(|again| ("repeated", again)));
    if notice.record > 0 {
        facts.push(("record", notice.record.to_string()));
    }
    MailItem {
        title: format!("{over}{place}: {}", topic.title),
        facts,
        text: escaped(&notice.text, detail.text_chars),
        more: Vec::new(),
        hint: (!notice.is_resolved).then_some(topic.hint),
        commands: commands(&notice.topic, &notice.subject),
    }
}

/// The title of the alert kind and, if an appliance named it, its own name too.
fn alert_title(notice: &Notice, called: &str) -> String {
    let key = escape(&notice.topic);
    match called {
        "alert" if !key.is_empty() && key != "alert" => {
            format!("alert {}", truncated(&key, 120))
        }
        _ => called.to_owned(),
    }
}

fn intro(message: &MailMessage, zone: &TimeZone, left_out: u64) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(late) = &message.digest {
        lines.extend(digest::intro(late, message, zone));
    } else if message.omitted.saturating_sub(message.briefs.len() as u64) + left_out > 0 {
        let beyond = message.omitted.saturating_sub(message.briefs.len() as u64) + left_out;
        let left = format_count(beyond, "notice");
        lines.push(format!(
            "{left} more did not fit into this mail; the grid log contains them all."
        ));
    }
    let attempt = message.attempts;
    if attempt > 1 {
        let since = format_time(message.queued_at, zone);
        let reply = escaped(&message.last_reply, NOTICE_CHARS_MAX);
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

pub(super) fn severity_label(severity: Severity) -> &'static str {
    match severity {
        Severity::Debug => "debug",
        Severity::Info => "info",
        Severity::Warn => "warn",
        Severity::Error => "error",
        Severity::Fatal => "fatal",
    }
}

/// A time to the second, with its UTC offset.
pub(super) fn format_time(at: Timestamp, zone: &TimeZone) -> String {
    match jiff::Timestamp::from_microsecond(at.as_micros()) {
        Ok(at) => at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
        Err(_) => "a time out of range".to_owned(),
    }
}

fn escaped(text: &str, chars_max: usize) -> String {
    truncated(&escape(text), chars_max)
}

fn truncated(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}... (truncated, the record has all of it)", &text[..end]),
        None => text.to_owned(),
    }
}
