//! Builds the subject: grid, severity, appliance and text, in 78 characters.
//!
//! Guarantees that it has the most severe notice, that it is truncated at a word and never in a name,
//! that it is one line without hidden characters, and that no text in it is parsed as an encoded word
//! (RFC 2047), which could bring hidden characters back. It is longer only if a name alone is too
//! long.

use jiff::tz::TimeZone;

use super::advice::topic_of;
use super::causes::{Causes, by_gravity};
use super::late;
use crate::grid::event::Severity;
use crate::grid::mail::{Message, Notice};
use crate::grid::name::NAME_BYTES_MAX;
use crate::show::escape::escape;
use crate::show::size::count;

/// Longest subject, in characters: one line of a mail.
pub(super) const SUBJECT_CHARS_MAX: usize = 78;

/// Fewest characters that are reserved for the text, however long the name is.
const WORDS_CHARS_MIN: usize = 24;

/// The subject of a message, its times in `zone`.
pub(super) fn subject(message: &Message, grid: &str, zone: &TimeZone) -> String {
    if let Some(late) = &message.late {
        let what = format!("[{grid}] late: {}", late::alerts(late));
        let within = late::within(late, zone);
        let whole = within.map(|within| format!("{what}, {within}")).unwrap_or_default();
        // Without the times rather than with half of them.
        let has_room = !whole.is_empty() && whole.chars().count() <= SUBJECT_CHARS_MAX;
        return if has_room { whole } else { what };
    }
    let Some(top) = by_gravity(&message.notices).first().copied() else {
        return format!("[{grid}] {}", count(message.more, "notice"));
    };
    let total = message.notices.len() as u64 + message.more;
    let causes = Causes::of(message);
    let crowd = causes.crowd_of(top);
    let (location, text, others) = match crowd {
        Some(crowd) => (
            name(&crowd.place()),
            format!("{}: {}", crowd.called(), without_name(top)),
            total.saturating_sub(crowd.notices),
        ),
        None => (place_of(top), without_name(top), total - 1),
    };
    let is_several = total > 1;
    let grave = if top.severity == Severity::Fatal || is_several {
        format!("{}: ", top.severity.word())
    } else {
        String::new()
    };
    let over = if top.is_resolved { "resolved: " } else { "" };
    let more = if others > 0 { format!(" and {others} more") } else { String::new() };
    let head = format!("[{grid}] {over}{grave}{location}: ");
    let room = SUBJECT_CHARS_MAX.saturating_sub(head.chars().count() + more.chars().count());
    format!("{head}{}{more}", cut(&plain(&text), room.max(WORDS_CHARS_MIN)))
}

fn place_of(notice: &Notice) -> String {
    if notice.about.is_empty() { "broker".to_owned() } else { name(&escape(&notice.about)) }
}

/// Not truncated unless it is invalid, and so of any length.
fn name(shown: &str) -> String {
    cut(&tidy(shown), NAME_BYTES_MAX)
}

/// Escaped, on one line, without encoded words. Some mail programs drop one of two spaces anyway.
fn plain(text: &str) -> String {
    tidy(&escape(text))
}

fn tidy(escaped: &str) -> String {
    let words: Vec<_> = escaped.split_whitespace().collect();
    words.join(" ").replace("=?", "\\x3d?")
}

/// The text without the name, which precedes it in the subject.
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
    let phrases = ["of", "with", "as"].map(|preposition| format!(" {preposition} {name}"));
    let found = phrases.iter().find(|phrase| text.contains(phrase.as_str()));
    found.map_or_else(|| text.to_string(), |phrase| text.replacen(phrase, "", 1))
}

/// Truncates at a word, unless that leaves too little.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let head: String = text.chars().take(chars_max.saturating_sub(3)).collect();
    let begun = text[head.len()..].starts_with(' ');
    let end = head.rfind(' ').filter(|end| !begun && *end * 2 > head.len());
    let head = &head[..end.unwrap_or(head.len())];
    format!("{}...", head.trim_end_matches([' ', ',', ';', ':', '.']))
}
