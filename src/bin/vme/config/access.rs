//! The way to the broker: options of trust and credential, and the identity of this host.
//!
//! Guarantees that options that contradict each other are found before anything is sent, and that a
//! credential that is given takes the place of the identity. Opens no file with a secret.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use grid_broker::client::{self, ClientCredential, ConnectOptions, ServerTrust};
use grid_broker::grid::values::identity::KeyHash;

use super::{BrokerTarget, ClientConfigError, Environment, lossy, option_or_variable};
use crate::appliance_access::{ApplianceAccess, ApplianceLogin};
use crate::arguments::Options;
use crate::identity::folder::{IdentityFolder, StoredIdentity};

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

/// The identity of this host.
pub(super) enum FoundIdentity {
    /// There is none, or it is not used.
    None,
    Stored(IdentityFolder, StoredIdentity),
    /// It cannot be read, and why.
    Unreadable(String),
}

/// A broker that is addressed without TLS, or another credential, leaves the identity unused.
pub(super) fn may_use_identity(given: &ApplianceAccess, broker: Option<&str>) -> bool {
    let is_plain = broker.is_some_and(|address| address.starts_with("http://"));
    matches!(given.login, ApplianceLogin::NameOnly) && !is_plain
}

pub(super) fn load_identity(state: &Path) -> FoundIdentity {
    let folder = IdentityFolder::of_state(state);
    match folder.load() {
        Ok(Some(stored)) => FoundIdentity::Stored(folder, stored),
        Ok(None) => FoundIdentity::None,
        Err(error) => FoundIdentity::Unreadable(error.to_string()),
    }
}

/// The broker, and how to get to it.
pub(super) fn target(
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

/// The options of trust and credential that are given.
pub(super) fn access_options(options: &Options, environment: Environment) -> Vec<AccessOption> {
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
pub(super) fn parse_access(given: &[AccessOption]) -> Result<ApplianceAccess, ClientConfigError> {
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
