//! Forms as CSV (RFC 4180): a line of keys, then a line per form.
//!
//! Guarantees one line per form, since line breaks within text are escaped as in tables. Lists and
//! nested messages are left out; a null is an empty field. Does not know what is listed.

use grid_broker::show::escape::escape;

use crate::form::{Form, Value};

/// The keys.
pub(crate) fn header(form: &Form) -> String {
    let scalars = form.fields.iter().filter(|(_, value)| value.is_scalar());
    scalars.map(|(key, _)| *key).collect::<Vec<_>>().join(",")
}

/// The values.
pub(crate) fn line(form: &Form) -> String {
    form.fields.iter().filter_map(|(_, value)| field(value)).collect::<Vec<_>>().join(",")
}

fn field(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::Real(value) => Some(value.to_string()),
        Value::Text(text) => Some(quoted(&escape(text))),
        Value::List(_) | Value::Object(_) => None,
    }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"']) || text.starts_with(' ') || text.ends_with(' ') {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_stand_under_their_keys_and_text_stays_on_its_line() {
        let fields = vec![
            ("number", Value::Number(7)),
            ("text", Value::Text("a \"b\", c\nd\x1b".to_owned())),
            ("event", Value::Object(None)),
            ("deadline", Value::Null),
            ("marks", Value::List(Vec::new())),
            ("managed", Value::Bool(false)),
        ];
        let form = Form { entity: "record", name: String::new(), fields };
        assert_eq!(header(&form), "number,text,deadline,managed");
        assert_eq!(line(&form), r#"7,"a ""b"", c\nd\x1b",,false"#);
    }
}
