//! The items of a mail: one per appliance, one per problem of many appliances, one with what is over.
//!
//! Guarantees that every entry of the message is in an item by its name, or counted where names are
//! left out, and that no item of resolved alerts comes before an open one.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;

use crate::grid::model::mail_message::{MailMessage, Notice};
use crate::grid::values::event::Severity;
use crate::grid::values::id::AlertId;
use crate::mail::render::entry::Entry;
use crate::mail::render::hints::{UNKNOWN_TITLE, commands, topic_of};
use crate::mail::render::shared_problem::{SharedProblem, SharedProblems, without_name};
use crate::mail::render::subject::{location_of, shorten_middle, single_line};
use crate::mail::render::view_model::{
    DetailLevel, MailItem, Table, escaped, format_time, truncated,
};
use crate::show::escape::escape;

/// Most characters of a text in a row of a table.
const ROW_CHARS_MAX: usize = 90;

/// The columns of a list of what has no item of its own.
const LIST_COLUMNS: &[&str] =
    &["severity", "appliance", "what", "since", "over since", "count", "state"];

/// Most reasons and places that are counted in an item.
const COUNTS_MAX: usize = 12;

/// The items of the entries: open ones, gravest first, then resolved ones.
pub(super) fn items(entries: &[Entry<'_>], zone: &TimeZone, detail: DetailLevel) -> Vec<MailItem> {
    let problems = SharedProblems::new(entries);
    let (over, open): (Vec<_>, Vec<_>) = entries.iter().copied().partition(|it| it.is_resolved);
    let mut items = blocks(&open, &problems, zone, detail);
    // A mail on the end of one alert alone tells all of it.
    if items.is_empty()
        && let [entry] = over.as_slice()
        && let Some(notice) = entry.notice
    {
        return vec![notice_item(notice, zone, detail)];
    }
    items.extend(over_items(&over, &problems, zone, detail));
    items
}

/// One item per appliance and per shared problem, and what has no room for an item as lines.
fn blocks(
    open: &[Entry<'_>],
    problems: &SharedProblems<'_>,
    zone: &TimeZone,
    detail: DetailLevel,
) -> Vec<MailItem> {
    let mut items = Vec::new();
    let mut rest: Vec<Entry<'_>> = Vec::new();
    let mut done = vec![false; open.len()];
    let mut told = BTreeSet::new();
    for (at, entry) in open.iter().enumerate() {
        let has_room = items.len() < detail.blocks;
        if done[at] {
            continue;
        }
        if let Some(problem) = problems.problem_of(entry) {
            let is_told = told.contains(&(entry.topic, entry.severity));
            if !is_told && !has_room && problem.names.len() <= SMALL_PROBLEM_MAX {
                rest.push(*entry);
            } else if told.insert((entry.topic, entry.severity)) {
                items.push(problem_item(problem, zone, detail));
            }
            continue;
        }
        let Some(notice) = entry.notice.filter(|_| has_room) else {
            rest.push(*entry);
            continue;
        };
        let is_with = |(later, it): &(usize, &Entry<'_>)| {
            *later > at && it.about == entry.about && problems.problem_of(it).is_none()
        };
        let others: Vec<_> = open.iter().enumerate().filter(is_with).collect();
        others.iter().for_each(|(later, _)| done[*later] = true);
        let others: Vec<_> = others.into_iter().map(|it| it.1).collect();
        items.push(appliance_item(notice, &others, zone, detail));
    }
    let title = if items.is_empty() { "in short" } else { "further" };
    items.extend(list_item(&format!("{title}: {}", rest.len()), &rest, zone, detail));
    items
}

/// A problem of more appliances than this has an item of its own however many items there are.
const SMALL_PROBLEM_MAX: usize = 8;

/// What is over: each shared problem, then one line each.
fn over_items(
    over: &[Entry<'_>],
    problems: &SharedProblems<'_>,
    zone: &TimeZone,
    detail: DetailLevel,
) -> Vec<MailItem> {
    let mut items = Vec::new();
    let mut told = BTreeSet::new();
    let mut single = Vec::new();
    for entry in over {
        match problems.problem_of(entry) {
            Some(problem) => {
                if told.insert((entry.topic, entry.severity)) {
                    items.push(problem_item(problem, zone, detail));
                }
            }
            None => single.push(*entry),
        }
    }
    items.extend(list_item(&format!("over: {}", single.len()), &single, zone, detail));
    items
}

/// An appliance, or the broker, with its gravest notice and all others.
fn appliance_item(
    notice: &Notice,
    others: &[&Entry<'_>],
    zone: &TimeZone,
    detail: DetailLevel,
) -> MailItem {
    let mut item = notice_item(notice, zone, detail);
    if !others.is_empty() {
        item.title = format!("{}, and {} more", item.title, others.len());
    }
    let lines: Vec<_> = others.iter().map(|it| further_line(it, zone, detail)).collect();
    item.more = truncated_list(&lines, detail.rows);
    item.alerts.extend(others.iter().filter_map(|it| open_alert(it)));
    item
}

/// `error, since 2026-11-20 14:28:49 +01:00: disk is 98 % full (37 times)`.
fn further_line(entry: &Entry<'_>, zone: &TimeZone, detail: DetailLevel) -> String {
    let grave = entry.severity.as_str();
    let Some(notice) = entry.notice else {
        return format!("{grave}: {}", escaped(entry.text(), detail.text_chars));
    };
    let since = format_time(notice.since.unwrap_or(notice.at), zone);
    let notes: Vec<_> = [repeat_note(notice), count_note(notice), acknowledged_note(notice)]
        .into_iter()
        .flatten()
        .collect();
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
    format!("{grave}, since {since}: {}{notes}", escaped(entry.text(), detail.text_chars))
}

/// A problem of many appliances: how many of each prefix and class, why, one line each, all names.
fn problem_item(problem: &SharedProblem<'_>, zone: &TimeZone, detail: DetailLevel) -> MailItem {
    let Some(top) = problem.entries.first() else { return MailItem::default() };
    let times = problem.entries.iter().filter_map(Entry::since);
    let (first, last) = (times.clone().min(), times.max());
    let mut facts = vec![
        ("where", counted(&problem.places(), detail)),
        ("kind", alert_title(top.topic)),
        ("severity", top.severity.as_str().to_owned()),
    ];
    if let (Some(first), Some(last)) = (first, last) {
        let until = match first == last {
            true => String::new(),
            false => format!(" to {}", format_time(last, zone)),
        };
        facts.push(("since", format!("{}{until}", format_time(first, zone))));
    }
    let reasons = problem.reasons();
    if reasons.len() > 1 {
        facts.push(("reasons", counted(&reasons, detail)));
    }
    let listed: Vec<_> = problem.entries.iter().filter(|it| it.notice.is_some()).collect();
    let rows: Vec<_> = listed.iter().take(detail.rows).map(|it| problem_row(it, zone)).collect();
    let is_complete = rows.len() == problem.entries.len();
    let over = if top.is_resolved { "over: " } else { "" };
    let has_lines = !rows.is_empty();
    MailItem {
        title: format!("{over}{}", problem.title()),
        facts,
        text: escaped(top.text(), detail.text_chars),
        table: table(&["appliance", "class", "since", "over since", "count", "state"], rows),
        more: match is_complete && has_lines {
            true => Vec::new(),
            false => vec![format!("all {}: {}", problem.names.len(), {
                let names: Vec<_> = problem.names.iter().map(|it| name_of(it)).collect();
                truncated_list(&names, detail.names).join(", ")
            })],
        },
        hint: (!top.is_resolved).then_some(topic_of(top.topic).hint),
        commands: vec!["gridctl alert list".to_owned()],
        alerts: problem.entries.iter().filter_map(open_alert).collect(),
        link: None,
    }
}

fn problem_row(entry: &Entry<'_>, zone: &TimeZone) -> Vec<String> {
    let [since, over] = times_of(entry, zone);
    vec![name_of(entry.about), name_of(entry.class), since, over, count_of(entry), state_of(entry)]
}

/// Entries as one line each, as far as there is room, then by name.
fn list_item(
    title: &str,
    entries: &[Entry<'_>],
    zone: &TimeZone,
    detail: DetailLevel,
) -> Option<MailItem> {
    let first = entries.first()?;
    let (listed, named) = entries.split_at(entries.len().min(detail.rows));
    let rows = listed.iter().map(|entry| {
        let [since, over] = times_of(entry, zone);
        let what = shorten_middle(&single_line(&without_name(entry)), ROW_CHARS_MAX);
        let grave = entry.severity.as_str().to_owned();
        let name = truncated(&location_of(entry), ROW_CHARS_MAX * 2);
        vec![grave, name, what, since, over, count_of(entry), state_of(entry)]
    });
    let mut more = Vec::new();
    let mut left = detail.names;
    for severity in Severity::ALL.into_iter().rev() {
        let of_severity = named.iter().filter(|it| it.severity == severity);
        let names: Vec<_> = of_severity
            .map(|it| {
                format!("{}: {}", location_of(it), shorten_middle(&single_line(it.kind()), 40))
            })
            .collect();
        if !names.is_empty() {
            let shown = truncated_list(&names, left).join(", ");
            more.push(format!("{} more {}: {shown}", names.len(), severity.as_str()));
            left = left.saturating_sub(names.len());
        }
    }
    Some(MailItem {
        title: title.to_owned(),
        table: table(LIST_COLUMNS, rows.collect()),
        more,
        commands: match first.is_resolved {
            true => Vec::new(),
            false => vec!["gridctl alert list".to_owned()],
        },
        alerts: entries.iter().filter_map(open_alert).collect(),
        ..MailItem::default()
    })
}

/// A table without the columns in which no row has anything.
pub(super) fn table(columns: &[&'static str], rows: Vec<Vec<String>>) -> Table {
    let is_used = |at: &usize| rows.iter().any(|row| row.get(*at).is_some_and(|it| !it.is_empty()));
    let used: Vec<_> = (0..columns.len()).filter(is_used).collect();
    let pick = |row: &Vec<String>| used.iter().filter_map(|at| row.get(*at).cloned()).collect();
    Table {
        columns: used.iter().filter_map(|at| columns.get(*at).copied()).collect(),
        rows: rows.iter().map(pick).collect(),
    }
}

/// A digest lists its alerts in their order.
pub(super) fn digest_items(
    message: &MailMessage,
    zone: &TimeZone,
    detail: DetailLevel,
) -> Vec<MailItem> {
    let mut items: Vec<MailItem> = Vec::new();
    for (at, notice) in message.notices.iter().enumerate().take(detail.blocks) {
        let mut item = notice_item(notice, zone, detail);
        let is_same_appliance = |earlier: &Notice| earlier.subject == notice.subject;
        if message.notices[..at].iter().any(is_same_appliance) {
            item.commands.clear();
        }
        items.push(item);
    }
    items
}

/// One notice with all that is known of it.
fn notice_item(notice: &Notice, zone: &TimeZone, detail: DetailLevel) -> MailItem {
    let topic = topic_of(&notice.topic);
    let (about, place) = match &*notice.subject {
        "" => ("the broker itself".to_owned(), "broker".to_owned()),
        name => (escape(name).into_owned(), escape(name).into_owned()),
    };
    let class = match &*notice.class {
        "" => String::new(),
        class => format!(" (class {})", escape(class)),
    };
    let over = if notice.is_resolved { "resolved: " } else { "" };
    let since = notice.since.unwrap_or(notice.at);
    let mut facts = vec![
        ("where", format!("{about}{class}")),
        ("kind", alert_title(&notice.topic)),
        ("severity", notice.severity.as_str().to_owned()),
    ];
    if !notice.is_resolved || notice.since.is_some() {
        facts.push(("since", format_time(since, zone)));
    }
    if notice.is_resolved {
        facts.push(("resolved", format_time(notice.at, zone)));
    } else if since != notice.at {
        facts.push(("last", format_time(notice.at, zone)));
    }
    facts.extend(count_note(notice).map(|count| ("reported", count)));
    facts.extend(repeat_note(notice).map(|again| ("repeated", again)));
    facts.extend(acknowledged_note(notice).map(|state| ("state", state)));
    facts.extend(notice.alert.map(|alert| ("alert", alert.to_string())));
    if notice.record > 0 {
        facts.push(("record", notice.record.to_string()));
    }
    MailItem {
        title: format!("{over}{place}: {}", topic.title),
        facts,
        text: escaped(&notice.text, detail.text_chars),
        hint: (!notice.is_resolved).then_some(topic.hint),
        commands: commands(&notice.topic, &notice.subject),
        alerts: notice
            .alert
            .filter(|_| !notice.is_resolved && !notice.acknowledged)
            .into_iter()
            .collect(),
        ..MailItem::default()
    }
}

/// The alert, if it is open and nobody has acknowledged it.
fn open_alert(entry: &Entry<'_>) -> Option<AlertId> {
    let is_acknowledged = entry.notice.is_some_and(|it| it.acknowledged);
    entry.alert.filter(|_| !entry.is_resolved && !is_acknowledged)
}

/// Since when it is open or was, and since when it is over.
fn times_of(entry: &Entry<'_>, zone: &TimeZone) -> [String; 2] {
    let format = |at| format_time(at, zone);
    [entry.since(), entry.resolved_at()].map(|at| at.map(format).unwrap_or_default())
}

fn state_of(entry: &Entry<'_>) -> String {
    entry.notice.and_then(acknowledged_note).unwrap_or_default()
}

fn count_of(entry: &Entry<'_>) -> String {
    match entry.notice.map_or(0, |it| it.count) {
        0 => String::new(),
        count => count.to_string(),
    }
}

fn name_of(name: &str) -> String {
    escaped(name, ROW_CHARS_MAX * 2)
}

/// `80 of shop:main.web* (class web), 40 of lab:ci.runner*`.
fn counted(counts: &[(String, u64)], detail: DetailLevel) -> String {
    let each = |(what, count): &(String, u64)| {
        format!("{count} {}", shorten_middle(&single_line(what), detail.text_chars.min(160)))
    };
    let counts: Vec<_> = counts.iter().map(each).collect();
    truncated_list(&counts, COUNTS_MAX).join(", ")
}

pub(super) fn truncated_list(all: &[String], most: usize) -> Vec<String> {
    let mut list: Vec<_> = all.iter().take(most).cloned().collect();
    if all.len() > most {
        list.push(format!("and {} more", all.len() - most));
    }
    list
}

/// How often the alert was reported in all, if more than once.
fn count_note(notice: &Notice) -> Option<String> {
    (notice.count > 1).then(|| format!("{} times in all", notice.count))
}

/// How often it was reported since the last mail, if it continues.
fn repeat_note(notice: &Notice) -> Option<String> {
    match notice.occurrences {
        0 => None,
        1 => Some("once since the last mail on it".to_owned()),
        times => Some(format!("{times} times since the last mail on it")),
    }
}

fn acknowledged_note(notice: &Notice) -> Option<String> {
    notice.acknowledged.then(|| "acknowledged".to_owned())
}

/// The title of the alert kind and, if an appliance named it, its own name too.
fn alert_title(topic: &str) -> String {
    let key = escape(topic);
    match topic_of(topic).title {
        UNKNOWN_TITLE if !key.is_empty() && key != UNKNOWN_TITLE => {
            format!("alert {}", truncated(&key, 120))
        }
        title => title.to_owned(),
    }
}
