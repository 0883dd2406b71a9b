//! Builds the subject: grid, severity, appliance, text, and the number of the others by kind.
//!
//! Guarantees that it has the gravest open entry of the mail with its severity, whether it is a notice
//! or one line; that a mail on resolved alerts alone says so; that a long text keeps its begin and its
//! end, where the reason is; that it is one line without hidden characters, and that no text in it is
//! parsed as an encoded word (RFC 2047), which could bring hidden characters back.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::grid::model::mail_message::MailMessage;
use crate::grid::values::id::NAME_BYTES_MAX;
use crate::mail::render::entry::{Entry, entries};
use crate::mail::render::shared_problem::{SharedProblems, without_name};
use crate::mail::render::{digest, summary};
use crate::show::count::format_count;
use crate::show::escape::escape;

/// Longest subject, in characters, unless a name alone is too long. Mail servers fold it into lines.
pub(super) const SUBJECT_CHARS_MAX: usize = 160;

/// Fewest characters that are reserved for the text, however long the name is.
const TEXT_CHARS_MIN: usize = 60;

/// Most kinds that the others are counted by.
const KINDS_MAX: usize = 3;

/// The subject of a message, its times in `zone`.
pub(super) fn subject(message: &MailMessage, grid: &str, zone: &TimeZone) -> String {
    if let Some(late) = &message.digest {
        let what = format!("[{grid}] late: {}", digest::alert_count(late));
        let within = digest::time_span(late, zone);
        return within.map(|within| format!("{what}, {within}")).unwrap_or(what);
    }
    let entries = entries(message);
    if message.is_summary() {
        return summary::subject(message, &entries, grid);
    }
    let Some(top) = entries.first() else {
        return format!("[{grid}] {}", format_count(message.omitted, "notice"));
    };
    let problems = SharedProblems::new(&entries);
    let (location, text, others) = match problems.problem_of(top) {
        Some(problem) => {
            let is_other = |it: &&Entry<'_>| {
                (it.topic, it.severity, it.is_resolved)
                    != (top.topic, top.severity, top.is_resolved)
            };
            let text = format!("{}: {}", problem.plural_title(), without_name(top));
            (subject_name(&problem.scope()), text, entries.iter().filter(is_other).collect())
        }
        None => (location_of(top), without_name(top), entries[1..].iter().collect::<Vec<_>>()),
    };
    let more = more(&others, message);
    let grave = if top.is_resolved { "resolved" } else { top.severity.as_str() };
    let head = format!("[{grid}] {grave}: {location}: ");
    let room = SUBJECT_CHARS_MAX.saturating_sub(head.chars().count() + more.chars().count());
    format!("{head}{}{more}", shorten_middle(&single_line(&text), room.max(TEXT_CHARS_MIN)))
}

/// ` (+9 more: 8 start_failed, 1 no_contact)`, by kind; empty if there are no others.
fn more(others: &[&Entry<'_>], message: &MailMessage) -> String {
    let uncounted = message.omitted.saturating_sub(message.briefs.len() as u64);
    let total = others.len() as u64 + uncounted;
    if total == 0 {
        return String::new();
    }
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for other in others {
        *kinds.entry(if other.is_resolved { "resolved" } else { other.kind() }).or_default() += 1;
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|it| std::cmp::Reverse(it.1));
    let rest = kinds.split_off(kinds.len().min(KINDS_MAX));
    let rest = rest.iter().fold(uncounted, |sum, it| sum.saturating_add(it.1));
    let mut parts: Vec<_> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    if rest > 0 && !parts.is_empty() {
        parts.push(format!("{rest} other"));
    }
    match parts.is_empty() {
        true => format!(" (+{total} more)"),
        false => format!(" (+{total} more: {})", parts.join(", ")),
    }
}

pub(super) fn location_of(entry: &Entry<'_>) -> String {
    if entry.about.is_empty() { "broker".to_owned() } else { subject_name(&escape(entry.about)) }
}

/// Not truncated unless it is invalid, and so of any length.
fn subject_name(shown: &str) -> String {
    truncate_at_word(&normalize_spaces(shown), NAME_BYTES_MAX)
}

/// Escaped, on one line, without encoded words. Some mail programs drop one of two spaces anyway.
pub(super) fn single_line(text: &str) -> String {
    normalize_spaces(&escape(text))
}

fn normalize_spaces(escaped: &str) -> String {
    let words: Vec<_> = escaped.split_whitespace().collect();
    words.join(" ").replace("=?", "\\x3d?")
}

/// Leaves out the middle of a text that is too long: causes are told last, as in `a: b: no space left`.
pub(super) fn shorten_middle(text: &str, chars_max: usize) -> String {
    let count = text.chars().count();
    if count <= chars_max {
        return text.to_owned();
    }
    let kept = chars_max.saturating_sub(5);
    let tail_chars = kept / 2;
    let head: String = text.chars().take(kept - tail_chars).collect();
    let tail: String = text.chars().skip(count - tail_chars).collect();
    let head = match head.rfind(' ') {
        Some(space) if space * 3 > head.len() * 2 => &head[..space],
        Some(_) | None => head.as_str(),
    };
    let tail = match tail.find(' ') {
        Some(space) if space * 3 < tail.len() => &tail[space + 1..],
        Some(_) | None => tail.as_str(),
    };
    format!("{} ... {}", head.trim_end(), tail.trim_start())
}

/// Truncates at a word, unless that leaves too little.
pub(super) fn truncate_at_word(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let head: String = text.chars().take(chars_max.saturating_sub(3)).collect();
    let begun = text[head.len()..].starts_with(' ');
    let end = head.rfind(' ').filter(|end| !begun && *end * 2 > head.len());
    let head = &head[..end.unwrap_or(head.len())];
    format!("{}...", head.trim_end_matches([' ', ',', ';', ':', '.']))
}
