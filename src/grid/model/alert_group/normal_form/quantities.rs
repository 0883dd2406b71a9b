//! Finds numbers with their separators and units at the start of a text.
//!
//! Guarantees that a number with thousands separators, a fraction, an exponent or a unit is found as
//! a whole. Does not know whether it stays.

/// Units that may follow a number, with or without a space.
const UNITS: &[&str] = &[
    "percent",
    "ns",
    "us",
    "µs",
    "μs",
    "ms",
    "s",
    "sec",
    "secs",
    "msec",
    "msecs",
    "usec",
    "usecs",
    "nsec",
    "second",
    "seconds",
    "millisecond",
    "milliseconds",
    "microseconds",
    "min",
    "mins",
    "minute",
    "minutes",
    "m",
    "h",
    "hr",
    "hrs",
    "hour",
    "hours",
    "d",
    "day",
    "days",
    "w",
    "week",
    "weeks",
    "b",
    "bit",
    "bits",
    "byte",
    "bytes",
    "bps",
    "k",
    "kb",
    "kib",
    "kbit",
    "kbps",
    "mb",
    "mib",
    "mbit",
    "mbps",
    "g",
    "gb",
    "gib",
    "gbit",
    "gbps",
    "t",
    "tb",
    "tib",
    "tbit",
    "p",
    "pb",
    "pib",
    "kbytes",
    "mbytes",
    "gbytes",
    "hz",
    "khz",
    "mhz",
    "ghz",
    "v",
    "mv",
    "volt",
    "volts",
    "a",
    "ma",
    "ampere",
    "w",
    "mw",
    "kw",
    "watt",
    "watts",
    "c",
    "f",
    "celsius",
    "degrees",
    "rpm",
    "db",
    "dbm",
    "ppm",
    "x",
];

/// Units of one letter that are words or names of their own when a space is before them.
const ONLY_JOINED: &[&str] = &["a", "k", "t", "p", "x", "b", "f"];

/// What may stand between two digits of a number.
const SEPARATORS: &[char] = &['.', ',', ':', '/', '-', '\'', '’', '\u{a0}', '\u{202f}', ' '];

/// The longest unit, in bytes.
const UNIT_BYTES: usize = 12;

/// The number's length in bytes: runs of digits with single separators between them.
pub(super) fn number_length(text: &str) -> usize {
    let mut end = digits_length(text);
    let mut may_space = end <= 3;
    loop {
        let rest = &text[end..];
        let Some(separator) = rest.chars().next().filter(|it| SEPARATORS.contains(it)) else {
            return end;
        };
        let after = &rest[separator.len_utf8()..];
        let next = digits_length(after);
        // A space separates thousands only.
        may_space &=
            separator == ' ' && next == 3 && !after[next..].starts_with(char::is_alphanumeric);
        if next == 0 || separator == ' ' && !may_space {
            return end;
        }
        end += separator.len_utf8() + next;
    }
}

/// The length in bytes of the digits at the start.
pub(super) fn digits_length(text: &str) -> usize {
    text.find(|it: char| !it.is_numeric()).unwrap_or(text.len())
}

/// The length in bytes of the unit or exponent at the start of what follows a number; `None`: there
/// is none.
pub(super) fn unit_length(text: &str) -> Option<usize> {
    if let Some(length) = exponent_length(text) {
        return Some(length);
    }
    let rest = text.strip_prefix([' ', '\u{a0}', '\u{202f}']).unwrap_or(text);
    let before = text.len() - rest.len();
    if let Some(sign) = rest.chars().next().filter(|it| matches!(it, '%' | '‰' | '°')) {
        let after = &rest[sign.len_utf8()..];
        let degree = sign == '°' && after.starts_with(['C', 'F', 'K']);
        return Some(before + sign.len_utf8() + usize::from(degree));
    }
    let end = rest.find(|it: char| !it.is_alphabetic()).unwrap_or(rest.len());
    let is_end = !rest[end..].starts_with(['_', '=']);
    let word = rest.get(..end).filter(|it| (1..=UNIT_BYTES).contains(&it.len()) && is_end)?;
    let is_unit = is_unit(word) && (before == 0 || !contains(ONLY_JOINED, word));
    // `1h3min` is two quantities: what follows a joined unit may be a number.
    let per = rest[end..].strip_prefix('/').map_or(0, |it| {
        let unit = it.find(|it: char| !it.is_alphabetic()).unwrap_or(it.len());
        if is_unit_of(it, unit) { unit + 1 } else { 0 }
    });
    is_unit.then_some(before + end + per)
}

fn is_unit_of(text: &str, end: usize) -> bool {
    text.get(..end).is_some_and(|unit| !unit.is_empty() && is_unit(unit))
}

fn exponent_length(text: &str) -> Option<usize> {
    let rest = text.strip_prefix(['e', 'E'])?;
    let unsigned = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    let digits = digits_length(unsigned);
    let is_end = !unsigned[digits..].starts_with(|it: char| it.is_alphanumeric() || it == '_');
    (digits > 0 && is_end).then(|| text.len() - unsigned.len() + digits)
}

fn is_unit(word: &str) -> bool {
    contains(UNITS, word) || matches!(word, "st" | "nd" | "rd" | "th")
}

fn contains(list: &[&str], word: &str) -> bool {
    list.iter().any(|it| it.eq_ignore_ascii_case(word))
}
