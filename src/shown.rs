//! How is text from elsewhere shown on one line of a terminal?
//!
//! Guarantees that nothing shown can move the cursor, change a colour, end the line or turn the
//! direction of writing: such characters stand there as Rust spells them (`\n`, `\u{1b}`), and a
//! backslash is doubled so that the spelling is unambiguous. Does not know how wide a terminal is.

/// Longest value repeated in an error, in characters.
const VALUE_CHARS: usize = 60;

/// The whole text, made harmless.
pub fn text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            // Quotes are harmless, and `escape_debug` would spell them with a backslash.
            '\'' | '"' => shown.push(character),
            _ => shown.extend(character.escape_debug()),
        }
    }
    shown
}

/// A value that is wrong, made harmless and short enough to stand in a sentence.
pub fn value(value: &str) -> String {
    match value.char_indices().nth(VALUE_CHARS) {
        Some((cut, _)) => format!("{}...", text(&value[..cut])),
        None => text(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_shown_steers_a_terminal() {
        assert_eq!(text("a\nb\u{1b}[31m\u{9b}\u{7f}"), r"a\nb\u{1b}[31m\u{9b}\u{7f}");
        assert_eq!(text("abc\u{202e}def\u{2028}"), r"abc\u{202e}def\u{2028}");
        assert_eq!(text(r#"it's "so" \ Größe"#), r#"it's "so" \\ Größe"#);
    }

    #[test]
    fn a_long_value_is_cut_at_a_character() {
        assert_eq!(value(&"ä".repeat(60)), "ä".repeat(60));
        assert_eq!(value(&"ä".repeat(61)), format!("{}...", "ä".repeat(60)));
    }
}
