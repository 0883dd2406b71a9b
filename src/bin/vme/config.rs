//! The configuration of a call: appliance, broker, boot, state folder and limits.
//!
//! Guarantees that a [`ClientConfig`] is valid: every error in options and environment is found
//! before anything is sent, and all are reported together. Does not know events, nor how they are
//! sent.

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

use crate::arguments::Options;
use crate::boot::BootIdentity;

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
        let mut errors = Vec::new();
        let mut collect = |error| errors.push(error);
        let appliance = parse_appliance(options, environment).map_err(&mut collect).ok();
        let broker = parse_broker(options, environment).map_err(&mut collect).ok();
        let timeout = parse_timeout(options).map_err(&mut collect).ok();
        let state = parse_state_folder(options, environment).map_err(&mut collect).ok();
        let named_boot = parse_boot_id(environment).map_err(&mut collect).ok();
        let limits = parse_limits(environment).map_err(&mut collect).ok();
        let is_given = |option: Option<&OsString>, variable| {
            option_or_variable(("", option), variable, environment).is_some()
        };
        match (appliance, broker, timeout, state, named_boot, limits) {
            (
                Some(appliance),
                Some(broker),
                Some(timeout),
                Some(state),
                Some(named_boot),
                Some(limits),
            ) => Ok(Self {
                target: BrokerTarget { broker, appliance, timeout },
                boot: named_boot.map_or_else(BootIdentity::detect, BootIdentity::Named),
                state_folder: state,
                spool_limits: limits,
                is_broker_given: is_given(options.broker.as_ref(), "GRID_BROKER"),
                is_appliance_given: is_given(options.appliance.as_ref(), "VME_APPLIANCE"),
            }),
            (_, _, _, _, _, _) => Err(errors),
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
) -> Result<String, ClientConfigError> {
    let option = ("--appliance", options.appliance.as_ref());
    let (source_name, value) = option_or_variable(option, "VME_APPLIANCE", environment)
        .map(|(source_name, value)| (source_name, lossy(&value)))
        .unwrap_or_else(|| {
            let host = rustix::system::uname();
            (HOST_NAME, host.nodename().to_string_lossy().into_owned())
        });
    if is_valid_name(&value) {
        Ok(value)
    } else {
        Err(ClientConfigError::Appliance { source_name, value })
    }
}

fn parse_broker(options: &Options, environment: Environment) -> Result<String, ClientConfigError> {
    let option = ("--broker", options.broker.as_ref());
    let Some((source_name, value)) = option_or_variable(option, "GRID_BROKER", environment) else {
        return Ok(client::DEFAULT_BROKER.to_owned());
    };
    let value = lossy(&value);
    match BrokerAddress::parse(&value) {
        Ok(_) => Ok(value),
        Err(_) => Err(ClientConfigError::Broker { source_name, value }),
    }
}

fn parse_timeout(options: &Options) -> Result<Duration, ClientConfigError> {
    let Some(value) = &options.timeout else { return Ok(DEFAULT_TIMEOUT) };
    let value = lossy(value);
    units::parse_duration(&value)
        .filter(|time| (TIMEOUT_MIN..=TIMEOUT_MAX).contains(time))
        .ok_or(ClientConfigError::Timeout { value })
}

fn parse_state_folder(
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
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::VmeArguments;

    fn config(line: &[&str], variables: &[(&str, &str)]) -> Result<ClientConfig, Vec<String>> {
        let arguments = VmeArguments::parse_from(std::iter::once(&"vme").chain(line));
        let environment = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        };
        ClientConfig::new(&arguments.options, &environment)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_option_overrides_the_environment_and_an_empty_variable_is_unset() {
        let variables = [("VME_APPLIANCE", "db2"), ("GRID_BROKER", "b2:2"), ("VME_BOOT_ID", "")];
        let by_variable = config(&["id=started_ok"], &variables).unwrap();
        assert_eq!(by_variable.target.appliance, "db2");
        assert_eq!(by_variable.target.broker, "b2:2");
        assert_eq!(by_variable.target.timeout, DEFAULT_TIMEOUT);

        let line = ["--appliance=db1", "--broker=b1:1", "--timeout=1m", "id=started_ok"];
        let by_option = config(&line, &variables).unwrap();
        assert_eq!(by_option.target.appliance, "db1");
        assert_eq!(by_option.target.broker, "b1:1");
        assert_eq!(by_option.target.timeout, Duration::from_secs(60));

        let empty = [("GRID_BROKER", ""), ("VME_APPLIANCE", "db3")];
        assert_eq!(
            config(&["id=started_ok"], &empty).unwrap().target.broker,
            client::DEFAULT_BROKER
        );
    }

    #[test]
    fn errors_of_options_and_environment_are_reported_together() {
        let line = ["--appliance=", "--timeout=10", "--broker=nowhere", "--state="];
        let errors = config(&line, &[("VME_BOOT_ID", "b00t")]).unwrap_err();
        assert_eq!(
            errors,
            [
                "--appliance `` is not 1 to 128 letters, digits, `.`, `_`, `-` or `:`, the first a letter or digit",
                "--broker: broker address `nowhere` is not host:port, for instance 127.0.0.1:7443",
                "--timeout `10` is not a time from 100ms to 24h",
                "--state is empty; it is the folder of sequence numbers and spool",
                "VME_BOOT_ID `b00t` is not a UUID of 36 characters",
            ]
        );
    }
}
