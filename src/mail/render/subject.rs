//! What does the subject say? Which grid, where, and what, in 60 characters.
//!
//! Guarantees that it is no longer, on one line, without hidden characters, and that no text in it is
//! read as an encoded word (RFC 2047), by which hidden characters would come back.

use jiff::tz::TimeZone;

use super::advice::topic_of;
use super::late;
use crate::grid::event::Severity;
use crate::grid::mail::{Message, Notice};
use crate::show::escape::escape;
use crate::show::size::count;

/// Longest subject, in characters: what phones show of it.
const SUBJECT_CHARS_MAX: usize = 60;

/// Longest name in it, in characters; of a longer one the end stays, where names differ.
const NAME_CHARS_MAX: usize = 26;

/// The subject of a message, its times in `zone`.
pub(super) fn subject(message: &Message, grid: &str, zone: &TimeZone) -> String {
    if let Some(late) = &message.late {
        let what = format!("[{grid}] late: {}", late::alerts(late));
        let within = late::within(late, zone);
        let whole = within.map(|within| format!("{what}, {within}")).unwrap_or_default();
        // Rather without the times than with half of them.
        let has_room = !whole.is_empty() && whole.chars().count() <= SUBJECT_CHARS_MAX;
        return cut(if has_room { &whole } else { &what }, SUBJECT_CHARS_MAX);
    }
    let what = match &message.notices[..] {
        [notice] if message.more == 0 => of_one(notice),
        notices => of_several(notices, message.more),
    };
    // Some mail programs lose one of two spaces anyway.
    let words: Vec<_> = what.split_whitespace().collect();
    let what = words.join(" ").replace("=?", "\\x3d?");
    cut(&format!("[{grid}] {what}"), SUBJECT_CHARS_MAX)
}

fn of_one(notice: &Notice) -> String {
    let grave = if notice.severity == Severity::Fatal { "fatal: " } else { "" };
    let over = if notice.is_resolved { "resolved: " } else { "" };
    let about = if notice.about.is_empty() { "broker".into() } else { escape(&notice.about) };
    format!("{over}{grave}{}: {}", end_of(&about), escape(&without_name(notice)))
}

/// The sentence less the name, which stands before it.
fn without_name(notice: &Notice) -> String {
    let (text, name) = (&notice.text, &notice.about);
    if text.is_empty() {
        return topic_of(&notice.matter).one.to_owned();
    }
    if name.is_empty() {
        return text.to_string();
    }
    if let Some(rest) = text.strip_prefix(&format!("{name} ")) {
        return rest.to_owned();
    }
    // `start of db1 failed`, `no contact with db1 for`, `two machines speak as db1`
    let said = ["of", "with", "as"].map(|word| format!(" {word} {name}"));
    let found = said.iter().find(|said| text.contains(said.as_str()));
    found.map_or_else(|| text.to_string(), |said| text.replacen(said, "", 1))
}

fn of_several(notices: &[Notice], more: u64) -> String {
    let total = notices.len() as u64 + more;
    let mut groups: Vec<(&'static str, &'static str, u64)> = Vec::new();
    for notice in notices {
        let topic = topic_of(&notice.matter);
        match groups.iter_mut().find(|(_, several, _)| *several == topic.several) {
            Some((_, _, count)) => *count += 1,
            None => groups.push((topic.one, topic.several, 1)),
        }
    }
    // The commonest first; of two as common, the one that came first.
    groups.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
    let names = groups.iter().map(|(one, several, count)| {
        if *count == 1 { format!("1 {one}") } else { format!("{count} {several}") }
    });
    let mut names: Vec<_> = names.collect();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    let resolved = notices.iter().filter(|notice| notice.is_resolved).count();
    let over = match resolved {
        0 => String::new(),
        all if all as u64 == total => " resolved".to_owned(),
        some => format!(" ({some} resolved)"),
    };
    match one_place(notices).filter(|_| more == 0) {
        Some(name) => format!(
            "{}: {}{over}: {}",
            end_of(&escape(name)),
            count(total, "notice"),
            names.join(", ")
        ),
        None => format!("{}{over}: {}", count(total, "notice"), names.join(", ")),
    }
}

/// The appliance that all notices are about.
fn one_place(notices: &[Notice]) -> Option<&str> {
    let first = notices.first().map(|notice| &*notice.about).filter(|about| !about.is_empty())?;
    notices.iter().all(|notice| &*notice.about == first).then_some(first)
}

pub(super) fn end_of(name: &str) -> String {
    match name.chars().count().checked_sub(NAME_CHARS_MAX) {
        None | Some(0) => name.to_owned(),
        Some(beyond) => format!("...{}", name.chars().skip(beyond + 3).collect::<String>()),
    }
}

fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars_max - 3).collect();
    format!("{}...", kept.trim_end())
}
