//! Decodes the parts of a request that are encoded as text: paths, queries, HTTP basic.
//!
//! Guarantees that what cannot be decoded stays as it is, or is nothing. Does not know what is in them.

/// A part of a path with its `%xx` decoded. Bytes that are no UTF-8 are replaced.
pub(super) fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).filter(|_| *byte == b'%');
        let hex = hex.filter(|it| it.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(coded) => {
                decoded.push(coded);
                at += 3;
            }
            None => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The same text with everything but letters, digits and `-._~` as `%xx`.
pub(super) fn percent_encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encode = |byte: u8| match is_plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// The names and values of a query, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct Query(Vec<(String, String)>);

impl Query {
    /// Parses the part behind the `?`.
    pub(in crate::http) fn parse(text: &str) -> Self {
        let decoded = |part: &str| percent_decoded(&part.replace('+', " "));
        let parts = text.split('&').filter(|part| !part.is_empty());
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decoded(name), decoded(value))
        };
        Self(parts.map(pair).collect())
    }

    /// The last value of that name.
    pub(in crate::http) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(of, _)| of == name);
        found.map(|(_, value)| value.as_str())
    }

    /// All values of that name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(of, _)| of == name).map(|(_, value)| value.as_str())
    }

    /// The query with another marker, as the next page has it.
    pub(super) fn with_marker(&self, marker: &str) -> String {
        let others = self.0.iter().filter(|(name, _)| name != "marker");
        let pairs = others.map(|(name, value)| (name.as_str(), value.as_str()));
        let pairs = pairs.chain([("marker", marker)]);
        let text = |(name, value)| format!("{}={}", percent_encoded(name), percent_encoded(value));
        pairs.map(text).collect::<Vec<_>>().join("&")
    }
}

/// The bytes of a text in base64, with or without `=` at its end; `None`: it is none.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 || digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded_once() {
        for (text, expected) in [
            ("dryer%207", "dryer 7"),
            ("a%2Fb%3fc", "a/b?c"),
            ("a+b", "a+b"),
            ("%2520", "%20"),
            ("%", "%"),
            ("%2", "%2"),
            ("%zz%41", "%zzA"),
            ("%+1", "%+1"),
            ("%C3%A9", "é"),
            ("%é1", "%é1"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(percent_decoded(text), expected, "{text}");
        }
        assert_eq!(percent_encoded("a b/é~"), "a%20b%2F%C3%A9~");
    }

    #[test]
    fn queries_are_pairs() {
        let query = Query::parse("name=a+b%2B&limit=2&limit=3&empty&&x=%3D=");
        assert_eq!(query.get("name"), Some("a b+"));
        assert_eq!(query.get("limit"), Some("3"));
        assert_eq!(query.all("limit").collect::<Vec<_>>(), ["2", "3"]);
        assert_eq!((query.get("empty"), query.get("none")), (Some(""), None));
        assert_eq!(query.get("x"), Some("=="));
        let next = Query::parse("marker=1&name=a+b").with_marker("2");
        assert_eq!(next, "name=a%20b&marker=2");
        assert_eq!(Query::parse(""), Query::default());
    }

    #[test]
    fn base64_is_decoded() {
        for (text, expected) in [
            ("", &b""[..]),
            ("Zg==", b"f"),
            ("Zm8=", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9vYg", b"foob"),
            ("Zm9vYmFy", b"foobar"),
            ("YW5uQGV4YW1wbGUub3JnOmdiYV8x", b"ann@example.org:gba_1"),
            ("+/8=", b"\xfb\xff"),
        ] {
            assert_eq!(from_base64(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["Z", "Zm9vY", "Zm 9", "Z===", "Zm-_", "Zg==Zg=="] {
            assert_eq!(from_base64(text), None, "{text}");
        }
    }
}
