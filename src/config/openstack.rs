//! The settings of OpenStack's API.
//!
//! Guarantees a name that Keystone would allow, and an address that clients can use. Serves nothing.

use super::mail::TextRule;

/// Longest name of the project, in bytes (Keystone's).
const PROJECT_BYTES_MAX: usize = 64;

/// Longest address, in bytes.
const URL_BYTES_MAX: usize = 1_000;

/// The settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenStackSettings {
    /// The name of the one project.
    pub project: String,
    /// The address by which clients reach the pages; empty: as each request names it.
    pub url: String,
}

impl Default for OpenStackSettings {
    fn default() -> Self {
        Self { project: "grid".to_owned(), url: String::new() }
    }
}

/// The name of a project.
pub static PROJECT: TextRule = TextRule {
    allowed: "a name of 1 to 64 bytes on one line",
    error: |text| {
        let is_name = (1..=PROJECT_BYTES_MAX).contains(&text.trim().len())
            && text.len() <= PROJECT_BYTES_MAX
            && !text.contains(char::is_control);
        (!is_name).then(String::new)
    },
};

/// An address of the pages.
pub static URL: TextRule = TextRule {
    allowed: "an address such as https://broker.example:7480, without a query",
    error: |text| {
        let rest = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#\"\\<>".contains(&byte);
        let is_url = text.len() <= URL_BYTES_MAX
            && text.bytes().all(is_plain)
            && rest.is_some_and(|it| it.starts_with(|first: char| first != '/'));
        (!text.is_empty() && !is_url).then(String::new)
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_checked() {
        for (text, expected) in [
            ("", true),
            ("https://broker.example:7480", true),
            ("http://127.0.0.1/grid/", true),
            ("https://", false),
            ("https:///x", false),
            ("broker.example", false),
            ("ftp://broker.example", false),
            ("https://broker.example/?x", false),
            ("https://a b", false),
            ("https://a\"b", false),
        ] {
            assert_eq!((URL.error)(text).is_none(), expected, "{text}");
        }
        let longest = "x".repeat(PROJECT_BYTES_MAX);
        for (text, expected) in [
            ("grid", true),
            ("my grid", true),
            (&longest, true),
            ("", false),
            (" ", false),
            ("a\nb", false),
        ] {
            assert_eq!((PROJECT.error)(text).is_none(), expected, "{text}");
        }
        assert!((PROJECT.error)(&format!("{longest}x")).is_some());
        let default = OpenStackSettings::default();
        assert!((PROJECT.error)(&default.project).is_none() && (URL.error)(&default.url).is_none());
    }
}
