//! Builds the content of a mail, independent of text and HTML.
//!
//! Guarantees that both formats have the same content, with times in the recipient's zone and their
//! UTC offset, and that nothing in a view contains hidden characters. Does not know HTML.

use jiff::tz::TimeZone;
use uuid::Uuid;

use super::advice::{commands, topic_of};
use super::causes::{Causes, Crowd, by_gravity};
use super::late;
use super::subject::{cut, subject};
use crate::config::post::Look;
use crate::grid::event::Severity;
use crate::grid::mail::{Brief, Message, MessageNumber, Notice};
use crate::grid::time::Timestamp;
use crate::show::escape::escape;
use crate::show::size::count;

/// Longest text of a notice in a mail, in characters; the grid log contains the whole text.
const NOTICE_CHARS_MAX: usize = 1_000;

/// Most names of one shared problem, and most lines of abbreviated notices.
const NAMES_MAX: usize = 160;

/// The level of detail of a mail: lower, if it would be too large otherwise.
#[derive(Clone, Copy)]
pub(super) struct Detail {
    /// Longest text of a notice, in characters.
    text_chars: usize,
    /// Most items.
    blocks: usize,
    /// Most names of a shared problem, or lines.
    names: usize,
}

impl Detail {
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
pub(super) struct View {
    /// The subject.
    pub(super) subject: String,
    /// The text above the items.
    pub(super) intro: Vec<String>,
    /// The notices, the most severe first, one item per appliance.
    pub(super) items: Vec<Item>,
    /// The text below the items.
    pub(super) footer: String,
}

/// One item of a mail.
pub(super) struct Item {
    /// The appliance and the title of the alert kind.
    pub(super) title: String,
    /// Facts, by name.
    pub(super) facts: Vec<(&'static str, String)>,
    /// The text of the notice.
    pub(super) words: String,
    /// Further notices, one line each.
    pub(super) more: Vec<String>,
    /// What to do next; not repeated within one mail.
    pub(super) advice: Option<&'static str>,
    /// Commands that show details; in a digest not repeated for one appliance.
    pub(super) commands: Vec<String>,
}

/// Builds the view of a message with the given detail.
pub(super) fn view(message: &Message, journal: Uuid, look: &Look, detail: Detail) -> View {
    let zone = look.zone_of(&message.recipient);
    let (mut items, left_out) = if message.late.is_some() {
        (summed_up(message, zone, detail), 0)
    } else {
        blocks(message, zone, detail)
    };
    let mut seen = Vec::new();
    for item in &mut items {
        let is_repeated = item.advice.is_some_and(|it| it.is_empty() || seen.contains(&it));
        seen.extend(item.advice.filter(|_| !is_repeated));
        item.advice = item.advice.filter(|_| !is_repeated);
    }
    View {
        subject: subject(message, &look.grid, zone),
        intro: intro(message, zone, left_out),
        items,
        footer: footer(message, journal, zone),
    }
}

/// A digest lists its alerts in their order.
fn summed_up(message: &Message, zone: &TimeZone, detail: Detail) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for (at, notice) in message.notices.iter().enumerate().take(detail.blocks) {
        let mut item = item(notice, zone, detail);
        let is_same_appliance = |earlier: &Notice| earlier.about == notice.about;
        if message.notices[..at].iter().any(is_same_appliance) {
            item.commands.clear();
        }
        items.push(item);
    }
    items
}

/// One item per appliance, and one per shared problem, the most severe first; and the number of
/// notices that do not fit.
fn blocks(message: &Message, zone: &TimeZone, detail: Detail) -> (Vec<Item>, u64) {
    let causes = Causes::of(message);
    let mut items = Vec::new();
    let mut done: Vec<&Notice> = Vec::new();
    let mut left_out = 0;
    let sorted = by_gravity(&message.notices);
    for notice in sorted.iter().copied() {
        if done.iter().any(|it| std::ptr::eq(*it, notice)) {
            continue;
        }
        let crowd = causes.crowd_of(notice);
        let is_with = |it: &Notice| match crowd {
            Some(_) => {
                (&it.matter, it.severity, it.is_resolved)
                    == (&notice.matter, notice.severity, notice.is_resolved)
            }
            None => it.about == notice.about && causes.crowd_of(it).is_none(),
        };
        let with: Vec<_> = sorted.iter().copied().filter(|it| is_with(it)).collect();
        done.extend(&with);
        if items.len() >= detail.blocks {
            left_out += with.len() as u64;
            continue;
        }
        items.push(match crowd {
            Some(crowd) => of_crowd(notice, crowd, &with, zone, detail),
            None => of_one(notice, &with, zone, detail),
        });
    }
    let lines = message.briefs.iter();
    let lines = lines.filter(|it| !causes.has(&it.matter, it.severity, it.is_resolved));
    let lines: Vec<_> = lines.map(|it| format!("{} {}", it.severity.word(), brief(it))).collect();
    if !lines.is_empty() {
        items.push(Item {
            title: format!("{} more", lines.len()),
            facts: Vec::new(),
            words: String::new(),
            more: shortened_list(&lines, detail.names),
            advice: None,
            commands: Vec::new(),
        });
    }
    (items, left_out)
}

/// An appliance, or the broker, with all its notices.
fn of_one(notice: &Notice, all: &[&Notice], zone: &TimeZone, detail: Detail) -> Item {
    let mut item = item(notice, zone, detail);
    let others = all.len() - 1;
    if others > 0 {
        item.title = format!("{}, and {others} more", item.title);
    }
    item.more = all[1..]
        .iter()
        .map(|it| {
            let (grave, at) = (it.severity.word(), time(it.at, zone));
            let over = if it.is_resolved { ", resolved" } else { "" };
            let again = again(it).map_or_else(String::new, |again| format!(" ({again})"));
            format!("{grave}{over}, {at}: {}{again}", shown(&it.text, detail.text_chars))
        })
        .collect();
    item
}

/// A shared problem: the number of appliances of each application, an example, and their names.
fn of_crowd(
    notice: &Notice,
    crowd: &Crowd<'_>,
    all: &[&Notice],
    zone: &TimeZone,
    detail: Detail,
) -> Item {
    let mut item = item(notice, zone, detail);
    let over = if notice.is_resolved { "resolved: " } else { "" };
    item.title = format!("{over}{}: {}", crowd.place(), crowd.called());
    let prefixes = crowd.prefixes().into_iter().map(|(prefix, count)| match prefix.as_str() {
        "" => format!("{count} others"),
        prefix => format!("{count} of {prefix}"),
    });
    let prefixes: Vec<_> = prefixes.collect();
    let first = all.iter().map(|it| it.at).min().unwrap_or(notice.at);
    let last = all.iter().map(|it| it.at).max().unwrap_or(notice.at);
    for (name, value) in &mut item.facts {
        match *name {
            "where" => *value = shortened_list(&prefixes, detail.names).join(", "),
            "since" if first != last => {
                *value = format!("{} to {}", time(first, zone), time(last, zone));
            }
            _ => {}
        }
    }
    item.facts.retain(|it| it.0 != "record");
    let names: Vec<_> = crowd.names.iter().map(|name| escape(name).into_owned()).collect();
    item.more = vec![format!("all: {}", shortened_list(&names, detail.names).join(", "))];
    item.commands =
        vec!["gridctl alert list".to_owned(), "gridctl log list --severity=warn".to_owned()];
    item
}

fn brief(brief: &Brief) -> String {
    let location = if brief.about.is_empty() { "broker".into() } else { escape(&brief.about) };
    let over = if brief.is_resolved { ", resolved" } else { "" };
    let title = match topic_of(&brief.matter).one {
        "alert" => escape(&brief.matter).into_owned(),
        called => called.to_owned(),
    };
    format!("{location}: {}{over}", cut(&title, 80))
}

fn shortened_list(all: &[String], most: usize) -> Vec<String> {
    let mut list: Vec<_> = all.iter().take(most).cloned().collect();
    if all.len() > most {
        list.push(format!("and {} more", all.len() - most));
    }
    list
}

/// How often it was reported since the last mail, if it continues.
fn again(notice: &Notice) -> Option<String> {
    match notice.again {
        0 => None,
        1 => Some("once since the last mail on it".to_owned()),
        times => Some(format!("{times} times since the last mail on it")),
    }
}

fn item(notice: &Notice, zone: &TimeZone, detail: Detail) -> Item {
    let topic = topic_of(&notice.matter);
    let (about, place) = match &*notice.about {
        "" => ("the broker itself".to_owned(), "broker".to_owned()),
        name => (escape(name).into_owned(), escape(name).into_owned()),
    };
    let over = if notice.is_resolved { "resolved: " } else { "" };
    let mut facts = vec![
        ("where", about),
        ("kind", what(notice, topic.one)),
        ("severity", severity(notice.severity).to_owned()),
        (if notice.is_resolved { "resolved" } else { "since" }, time(notice.at, zone)),
    ];
    facts.extend(again(notice).map(|again| ("repeated", again)));
    if notice.record > 0 {
        facts.push(("record", notice.record.to_string()));
    }
    Item {
        title: format!("{over}{place}: {}", topic.one),
        facts,
        words: shown(&notice.text, detail.text_chars),
        more: Vec::new(),
        advice: (!notice.is_resolved).then_some(topic.advice),
        commands: commands(&notice.matter, &notice.about),
    }
}

/// The title of the alert kind and, if an appliance named it, its own name too.
fn what(notice: &Notice, called: &str) -> String {
    let key = escape(&notice.matter);
    match called {
        "alert" if !key.is_empty() && key != "alert" => {
            format!("alert {}", shortened(&key, 120))
        }
        _ => called.to_owned(),
    }
}

fn intro(message: &Message, zone: &TimeZone, left_out: u64) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(late) = &message.late {
        lines.extend(late::intro(late, message, zone));
    } else if message.more.saturating_sub(message.briefs.len() as u64) + left_out > 0 {
        let beyond = message.more.saturating_sub(message.briefs.len() as u64) + left_out;
        let left = count(beyond, "notice");
        lines.push(format!(
            "{left} more did not fit into this mail; the grid log contains them all."
        ));
    }
    let attempt = message.attempts;
    if attempt > 1 {
        let since = time(message.owed_since, zone);
        let reply = shown(&message.last_reply, NOTICE_CHARS_MAX);
        let why = if reply.is_empty() { String::new() } else { format!(" Last: {reply}") };
        lines.push(format!("This mail is late: queued since {since}, attempt {attempt}.{why}"));
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

/// A time to the second, with its UTC offset.
pub(super) fn time(at: Timestamp, zone: &TimeZone) -> String {
    match jiff::Timestamp::from_microsecond(at.as_micros()) {
        Ok(at) => at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
        Err(_) => "a time out of range".to_owned(),
    }
}

fn shown(text: &str, chars_max: usize) -> String {
    shortened(&escape(text), chars_max)
}

fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}... (truncated, the record has all of it)", &text[..end]),
        None => text.to_owned(),
    }
}
