//! Reads the JSON of a request as Python does, and writes its values as Python shows them.
//!
//! Guarantees that of two equal keys the last one counts, at the place of the first, and that a message
//! quotes a value as Nova does. Does not know what a value means.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number without a fraction or exponent.
    Integer(i128),
    /// Another number.
    Float(f64),
    /// A string.
    Text(String),
    /// An array.
    Array(Vec<Json>),
    /// An object, with its keys in their order.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Parses a body; `None`: it is not JSON.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// The value of that key of an object.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => {
                entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            Self::Null
            | Self::Bool(_)
            | Self::Integer(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::Array(_) => None,
        }
    }

    /// The value at a path of keys.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    /// A string.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null
            | Self::Bool(_)
            | Self::Integer(_)
            | Self::Float(_)
            | Self::Array(_)
            | Self::Object(_) => None,
        }
    }

    /// Python's `str` of it: a string without quotes, all else as `repr`.
    pub(super) fn shown(&self) -> String {
        self.text().map_or_else(|| self.repr(), str::to_owned)
    }

    /// Python's `repr` of it.
    pub(super) fn repr(&self) -> String {
        match self {
            Self::Null => "None".to_owned(),
            Self::Bool(true) => "True".to_owned(),
            Self::Bool(false) => "False".to_owned(),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => float_repr(*number),
            Self::Text(text) => text_repr(text),
            Self::Array(values) => {
                let values: Vec<_> = values.iter().map(Self::repr).collect();
                format!("[{}]", values.join(", "))
            }
            Self::Object(entries) => {
                let entry =
                    |(key, value): &(String, Self)| format!("{}: {}", text_repr(key), value.repr());
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// The shortest digits that give the number back; with an exponent from 16 digits before the point, and
/// four zeros behind it, on.
fn float_repr(number: f64) -> String {
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let power: i32 = exponent.parse().unwrap_or_default();
    if (-4..16).contains(&power) {
        let plain = format!("{number}");
        return if plain.contains('.') { plain } else { format!("{plain}.0") };
    }
    let sign = if power < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", power.unsigned_abs())
}

/// What Python writes as an escape: all that is not visible, but a blank.
static HIDDEN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[\p{C}\p{Z}]").ok());

fn text_repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut shown = String::from(quote);
    for c in text.chars() {
        let code = u32::from(c);
        let is_hidden = |c: char| {
            let mut bytes = [0; 4];
            HIDDEN.as_ref().is_some_and(|hidden| hidden.is_match(c.encode_utf8(&mut bytes)))
        };
        match c {
            '\\' => shown.push_str(r"\\"),
            '\n' => shown.push_str(r"\n"),
            '\r' => shown.push_str(r"\r"),
            '\t' => shown.push_str(r"\t"),
            c if c == quote => shown.extend(['\\', c]),
            ' ' => shown.push(' '),
            c if !is_hidden(c) => shown.push(c),
            _ if code < 0x100 => shown.push_str(&format!("\\x{code:02x}")),
            _ if code < 0x1_0000 => shown.push_str(&format!("\\u{code:04x}")),
            _ => shown.push_str(&format!("\\U{code:08x}")),
        }
    }
    shown.push(quote);
    shown
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element()? {
            values.push(value);
        }
        Ok(Json::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut entries: Vec<(String, Json)> = Vec::new();
        // Where each key stands: an object may have thousands of them.
        let mut places = std::collections::BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, Json>()? {
            match places.get(&key) {
                Some(at) => {
                    let known: &mut (String, Json) = &mut entries[*at];
                    known.1 = value;
                }
                None => {
                    places.insert(key.clone(), entries.len());
                    entries.push((key, value));
                }
            }
        }
        Ok(Json::Object(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repr(body: &str) -> String {
        Json::parse(body.as_bytes()).expect("JSON").repr()
    }

    #[test]
    fn values_are_shown_as_python_shows_them() {
        // What CPython 3.12 prints for json.loads of the same text.
        for (body, expected) in [
            ("null", "None"),
            ("true", "True"),
            ("false", "False"),
            ("1", "1"),
            ("-7", "-7"),
            ("18446744073709551615", "18446744073709551615"),
            ("1.0", "1.0"),
            ("1.50", "1.5"),
            ("1e15", "1000000000000000.0"),
            ("1e16", "1e+16"),
            ("1.5e300", "1.5e+300"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("-0.0", "-0.0"),
            (r#""not null""#, "'not null'"),
            (r#""it's""#, r#""it's""#),
            (r#""say \"x\"""#, r#"'say "x"'"#),
            (r#""it's \"x\"""#, r#"'it\'s "x"'"#),
            (r#""a\\b\n\r\t\u0001\u007f\u00a0""#, r"'a\\b\n\r\t\x01\x7f\xa0'"),
            (r#""\u2028\ud83d\ude00é\ud834\udd73""#, "'\\u2028\u{1f600}é\\U0001d173'"),
            ("[]", "[]"),
            ("{}", "{}"),
            (r#"[1,"a",[null]]"#, "[1, 'a', [None]]"),
            (r#"{"b":true,"a":{"c":[]}}"#, "{'b': True, 'a': {'c': []}}"),
            (r#"{"b":1,"a":2,"b":3}"#, "{'b': 3, 'a': 2}"),
        ] {
            assert_eq!(repr(body), expected, "{body}");
        }
        assert_eq!(Json::parse(br#""x""#).expect("JSON").shown(), "x");
        assert_eq!(Json::parse(b"[\"x\"]").expect("JSON").shown(), "['x']");
    }

    #[test]
    fn what_is_no_json_is_none() {
        for body in ["", "{", "{}{}", "{'a': 1}", "nul", "\u{feff}{}", "[1,]"] {
            assert_eq!(Json::parse(body.as_bytes()), None, "{body}");
        }
        assert_eq!(Json::parse(b"\"\xff\""), None);
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(Json::parse(deep.as_bytes()), None, "too deep to read");
    }

    #[test]
    fn values_are_found_at_their_path() {
        let body = Json::parse(br#"{"a": {"b": "c", "b": "d"}}"#).expect("JSON");
        assert_eq!(body.at(&["a", "b"]).and_then(Json::text), Some("d"));
        assert_eq!(body.at(&["a", "c"]), None);
        assert_eq!(body.at(&["a", "b", "c"]), None);
    }
}
