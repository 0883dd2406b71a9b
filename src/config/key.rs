//! Describes a setting: its key, its accessor, its valid values, and when a change applies.
//!
//! Guarantees that parsing, formatting and error messages of a value use the same description, and
//! that the formatted value is the effective one. Knows neither files nor the names of our keys.

mod told;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::amount;
use super::filter;
use super::mail::{MailSecurity, TextRule};
use super::mistake::Origin;
use super::raw::Raw;
use super::secret::{HIDDEN, Secret};
use crate::grid::event::Severity;
use crate::grid::settings::{Budget, Budgets, OnStuck};
use crate::tracing_lines::Format;

/// The value for no limit on a time.
pub const INFINITE: &str = "infinite";

/// The value for no rate limit.
pub const UNLIMITED: &str = "unlimited";

/// The value for no path.
pub const NONE: &str = "none";

const SEVERITIES: [(&str, Severity); 5] = [
    ("debug", Severity::Debug),
    ("info", Severity::Info),
    ("warn", Severity::Warn),
    ("error", Severity::Error),
    ("fatal", Severity::Fatal),
];

const ON_STUCK: [(&str, OnStuck); 2] = [("warn", OnStuck::Warn), ("fail", OnStuck::Fail)];

const MAIL_SECURITIES: [(&str, MailSecurity); 3] = [
    ("starttls", MailSecurity::Starttls),
    ("tls", MailSecurity::Tls),
    ("plain", MailSecurity::Plain),
];

const TRACING_FORMATS: [(&str, Format); 2] = [("human", Format::Human), ("json", Format::Json)];

/// One setting within `T`.
#[derive(Debug)]
pub struct Key<T: 'static> {
    /// Its path, with dots.
    pub path: &'static str,
    /// Access to its value.
    pub place: Place<T>,
    /// When a change of it applies.
    pub changes: Changes,
    /// The flag that sets it, with its dashes.
    pub flag: Option<&'static str>,
}

/// When a changed value applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// At once, on SIGHUP.
    AtOnce,
    /// At the next start.
    AtRestart,
}

/// A function that returns a field of `T`.
pub type Field<T, V> = fn(&mut T) -> &mut V;

/// Access to a value, with its type and limits.
#[derive(Debug)]
pub enum Place<T: 'static> {
    /// An address on loopback, with its port.
    Address(Field<T, SocketAddr>),
    /// A path.
    Path(Field<T, PathBuf>),
    /// A path, or [`NONE`].
    PathOrNone(Field<T, Option<PathBuf>>),
    /// A filter of the tracing crates.
    Filter(Field<T, String>),
    /// The format of tracing.
    TracingFormat(Field<T, Format>),
    /// True or false.
    Truth(Field<T, bool>),
    /// A number.
    Count(RangeInclusive<u64>, Field<T, u64>),
    /// An amount of bytes.
    Size(RangeInclusive<u64>, Field<T, u64>),
    /// A duration.
    Time(RangeInclusive<Duration>, Field<T, Duration>),
    /// A duration, or [`INFINITE`].
    Limit(RangeInclusive<Duration>, Field<T, Option<Duration>>),
    /// The consequence of being stuck.
    OnStuck(Field<T, OnStuck>),
    /// A severity.
    Severity(Field<T, Severity>),
    /// The burst of a rate limit.
    Burst(Field<T, Option<Budget>>),
    /// The interval of a rate limit.
    Every(RangeInclusive<Duration>, Field<T, Option<Budget>>),
    /// No rate limit: [`UNLIMITED`].
    Unlimited(Field<T, Option<Budget>>),
    /// No rate limits at all: [`UNLIMITED`].
    AllUnlimited(Field<T, Budgets>),
    /// The encryption of the connection to the mail server.
    MailSecurity(Field<T, MailSecurity>),
    /// A text; empty: not set.
    Text(&'static TextRule, Field<T, String>),
    /// A secret, by the path of its file.
    SecretFile(Field<T, Option<Secret>>),
    /// A secret, from the environment only.
    SecretText(Field<T, Option<Secret>>),
}

impl<T: Default + 'static> Place<T> {
    /// Parses and stores a value.
    ///
    /// # Errors
    ///
    /// What is wrong with it and what is allowed; nothing is changed then.
    pub(super) fn set(&self, raw: &Raw, origin: &Origin, into: &mut T) -> Result<(), String> {
        let invalid = || self.wrong(raw);
        match self {
            Self::Address(field) => *field(into) = self.loopback(raw)?,
            Self::Path(field) => *field(into) = path(raw).ok_or_else(invalid)?.to_owned(),
            Self::PathOrNone(field) => {
                let path = path(raw).ok_or_else(invalid)?;
                *field(into) = (path != Path::new(NONE)).then(|| path.to_owned());
            }
            Self::Filter(field) => {
                let text = raw.text().ok_or_else(invalid)?;
                filter::check(text)?;
                text.clone_into(field(into));
            }
            Self::TracingFormat(field) => {
                *field(into) = word(raw, &TRACING_FORMATS).ok_or_else(invalid)?;
            }
            Self::Truth(field) => *field(into) = raw.truth().ok_or_else(invalid)?,
            Self::Count(range, field) => {
                *field(into) = raw.whole().filter(|it| range.contains(it)).ok_or_else(invalid)?;
            }
            Self::Size(range, field) => {
                let bytes = raw.text().and_then(amount::bytes);
                *field(into) = bytes.filter(|it| range.contains(it)).ok_or_else(invalid)?;
            }
            Self::Time(range, field) => *field(into) = time(raw, range).ok_or_else(invalid)?,
            Self::Limit(_, field) if raw.text() == Some(INFINITE) => *field(into) = None,
            Self::Limit(range, field) => {
                *field(into) = Some(time(raw, range).ok_or_else(invalid)?);
            }
            Self::OnStuck(field) => *field(into) = word(raw, &ON_STUCK).ok_or_else(invalid)?,
            Self::Severity(field) => *field(into) = word(raw, &SEVERITIES).ok_or_else(invalid)?,
            Self::Burst(field) => budget(into, *field).burst = burst(raw).ok_or_else(invalid)?,
            Self::Every(range, field) => {
                budget(into, *field).every = time(raw, range).ok_or_else(invalid)?;
            }
            Self::Unlimited(field) => {
                unlimited(raw).ok_or_else(invalid)?;
                *field(into) = None;
            }
            Self::AllUnlimited(field) => {
                unlimited(raw).ok_or_else(invalid)?;
                *field(into) = Budgets::UNLIMITED;
            }
            Self::MailSecurity(field) => {
                *field(into) = word(raw, &MAIL_SECURITIES).ok_or_else(invalid)?;
            }
            Self::Text(rule, field) => {
                let text = raw.text().ok_or_else(invalid)?;
                match (rule.wrong)(text) {
                    None => text.clone_into(field(into)),
                    Some(why) if why.is_empty() => return Err(invalid()),
                    Some(why) => return Err(format!("{}; {why}", invalid())),
                }
            }
            Self::SecretFile(field) => {
                // A value that is not a path may be the secret itself, which must not be repeated.
                let path =
                    path(raw).filter(|path| path.to_str().is_some_and(|it| it.contains('/')));
                let secret = Secret::read(path.ok_or_else(invalid)?);
                *field(into) = Some(secret.map_err(|error| error.to_string())?);
            }
            Self::SecretText(field) => {
                let (Origin::Environment(name), Some(text)) = (origin, raw.text()) else {
                    return Err(invalid());
                };
                let secret = Secret::of_environment(name, text);
                *field(into) = Some(secret.map_err(|error| error.to_string())?);
            }
        }
        Ok(())
    }

    /// The effective value, as the file would write it; `None`: another key of the same value has it.
    pub fn shown(&self, of: &mut T) -> Option<String> {
        Some(match self {
            Self::Address(field) => field(of).to_string(),
            Self::Path(field) => field(of).display().to_string(),
            Self::PathOrNone(field) => {
                let path = field(of).as_ref().map(|path| path.display().to_string());
                path.unwrap_or_else(|| NONE.to_owned())
            }
            Self::Filter(field) => field(of).clone(),
            Self::TracingFormat(field) => word_of(*field(of), &TRACING_FORMATS),
            Self::Truth(field) => field(of).to_string(),
            Self::Count(_, field) => field(of).to_string(),
            Self::Size(_, field) => amount::bytes_text(*field(of)),
            Self::Time(_, field) => amount::duration_text(*field(of)),
            Self::Limit(_, field) => {
                field(of).map_or_else(|| INFINITE.to_owned(), amount::duration_text)
            }
            Self::OnStuck(field) => word_of(*field(of), &ON_STUCK),
            Self::Severity(field) => word_of(*field(of), &SEVERITIES),
            Self::Burst(field) => field(of).as_ref()?.burst.to_string(),
            Self::Every(_, field) => amount::duration_text(field(of).as_ref()?.every),
            Self::Unlimited(field) if field(of).is_none() => UNLIMITED.to_owned(),
            Self::Unlimited(_) | Self::AllUnlimited(_) => return None,
            Self::MailSecurity(field) => word_of(*field(of), &MAIL_SECURITIES),
            Self::Text(_, field) => field(of).clone(),
            Self::SecretFile(field) => {
                let file = field(of).as_ref()?.file()?;
                format!("{HIDDEN} in {}", file.display())
            }
            Self::SecretText(field) => {
                let is_from_file = field(of).as_ref()?.file().is_some();
                return (!is_from_file).then(|| HIDDEN.to_owned());
            }
        })
    }

    /// Whether a table above it may have set its value.
    pub(super) fn is_word(&self) -> bool {
        matches!(self, Self::Unlimited(_))
    }

    /// Whether it is a secret that differs in `new` although its redacted value is the same.
    pub(super) fn is_renewed(&self, old: &mut T, new: &mut T) -> bool {
        let (Self::SecretFile(field) | Self::SecretText(field)) = self else { return false };
        self.shown(old) == self.shown(new) && field(old) != field(new)
    }

    /// Copies the value from one `T` to another.
    pub(super) fn copy(&self, from: &mut T, into: &mut T) {
        match self {
            Self::Address(field) => *field(into) = *field(from),
            Self::Path(field) => field(into).clone_from(field(from)),
            Self::PathOrNone(field) => field(into).clone_from(field(from)),
            Self::Filter(field) => field(into).clone_from(field(from)),
            Self::TracingFormat(field) => *field(into) = *field(from),
            Self::Truth(field) => *field(into) = *field(from),
            Self::Count(_, field) | Self::Size(_, field) => *field(into) = *field(from),
            Self::Time(_, field) => *field(into) = *field(from),
            Self::Limit(_, field) => *field(into) = *field(from),
            Self::OnStuck(field) => *field(into) = *field(from),
            Self::Severity(field) => *field(into) = *field(from),
            Self::Burst(field) | Self::Every(_, field) | Self::Unlimited(field) => {
                *field(into) = *field(from);
            }
            Self::AllUnlimited(field) => field(into).clone_from(field(from)),
            Self::MailSecurity(field) => *field(into) = *field(from),
            Self::Text(_, field) => field(into).clone_from(field(from)),
            Self::SecretFile(field) | Self::SecretText(field) => {
                field(into).clone_from(field(from));
            }
        }
    }

    /// Without TLS the listeners accept connections on loopback only.
    fn loopback(&self, raw: &Raw) -> Result<SocketAddr, String> {
        let text = raw.text().ok_or_else(|| self.wrong(raw))?;
        let numeric = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        let address: SocketAddr = numeric.parse().map_err(|_| self.wrong(raw))?;
        if address.ip().is_loopback() {
            return Ok(address);
        }
        Err(format!(
            "{address} is not on loopback; there is no TLS yet, so gridd listens on 127.0.0.1 or \
             [::1] only"
        ))
    }
}

fn path(raw: &Raw) -> Option<&Path> {
    raw.text().filter(|text| !text.is_empty() && !text.contains('\0')).map(Path::new)
}

fn time(raw: &Raw, range: &RangeInclusive<Duration>) -> Option<Duration> {
    raw.text().and_then(amount::duration).filter(|it| range.contains(it))
}

/// The rate limit of the field, set to its default first if there is none.
fn budget<T: Default>(into: &mut T, field: Field<T, Option<Budget>>) -> &mut Budget {
    let least = Budget { burst: NonZeroU32::MIN, every: Duration::from_secs(1) };
    let default = field(&mut T::default()).unwrap_or(least);
    field(into).get_or_insert(default)
}

fn burst(raw: &Raw) -> Option<NonZeroU32> {
    raw.whole().and_then(|it| u32::try_from(it).ok()).and_then(NonZeroU32::new)
}

fn unlimited(raw: &Raw) -> Option<()> {
    (raw.text() == Some(UNLIMITED)).then_some(())
}

fn word<V: Copy>(raw: &Raw, choices: &[(&str, V)]) -> Option<V> {
    let given = raw.text()?;
    choices.iter().find(|(label, _)| *label == given).map(|(_, value)| *value)
}

fn word_of<V: Copy + PartialEq>(value: V, choices: &[(&'static str, V)]) -> String {
    let found = choices.iter().find(|(_, it)| *it == value);
    found.map_or_else(String::new, |(label, _)| (*label).to_owned())
}
