//! The configuration of a call: appliance, broker, boot, state folder and limits.
//!
//! Guarantees that a [`ClientConfig`] is valid: every error in options and environment is found
//! before anything is sent, and all are reported together. Does not know events, nor how they are
//! sent.

mod access;
mod crash_dump;

use std::ffi::{OsStr, OsString};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use grid_broker::client::{self, BrokerAddress};
use grid_broker::grid::values::id::is_valid_name;
use grid_broker::show::escape;
use grid_broker::spool::{SenderId, Spool, SpoolError, SpoolLimits};
use grid_broker::units;
use uuid::Uuid;

use crate::appliance_access::{ApplianceAccess, ApplianceLogin};
use crate::arguments::Options;
use crate::boot::BootIdentity;
use access::{
    FoundIdentity, access_options, load_identity, may_use_identity, parse_access, target,
};

pub(crate) use access::AccessOption;

/// How long an unreachable broker is retried, and the limits of `--timeout`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

/// The default folder of sequence numbers and spool: on the boot disk.
const DEFAULT_STATE_FOLDER: &str = "/var/lib/vme";

/// The allowed limits of a spool.
const SPOOL_EVENTS_RANGE: RangeInclusive<usize> = 4..=100_000;
const SPOOL_BYTES_RANGE: RangeInclusive<usize> = 4_096..=67_108_864;

/// The validated configuration.
#[derive(Debug)]
pub(crate) struct ClientConfig {
    /// The broker, and the appliance's name there.
    pub(crate) target: BrokerTarget,
    /// The boot.
    pub(crate) boot: BootIdentity,
    /// The folder of sequence numbers and spool.
    pub(crate) state_folder: PathBuf,
    /// The limits of the spool.
    pub(crate) spool_limits: SpoolLimits,
    /// The broker was given, and is not the default.
    pub(crate) is_broker_given: bool,
    /// The appliance was given, and is not the default.
    pub(crate) is_appliance_given: bool,
    /// The options of trust and credential that were given, for processes that we start.
    pub(crate) access_options: Vec<AccessOption>,
}

/// The broker, the appliance's name there, and the time to retry.
#[derive(Clone, Debug)]
pub(crate) struct BrokerTarget {
    /// Where the broker listens.
    pub(crate) broker: String,
    /// The appliance's name.
    pub(crate) appliance: String,
    /// How long to retry.
    pub(crate) timeout: Duration,
    /// Whom to trust, and who we are.
    pub(crate) access: ApplianceAccess,
}

impl BrokerTarget {
    /// The name under which events are sent that were spooled under the name `spooled`. A credential is
    /// for one name, so it is ours: this host may have been renamed since, or enrolled.
    pub(crate) fn name_for<'a>(&'a self, spooled: &'a str) -> &'a str {
        match self.access.login {
            ApplianceLogin::NameOnly | ApplianceLogin::Unreadable(_) => spooled,
            ApplianceLogin::TokenFile(_)
            | ApplianceLogin::CertificateFiles { .. }
            | ApplianceLogin::Enrolled(_) => &self.appliance,
        }
    }
}

/// An error in an option or a variable of the environment.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum ClientConfigError {
    /// Not a valid name of an appliance.
    #[error(
        "{source_name} `{}` is not 1 to 128 letters, digits, `.`, `_`, `-` or `:`, the first a \
         letter or digit{}",
        escape::excerpt(.value),
        if *.source_name == HOST_NAME { "; set --appliance" } else { "" }
    )]
    Appliance { source_name: &'static str, value: String },
    /// Not an address.
    #[error("{source_name}: broker address `{}` is not host:port, for instance {}",
        escape::excerpt(.value), client::DEFAULT_BROKER)]
    Broker { source_name: &'static str, value: String },
    /// Not a duration.
    #[error("--timeout `{}` is not a time from 100ms to 24h", escape::excerpt(.value))]
    Timeout { value: String },
    /// Not a folder.
    #[error("{source_name} is empty; it is the folder of sequence numbers and spool")]
    State { source_name: &'static str },
    /// Not a limit of a spool.
    #[error("{variable} `{}` is not a whole number from {least} to {most}", escape::excerpt(.value))]
    Limit { variable: &'static str, value: String, least: usize, most: usize },
    /// Not a pin.
    #[error("{source_name} `{}` is not a pin, which is 64 hexadecimal digits", escape::excerpt(.value))]
    Pin { source_name: &'static str, value: String },
    /// Two options of which one is possible.
    #[error("{one} and {other} are given; one of them is possible")]
    Both { one: &'static str, other: &'static str },
    /// One option of two that belong together.
    #[error("{given} is given without {missing}")]
    Half { given: &'static str, missing: &'static str },
    /// Options that contradict the address.
    #[error("{0}")]
    Contradiction(String),
    /// Another name than the certificate's.
    #[error(
        "{source_name} is `{given}`, and the certificate of this host is for `{certified}`; leave \
         {source_name} out, or enrol this host as `{given}` (`vme enrol --force`)"
    )]
    OtherName { source_name: &'static str, given: String, certified: String },
    /// Neither given nor refused.
    #[error("VME_ALLOW_CRASH_DUMP `{}` is not yes or no", escape::excerpt(.value))]
    Leave { value: String },
    /// Not a folder.
    #[error("{source_name} is empty; it is the folder of crash dumps, or none")]
    CrashFolder { source_name: &'static str },
    /// Not a UUID.
    #[error("VME_BOOT_ID `{}` is not a UUID of 36 characters", escape::excerpt(.value))]
    BootId { value: String },
}

const HOST_NAME: &str = "the host name";

pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl ClientConfig {
    /// # Errors
    ///
    /// All errors in the options and the environment.
    pub(crate) fn new(
        options: &Options,
        environment: Environment,
    ) -> Result<Self, Vec<ClientConfigError>> {
        let broker = parse_broker(options, environment);
        let state = parse_state_folder(options, environment);
        let access = access_options(options, environment);
        let given = parse_access(&access);
        let own = match (&given, &broker, &state) {
            (Ok(given), Ok(broker), Ok(state)) if may_use_identity(given, broker.as_deref()) => {
                load_identity(state)
            }
            (_, _, _) => FoundIdentity::None,
        };
        let mut errors = Vec::new();
        let mut collect = |error| errors.push(error);
        let appliance = parse_appliance(options, environment, &own).map_err(&mut collect).ok();
        let broker = broker.map_err(&mut collect).ok();
        let timeout = parse_timeout(options).map_err(&mut collect).ok();
        let state = state.map_err(&mut collect).ok();
        let named_boot = parse_boot_id(environment).map_err(&mut collect).ok();
        let limits = parse_limits(environment).map_err(&mut collect).ok();
        let given = given.map_err(&mut collect).ok();
        let is_given = |option: Option<&OsString>, variable| {
            option_or_variable(("", option), variable, environment).is_some()
        };
        let target = match (appliance, broker, given, timeout) {
            (Some(appliance), Some(broker), Some(given), Some(timeout)) => {
                target(broker, given, own, appliance, timeout).map_err(&mut collect).ok()
            }
            (_, _, _, _) => None,
        };
        match (target, state, named_boot, limits) {
            (Some(target), Some(state), Some(named_boot), Some(limits)) => Ok(Self {
                target,
                boot: named_boot.map_or_else(BootIdentity::detect, BootIdentity::Named),
                state_folder: state,
                spool_limits: limits,
                is_broker_given: is_given(options.broker.as_ref(), "GRID_BROKER"),
                is_appliance_given: is_given(options.appliance.as_ref(), "VME_APPLIANCE"),
                access_options: access,
            }),
            (_, _, _, _) => Err(errors),
        }
    }

    /// Opens its spool.
    ///
    /// # Errors
    ///
    /// When the folder cannot be created, read or written.
    pub(crate) fn spool(&self) -> Result<Spool, SpoolError> {
        let (appliance, boot) = (self.target.appliance.clone(), self.boot.any_id());
        let sender = SenderId { appliance, boot };
        Spool::open_with_timeout(self.target.timeout, &self.state_folder, self.spool_limits, sender)
    }
}

/// A value and its source: the option, else a variable that is not empty.
fn option_or_variable(
    option: (&'static str, Option<&OsString>),
    variable: &'static str,
    environment: Environment,
) -> Option<(&'static str, OsString)> {
    match option {
        (name, Some(value)) => Some((name, value.clone())),
        (_, None) => non_empty_variable(variable, environment).map(|value| (variable, value)),
    }
}

fn non_empty_variable(variable: &str, environment: Environment) -> Option<OsString> {
    environment(variable).filter(|value| !value.is_empty())
}

/// The host name is used with its domain: without it two hosts could be one appliance.
fn parse_appliance(
    options: &Options,
    environment: Environment,
    own: &FoundIdentity,
) -> Result<String, ClientConfigError> {
    let option = ("--appliance", options.appliance.as_ref());
    let given = option_or_variable(option, "VME_APPLIANCE", environment)
        .map(|(source_name, value)| (source_name, lossy(&value)));
    let certified = match own {
        FoundIdentity::Stored(_, stored) => Some(&stored.appliance),
        FoundIdentity::None | FoundIdentity::Unreadable(_) => None,
    };
    let (source_name, value) = match (given, certified) {
        (None, Some(certified)) => return Ok(certified.clone()),
        (Some(given), _) => given,
        (None, None) => {
            let host = rustix::system::uname();
            (HOST_NAME, host.nodename().to_string_lossy().into_owned())
        }
    };
    if !is_valid_name(&value) {
        return Err(ClientConfigError::Appliance { source_name, value });
    }
    match certified.filter(|certified| **certified != value) {
        None => Ok(value),
        Some(certified) => {
            let certified = certified.clone();
            Err(ClientConfigError::OtherName { source_name, given: value, certified })
        }
    }
}

/// The broker's address, if it is given.
fn parse_broker(
    options: &Options,
    environment: Environment,
) -> Result<Option<String>, ClientConfigError> {
    let option = ("--broker", options.broker.as_ref());
    let Some((source_name, value)) = option_or_variable(option, "GRID_BROKER", environment) else {
        return Ok(None);
    };
    let value = lossy(&value);
    match BrokerAddress::parse(&value) {
        Ok(_) => Ok(Some(value)),
        Err(_) => Err(ClientConfigError::Broker { source_name, value }),
    }
}

/// The file with the token, if it is given.
pub(crate) fn given_token_file(options: &Options, environment: Environment) -> Option<PathBuf> {
    let option = ("--token-file", options.token_file.as_ref());
    option_or_variable(option, "VME_TOKEN_FILE", environment).map(|(_, value)| value.into())
}

/// The appliance's name, if it is given.
pub(crate) fn given_name(options: &Options, environment: Environment) -> Option<String> {
    let option = ("--appliance", options.appliance.as_ref());
    option_or_variable(option, "VME_APPLIANCE", environment).map(|(_, value)| lossy(&value))
}

/// How long to wait for the broker.
pub(crate) fn parse_timeout(options: &Options) -> Result<Duration, ClientConfigError> {
    let Some(value) = &options.timeout else { return Ok(DEFAULT_TIMEOUT) };
    let value = lossy(value);
    units::parse_duration(&value)
        .filter(|time| (TIMEOUT_MIN..=TIMEOUT_MAX).contains(time))
        .ok_or(ClientConfigError::Timeout { value })
}

/// The state folder.
pub(crate) fn parse_state_folder(
    options: &Options,
    environment: Environment,
) -> Result<PathBuf, ClientConfigError> {
    match option_or_variable(("--state", options.state.as_ref()), "VME_STATE", environment) {
        Some((source_name, value)) if value.is_empty() => {
            Err(ClientConfigError::State { source_name })
        }
        // Absolute, since a drainer or a script may have another working directory.
        Some((source_name, value)) => {
            std::path::absolute(value).map_err(|_| ClientConfigError::State { source_name })
        }
        None => Ok(DEFAULT_STATE_FOLDER.into()),
    }
}

/// The limits of the spool: the same for every process of the appliance, so they are no options.
fn parse_limits(environment: Environment) -> Result<SpoolLimits, ClientConfigError> {
    let default = SpoolLimits::default();
    Ok(SpoolLimits {
        events: parse_limit("VME_SPOOL_EVENTS", SPOOL_EVENTS_RANGE, default.events, environment)?,
        bytes: parse_limit("VME_SPOOL_BYTES", SPOOL_BYTES_RANGE, default.bytes, environment)?,
    })
}

fn parse_limit(
    variable: &'static str,
    range: RangeInclusive<usize>,
    default: usize,
    environment: Environment,
) -> Result<usize, ClientConfigError> {
    let Some(value) = non_empty_variable(variable, environment) else { return Ok(default) };
    let value = lossy(&value);
    let (least, most) = (*range.start(), *range.end());
    let number = value.parse().ok().filter(|number| range.contains(number));
    number.ok_or(ClientConfigError::Limit { variable, value, least, most })
}

fn parse_boot_id(environment: Environment) -> Result<Option<Uuid>, ClientConfigError> {
    /// The length of the contract's text form; the crate accepts others, too.
    const TEXT_FORM: usize = 36;
    let Some(value) = non_empty_variable("VME_BOOT_ID", environment) else { return Ok(None) };
    let value = lossy(&value);
    match Uuid::try_parse(&value) {
        Ok(id) if value.len() == TEXT_FORM => Ok(Some(id)),
        Ok(_) | Err(_) => Err(ClientConfigError::BootId { value }),
    }
}

fn lossy(value: &OsStr) -> String {
    value.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
