//! Wraps text at spaces, and within words that are too long.
//!
//! Guarantees that no line exceeds the width, and that `…` marks text that is cut after the last
//! line.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Wraps `text` into at most `lines` lines of `width` display columns; at least one, maybe empty.
pub(crate) fn wrap(text: &str, width: usize, lines: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.width() > width && pieces.len() + 1 < lines {
        let fits = fitting_bytes(rest, width);
        let space = rest[..fits].rfind(' ').filter(|at| *at > 0);
        let (piece, behind) = match (rest[fits..].starts_with(' '), space) {
            (false, Some(at)) => rest.split_at(at),
            (true, _) | (false, None) => rest.split_at(fits),
        };
        pieces.push(piece.trim_end_matches(' ').to_owned());
        rest = behind.trim_start_matches(' ');
    }
    pieces.push(truncate(rest, width));
    pieces
}

/// The number of bytes of `text` that fit; at least one character.
fn fitting_bytes(text: &str, width: usize) -> usize {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > width && at > 0 {
            return at;
        }
    }
    text.len()
}

/// Truncates `text` to `width` display columns, with a `…` if it is longer.
fn truncate(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut shown = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used + 1 > width {
            break;
        }
        shown.push(c);
    }
    if width > 0 {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cutting_counts_display_columns() {
        for (text, width, expected) in [
            ("plain", 5, "plain"),
            ("plain", 4, "pla…"),
            ("数据库", 6, "数据库"),
            ("数据库", 5, "数据…"),
            ("数据库", 4, "数…"),
            ("e\u{301}e\u{301}e\u{301}", 3, "e\u{301}e\u{301}e\u{301}"),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
            ("🚀🚀", 3, "🚀…"),
            ("plain", 1, "…"),
            ("plain", 0, ""),
        ] {
            assert_eq!(truncate(text, width), expected, "{text} in {width}");
        }
    }

    #[test]
    fn sentences_are_broken_at_spaces() {
        for (text, width, lines, expected) in [
            ("", 10, 4, &[""][..]),
            ("one two three", 7, 4, &["one two", "three"]),
            ("one two three", 8, 4, &["one two", "three"]),
            ("one two three", 6, 4, &["one", "two", "three"]),
            ("one two three", 6, 2, &["one", "two t…"]),
            ("abcdefghij k", 4, 4, &["abcd", "efgh", "ij k"]),
        ] {
            assert_eq!(wrap(text, width, lines), expected, "{text} in {width}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_wider_and_nothing_is_lost(text in "[a-z ]{0,80}", width in 1_usize..40) {
            let lines = wrap(&text, width, 200);
            for line in &lines {
                prop_assert!(line.width() <= width, "{lines:?}");
            }
            let letters = |text: &str| text.replace(' ', "");
            prop_assert_eq!(letters(&lines.concat()), letters(&text));
        }

        #[test]
        fn any_text_ends(text in any::<String>(), width in 1_usize..10, lines in 1_usize..6) {
            prop_assert!(wrap(&text, width, lines).len() <= lines);
        }
    }
}
