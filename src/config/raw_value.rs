//! Raw settings: values as written and their sources, before validation.
//!
//! Guarantees that a value is displayed as it was written, escaped and short. Knows no keys.

use std::fmt;

use crate::config::error::Origin;
use crate::show::escape::excerpt;

/// A raw value of a key.
#[derive(Clone, Debug)]
pub(super) struct RawSetting {
    /// The key's path, part by part.
    pub(super) path: Vec<String>,
    pub(super) raw: RawValue,
    pub(super) origin: Origin,
}

/// A raw value.
#[derive(Clone, Debug)]
pub(super) enum RawValue {
    /// From the file, in quotes.
    Text(String),
    /// From the file: an integer as written, and its value if it is not negative and fits.
    Integer(String, Option<u64>),
    /// From the file: true or false.
    Bool(bool),
    /// From the file: a list of texts.
    Texts(Vec<String>),
    /// From the file: a type that no setting has.
    Other(&'static str),
    /// From a flag or the environment, which have no types.
    Untyped(String),
}

impl RawValue {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Untyped(text) => Some(text),
            Self::Integer(..) | Self::Bool(_) | Self::Texts(_) | Self::Other(_) => None,
        }
    }

    /// A list of texts; from a flag or the environment, in JSON.
    pub(super) fn texts(&self) -> Option<Vec<String>> {
        match self {
            Self::Texts(texts) => Some(texts.clone()),
            Self::Untyped(text) => serde_json::from_str(text).ok(),
            Self::Text(_) | Self::Integer(..) | Self::Bool(_) | Self::Other(_) => None,
        }
    }

    pub(super) fn integer(&self) -> Option<u64> {
        match self {
            Self::Integer(_, whole) => *whole,
            Self::Untyped(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok()
            }
            Self::Untyped(_) | Self::Text(_) | Self::Bool(_) | Self::Texts(_) | Self::Other(_) => {
                None
            }
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            Self::Untyped(text) => text.parse().ok(),
            Self::Integer(..) | Self::Text(_) | Self::Texts(_) | Self::Other(_) => None,
        }
    }

    /// Whether it is in quotes in the file.
    pub(super) fn is_quoted(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// Whether it is a bare number in the file.
    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Integer(..))
    }
}

impl fmt::Display for RawValue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Untyped(text) => write!(out, "\"{}\"", excerpt(text)),
            Self::Integer(text, _) => out.write_str(&excerpt(text)),
            Self::Bool(truth) => write!(out, "{truth}"),
            Self::Texts(_) => out.write_str("a list"),
            Self::Other(what) => out.write_str(what),
        }
    }
}

/// The dotted key of a path, as the file would write it: `class."a.b".boot_timeout`.
pub(super) fn dotted_key<P: AsRef<str>>(path: &[P]) -> String {
    let parts: Vec<_> = path.iter().map(|part| quoted_if_needed(part.as_ref())).collect();
    parts.join(".")
}

fn quoted_if_needed(part: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if !part.is_empty() && part.bytes().all(is_bare) {
        part.to_owned()
    } else {
        format!("\"{}\"", excerpt(part))
    }
}
