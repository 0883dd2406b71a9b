//! Errors and warnings about settings, each with the source of the value.
//!
//! Guarantees that every error names the source of the value: file and line, the environment
//! variable, or the flag. Does not know what is allowed.

use std::fmt;
use std::path::PathBuf;

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The default.
    Default,
    /// The configuration file.
    File {
        /// Its path, as given.
        path: PathBuf,
        /// The line, from 1; 0: the file as a whole.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A flag, with its dashes.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => out.write_str("default"),
            Self::File { path, line: 0 } => write!(out, "{}", path.display()),
            Self::File { path, line } => write!(out, "{}:{line}", path.display()),
            Self::Environment(name) => out.write_str(name),
            Self::Flag(name) => out.write_str(name),
        }
    }
}

/// One error or warning: `gridd.toml:12: retention.age: "0d" is ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The source of the value.
    pub origin: Origin,
    /// The key; empty: no particular one.
    pub key: String,
    /// What is wrong with it, and what is allowed.
    pub text: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, key, text } = self;
        match origin {
            Origin::Default => write!(out, "{key}: {text}"),
            Origin::File { .. } if !key.is_empty() => write!(out, "{origin}: {key}: {text}"),
            // Variables and flags name the key themselves.
            Origin::File { .. } | Origin::Environment(_) | Origin::Flag(_) => {
                write!(out, "{origin}: {text}")
            }
        }
    }
}

/// All errors: those of the file by line, then those of the environment, then those of flags.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        out.write_str(&lines.join("\n"))
    }
}
