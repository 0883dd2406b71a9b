//! Formats objects as CSV (RFC 4180): a line of keys, then a line per object.
//!
//! Guarantees one line per object: line breaks within text are escaped as in tables. Lists and
//! nested messages come after all other values, as JSON; a null is an empty field. Does not know
//! what is listed.

use grid_broker::show::escape::escape;

use crate::fields::{ObjectValue, OutputObject};
use crate::json;

/// The line of keys.
pub(crate) fn header(form: &OutputObject) -> String {
    ordered_fields(form).map(|(key, _)| *key).collect::<Vec<_>>().join(",")
}

/// The line of values.
pub(crate) fn line(form: &OutputObject) -> serde_json::Result<String> {
    Ok(ordered_fields(form)
        .map(|(_, value)| field(value))
        .collect::<Result<Vec<_>, _>>()?
        .join(","))
}

/// Scalars first, so that their columns do not move when lists and messages are added.
fn ordered_fields(form: &OutputObject) -> impl Iterator<Item = &(&'static str, ObjectValue)> {
    let scalars = form.fields.iter().filter(|(_, value)| value.is_scalar());
    scalars.chain(form.fields.iter().filter(|(_, value)| !value.is_scalar()))
}

fn field(value: &ObjectValue) -> serde_json::Result<String> {
    Ok(match value {
        ObjectValue::Null | ObjectValue::Object(None) => String::new(),
        ObjectValue::Bool(value) => value.to_string(),
        ObjectValue::Number(value) => value.to_string(),
        ObjectValue::Float(value) => value.to_string(),
        ObjectValue::Text(text) => quote(&escape(text)),
        ObjectValue::List(_) | ObjectValue::Object(Some(_)) => quote(&json::value(value)?),
    })
}

fn quote(text: &str) -> String {
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
            ("number", ObjectValue::Number(7)),
            ("text", ObjectValue::Text("a \"b\", c\nd\x1b".to_owned())),
            ("event", ObjectValue::Object(None)),
            ("deadline", ObjectValue::Null),
            (
                "marks",
                ObjectValue::List(vec![
                    "late".into(),
                    ObjectValue::Object(Some(vec![("count", ObjectValue::Number(2))])),
                ]),
            ),
            ("managed", ObjectValue::Bool(false)),
        ];
        let form = OutputObject { kind: "record", name: String::new(), fields };
        assert_eq!(header(&form), "number,text,deadline,managed,event,marks");
        assert_eq!(
            line(&form).unwrap(),
            r#"7,"a ""b"", c\nd\x1b",,false,,"[""late"",{""count"":2}]""#
        );
    }
}
