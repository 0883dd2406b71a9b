//! Parses the progress in a line of output.
//!
//! ```text
//! 34          34 %          34%         34.7 %       [34%]          percentage alone
//! 34% checking table 7      34 %: checking table 7   [ 34%] linking text after it
//! checking table 7: 34 %    checking table 7 (34%)                  text before it
//! 32,768  34%  31.25MB/s  0:00:12                                   the whole line is the text
//! ```
//!
//! A bare number is a percentage only if it is the whole line. Within a line a percentage counts if
//! it is the only one and no word beside it gives it another meaning: `disk is 95% full`. The
//! formats of some programs are parsed too (see [`tools`]). 0 % is no progress yet; more than 100
//! is no percentage. Guarantees that every line that is not empty gives progress or text, and that
//! terminal sequences and drawn bars are removed. Does not know where the line comes from.

mod tools;

use grid_broker::show::terminal;

/// The content of a line; at least one of the two unless it is `0 %`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ParsedProgress {
    /// Whole percent, 1 to 100.
    pub(crate) progress: Option<u8>,
    /// What is being done.
    pub(crate) text: Option<String>,
}

impl ParsedProgress {
    fn new(percent: u8, text: &str) -> Self {
        let text = (!text.is_empty()).then(|| text.to_owned());
        Self { progress: (percent > 0).then_some(percent), text }
    }
}

/// Parses the lines of one output.
#[derive(Debug, Default)]
pub(crate) struct ProgressParser {
    /// The device that fsck checks, and its progress, which never decreases.
    fsck_position: Option<(String, u8)>,
}

impl ProgressParser {
    /// Parses a line; `None` if it is empty.
    pub(crate) fn parse(&mut self, line: &[u8]) -> Option<ParsedProgress> {
        let plain = printable(line);
        let Some(tools::FsckPass { device, number, percent }) = tools::fsck(plain.trim()) else {
            return parse_printable(&plain);
        };
        let before = self.fsck_position.take().filter(|(known, _)| known == device);
        let percent = before.map_or(percent, |(_, before)| before.max(percent));
        self.fsck_position = Some((device.to_owned(), percent));
        Some(ParsedProgress::new(percent, &format!("{device}: pass {number} of {}", tools::PASSES)))
    }
}

/// Parses a single line; `None` if it is empty.
pub(crate) fn parse(line: &[u8]) -> Option<ParsedProgress> {
    ProgressParser::default().parse(line)
}

fn printable(line: &[u8]) -> String {
    terminal::strip_controls(&String::from_utf8_lossy(line))
}

fn parse_printable(line: &str) -> Option<ParsedProgress> {
    let line = line.trim();
    if line.is_empty() {
        return None;
    }
    let found = bare_number(line)
        .map(|percent| ParsedProgress::new(percent, ""))
        .or_else(|| tools::apt(line))
        .or_else(|| tools::curl(line))
        .or_else(|| single_percentage(line));
    Some(found.unwrap_or_else(|| ParsedProgress::new(0, line)))
}

/// `34`
fn bare_number(line: &str) -> Option<u8> {
    parse_percent(line)
}

/// The only percentage of a line, and the text around it.
fn single_percentage(line: &str) -> Option<ParsedProgress> {
    let mut found = line.match_indices('%').filter_map(|(at, _)| Percentage::ending_at(line, at));
    let only = found.next().filter(|_| found.next().is_none())?;
    let percent = only.value?;
    let (head, tail) = (&line[..only.begin], &line[only.end..]);
    if is_other_percentage(head, tail) {
        return None;
    }
    let (head, tail) = without_brackets(head, tail);
    let (before, after) = (clean_text(head), clean_text(tail));
    let text = match (before.is_empty(), after.is_empty()) {
        (_, true) => before,
        (true, false) => after,
        (false, false) => clean_text(line),
    };
    Some(ParsedProgress::new(percent, &text))
}

/// A number with a percent sign.
struct Percentage {
    begin: usize,
    end: usize,
    /// `None` if it cannot be progress: `300%`, `-34%`, `1/34%`.
    value: Option<u8>,
}

impl Percentage {
    /// The percentage whose sign is at `sign`; `None` if that is part of a word.
    fn ending_at(line: &str, sign: usize) -> Option<Self> {
        let is_digit = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
        let end = sign + 1;
        if line[end..].starts_with(|c: char| c.is_alphanumeric() || c == '%') {
            return None;
        }
        let number_end = line[..sign].trim_end_matches(' ').len();
        let digits = line[..number_end].trim_end_matches(is_digit).len();
        // Dots may precede a number: `....34%`.
        let digits = &line[digits..number_end];
        let digits = digits.trim_start_matches(['.', ',']);
        if digits.is_empty() {
            return None;
        }
        let mut begin = number_end - digits.len();
        let mut value = parse_percent(digits);
        match line[..begin].chars().next_back() {
            Some(c) if c.is_alphanumeric() || c == '_' => return None,
            // `(12.34/100%)`: a part of 100. A part of anything else is a fraction.
            Some('/') => {
                let part = line[..begin - 1].trim_end_matches(is_digit).len();
                value = parse_percent(&line[part..begin - 1]).filter(|_| digits == "100");
                begin = part;
            }
            Some('-' | '+') if !line[..begin - 1].ends_with(is_separator) => value = None,
            Some('-' | '+') => {
                let is_sign = begin < 2 || line[..begin - 1].ends_with(char::is_whitespace);
                value = value.filter(|_| !is_sign);
            }
            Some(_) | None => {}
        }
        Some(Self { begin, end, value })
    }
}

/// A number from 0 to 100, without its decimals.
fn parse_percent(text: &str) -> Option<u8> {
    let (whole, decimals) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) {
        return None;
    }
    whole.parse().ok().filter(|percent| *percent <= 100)
}

/// Words right beside a percentage that make it a level, a share or a result.
const OTHER_WORDS: [&str; 54] = [
    "above",
    "available",
    "avail",
    "below",
    "busy",
    "capacity",
    "contiguous",
    "deflated",
    "dirty",
    "errors",
    "exceeded",
    "exceeds",
    "faster",
    "filled",
    "fragmentation",
    "fragmented",
    "free",
    "full",
    "hit",
    "hits",
    "idle",
    "left",
    "limit",
    "loss",
    "lost",
    "miss",
    "misses",
    "non-contiguous",
    "noncontiguous",
    "occupied",
    "over",
    "overhead",
    "packet",
    "quota",
    "rate",
    "ratio",
    "remain",
    "remaining",
    "remains",
    "replaced",
    "reserved",
    "saved",
    "savings",
    "similar",
    "slower",
    "spare",
    "than",
    "threshold",
    "under",
    "usage",
    "use",
    "used",
    "utilization",
    "wasted",
];

/// The same, if before it only: `memory: 34%`, but `34% of memory tested`.
const OTHER_WORDS_BEFORE: [&str; 9] =
    ["battery", "cpu", "heap", "load", "mem", "memory", "ram", "swap", "utilisation"];

/// Words that may stand between such a word and the percentage.
const FILLERS: [&str; 20] = [
    "a", "about", "already", "are", "at", "been", "blocks", "by", "disk", "has", "in", "inodes",
    "is", "now", "of", "on", "only", "space", "still", "the",
];

/// Whether the words beside a percentage show that it is no progress.
fn is_other_percentage(head: &str, tail: &str) -> bool {
    let clause = |c: char| matches!(c, ',' | ';');
    let is_word =
        |word: &&str| !word.is_empty() && !FILLERS.contains(&word.to_lowercase().as_str());
    let parts = |text: &'_ str| -> Vec<String> {
        let between = |c: char| !c.is_alphanumeric() && c != '-';
        text.split(between).filter(is_word).map(str::to_lowercase).collect()
    };
    let before = parts(head.rsplit(clause).next().unwrap_or_default()).pop();
    let after = parts(tail.split(clause).next().unwrap_or_default());
    let is_other = |word: &String| OTHER_WORDS.contains(&word.as_str());
    before.is_some_and(|word| is_other(&word) || OTHER_WORDS_BEFORE.contains(&word.as_str()))
        || after.first().is_some_and(is_other)
        || tools::is_compression_ratio(tail)
        || tools::is_df_line(head, tail)
}

/// Both sides without brackets that contain only the percentage.
fn without_brackets<'a>(head: &'a str, tail: &'a str) -> (&'a str, &'a str) {
    for (opening, closing) in [('[', ']'), ('(', ')')] {
        if let Some(head) = head.trim_end().strip_suffix(opening) {
            // An unclosed bracket is dropped, too.
            return (head, tail.trim_start().strip_prefix(closing).unwrap_or(tail));
        }
        if let Some(tail) = tail.trim_start().strip_prefix(closing)
            && !head.contains(opening)
        {
            return (head, tail);
        }
    }
    (head, tail)
}

/// A text without drawn bars, repeated blanks, and separators beside the percentage.
fn clean_text(text: &str) -> String {
    let text = without_bars(text);
    if text.chars().all(|c| is_bar_char(c) || is_separator(c)) {
        return String::new();
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").trim_matches(is_separator).to_owned()
}

/// The length of the shortest bar.
const BAR_LENGTH_MIN: usize = 3;

/// Without bars: `[===>   ]`, `|####  |`, `....`.
fn without_bars(text: &str) -> String {
    let mut left = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let closing = match first {
            '[' => Some(']'),
            '|' => Some('|'),
            '(' => Some(')'),
            _ => None,
        };
        let inner = &rest[first.len_utf8()..];
        let framed = closing.and_then(|closing| {
            let bar = inner.trim_start_matches(|c| is_bar_char(c) || c == ' ' || c == 'o');
            let length = inner.len() - bar.len();
            bar.strip_prefix(closing).filter(|_| length >= BAR_LENGTH_MIN)
        });
        let run = rest.len() - rest.trim_start_matches(first).len();
        rest = match framed {
            Some(after) => after,
            None if is_bar_char(first) && run >= BAR_LENGTH_MIN * first.len_utf8() => {
                rest.trim_start_matches(is_bar_char)
            }
            None => {
                left.push(first);
                inner
            }
        };
    }
    left
}

/// The characters that bars are drawn with.
fn is_bar_char(c: char) -> bool {
    matches!(c, '=' | '#' | '>' | '<' | '-' | '.' | '*' | '_' | '~' | '+')
        || ('\u{2500}'..='\u{25ff}').contains(&c)
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, ':' | ',' | ';' | '-' | '=' | '|')
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
