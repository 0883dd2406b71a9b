//! Formats objects in the vendor's Uniform Description Language, which `--batch` prints.
//!
//! An entity is `record "17" {`, one `attribute = value` per line, `}`. Booleans are 0 and 1, a
//! null is left out, nested values are named by their path (`event.progress`, `flags.1`).
//! Guarantees that text outside `[^,"'>=#\s]+`, and any with a brace or an escape, is quoted, and
//! that within quotes `\"` is a quote and all else is as in `show::escape`. Does not know which
//! entities exist.

use grid_broker::show::escape::escape;

use crate::fields::{ObjectValue, OutputObject};

/// An object as an entity, with a line break at its end.
pub(crate) fn entity(form: &OutputObject) -> String {
    let mut udl = format!("{} {} {{\n", form.kind, quote(&form.name));
    for (key, value) in &form.fields {
        attribute(&mut udl, key, value);
    }
    udl.push_str("}\n");
    udl
}

fn attribute(udl: &mut String, path: &str, value: &ObjectValue) {
    let shown = match value {
        ObjectValue::Null | ObjectValue::Object(None) => return,
        ObjectValue::Bool(value) => u8::from(*value).to_string(),
        ObjectValue::Number(value) => value.to_string(),
        ObjectValue::Float(value) => value.to_string(),
        ObjectValue::Text(text) => format_string(text),
        ObjectValue::List(values) => {
            for (index, value) in values.iter().enumerate() {
                attribute(udl, &format!("{path}.{}", index + 1), value);
            }
            return;
        }
        ObjectValue::Object(Some(fields)) => {
            for (key, value) in fields {
                attribute(udl, &format!("{path}.{key}"), value);
            }
            return;
        }
    };
    udl.push_str(&format!("  {path} = {shown}\n"));
}

fn format_string(text: &str) -> String {
    let odd = |c: char| c.is_whitespace() || ",\"'>=#{}\\".contains(c);
    if text.is_empty() || text.contains(odd) || escape(text) != text {
        quote(text)
    } else {
        text.to_owned()
    }
}

fn quote(text: &str) -> String {
    format!("\"{}\"", escape(text).replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_strings_stand_bare() {
        for (text, shown) in [
            ("started_ok", "started_ok"),
            ("2026-11-20T14:02:10Z", "2026-11-20T14:02:10Z"),
            ("größe/50%", "größe/50%"),
            ("", r#""""#),
            ("two words", r#""two words""#),
            ("a,b", r#""a,b""#),
            ("a=b", r#""a=b""#),
            ("a>b", r#""a>b""#),
            ("#1", r##""#1""##),
            ("it's", r#""it's""#),
            ("say \"hi\"", r#""say \"hi\"""#),
            ("{", r#""{""#),
            ("C:\\", r#""C:\\""#),
            ("\x1b[2J\n", r#""\x1b[2J\n""#),
            ("a\u{a0}b", "\"a\u{a0}b\""),
        ] {
            assert_eq!(format_string(text), shown);
        }
    }

    #[test]
    fn nested_values_are_named_by_their_path() {
        let fields = vec![
            ("managed", ObjectValue::Bool(true)),
            ("deadline", ObjectValue::Null),
            ("text", ObjectValue::Text("checking \"db\"".to_owned())),
            ("event", ObjectValue::Object(Some(vec![("progress", ObjectValue::Number(34))]))),
            ("marks", ObjectValue::List(vec!["late".into(), "text_cut".into()])),
        ];
        let form = OutputObject { kind: "record", name: "17".to_owned(), fields };
        assert_eq!(
            entity(&form),
            "record \"17\" {\n  managed = 1\n  text = \"checking \\\"db\\\"\"\n  \
             event.progress = 34\n  marks.1 = late\n  marks.2 = text_cut\n}\n"
        );
    }
}
