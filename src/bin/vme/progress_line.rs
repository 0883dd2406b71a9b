//! Which progress does a line of output tell?
//!
//! ```text
//! 34          34 %          34%         34.7 %       [34%]          percentage alone
//! 34% checking table 7      34 %: checking table 7   [ 34%] linking what is done behind it
//! checking table 7: 34 %    checking table 7 (34%)                  what is done before it
//! ```
//!
//! A bare number is a percentage only if it is the whole line. 0 % is no progress yet; more than 100
//! is no percentage, so the line is text. A percentage in the middle of a line is none either: `disk
//! is 95% full, going on`. Guarantees that every line that says something gives progress or text,
//! and that sequences that steer a terminal (`ESC [ ... K`) are gone. Does not know what was told
//! before.

/// What a line tells; at least one of the two unless it is `0 %`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Whole percent, 1 to 100.
    pub(crate) progress: Option<u8>,
    /// What is being done.
    pub(crate) text: Option<String>,
}

/// Reads a line; none if it says nothing.
pub(crate) fn read(line: &[u8]) -> Option<Told> {
    let line = plain(&String::from_utf8_lossy(line));
    let line = line.trim_matches(is_blank);
    if line.is_empty() {
        return None;
    }
    let found = whole(line).or_else(|| leading(line)).or_else(|| trailing(line));
    let (percent, text) = found.unwrap_or((0, line));
    let text = (!text.is_empty()).then(|| text.to_owned());
    Some(Told { progress: (percent > 0).then_some(percent), text })
}

/// `34`
fn whole(line: &str) -> Option<(u8, &str)> {
    let (percent, rest) = number(line)?;
    rest.is_empty().then_some((percent, ""))
}

/// `34% text`, `[34 %] text`
fn leading(line: &str) -> Option<(u8, &str)> {
    let (inner, closing) = opened(line);
    let (percent, rest) = number(inner.trim_start())?;
    let rest = rest.trim_start().strip_prefix('%')?;
    let rest = match closing {
        Some(closing) => rest.trim_start().strip_prefix(closing)?,
        None => rest,
    };
    // `34%ile` is a word.
    let ends = !rest.starts_with(|c: char| c.is_alphanumeric() || c == '%');
    ends.then(|| (percent, rest.trim_start_matches(is_separator)))
}

/// `text 34 %`, `text: [34%]`
fn trailing(line: &str) -> Option<(u8, &str)> {
    let (inner, opening) = match line.chars().next_back()? {
        ']' => (&line[..line.len() - 1], Some('[')),
        ')' => (&line[..line.len() - 1], Some('(')),
        _ => (line, None),
    };
    let inner = inner.trim_end().strip_suffix('%')?.trim_end();
    let begin = inner.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ',').len();
    let (text, digits) = inner.split_at(begin);
    let (percent, rest) = number(digits)?;
    let text = match opening {
        Some(opening) => text.trim_end().strip_suffix(opening)?,
        // `x34%` is a name, `-34 %` and `1/34 %` are no progress.
        None => text.ends_with(is_separator).then_some(text)?,
    };
    rest.is_empty().then(|| (percent, text.trim_end_matches(is_separator)))
}

/// What stands behind an opening bracket, and the one that closes it.
fn opened(line: &str) -> (&str, Option<char>) {
    if let Some(inner) = line.strip_prefix('[') {
        (inner, Some(']'))
    } else if let Some(inner) = line.strip_prefix('(') {
        (inner, Some(')'))
    } else {
        (line, None)
    }
}

/// A number from 0 to 100, its decimals dropped, and what stands behind it.
fn number(text: &str) -> Option<(u8, &str)> {
    let digits =
        |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (whole, mut rest) = text.split_at(digits(text));
    let percent = whole.parse::<u8>().ok().filter(|percent| *percent <= 100)?;
    if let Some(decimals) = rest.strip_prefix(['.', ',']) {
        let length = digits(decimals);
        if length > 0 {
            rest = &decimals[length..];
        }
    }
    Some((percent, rest))
}

fn is_separator(c: char) -> bool {
    is_blank(c) || matches!(c, ':' | ',' | ';' | '-' | '=' | '|')
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

/// Without the control sequences of terminals: `ESC [`, parameters, one final character.
fn plain(line: &str) -> String {
    let mut pieces = line.split("\x1b[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| ('@'..='~').contains(&c)).map_or(piece.len(), |at| at + 1);
        plain.push_str(&piece[end..]);
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_grammar_is_as_documented() {
        for (line, progress, text) in [
            ("34", Some(34), ""),
            ("  34\t", Some(34), ""),
            ("34 %", Some(34), ""),
            ("34%", Some(34), ""),
            ("34.7 %", Some(34), ""),
            ("34,7%", Some(34), ""),
            ("99.9", Some(99), ""),
            ("[34%]", Some(34), ""),
            ("(34 %)", Some(34), ""),
            ("100", Some(100), ""),
            ("1%", Some(1), ""),
            ("34% checking table 7", Some(34), "checking table 7"),
            ("34 %: checking table 7", Some(34), "checking table 7"),
            ("34% - checking", Some(34), "checking"),
            ("[ 34%] Linking C program", Some(34), "Linking C program"),
            ("66% of file system check", Some(66), "of file system check"),
            ("checking table 7: 34%", Some(34), "checking table 7"),
            ("checking table 7 (34 %)", Some(34), "checking table 7"),
            ("/dev/sda1: |=====    | 34.5%", Some(34), "/dev/sda1: |=====    "),
            ("\x1b[2K\x1b[1;32m34%\x1b[0m fsck", Some(34), "fsck"),
            // Not moved yet.
            ("0", None, ""),
            ("0 % begins", None, "begins"),
            // No percentage.
            ("checking table 7", None, "checking table 7"),
            ("34 tables checked", None, "34 tables checked"),
            ("101", None, "101"),
            ("4096", None, "4096"),
            ("300% faster", None, "300% faster"),
            ("34%ile", None, "34%ile"),
            ("disk is 95% full, going on", None, "disk is 95% full, going on"),
            ("shrunk by -34%", Some(34), "shrunk by"),
            ("sda34%", None, "sda34%"),
            ("[34% half open", None, "[34% half open"),
            ("half closed 34%]", None, "half closed 34%]"),
            ("%", None, "%"),
            ("]", None, "]"),
            ("1.2.34%", None, "1.2.34%"),
        ] {
            let text = text.trim_end_matches(is_separator);
            let text = (!text.is_empty()).then(|| text.to_owned());
            assert_eq!(read(line.as_bytes()), Some(Told { progress, text }), "{line:?}");
        }
        for nothing in ["", "  \t", "\x1b[K", "\x08\x08"] {
            assert_eq!(read(nothing.as_bytes()), None, "{nothing:?}");
        }
        assert_eq!(read(b"\xff 3%").unwrap().text.unwrap(), "\u{fffd}");
    }

    proptest! {
        #[test]
        fn any_line_gives_a_percentage_or_none(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            odd in "[\\[(]?[ ]?[0-9]{0,4}[.,]?[0-9]{0,2}[ ]?%?[\\])]?[-: a\u{e9}]{0,4}",
        ) {
            for line in [bytes, odd.into_bytes()] {
                let told = read(&line).unwrap_or_default();
                let is_percent = told.progress.is_none_or(|it| (1..=100).contains(&it));
                prop_assert!(is_percent);
                let is_plain = told.text.is_none_or(|text| !text.contains("\x1b["));
                prop_assert!(is_plain);
            }
        }
    }
}
