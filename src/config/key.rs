//! Describes a setting: its key, its accessor, its valid values, and when a change applies.
//!
//! Guarantees that parsing, formatting and error messages of a value use the same description, and
//! that the formatted value is the effective one. Knows neither files nor the names of our keys.

mod describe;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::crash_dump::{AUTOMATIC_DUMPS, DRIVERS, arguments_error};
use super::filter;
use super::mail::{MailSecurity, TextRule};
use super::secret::{REDACTED, Secret};
use super::tls::{Authentication, TlsMode};
use crate::config::error::Origin;
use crate::config::raw_value::RawValue;
use crate::grid::model::crash_dump::AutomaticDump;
use crate::grid::model::settings::{OnStuck, RateLimit, RateLimits};
use crate::grid::values::crash_dump::DumpDriver;
use crate::grid::values::event::Severity;
use crate::identity::server_tls::ClientCertificates;
use crate::tracing_lines::LogFormat;
use crate::units;

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

const TRACING_FORMATS: [(&str, LogFormat); 2] =
    [("human", LogFormat::Human), ("json", LogFormat::Json)];

const AUTHENTICATIONS: [(&str, Authentication); 3] = [
    ("auto", Authentication::Auto),
    ("required", Authentication::Required),
    ("off", Authentication::Off),
];

const TLS_MODES: [(&str, TlsMode); 3] =
    [("auto", TlsMode::Auto), ("on", TlsMode::On), ("off", TlsMode::Off)];

const CLIENT_CERTIFICATES: [(&str, ClientCertificates); 3] = [
    ("off", ClientCertificates::Off),
    ("optional", ClientCertificates::Optional),
    ("required", ClientCertificates::Required),
];

/// One setting within `T`.
#[derive(Debug)]
pub struct SettingKey<T: 'static> {
    /// Its path, with dots.
    pub path: &'static str,
    /// Access to its value.
    pub accessor: Accessor<T>,
    /// When a change of it applies.
    pub reload: ReloadPolicy,
    /// The flag that sets it, with its dashes.
    pub flag: Option<&'static str>,
}

/// When a changed value applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadPolicy {
    /// At once, on SIGHUP.
    Live,
    /// At the next start.
    Restart,
}

/// A function that returns a field of `T`.
pub type Field<T, V> = fn(&mut T) -> &mut V;

/// Access to a value, with its type and limits.
#[derive(Debug)]
pub enum Accessor<T: 'static> {
    /// An address with its port.
    Address(Field<T, SocketAddr>),
    /// A path.
    Path(Field<T, PathBuf>),
    /// A path, or [`NONE`].
    PathOrNone(Field<T, Option<PathBuf>>),
    /// A filter of the tracing crates.
    Filter(Field<T, String>),
    /// The format of tracing.
    TracingFormat(Field<T, LogFormat>),
    /// True or false.
    Bool(Field<T, bool>),
    /// A number.
    Count(RangeInclusive<u64>, Field<T, u64>),
    /// An amount of bytes.
    Size(RangeInclusive<u64>, Field<T, u64>),
    /// A duration.
    Duration(RangeInclusive<Duration>, Field<T, Duration>),
    /// A duration, or [`INFINITE`].
    OptionalDuration(RangeInclusive<Duration>, Field<T, Option<Duration>>),
    /// The consequence of being stuck.
    OnStuck(Field<T, OnStuck>),
    /// A severity.
    Severity(Field<T, Severity>),
    /// The burst of a rate limit.
    Burst(Field<T, Option<RateLimit>>),
    /// The interval of a rate limit.
    Every(RangeInclusive<Duration>, Field<T, Option<RateLimit>>),
    /// No rate limit: [`UNLIMITED`].
    Unlimited(Field<T, Option<RateLimit>>),
    /// No rate limits at all: [`UNLIMITED`].
    AllUnlimited(Field<T, RateLimits>),
    /// The encryption of the connection to the mail server.
    MailSecurity(Field<T, MailSecurity>),
    /// Whether callers need credentials.
    Authentication(Field<T, Authentication>),
    /// Which listeners have TLS.
    TlsMode(Field<T, TlsMode>),
    /// Whether a listener asks for certificates.
    ClientCertificates(Field<T, ClientCertificates>),
    /// The driver of crash dumps.
    DumpDriver(Field<T, DumpDriver>),
    /// The crash dumps that the broker triggers by itself.
    AutomaticDump(Field<T, AutomaticDump>),
    /// The arguments of a program.
    Arguments(Field<T, Vec<String>>),
    /// A text; empty: not set.
    Text(&'static TextRule, Field<T, String>),
    /// A secret, by the path of its file.
    SecretFile(Field<T, Option<Secret>>),
    /// A secret, from the environment only.
    SecretText(Field<T, Option<Secret>>),
}

impl<T: Default + 'static> Accessor<T> {
    /// Parses and stores a value.
    ///
    /// # Errors
    ///
    /// What is wrong with it and what is allowed; nothing is changed then.
    pub(super) fn set(&self, raw: &RawValue, origin: &Origin, into: &mut T) -> Result<(), String> {
        let invalid = || self.describe_invalid(raw);
        match self {
            Self::Address(field) => *field(into) = parse_address(raw).ok_or_else(invalid)?,
            Self::Path(field) => *field(into) = parse_path(raw).ok_or_else(invalid)?.to_owned(),
            Self::PathOrNone(field) => {
                let path = parse_path(raw).ok_or_else(invalid)?;
                *field(into) = (path != Path::new(NONE)).then(|| path.to_owned());
            }
            Self::Filter(field) => {
                let text = raw.text().ok_or_else(invalid)?;
                filter::check(text)?;
                text.clone_into(field(into));
            }
            Self::TracingFormat(field) => self.choose(raw, &TRACING_FORMATS, field(into))?,
            Self::Bool(field) => *field(into) = raw.boolean().ok_or_else(invalid)?,
            Self::Count(range, field) => {
                *field(into) = raw.integer().filter(|it| range.contains(it)).ok_or_else(invalid)?;
            }
            Self::Size(range, field) => {
                let bytes = raw.text().and_then(units::parse_bytes);
                *field(into) = bytes.filter(|it| range.contains(it)).ok_or_else(invalid)?;
            }
            Self::Duration(range, field) => {
                *field(into) = parse_time(raw, range).ok_or_else(invalid)?
            }
            Self::OptionalDuration(_, field) if raw.text() == Some(INFINITE) => *field(into) = None,
            Self::OptionalDuration(range, field) => {
                *field(into) = Some(parse_time(raw, range).ok_or_else(invalid)?);
            }
            Self::OnStuck(field) => self.choose(raw, &ON_STUCK, field(into))?,
            Self::Severity(field) => self.choose(raw, &SEVERITIES, field(into))?,
            Self::Burst(field) => {
                rate_limit_mut(into, *field).burst = parse_burst(raw).ok_or_else(invalid)?
            }
            Self::Every(range, field) => {
                rate_limit_mut(into, *field).interval =
                    parse_time(raw, range).ok_or_else(invalid)?;
            }
            Self::Unlimited(field) => {
                parse_unlimited(raw).ok_or_else(invalid)?;
                *field(into) = None;
            }
            Self::AllUnlimited(field) => {
                parse_unlimited(raw).ok_or_else(invalid)?;
                *field(into) = RateLimits::UNLIMITED;
            }
            Self::MailSecurity(field) => self.choose(raw, &MAIL_SECURITIES, field(into))?,
            Self::Authentication(field) => self.choose(raw, &AUTHENTICATIONS, field(into))?,
            Self::TlsMode(field) => self.choose(raw, &TLS_MODES, field(into))?,
            Self::ClientCertificates(field) => {
                self.choose(raw, &CLIENT_CERTIFICATES, field(into))?
            }
            Self::DumpDriver(field) => self.choose(raw, &DRIVERS, field(into))?,
            Self::AutomaticDump(field) => self.choose(raw, &AUTOMATIC_DUMPS, field(into))?,
            Self::Arguments(field) => *field(into) = self.parse_arguments(raw)?,
            Self::Text(rule, field) => self.parse_text(rule, raw)?.clone_into(field(into)),
            Self::SecretFile(field) => *field(into) = Some(self.read_secret(raw)?),
            Self::SecretText(field) => {
                let (Origin::Environment(name), Some(text)) = (origin, raw.text()) else {
                    return Err(invalid());
                };
                let secret = Secret::from_environment(name, text);
                *field(into) = Some(secret.map_err(|error| error.to_string())?);
            }
        }
        Ok(())
    }

    fn choose<V: Copy>(
        &self,
        raw: &RawValue,
        choices: &[(&str, V)],
        into: &mut V,
    ) -> Result<(), String> {
        *into = parse_choice(raw, choices).ok_or_else(|| self.describe_invalid(raw))?;
        Ok(())
    }

    fn parse_text<'a>(&self, rule: &TextRule, raw: &'a RawValue) -> Result<&'a str, String> {
        let text = raw.text().ok_or_else(|| self.describe_invalid(raw))?;
        match (rule.error)(text) {
            None => Ok(text),
            Some(why) if why.is_empty() => Err(self.describe_invalid(raw)),
            Some(why) => Err(format!("{}; {why}", self.describe_invalid(raw))),
        }
    }

    fn parse_arguments(&self, raw: &RawValue) -> Result<Vec<String>, String> {
        let arguments = raw.texts().ok_or_else(|| self.describe_invalid(raw))?;
        match arguments_error(&arguments) {
            None => Ok(arguments),
            Some(why) => Err(format!("{}; {why}", self.describe_invalid(raw))),
        }
    }

    fn read_secret(&self, raw: &RawValue) -> Result<Secret, String> {
        // A value that is not a path may be the secret itself, which must not be repeated.
        let path = parse_path(raw).filter(|path| path.to_str().is_some_and(|it| it.contains('/')));
        let secret = Secret::read(path.ok_or_else(|| self.describe_invalid(raw))?);
        secret.map_err(|error| error.to_string())
    }

    /// The effective value, as the file would write it; `None`: another key of the same value has it.
    pub fn format(&self, of: &mut T) -> Option<String> {
        Some(match self {
            Self::Address(field) => field(of).to_string(),
            Self::Path(field) => field(of).display().to_string(),
            Self::PathOrNone(field) => {
                let path = field(of).as_ref().map(|path| path.display().to_string());
                path.unwrap_or_else(|| NONE.to_owned())
            }
            Self::Filter(field) => field(of).clone(),
            Self::TracingFormat(field) => format_choice(*field(of), &TRACING_FORMATS),
            Self::Bool(field) => field(of).to_string(),
            Self::Count(_, field) => field(of).to_string(),
            Self::Size(_, field) => units::format_bytes(*field(of)),
            Self::Duration(_, field) => units::format_duration(*field(of)),
            Self::OptionalDuration(_, field) => {
                field(of).map_or_else(|| INFINITE.to_owned(), units::format_duration)
            }
            Self::OnStuck(field) => format_choice(*field(of), &ON_STUCK),
            Self::Severity(field) => format_choice(*field(of), &SEVERITIES),
            Self::Burst(field) => field(of).as_ref()?.burst.to_string(),
            Self::Every(_, field) => units::format_duration(field(of).as_ref()?.interval),
            Self::Unlimited(field) if field(of).is_none() => UNLIMITED.to_owned(),
            Self::Unlimited(_) | Self::AllUnlimited(_) => return None,
            Self::MailSecurity(field) => format_choice(*field(of), &MAIL_SECURITIES),
            Self::Authentication(field) => format_choice(*field(of), &AUTHENTICATIONS),
            Self::TlsMode(field) => format_choice(*field(of), &TLS_MODES),
            Self::ClientCertificates(field) => format_choice(*field(of), &CLIENT_CERTIFICATES),
            Self::DumpDriver(field) => format_choice(*field(of), &DRIVERS),
            Self::AutomaticDump(field) => format_choice(*field(of), &AUTOMATIC_DUMPS),
            // Lists of texts are the same in JSON and TOML.
            Self::Arguments(field) => serde_json::json!(field(of)).to_string(),
            Self::Text(_, field) => field(of).clone(),
            Self::SecretFile(field) => {
                let file = field(of).as_ref()?.file()?;
                format!("{REDACTED} in {}", file.display())
            }
            Self::SecretText(field) => {
                let is_from_file = field(of).as_ref()?.file().is_some();
                return (!is_from_file).then(|| REDACTED.to_owned());
            }
        })
    }

    /// Whether a table above it may have set its value.
    pub(super) fn is_inherited(&self) -> bool {
        matches!(self, Self::Unlimited(_))
    }

    /// Whether it is a secret that differs in `new` although its redacted value is the same.
    pub(super) fn is_secret_changed(&self, old: &mut T, new: &mut T) -> bool {
        let (Self::SecretFile(field) | Self::SecretText(field)) = self else { return false };
        self.format(old) == self.format(new) && field(old) != field(new)
    }

    /// Copies the value from one `T` to another.
    pub(super) fn copy(&self, from: &mut T, into: &mut T) {
        match self {
            Self::Address(field) => *field(into) = *field(from),
            Self::Path(field) => field(into).clone_from(field(from)),
            Self::PathOrNone(field) => field(into).clone_from(field(from)),
            Self::Filter(field) => field(into).clone_from(field(from)),
            Self::TracingFormat(field) => *field(into) = *field(from),
            Self::Bool(field) => *field(into) = *field(from),
            Self::Count(_, field) | Self::Size(_, field) => *field(into) = *field(from),
            Self::Duration(_, field) => *field(into) = *field(from),
            Self::OptionalDuration(_, field) => *field(into) = *field(from),
            Self::OnStuck(field) => *field(into) = *field(from),
            Self::Severity(field) => *field(into) = *field(from),
            Self::Burst(field) | Self::Every(_, field) | Self::Unlimited(field) => {
                *field(into) = *field(from);
            }
            Self::AllUnlimited(field) => field(into).clone_from(field(from)),
            Self::MailSecurity(field) => *field(into) = *field(from),
            Self::Authentication(field) => *field(into) = *field(from),
            Self::TlsMode(field) => *field(into) = *field(from),
            Self::ClientCertificates(field) => *field(into) = *field(from),
            Self::DumpDriver(field) => *field(into) = *field(from),
            Self::AutomaticDump(field) => *field(into) = *field(from),
            Self::Arguments(field) => field(into).clone_from(field(from)),
            Self::Text(_, field) => field(into).clone_from(field(from)),
            Self::SecretFile(field) | Self::SecretText(field) => {
                field(into).clone_from(field(from));
            }
        }
    }
}

fn parse_address(raw: &RawValue) -> Option<SocketAddr> {
    let text = raw.text()?;
    match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}").parse().ok(),
        None => text.parse().ok(),
    }
}

fn parse_path(raw: &RawValue) -> Option<&Path> {
    raw.text().filter(|text| !text.is_empty() && !text.contains('\0')).map(Path::new)
}

fn parse_time(raw: &RawValue, range: &RangeInclusive<Duration>) -> Option<Duration> {
    raw.text().and_then(units::parse_duration).filter(|it| range.contains(it))
}

/// The rate limit of the field, set to its default first if there is none.
fn rate_limit_mut<T: Default>(into: &mut T, field: Field<T, Option<RateLimit>>) -> &mut RateLimit {
    let least = RateLimit { burst: NonZeroU32::MIN, interval: Duration::from_secs(1) };
    let default = field(&mut T::default()).unwrap_or(least);
    field(into).get_or_insert(default)
}

fn parse_burst(raw: &RawValue) -> Option<NonZeroU32> {
    raw.integer().and_then(|it| u32::try_from(it).ok()).and_then(NonZeroU32::new)
}

fn parse_unlimited(raw: &RawValue) -> Option<()> {
    (raw.text() == Some(UNLIMITED)).then_some(())
}

fn parse_choice<V: Copy>(raw: &RawValue, choices: &[(&str, V)]) -> Option<V> {
    let given = raw.text()?;
    choices.iter().find(|(label, _)| *label == given).map(|(_, value)| *value)
}

fn format_choice<V: Copy + PartialEq>(value: V, choices: &[(&'static str, V)]) -> String {
    let found = choices.iter().find(|(_, it)| *it == value);
    found.map_or_else(String::new, |(label, _)| (*label).to_owned())
}
