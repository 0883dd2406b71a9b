//! Strips terminal control sequences from a line, so that only the visible text is left.
//!
//! ECMA-48 as terminals follow it: `ESC [ ... letter`, `ESC ] ... BEL` or `ESC \`, the other strings
//! (DCS, PM, APC, SOS), `ESC ( B` and other short ones, and the same in their C1 form. A backspace takes
//! the character before it back, as overstriking means it. Other control characters go, a tab stays.
//! Guarantees that no control character is left, and that an unterminated sequence removes nothing but
//! itself. Does not know what the line means.

/// ESC, and the two forms that end a string.
const ESC: char = '\u{1b}';
const BEL: char = '\u{7}';
const ST: char = '\u{9c}';

/// The visible text of the line.
pub fn strip_controls(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(character) = rest.chars().next() {
        let behind = &rest[character.len_utf8()..];
        rest = match character {
            ESC => after_escape(behind),
            '\u{9b}' => after_csi(behind),
            // DCS, SOS, OSC, PM and APC.
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => after_string(behind),
            '\u{8}' => {
                plain.pop();
                behind
            }
            '\t' => {
                plain.push('\t');
                behind
            }
            other if other.is_control() => behind,
            other => {
                plain.push(other);
                behind
            }
        };
    }
    plain
}

/// The rest after an ESC and its sequence.
fn after_escape(rest: &str) -> &str {
    let Some(kind) = rest.chars().next() else { return rest };
    match kind {
        '[' => after_csi(&rest[1..]),
        ']' | 'P' | 'X' | '^' | '_' => after_string(&rest[1..]),
        // Intermediate bytes, then one that ends it: `ESC ( B`, `ESC # 8`.
        ' '..='/' => {
            let rest = rest.trim_start_matches(|c| (' '..='/').contains(&c));
            skip_one(rest, |c| ('0'..='~').contains(&c))
        }
        '0'..='~' => &rest[1..],
        _ => rest,
    }
}

/// Parameters, intermediate bytes, one that ends it. A line that ends before it is all of it.
fn after_csi(rest: &str) -> &str {
    let rest = rest.trim_start_matches(|c| ('0'..='?').contains(&c));
    let rest = rest.trim_start_matches(|c| (' '..='/').contains(&c));
    skip_one(rest, |c| ('@'..='~').contains(&c))
}

/// The rest after a control string; without an end it is not a string, and stays visible.
fn after_string(rest: &str) -> &str {
    let end = rest.char_indices().find_map(|(at, character)| match character {
        BEL | ST => Some(at + character.len_utf8()),
        ESC if rest[at..].starts_with("\u{1b}\\") => Some(at + 2),
        _ => None,
    });
    end.map_or(rest, |end| &rest[end..])
}

fn skip_one(rest: &str, is_end: impl Fn(char) -> bool) -> &str {
    rest.strip_prefix(is_end).unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn visible_text_is_left() {
        for (line, expected) in [
            ("plain \u{e4}\t7", "plain \u{e4}\t7"),
            ("\u{1b}[2K\u{1b}[1;32m34%\u{1b}[0m fsck", "34% fsck"),
            ("\u{1b}[0m", ""),
            ("\u{1b}[38;2;1;2;3mred\u{1b}[m", "red"),
            ("\u{1b}[?25l\u{1b}[6 qhidden", "hidden"),
            ("\u{9b}31mred", "red"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{9d}0;title\u{9c}text", "text"),
            ("\u{1b}Pdata\u{1b}\\text", "text"),
            ("\u{1b}(Bcharset\u{1b})0", "charset"),
            ("\u{1b}(B\u{1b}[m", ""),
            ("\u{1b}=\u{1b}>\u{1b}7\u{1b}8\u{1b}Mkeypad", "keypad"),
            ("\u{1b}#8", ""),
            ("\u{e}shifted\u{f}", "shifted"),
            ("a\u{8}ab\u{8}b _\u{8}x", "ab x"),
            ("\u{1}/dev/sda1: |==\u{2}", "/dev/sda1: |=="),
            ("\u{8}\u{8}", ""),
            ("bell\u{7}", "bell"),
            // Without an end.
            ("\u{1b}", ""),
            ("text\u{1b}[", "text"),
            ("text\u{1b}[31", "text"),
            ("\u{1b}]the disk is full", "the disk is full"),
            ("\u{1b}\u{e4}", "\u{e4}"),
        ] {
            assert_eq!(strip_controls(line), expected, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn no_control_character_is_left(line in "[\u{1b}\\[\\]();0-9a-zA-Z\u{0}-\u{9f}\u{e4}]{0,40}") {
            let plain = strip_controls(&line);
            prop_assert!(!plain.chars().any(|c| c.is_control() && c != '\t'), "{plain:?}");
        }
    }
}
