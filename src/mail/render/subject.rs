//! Builds the subject: grid, severity, appliance and text, in 78 characters.
//!
//! Guarantees that it has the most severe notice, that it is truncated at a word and never in a name,
//! that it is one line without hidden characters, and that no text in it is parsed as an encoded word
//! (RFC 2047), which could bring hidden characters back. It is longer only if a name alone is too
//! long.

use jiff::tz::TimeZone;

use crate::grid::model::mail_message::{MailMessage, Notice};
use crate::grid::values::event::Severity;
use crate::grid::values::id::NAME_BYTES_MAX;
use crate::mail::render::digest;
use crate::mail::render::hints::topic_of;
use crate::mail::render::shared_problem::{SharedProblems, sorted_by_severity};
use crate::show::count::format_count;
use crate::show::escape::escape;

/// Longest subject, in characters: one line of a mail.
pub(super) const SUBJECT_CHARS_MAX: usize = 78;

/// Fewest characters that are reserved for the text, however long the name is.
const TEXT_CHARS_MIN: usize = 24;

/// The subject of a message, its times in `zone`.
pub(super) fn subject(message: &MailMessage, grid: &str, zone: &TimeZone) -> String {
    if let Some(late) = &message.digest {
        let what = format!("[{grid}] late: {}", digest::alert_count(late));
        let within = digest::time_span(late, zone);
        let whole = within.map(|within| format!("{what}, {within}")).unwrap_or_default();
        // Without the times rather than with half of them.
        let has_room = !whole.is_empty() && whole.chars().count() <= SUBJECT_CHARS_MAX;
        return if has_room { whole } else { what };
    }
    let Some(top) = sorted_by_severity(&message.notices).first().copied() else {
        return format!("[{grid}] {}", format_count(message.omitted, "notice"));
    };
    let total = message.notices.len() as u64 + message.omitted;
    let causes = SharedProblems::from_message(message);
    let crowd = causes.problem_of(top);
    let (location, text, others) = match crowd {
        Some(crowd) => (
            subject_name(&crowd.scope()),
            format!("{}: {}", crowd.plural_title(), without_name(top)),
            total.saturating_sub(crowd.notices),
        ),
        None => (location_of(top), without_name(top), total - 1),
    };
    let is_several = total > 1;
    let grave = if top.severity == Severity::Fatal || is_several {
        format!("{}: ", top.severity.as_str())
    } else {
        String::new()
    };
    let over = if top.is_resolved { "resolved: " } else { "" };
    let more = if others > 0 { format!(" and {others} more") } else { String::new() };
    let head = format!("[{grid}] {over}{grave}{location}: ");
    let room = SUBJECT_CHARS_MAX.saturating_sub(head.chars().count() + more.chars().count());
    format!("{head}{}{more}", truncate_at_word(&single_line(&text), room.max(TEXT_CHARS_MIN)))
}

fn location_of(notice: &Notice) -> String {
    if notice.subject.is_empty() {
        "broker".to_owned()
    } else {
        subject_name(&escape(&notice.subject))
    }
}

/// Not truncated unless it is invalid, and so of any length.
fn subject_name(shown: &str) -> String {
    truncate_at_word(&normalize_spaces(shown), NAME_BYTES_MAX)
}

/// Escaped, on one line, without encoded words. Some mail programs drop one of two spaces anyway.
fn single_line(text: &str) -> String {
    normalize_spaces(&escape(text))
}

fn normalize_spaces(escaped: &str) -> String {
    let words: Vec<_> = escaped.split_whitespace().collect();
    words.join(" ").replace("=?", "\\x3d?")
}

/// The text without the name, which precedes it in the subject.
fn without_name(notice: &Notice) -> String {
    let (text, name) = (&notice.text, &notice.subject);
    if text.is_empty() {
        return topic_of(&notice.topic).title.to_owned();
    }
    if name.is_empty() {
        return text.to_string();
    }
    if let Some(rest) = text.strip_prefix(&format!("{name} ")) {
        return rest.to_owned();
    }
    // `start of db1 failed`, `no contact with db1 for`, `two machines report as db1`
    let phrases = ["of", "with", "as"].map(|preposition| format!(" {preposition} {name}"));
    let found = phrases.iter().find(|phrase| text.contains(phrase.as_str()));
    found.map_or_else(|| text.to_string(), |phrase| text.replacen(phrase, "", 1))
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
