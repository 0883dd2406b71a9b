//! Messages about a setting: what is allowed, what is wrong with a value, and warnings.
//!
//! Guarantees that messages have the same limits as the checks, and that a secret is never
//! repeated. Validates nothing itself.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{
    AUTHENTICATIONS, Accessor, CLIENT_CERTIFICATES, INFINITE, MAIL_SECURITIES, NONE, ON_STUCK,
    SEVERITIES, TLS_MODES, TRACING_FORMATS, UNLIMITED,
};
use crate::config::crash_dump::{AUTOMATIC_DUMPS, DRIVERS};
use crate::config::filter;
use crate::config::raw_value::RawValue;
use crate::units;

impl<T: Default + 'static> Accessor<T> {
    /// The warning about a valid but risky value.
    pub(in crate::config) fn warning(&self, of: &mut T) -> Option<String> {
        match self {
            Self::OptionalDuration(_, field) => field(of).is_none().then(|| {
                format!("{INFINITE}: a start that never ends is never reported as failed")
            }),
            Self::Unlimited(field) => field(of)
                .is_none()
                .then(|| format!("{UNLIMITED}: one appliance alone can fill the grid log")),
            Self::SecretFile(field) => {
                let secret = field(of).as_ref().filter(|secret| secret.is_world_readable())?;
                let path = secret.file()?.display();
                Some(format!("every user of this machine can read {path}; `chmod o-r` fixes it"))
            }
            Self::Address(_)
            | Self::Path(_)
            | Self::PathOrNone(_)
            | Self::Filter(_)
            | Self::TracingFormat(_)
            | Self::Bool(_)
            | Self::Count(..)
            | Self::Size(..)
            | Self::Duration(..)
            | Self::OnStuck(_)
            | Self::Severity(_)
            | Self::Burst(_)
            | Self::Every(..)
            | Self::AllUnlimited(_)
            | Self::MailSecurity(_)
            | Self::Authentication(_)
            | Self::TlsMode(_)
            | Self::ClientCertificates(_)
            | Self::DumpDriver(_)
            | Self::AutomaticDump(_)
            | Self::Arguments(_)
            | Self::Text(..)
            | Self::SecretText(_) => None,
        }
    }

    /// What is allowed, to follow "is not": `a time from 1s to 12h, such as 5m`.
    pub fn describe_allowed(&self) -> String {
        let default = self.format(&mut T::default()).unwrap_or_default();
        match self {
            Self::Address(_) => format!("an address with a port, such as {default}"),
            Self::Path(_) => format!("the path of a folder, such as {default}"),
            Self::PathOrNone(_) => format!("a path, or {NONE}"),
            Self::Filter(_) => filter::ALLOWED.to_owned(),
            Self::TracingFormat(_) => describe_choices(&TRACING_FORMATS),
            Self::Bool(_) => "true or false".to_owned(),
            Self::Count(range, _) if *range.end() == u64::MAX => {
                format!("a whole number of at least {}", range.start())
            }
            Self::Count(range, _) => {
                format!("a whole number from {} to {}", range.start(), range.end())
            }
            Self::Size(range, _) if *range.end() == u64::MAX => {
                let least = units::format_bytes(*range.start());
                format!("a size of at least {least}, such as {default}")
            }
            Self::Size(range, _) => {
                let [least, most] = [*range.start(), *range.end()].map(units::format_bytes);
                format!("a size from {least} to {most}, such as {default}")
            }
            Self::Duration(range, _) | Self::Every(range, _) => {
                format!("{}, such as {default}", describe_range(range))
            }
            Self::OptionalDuration(range, _) => {
                format!("{}, such as {default}, or {INFINITE}", describe_range(range))
            }
            Self::OnStuck(_) => describe_choices(&ON_STUCK),
            Self::Severity(_) => describe_choices(&SEVERITIES),
            Self::Burst(_) => format!("a whole number from 1 to {}", u32::MAX),
            Self::Unlimited(_) => {
                format!("{UNLIMITED}, or a table such as {{ burst = 25, every = \"5s\" }}")
            }
            Self::AllUnlimited(_) => format!("{UNLIMITED}, or a table of budgets"),
            Self::MailSecurity(_) => describe_choices(&MAIL_SECURITIES),
            Self::Authentication(_) => describe_choices(&AUTHENTICATIONS),
            Self::TlsMode(_) => describe_choices(&TLS_MODES),
            Self::ClientCertificates(_) => describe_choices(&CLIENT_CERTIFICATES),
            Self::DumpDriver(_) => describe_choices(&DRIVERS),
            Self::AutomaticDump(_) => describe_choices(&AUTOMATIC_DUMPS),
            Self::Arguments(_) => {
                "a list of at most 64 texts of at most 1,000 bytes, such as [\"--now\", \"{name}\"]"
                    .to_owned()
            }
            Self::Text(rule, _) => rule.allowed.to_owned(),
            Self::SecretFile(_) => {
                "the path of a file with the secret, such as ./password".to_owned()
            }
            Self::SecretText(_) => {
                "for a file or a command line: use the key that ends in _file, or the environment"
                    .to_owned()
            }
        }
    }

    /// The error of a value that has another type or is out of its limits.
    pub(super) fn describe_invalid(&self, raw: &RawValue) -> String {
        let allowed = self.describe_allowed();
        // A misplaced secret is not repeated.
        if let Self::SecretText(_) = self {
            return format!("a secret is not {allowed}");
        }
        if let Self::SecretFile(_) = self {
            return format!("its value is not {allowed}");
        }
        let is_bare = matches!(self, Self::Bool(_) | Self::Count(..) | Self::Burst(_));
        let is_amount = matches!(
            self,
            Self::Size(..) | Self::Duration(..) | Self::OptionalDuration(..) | Self::Every(..)
        );
        let hint = if is_bare && raw.is_quoted() {
            ", without quotes"
        } else if is_amount && raw.is_number() {
            ", with its unit and in quotes"
        } else {
            ""
        };
        format!("{raw} is not {allowed}{hint}")
    }
}

fn describe_range(range: &RangeInclusive<Duration>) -> String {
    let [least, most] = [*range.start(), *range.end()].map(units::format_duration);
    format!("a time from {least} to {most}")
}

fn describe_choices<V>(choices: &[(&str, V)]) -> String {
    let all: Vec<_> = choices.iter().map(|(label, _)| *label).collect();
    format!("one of {}", all.join(", "))
}
