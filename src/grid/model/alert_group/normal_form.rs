//! Replaces the variable parts of an alert's text, so that the same problem has the same text.
//!
//! Guarantees that dates, addresses, ids, quantities and the values of fields such as `request_id`
//! are one `#` each, and that words, names of devices and codes stay, quoted or not. A text that
//! would be little but `#` stays as it is except for dates: splitting a problem costs mails,
//! merging two loses an alert. Reads at most [`TEXT_BYTES_MAX`] bytes, in time linear in them.
//! Knows neither severities nor rate limits.

mod names;
mod patterns;
mod quantities;
mod scanner;
mod words;

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::grid::values::event::TEXT_BYTES_MAX;

/// The fewest letters of a meaningful text.
const LETTERS_MIN: usize = 3;

/// Stands for a variable part until the text is scanned. A private character of Unicode.
const MARK: char = '\u{e100}';

/// Stands for an address, behind which a port may be.
const ADDRESS_MARK: char = '\u{e101}';

/// The first of ten private characters for digits that stay.
const FIRST_DIGIT_MARK: u32 = 0xe000;

/// The text with its variable parts replaced.
pub(in crate::grid) fn normal_form(text: &str) -> String {
    let trimmed = text[..text.floor_char_boundary(TEXT_BYTES_MAX)].trim();
    let fields = replace_matches(&patterns::VARIABLE_FIELDS, trimmed, replace_field);
    let marked = replace_matches(&patterns::VARIABLE_PARTS, &fields, replace_part);
    let form = scanner::scan(&marked);
    if is_meaningful(&form) {
        form
    } else {
        join_lines(&replace_matches(&patterns::DATES, trimmed, |_| "#".to_owned()))
    }
}

fn replace_field(found: &Captures<'_>) -> String {
    format!("{}{MARK}", found.name("field").map_or("", |it| it.as_str()))
}

fn replace_part(found: &Captures<'_>) -> String {
    let whole = found.get(0).map_or("", |it| it.as_str());
    if found.name("kept").is_some() {
        return whole.chars().map(keep_digit).collect();
    }
    if found.name("http").is_some() {
        return "HTTP".to_owned();
    }
    if found.name("pod").is_some() {
        return format!("-{MARK}");
    }
    match (found.name("ip"), found.name("colons")) {
        (None, None) => MARK.to_string(),
        (None, Some(_)) if !is_address(whole) => whole.to_owned(),
        (Some(_), _) | (_, Some(_)) => ADDRESS_MARK.to_string(),
    }
}

/// The private character of a digit; any other character stays.
fn keep_digit(character: char) -> char {
    let digit = character.to_digit(10);
    digit.and_then(|digit| char::from_u32(FIRST_DIGIT_MARK + digit)).unwrap_or(character)
}

/// The digit of a private character; any other character stays.
fn shown_digit(character: char) -> char {
    let digit = u32::from(character).checked_sub(FIRST_DIGIT_MARK);
    digit.and_then(|digit| char::from_digit(digit, 10)).unwrap_or(character)
}

/// An IPv6 address, a WWN or a time with hours, but not `a:b:c`.
fn is_address(text: &str) -> bool {
    let plain = text.split(['%', '/']).next().unwrap_or_default();
    let is_whole = plain.matches("::").count() == 1 || plain.matches(':').count() == 7;
    text.contains(|c: char| c.is_ascii_digit())
        && (is_whole || text.starts_with(|c: char| c.is_ascii_digit()))
}

fn replace_matches<'t>(
    pattern: &LazyLock<Option<Regex>>,
    text: &'t str,
    with: impl Fn(&Captures<'_>) -> String,
) -> Cow<'t, str> {
    match &**pattern {
        Some(pattern) => pattern.replace_all(text, with),
        None => Cow::Borrowed(text),
    }
}

fn join_lines(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether the normal form still has meaning.
fn is_meaningful(form: &str) -> bool {
    let content = replace_matches(&patterns::BOILERPLATE, form, |_| String::new());
    let letters = content.chars().filter(|it| it.is_alphabetic()).count();
    let particulars = content.matches('#').count();
    letters >= LETTERS_MIN && letters >= particulars
}
