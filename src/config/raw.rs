//! What was said, and where? Values as written, before anything is known of what they should be.
//!
//! Guarantees that a value is shown as it was written, harmless and short. Knows no key.

use std::fmt;

use super::mistake::Origin;
use crate::show::escape::excerpt;

/// A value that was given for a key.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// The key's path, part by part.
    pub(super) path: Vec<String>,
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

/// A value as written.
#[derive(Clone, Debug)]
pub(super) enum Raw {
    /// Of the file, in quotes.
    Text(String),
    /// Of the file: a whole number as written, and its value if it is not negative and fits.
    Whole(String, Option<u64>),
    /// Of the file: true or false.
    Truth(bool),
    /// Of the file: something that no setting is.
    Other(&'static str),
    /// Of a flag or of the environment, which have no types.
    Untyped(String),
}

impl Raw {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Untyped(text) => Some(text),
            Self::Whole(..) | Self::Truth(_) | Self::Other(_) => None,
        }
    }

    pub(super) fn whole(&self) -> Option<u64> {
        match self {
            Self::Whole(_, whole) => *whole,
            Self::Untyped(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok()
            }
            Self::Untyped(_) | Self::Text(_) | Self::Truth(_) | Self::Other(_) => None,
        }
    }

    pub(super) fn truth(&self) -> Option<bool> {
        match self {
            Self::Truth(truth) => Some(*truth),
            Self::Untyped(text) => text.parse().ok(),
            Self::Whole(..) | Self::Text(_) | Self::Other(_) => None,
        }
    }

    /// Whether it stands in quotes in the file.
    pub(super) fn is_quoted(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// Whether it is a bare number in the file.
    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Whole(..))
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Untyped(text) => write!(out, "\"{}\"", excerpt(text)),
            Self::Whole(text, _) => out.write_str(&excerpt(text)),
            Self::Truth(truth) => write!(out, "{truth}"),
            Self::Other(what) => out.write_str(what),
        }
    }
}

/// A path as the file would write it: `class."a.b".boot_timeout`.
pub(super) fn dotted<P: AsRef<str>>(path: &[P]) -> String {
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
