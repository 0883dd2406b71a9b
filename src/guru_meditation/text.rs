//! Formats reports as text, in the layout of OpenStack's oslo.reports.
//!
//! Guarantees the width of 72, oslo's separators, its rules for keys and values, and that hidden
//! characters (control characters, bidirectional overrides) are escaped. Does not know sections.
//!
//! Keys are sorted. A scalar is `k = v`; a list is `k = ` with its sorted items below; a mapping is
//! `k = ` likewise, in the configuration `k: ` after an empty line; a multi-line text is an
//! indented block; an unnamed mapping in a list is headed by `[dict]`.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Width of a report, in columns.
const WIDTH: usize = 72;

const INDENT: &str = "  ";

/// Separators of keys and mappings.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextStyle {
    mapping: &'static str,
    before_mapping: Option<&'static str>,
}

/// Style of all sections except the configuration.
pub(super) const PLAIN_STYLE: TextStyle = TextStyle { mapping: " = ", before_mapping: None };

/// Style of the configuration.
pub(super) const CONFIGURATION_STYLE: TextStyle =
    TextStyle { mapping: ": ", before_mapping: Some("") };

/// The title of the report, with the line below it.
pub(super) fn report_title(title: &str) -> String {
    format!("{}{}\n\n\n", section_heading(title), "|".repeat(WIDTH))
}

/// The three lines of a section's heading.
pub(super) fn section_heading(title: &str) -> String {
    let line = "=".repeat(WIDTH);
    format!("{line}\n===={title:^64}====\n{line}\n", title = escape(title))
}

/// The heading of a thread.
pub(super) fn thread_heading(title: &str) -> String {
    format!("------{:^60}------\n", escape(title))
}

/// Escapes untrusted text for terminals: hidden characters and the backslash; line breaks stay.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c == '\n' || c == '"' || c == '\'' || c.escape_debug().count() == 1;
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_plain(c) {
            shown.push(c);
        } else {
            shown.extend(c.escape_debug());
        }
    }
    Cow::Owned(shown)
}

/// Formats pairs in complete lines, at least one each.
pub(super) fn format_pairs(pairs: &Map<String, Value>, style: TextStyle) -> String {
    let mut lines = Vec::new();
    // serde_json sorts the keys.
    for (key, value) in pairs {
        lines.extend(format_value(value, Some(key), 0, style));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn format_value(value: &Value, key: Option<&str>, depth: usize, style: TextStyle) -> Vec<String> {
    let indent = INDENT.repeat(depth);
    let head = key.map(|key| format!("{indent}{}", escape(key)));
    match value {
        Value::Object(map) => {
            let mut lines = match head {
                Some(head) => vec![format!("{head}{}", style.mapping)],
                None => vec![format!("{indent}[dict]")],
            };
            if let Some(before) = style.before_mapping {
                lines.insert(0, before.to_owned());
            }
            for (key, value) in map {
                lines.extend(format_value(value, Some(key), depth + 1, style));
            }
            lines
        }
        Value::Array(items) => {
            let mut lines: Vec<_> = head.map(|head| format!("{head} = ")).into_iter().collect();
            let mut items: Vec<_> =
                items.iter().map(|item| format_value(item, None, depth + 1, style)).collect();
            items.sort();
            lines.extend(items.into_iter().flatten());
            lines
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            format_scalar(&escape(&python_scalar(value)), head, &indent)
        }
    }
}

fn format_scalar(text: &str, head: Option<String>, indent: &str) -> Vec<String> {
    match head {
        Some(head) if text.contains('\n') => {
            let block = text.split('\n').map(|line| format!("{indent}{INDENT}{line}"));
            std::iter::once(format!("{head} = ")).chain(block).collect()
        }
        Some(head) => vec![format!("{head} = {text}")],
        None => text.split('\n').map(|line| format!("{indent}{line}")).collect(),
    }
}

/// Formats a scalar as Python does: scripts expect `None`, `True` and `False`.
pub(super) fn python_scalar(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::String(text) => text.into(),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pairs_of(value: Value, style: TextStyle) -> String {
        let Value::Object(map) = value else { panic!("pairs are a mapping") };
        format_pairs(&map, style)
    }

    #[test]
    fn headings_are_72_wide_and_centred_as_oslo_has_them() {
        let expected = "\
========================================================================
====                        Guru Meditation                         ====
========================================================================
||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||


";
        assert_eq!(report_title("Guru Meditation"), expected);
        let package = "\
========================================================================
====                            Package                             ====
========================================================================
";
        assert_eq!(section_heading("Package"), package);
        let thread_line =
            "------                  Thread #140308065371840                   ------\n";
        assert_eq!(thread_heading("Thread #140308065371840"), thread_line);
        let long = "x".repeat(70);
        assert!(
            section_heading(&long).contains(&format!("===={long}====")),
            "a long title overflows"
        );
    }

    #[test]
    fn keys_are_sorted_and_scalars_stand_on_their_line() {
        let value =
            json!({"vendor": "Grid", "product": "Broker", "n": 3, "b": false, "none": null});
        assert_eq!(
            pairs_of(value, PLAIN_STYLE),
            "b = False\nn = 3\nnone = None\nproduct = Broker\nvendor = Grid\n"
        );
    }

    #[test]
    fn lists_are_sorted_below_their_head() {
        let value = json!({"lst": ["b", "a", 10, 9]});
        assert_eq!(pairs_of(value, PLAIN_STYLE), "lst = \n  10\n  9\n  a\n  b\n");
        let value = json!({"lst": [{"k": 1}, "a"]});
        assert_eq!(pairs_of(value, PLAIN_STYLE), "lst = \n  [dict]\n    k = 1\n  a\n");
    }

    #[test]
    fn mappings_nest_with_an_empty_line_before_them_in_the_configuration_only() {
        let value =
            json!({"default": {"b": false, "lst": ["a", "b"]}, "database": {"connection": "***"}});
        assert_eq!(
            pairs_of(value.clone(), CONFIGURATION_STYLE),
            "\ndatabase: \n  connection = ***\n\ndefault: \n  b = False\n  lst = \n    a\n    b\n"
        );
        assert_eq!(
            pairs_of(value, PLAIN_STYLE),
            "database = \n  connection = ***\ndefault = \n  b = False\n  lst = \n    a\n    b\n"
        );
        let deep = json!({"a": {"b": {"c": 1}}});
        assert_eq!(pairs_of(deep, PLAIN_STYLE), "a = \n  b = \n    c = 1\n");
    }

    #[test]
    fn a_text_of_several_lines_is_an_indented_block() {
        let value = json!({"a": {"text": "one\ntwo"}, "t": "x\ny"});
        assert_eq!(
            pairs_of(value, PLAIN_STYLE),
            "a = \n  text = \n    one\n    two\nt = \n  x\n  y\n"
        );
        assert_eq!(pairs_of(json!({"l": ["one\ntwo"]}), PLAIN_STYLE), "l = \n  one\n  two\n");
    }

    #[test]
    fn what_is_hidden_is_escaped() {
        let value = json!({"a\u{202e}b": "\u{1b}[31mred\u{7}\t\\ \u{200b} it's \"größer\" 数据"});
        let text = pairs_of(value, PLAIN_STYLE);
        let expected = "a\\u{202e}b = \\u{1b}[31mred\\u{7}\\t\\\\ \\u{200b} it's \"größer\" 数据\n";
        assert_eq!(text, expected);
    }
}
