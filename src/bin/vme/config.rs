//! The configuration of a call: appliance, broker, boot, state folder and limits.
//!
//! Guarantees that a [`ClientConfig`] is valid: every error in options and environment is found
//! before anything is sent, and all are reported together. Does not know events, nor how they are
//! sent.

use std::ffi::{OsStr, OsString};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use grid_broker::client::{self, BrokerAddress, ClientCredential, ConnectOptions, ServerTrust};
use grid_broker::grid::values::id::is_valid_name;
use grid_broker::grid::values::identity::KeyHash;
use grid_broker::show::escape;
use grid_broker::spool::{SenderId, Spool, SpoolError, SpoolLimits};
use grid_broker::units;
use uuid::Uuid;

use crate::appliance_access::{ApplianceAccess, ApplianceLogin};
use crate::arguments::Options;
use crate::boot::BootIdentity;
use crate::identity::folder::{IdentityFolder, StoredIdentity};

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

/// An option of trust or credential, with its variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessOption {
    /// The option, such as `--pin`.
    pub(crate) option: &'static str,
    /// Its variable.
    pub(crate) variable: &'static str,
    /// The value; a path is absolute.
    pub(crate) value: OsString,
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

/// The identity of this host.
enum FoundIdentity {
    /// There is none, or it is not used.
    None,
    Stored(IdentityFolder, StoredIdentity),
    /// It cannot be read, and why.
    Unreadable(String),
}

/// A broker that is addressed without TLS, or another credential, leaves the identity unused.
fn may_use_identity(given: &ApplianceAccess, broker: Option<&str>) -> bool {
    let is_plain = broker.is_some_and(|address| address.starts_with("http://"));
    matches!(given.login, ApplianceLogin::NameOnly) && !is_plain
}

fn load_identity(state: &Path) -> FoundIdentity {
    let folder = IdentityFolder::of_state(state);
    match folder.load() {
        Ok(Some(stored)) => FoundIdentity::Stored(folder, stored),
        Ok(None) => FoundIdentity::None,
        Err(error) => FoundIdentity::Unreadable(error.to_string()),
    }
}

/// The broker, and how to get to it.
fn target(
    broker: Option<String>,
    given: ApplianceAccess,
    own: FoundIdentity,
    appliance: String,
    timeout: Duration,
) -> Result<BrokerTarget, ClientConfigError> {
    let stored_address = match &own {
        FoundIdentity::Stored(_, stored) => Some(stored.address.clone()),
        FoundIdentity::None | FoundIdentity::Unreadable(_) => None,
    };
    let address = broker.or(stored_address).unwrap_or_else(|| client::DEFAULT_BROKER.to_owned());
    // The pin of an identity means TLS, as a given one does.
    let trust = match (&given.trust, &own) {
        (ServerTrust::ByAddress, FoundIdentity::Stored(_, stored)) => ServerTrust::Pin(stored.pin),
        (ServerTrust::ByAddress | ServerTrust::CaFile(_) | ServerTrust::Pin(_), _) => {
            given.trust.clone()
        }
    };
    let credential = match &given.login {
        ApplianceLogin::CertificateFiles { certificate, key } => {
            let (certificate, key) = (certificate.clone(), key.clone());
            ClientCredential::Certificate { certificate, key }
        }
        ApplianceLogin::NameOnly
        | ApplianceLogin::TokenFile(_)
        | ApplianceLogin::Enrolled(_)
        | ApplianceLogin::Unreadable(_) => ClientCredential::None,
    };
    let options = ConnectOptions { address, trust, credential };
    let options =
        options.checked().map_err(|error| ClientConfigError::Contradiction(error.to_string()))?;
    let login = match own {
        FoundIdentity::None => given.login,
        FoundIdentity::Stored(folder, _) => ApplianceLogin::Enrolled(folder),
        FoundIdentity::Unreadable(why) => ApplianceLogin::Unreadable(why),
    };
    let access = ApplianceAccess { trust: given.trust, login };
    Ok(BrokerTarget { broker: options.address, appliance, timeout, access })
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

/// The options of trust and credential that are given.
fn access_options(options: &Options, environment: Environment) -> Vec<AccessOption> {
    let known = [
        ("--token-file", "VME_TOKEN_FILE", &options.token_file),
        ("--ca-file", "VME_CA_FILE", &options.ca_file),
        (PIN, "VME_PIN", &options.pin),
        ("--certificate", "VME_CERTIFICATE", &options.certificate),
        ("--key", "VME_KEY", &options.key),
    ];
    let given = known.into_iter().filter_map(|(option, variable, value)| {
        let (_, value) = option_or_variable((option, value.as_ref()), variable, environment)?;
        // Absolute, since processes that we start may have another working directory.
        let absolute = if option == PIN { None } else { std::path::absolute(&value).ok() };
        let value = absolute.map_or(value, PathBuf::into_os_string);
        Some(AccessOption { option, variable, value })
    });
    given.collect()
}

const PIN: &str = "--pin";

/// Trust and login by the given options; an identity is not among them.
fn parse_access(given: &[AccessOption]) -> Result<ApplianceAccess, ClientConfigError> {
    let value = |option| given.iter().find(|it| it.option == option).map(|it| it.value.clone());
    let trust = match (value("--ca-file"), value(PIN)) {
        (Some(_), Some(_)) => {
            return Err(ClientConfigError::Both { one: "--ca-file", other: PIN });
        }
        (Some(path), None) => ServerTrust::CaFile(path.into()),
        (None, Some(pin)) => {
            let value = lossy(&pin);
            let pin = KeyHash::from_hex(&value);
            ServerTrust::Pin(pin.ok_or(ClientConfigError::Pin { source_name: PIN, value })?)
        }
        (None, None) => ServerTrust::ByAddress,
    };
    let login = match (value("--token-file"), value("--certificate"), value("--key")) {
        (Some(_), Some(_), _) => {
            let (one, other) = ("--token-file", "--certificate");
            return Err(ClientConfigError::Both { one, other });
        }
        (_, Some(_), None) => {
            return Err(ClientConfigError::Half { given: "--certificate", missing: "--key" });
        }
        (_, None, Some(_)) => {
            return Err(ClientConfigError::Half { given: "--key", missing: "--certificate" });
        }
        (Some(path), None, None) => ApplianceLogin::TokenFile(path.into()),
        (None, Some(certificate), Some(key)) => {
            ApplianceLogin::CertificateFiles { certificate: certificate.into(), key: key.into() }
        }
        (None, None, None) => ApplianceLogin::NameOnly,
    };
    Ok(ApplianceAccess { trust, login })
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

    /// A state folder of a host that is enrolled as db1.
    fn enrolled_state() -> (tempfile::TempDir, String) {
        let state = tempfile::TempDir::new().unwrap();
        std::fs::create_dir(state.path().join("identity")).unwrap();
        let at = grid_broker::clock::wall_now();
        let stored = StoredIdentity {
            address: "https://controller:7443".to_owned(),
            pin: KeyHash([7; 32]),
            appliance: "db1".to_owned(),
            token: "aaaaaaaa".to_owned(),
            issued_at: at,
            renew_at: at,
            expires_at: at,
        };
        IdentityFolder::of_state(state.path()).store("", "", &stored).unwrap();
        let option = format!("--state={}", state.path().display());
        (state, option)
    }

    #[test]
    fn an_identity_gives_broker_and_name_unless_they_are_given() {
        let (_state, option) = enrolled_state();
        let target = |line: &[&str], variables: &[(&str, &str)]| {
            let line: Vec<_> = line.iter().copied().chain([option.as_str(), "id=log"]).collect();
            config(&line, variables).map(|config| config.target)
        };
        let own = target(&[], &[]).unwrap();
        assert_eq!(
            (own.broker.as_str(), own.appliance.as_str()),
            ("https://controller:7443", "db1")
        );
        assert!(own.access.identity_folder().is_some());
        assert_eq!(own.name_for("host"), "db1");
        let moved = target(&["--broker=b:1", "--appliance=db1"], &[]).unwrap();
        assert_eq!((moved.broker.as_str(), moved.name_for("host")), ("https://b:1", "db1"));
        assert!(moved.access.identity_folder().is_some());
        // Without TLS, or with another credential, it is not used.
        for (line, variables, broker) in [
            (&["--broker=http://127.0.0.1:1"][..], &[][..], "http://127.0.0.1:1"),
            (&["--broker=b:1", "--token-file=/t"], &[], "b:1"),
            (&["--broker=b:1"], &[("VME_TOKEN_FILE", "/t")], "b:1"),
        ] {
            let other = target(&[line, &["--appliance=x"]].concat(), variables).unwrap();
            assert_eq!((other.broker.as_str(), other.appliance.as_str()), (broker, "x"));
            assert!(other.access.identity_folder().is_none());
            let has_credential = !matches!(other.access.login, ApplianceLogin::NameOnly);
            assert_eq!(other.name_for("host"), if has_credential { "x" } else { "host" });
        }
        for (line, variables, source_name) in [
            (&["--appliance=db2"][..], &[][..], "--appliance"),
            (&[], &[("VME_APPLIANCE", "db2")], "VME_APPLIANCE"),
        ] {
            assert_eq!(
                target(line, variables).unwrap_err(),
                [format!(
                    "{source_name} is `db2`, and the certificate of this host is for `db1`; leave \
                     {source_name} out, or enrol this host as `db2` (`vme enrol --force`)"
                )]
            );
        }
    }

    #[test]
    fn options_of_trust_and_credential_are_checked_together() {
        let pin = "ab".repeat(32);
        let pin = format!("--pin={pin}");
        for (line, expected) in [
            (&["--pin=ab"][..], "--pin `ab` is not a pin, which is 64 hexadecimal digits"),
            (&[&pin, "--ca-file=/ca"], "--ca-file and --pin are given; one of them is possible"),
            (&["--key=/k"], "--key is given without --certificate"),
            (&["--certificate=/c"], "--certificate is given without --key"),
            (
                &["--token-file=/t", "--certificate=/c", "--key=/k"],
                "--token-file and --certificate are given; one of them is possible",
            ),
            (
                &[&pin, "--broker=http://b:1"],
                "http://b:1 is an address without TLS, and a CA file or a pin is given; write \
                 https:// before it",
            ),
            (
                &["--certificate=/c", "--key=/k", "--broker=b:1"],
                "the certificate /c cannot be used without TLS; write https:// before b:1, or give \
                 the broker's CA file or pin",
            ),
        ] {
            let line: Vec<_> = line.iter().copied().chain(["--appliance=a", "id=log"]).collect();
            assert_eq!(config(&line, &[]).unwrap_err(), [expected]);
        }
        let line = [&pin, "--token-file=t", "--broker=b:1", "--appliance=a", "id=log"];
        let given = config(&line, &[]).unwrap();
        assert_eq!(given.target.broker, "https://b:1");
        // Processes that vme starts get them too.
        let variables: Vec<_> = given.access_options.iter().map(|it| it.variable).collect();
        assert_eq!(variables, ["VME_TOKEN_FILE", "VME_PIN"]);
        assert!(std::path::Path::new(&given.access_options[0].value).is_absolute());
    }
}
