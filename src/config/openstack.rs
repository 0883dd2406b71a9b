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
