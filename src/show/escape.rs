//! Escapes text of others for display, so that it can neither move the cursor nor hide anything.
//!
//! Guarantees that the output of these functions contains no control character, no bidirectional
//! override and nothing invisible, and that the original can be recovered: [`escape`] writes each
//! backslash twice and everything hidden as Rust spells it (`\n`, `\x1b`, `\u{202e}`), so a
//! single backslash always begins an escape; [`escape_json`] keeps JSON's own escapes. Deliberately
//! does not know about quotes, widths or colours, and leaves visible characters of every script as
//! they are, combining marks included.

use std::borrow::Cow;
use std::fmt::Write;

/// Longest value repeated in an error, in characters.
const EXCERPT_CHARS: usize = 60;

/// Text for display: hidden characters and backslashes escaped, all else unchanged.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| c == '\\' || is_hidden(c)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\\' => shown.push_str(r"\\"),
            '\n' => shown.push_str(r"\n"),
            '\r' => shown.push_str(r"\r"),
            '\t' => shown.push_str(r"\t"),
            c if c.is_ascii() && is_hidden(c) => {
                append(&mut shown, format_args!("\\x{:02x}", u32::from(c)))
            }
            c if is_hidden(c) => append(&mut shown, format_args!("\\u{{{:x}}}", u32::from(c))),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// An invalid value, escaped and short enough for an error message.
pub fn excerpt(value: &str) -> String {
    match value.char_indices().nth(EXCERPT_CHARS) {
        Some((cut, _)) => format!("{}...", escape(&value[..cut])),
        None => escape(value).into_owned(),
    }
}

/// One serialised JSON value without line breaks, with the hidden characters that JSON would allow
/// in its strings (DEL, C1, bidirectional controls and the like) written as `\uXXXX`.
pub fn escape_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_hidden) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                append(&mut shown, format_args!("\\u{unit:04x}"));
            }
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Whether a character acts on the terminal or the reading order, or shows nothing at all.
///
/// Controls (C0, DEL, C1), line and paragraph separators, every default-ignorable character of
/// Unicode 16 (soft hyphen, zero-width and bidirectional controls, fillers, variation selectors,
/// tags), the invisible rest of category Cf, and noncharacters of the first plane.
pub fn is_hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}'
        | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}'..='\u{ffff}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

fn append(shown: &mut String, piece: std::fmt::Arguments<'_>) {
    shown.write_fmt(piece).expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_value_is_cut_at_a_character() {
        assert_eq!(excerpt(&"ä".repeat(60)), "ä".repeat(60));
        assert_eq!(excerpt(&"ä".repeat(61)), format!("{}...", "ä".repeat(60)));
    }

    #[test]
    fn each_hidden_character_is_shown_by_its_escape() {
        let cases = [
            ("plain, 34 % done", "plain, 34 % done"),
            ("two\nlines\r\n\tin", r"two\nlines\r\n\tin"),
            ("\x1b[31mred\x07\0\x7f", r"\x1b[31mred\x07\x00\x7f"),
            ("\u{9b}31m \u{80}\u{9f}", r"\u{9b}31m \u{80}\u{9f}"),
            ("\u{202e}gpj.exe\u{202c}", r"\u{202e}gpj.exe\u{202c}"),
            (
                "\u{2066}a\u{2069}\u{200e}\u{200f}\u{61c}",
                r"\u{2066}a\u{2069}\u{200e}\u{200f}\u{61c}",
            ),
            ("a\u{2028}b\u{2029}c", r"a\u{2028}b\u{2029}c"),
            ("pass\u{200b}word\u{200d}\u{feff}\u{ad}", r"pass\u{200b}word\u{200d}\u{feff}\u{ad}"),
            ("\u{e0041}\u{fe0f}\u{3164}\u{ffff}", r"\u{e0041}\u{fe0f}\u{3164}\u{ffff}"),
            (r"C:\new\x1b", r"C:\\new\\x1b"),
            ("größer 数据库 e\u{301} 🚀", "größer 数据库 e\u{301} 🚀"),
        ];
        for (text, shown) in cases {
            assert_eq!(escape(text), shown);
        }
    }

    #[test]
    fn json_keeps_its_own_escapes_and_gains_those_it_lacks() {
        let text = "\x1b\n\"\\ \x7f\u{9b}\u{202e}\u{e0041}é";
        let json = serde_json::to_string(text).unwrap();
        let shown = escape_json(&json);
        assert_eq!(shown, r#""\u001b\n\"\\ \u007f\u009b\u202e\udb40\udc41é""#);
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
    }

    /// The inverse, to prove that nothing is lost.
    fn unescape(shown: &str) -> String {
        let mut text = String::new();
        let mut rest = shown.chars();
        while let Some(c) = rest.next() {
            if c != '\\' {
                text.push(c);
                continue;
            }
            let code: String = match rest.next().unwrap() {
                'n' => "a".to_owned(),
                'r' => "d".to_owned(),
                't' => "9".to_owned(),
                '\\' => "5c".to_owned(),
                'x' => rest.by_ref().take(2).collect(),
                'u' => rest.by_ref().skip(1).take_while(|c| *c != '}').collect(),
                other => panic!("no escape begins with {other}"),
            };
            text.push(char::from_u32(u32::from_str_radix(&code, 16).unwrap()).unwrap());
        }
        text
    }

    proptest! {
        #[test]
        fn nothing_hidden_comes_out_and_nothing_is_lost(text in any::<String>(), odd in "[\\\\\\x00-\\x1f\\u{7f}-\\u{a0}\\u{2000}-\\u{206f}nxu{}0-9]{0,20}") {
            for text in [text, odd] {
                let shown = escape(&text);
                prop_assert!(!shown.contains(is_hidden));
                prop_assert_eq!(unescape(&shown), text.clone());

                let json = serde_json::to_string(&text).unwrap();
                let shown = escape_json(&json);
                prop_assert!(!shown.contains(is_hidden));
                prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
            }
        }
    }
}
