//! Renders the summary of what is open: one line for each alert, gravest first, with its age.
//!
//! Guarantees that it says how many are open, also those that it does not list. Reads no clock: ages are
//! as of the time when the mail was queued.

use crate::grid::model::mail_message::{MailMessage, SUMMARY};
use crate::grid::values::event::Severity;
use crate::grid::values::time::describe_duration;
use crate::mail::render::entry::Entry;
use crate::mail::render::items::{table, truncated_list};
use crate::mail::render::shared_problem::without_name;
use crate::mail::render::subject::{SUBJECT_CHARS_MAX, location_of, shorten_middle, single_line};
use crate::mail::render::view_model::{DetailLevel, MailItem};
use crate::show::count::format_count;

/// Most characters of a text in a row.
const ROW_CHARS_MAX: usize = 100;

/// `[grid] summary: 14 alerts open: 1 fatal, 13 warn: db7: RAID lost its last mirror`.
pub(super) fn subject(message: &MailMessage, entries: &[Entry<'_>], grid: &str) -> String {
    let open = open_count(message, entries);
    let Some(top) = entries.first() else {
        return format!("[{grid}] summary: no alert is open");
    };
    let counts: Vec<_> = Severity::ALL
        .into_iter()
        .rev()
        .map(|severity| (severity, entries.iter().filter(|it| it.severity == severity).count()))
        .filter(|it| it.1 > 0)
        .map(|(severity, count)| format!("{count} {}", severity.as_str()))
        .collect();
    let head = format!(
        "[{grid}] summary: {} open: {}; {}: ",
        format_count(open, "alert"),
        counts.join(", "),
        location_of(top)
    );
    let room = SUBJECT_CHARS_MAX.saturating_sub(head.chars().count());
    format!("{head}{}", shorten_middle(&single_line(&without_name(top)), room.max(40)))
}

/// One table of all that is open.
pub(super) fn items(
    message: &MailMessage,
    entries: &[Entry<'_>],
    detail: DetailLevel,
) -> Vec<MailItem> {
    let open = open_count(message, entries);
    let rows_max = detail.rows.saturating_mul(2);
    let (listed, named) = entries.split_at(entries.len().min(rows_max));
    let rows = listed.iter().map(|entry| row(message, entry)).collect();
    let names: Vec<_> =
        named.iter().map(|it| format!("{} {}", it.severity.as_str(), location_of(it))).collect();
    let mut more = Vec::new();
    if !names.is_empty() {
        let shown = truncated_list(&names, detail.names).join(", ");
        more.push(format!("{} more: {shown}", names.len()));
    }
    let unlisted = open.saturating_sub(entries.len() as u64);
    if unlisted > 0 {
        more.push(format!("{} more, not listed here", format_count(unlisted, "open alert")));
    }
    vec![MailItem {
        title: match open {
            0 => "no alert is open".to_owned(),
            open => format!("open: {}", format_count(open, "alert")),
        },
        table: table(
            &["severity", "appliance", "class", "what", "open for", "count", "state"],
            rows,
        ),
        more,
        commands: vec!["gridctl alert list".to_owned()],
        ..MailItem::default()
    }]
}

fn row(message: &MailMessage, entry: &Entry<'_>) -> Vec<String> {
    let age = entry
        .since()
        .map_or_else(String::new, |since| describe_duration(message.queued_at.since(since)));
    let count = entry.notice.map_or(0, |it| it.count);
    let is_acknowledged = entry.notice.is_some_and(|it| it.acknowledged);
    vec![
        entry.severity.as_str().to_owned(),
        location_of(entry),
        single_line(entry.class),
        shorten_middle(&single_line(&without_name(entry)), ROW_CHARS_MAX),
        age,
        if count > 0 { count.to_string() } else { String::new() },
        if is_acknowledged { "acknowledged".to_owned() } else { String::new() },
    ]
}

/// How many alerts are open, by the notice that makes it a summary.
fn open_count(message: &MailMessage, entries: &[Entry<'_>]) -> u64 {
    let told = message.notices.iter().find(|it| &*it.topic == SUMMARY).map_or(0, |it| it.count);
    told.max(entries.len() as u64)
}
