//! Formats objects as JSON, each on one line.
//!
//! Guarantees all keys in the order of the object, 64-bit numbers as numbers, and no control
//! characters in the output. Does not know whether the object is in an array or on a line.

use serde::ser::{Serialize, SerializeMap, Serializer};

use grid_broker::show::escape::escape_json;

use crate::fields::{ObjectValue, OutputObject};

/// An object as JSON without line breaks.
pub(crate) fn object(form: &OutputObject) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(&JsonObject(&form.fields))?;
    Ok(escape_json(&json).into_owned())
}

/// A value as JSON without line breaks.
pub(crate) fn value(value: &ObjectValue) -> Result<String, serde_json::Error> {
    Ok(escape_json(&serde_json::to_string(value)?).into_owned())
}

struct JsonObject<'a>(&'a [(&'static str, ObjectValue)]);

impl Serialize for JsonObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Serialize for ObjectValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null | Self::Object(None) => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(value) => serializer.serialize_u64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::List(values) => values.serialize(serializer),
            Self::Object(Some(fields)) => JsonObject(fields).serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_keeps_its_order_and_escapes_control_characters() {
        let fields = vec![
            ("zeta", ObjectValue::Number(u64::MAX)),
            ("alpha", ObjectValue::Text("\u{9b}2J\"\n".to_owned())),
            ("on", ObjectValue::Bool(true)),
            ("value", ObjectValue::Float(0.5)),
            ("none", ObjectValue::Null),
            ("event", ObjectValue::Object(None)),
            ("marks", ObjectValue::List(vec!["late".into()])),
            ("counter", ObjectValue::Object(Some(vec![("name", "disk".into())]))),
        ];
        let form = OutputObject { kind: "record", name: String::new(), fields };
        assert_eq!(
            object(&form).unwrap(),
            r#"{"zeta":18446744073709551615,"alpha":"\u009b2J\"\n","on":true,"value":0.5,"none":null,"event":null,"marks":["late"],"counter":{"name":"disk"}}"#
        );
    }
}
