//! How does a report look as text? As OpenStack's oslo.reports prints it, so that habits and
//! scripts fit.
//!
//! Guarantees the width of 72, oslo's separators, its rules for keys and values, and that nothing
//! hidden (control characters, bidirectional overrides) reaches a terminal. Knows no section.
//!
//! Keys are sorted; a scalar is `k = v`; a list is `k = ` and its items below, sorted, too; a
//! mapping is `k = ` likewise, in the configuration `k: ` after an empty line; a text of several
//! lines is an indented block; an unnamed mapping in a list is headed by `[dict]`.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Width of a report, in columns.
const WIDTH: usize = 72;

const INDENT: &str = "  ";

/// How keys, lists and mappings are set apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextStyle {
    mapping: &'static str,
    before_mapping: Option<&'static str>,
}

/// Everywhere but in the configuration.
pub(super) const PLAIN: TextStyle = TextStyle { mapping: " = ", before_mapping: None };

/// In the configuration.
pub(super) const CONFIGURATION: TextStyle = TextStyle { mapping: ": ", before_mapping: Some("") };

/// The report's own heading, with the line below it.
pub(super) fn title(title: &str) -> String {
    format!("{}{}\n\n\n", heading(title), "|".repeat(WIDTH))
}

/// The three lines above a section.
pub(super) fn heading(title: &str) -> String {
    let line = "=".repeat(WIDTH);
    format!("{line}\n===={title:^64}====\n{line}\n", title = shown(title))
}

/// The line above a thread.
pub(super) fn thread(title: &str) -> String {
    format!("------{:^60}------\n", shown(title))
}

/// Text that may have been written by somebody else, as a terminal may see it: what is hidden is
/// escaped, as is the backslash; line breaks stay.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
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

/// Pairs, a line or more each, every line ended.
pub(super) fn pairs(pairs: &Map<String, Value>, style: TextStyle) -> String {
    let mut lines = Vec::new();
    // serde_json keeps them sorted.
    for (key, value) in pairs {
        lines.extend(serialized(value, Some(key), 0, style));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn serialized(value: &Value, key: Option<&str>, depth: usize, style: TextStyle) -> Vec<String> {
    let indent = INDENT.repeat(depth);
    let head = key.map(|key| format!("{indent}{}", shown(key)));
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
                lines.extend(serialized(value, Some(key), depth + 1, style));
            }
            lines
        }
        Value::Array(items) => {
            let mut lines: Vec<_> = head.map(|head| format!("{head} = ")).into_iter().collect();
            let mut items: Vec<_> =
                items.iter().map(|item| serialized(item, None, depth + 1, style)).collect();
            items.sort();
            lines.extend(items.into_iter().flatten());
            lines
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            scalar(&shown(&plain(value)), head, &indent)
        }
    }
}

fn scalar(text: &str, head: Option<String>, indent: &str) -> Vec<String> {
    match head {
        Some(head) if text.contains('\n') => {
            let block = text.split('\n').map(|line| format!("{indent}{INDENT}{line}"));
            std::iter::once(format!("{head} = ")).chain(block).collect()
        }
        Some(head) => vec![format!("{head} = {text}")],
        None => text.split('\n').map(|line| format!("{indent}{line}")).collect(),
    }
}

/// A scalar as Python prints it: scripts know `None`, `True` and `False`.
pub(super) fn plain(value: &Value) -> Cow<'_, str> {
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

    fn told(value: Value, style: TextStyle) -> String {
        let Value::Object(map) = value else { panic!("pairs are a mapping") };
        pairs(&map, style)
    }

    #[test]
    fn headings_are_72_wide_and_centred_as_oslo_has_them() {
        let expected = "\
========================================================================
====                        Guru Meditation                         ====
========================================================================
||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||


";
        assert_eq!(title("Guru Meditation"), expected);
        let package = "\
========================================================================
====                            Package                             ====
========================================================================
";
        assert_eq!(heading("Package"), package);
        let thread_line =
            "------                  Thread #140308065371840                   ------\n";
        assert_eq!(thread("Thread #140308065371840"), thread_line);
        let long = "x".repeat(70);
        assert!(heading(&long).contains(&format!("===={long}====")), "a long title overflows");
    }

    #[test]
    fn keys_are_sorted_and_scalars_stand_on_their_line() {
        let value =
            json!({"vendor": "Grid", "product": "Broker", "n": 3, "b": false, "none": null});
        assert_eq!(
            told(value, PLAIN),
            "b = False\nn = 3\nnone = None\nproduct = Broker\nvendor = Grid\n"
        );
    }

    #[test]
    fn lists_are_sorted_below_their_head() {
        let value = json!({"lst": ["b", "a", 10, 9]});
        assert_eq!(told(value, PLAIN), "lst = \n  10\n  9\n  a\n  b\n");
        let value = json!({"lst": [{"k": 1}, "a"]});
        assert_eq!(told(value, PLAIN), "lst = \n  [dict]\n    k = 1\n  a\n");
    }

    #[test]
    fn mappings_nest_with_an_empty_line_before_them_in_the_configuration_only() {
        let value =
            json!({"default": {"b": false, "lst": ["a", "b"]}, "database": {"connection": "***"}});
        assert_eq!(
            told(value.clone(), CONFIGURATION),
            "\ndatabase: \n  connection = ***\n\ndefault: \n  b = False\n  lst = \n    a\n    b\n"
        );
        assert_eq!(
            told(value, PLAIN),
            "database = \n  connection = ***\ndefault = \n  b = False\n  lst = \n    a\n    b\n"
        );
        let deep = json!({"a": {"b": {"c": 1}}});
        assert_eq!(told(deep, PLAIN), "a = \n  b = \n    c = 1\n");
    }

    #[test]
    fn a_text_of_several_lines_is_an_indented_block() {
        let value = json!({"a": {"text": "one\ntwo"}, "t": "x\ny"});
        assert_eq!(told(value, PLAIN), "a = \n  text = \n    one\n    two\nt = \n  x\n  y\n");
        assert_eq!(told(json!({"l": ["one\ntwo"]}), PLAIN), "l = \n  one\n  two\n");
    }

    #[test]
    fn what_is_hidden_is_escaped() {
        let value = json!({"a\u{202e}b": "\u{1b}[31mred\u{7}\t\\ \u{200b} it's \"größer\" 数据"});
        let told = told(value, PLAIN);
        let expected = "a\\u{202e}b = \\u{1b}[31mred\\u{7}\\t\\\\ \\u{200b} it's \"größer\" 数据\n";
        assert_eq!(told, expected);
    }
}
