//! Resolves how a broker is reached: its address, how it is recognised, and the credential.
//!
//! Guarantees that flags override the environment, which overrides the context, and that the
//! credential of a context is used only for the address and pin for which it was stored. Opens no
//! connection.

use std::path::PathBuf;

use grid_broker::client::{ClientCredential, ClientError, ConnectOptions, ServerTrust};

use crate::args::{BrokerChoice, IdentityChoice};
use crate::context::{self, ContextError};
use crate::credentials::{self, AdministratorCredential, BrokerTrust, CredentialStore};
use crate::error::CliError;

/// How a broker is reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct BrokerAccess {
    /// Its address, as typed.
    pub(crate) address: String,
    /// How it is recognised.
    pub(crate) trust: BrokerTrust,
    /// The credential, if there is one.
    pub(crate) credential: Option<AdministratorCredential>,
    /// Where the credential is from.
    pub(crate) origin: CredentialOrigin,
    /// The login name, for a broker that trusts everybody on loopback.
    pub(crate) login: Option<String>,
}

/// Where a credential is from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum CredentialOrigin {
    /// There is none.
    #[default]
    None,
    /// A file that a flag or the environment names.
    File(PathBuf),
    /// The context of this name.
    Context(String),
}

impl BrokerAccess {
    /// Access without a credential, as to a broker on loopback that trusts everybody.
    pub(crate) fn plain(address: &str) -> Self {
        Self { address: address.to_owned(), ..Self::default() }
    }

    /// The options of a connection.
    ///
    /// # Errors
    ///
    /// If they contradict each other.
    pub(crate) fn options(&self) -> Result<ConnectOptions, ClientError> {
        let trust = match &self.trust {
            BrokerTrust::Pin(pin) => ServerTrust::Pin(*pin),
            BrokerTrust::CaFile(path) => ServerTrust::CaFile(path.clone()),
            BrokerTrust::System => ServerTrust::ByAddress,
        };
        let credential = match &self.credential {
            None => ClientCredential::None,
            Some(AdministratorCredential::Token(token)) => ClientCredential::Token(token.clone()),
            Some(AdministratorCredential::Certificate { chain, key }) => {
                ClientCredential::Certificate { certificate: chain.clone(), key: key.clone() }
            }
        };
        ConnectOptions { address: self.address.clone(), trust, credential }.checked()
    }

    /// Resolves the choices of a command line.
    ///
    /// # Errors
    ///
    /// If the context does not exist, or a file cannot be used.
    pub(crate) fn resolve(
        broker: &BrokerChoice,
        identity: &IdentityChoice,
        login: Option<String>,
    ) -> Result<Self, CliError> {
        let named = context::resolve(broker)?;
        let trust = match given_trust(identity)? {
            Some(trust) => trust,
            None => named.trust.clone(),
        };
        let mut access = Self { trust, login, ..Self::plain(&named.address) };
        if let Some(path) = &identity.token_file {
            let (text, place) = credentials::read_token_file(path)?;
            let token = credentials::administrator_token(&text, &place)?;
            access.credential = Some(AdministratorCredential::Token(token));
            access.origin = CredentialOrigin::File(path.clone());
        } else if let Some(name) = &named.name {
            access.credential = store(name, &named.address, &access.trust)?.load()?;
            if access.credential.is_some() {
                access.origin = CredentialOrigin::Context(name.clone());
            }
        }
        Ok(access)
    }
}

/// How the broker is recognised, if a flag or the environment says so.
///
/// # Errors
///
/// If the path of the authorities is relative and the working directory is unknown.
pub(crate) fn given_trust(identity: &IdentityChoice) -> Result<Option<BrokerTrust>, CliError> {
    match (identity.pin, &identity.ca_file) {
        (Some(pin), _) => Ok(Some(BrokerTrust::Pin(pin))),
        // Absolute, since a context is used in other folders.
        (None, Some(path)) => Ok(Some(BrokerTrust::CaFile(std::path::absolute(path)?))),
        (None, None) => Ok(None),
    }
}

/// The store of the credential of a context.
///
/// # Errors
///
/// If there is no home directory.
pub(crate) fn store(
    name: &str,
    address: &str,
    trust: &BrokerTrust,
) -> Result<CredentialStore, ContextError> {
    let folder = context::folder().ok_or(ContextError::NoHome)?;
    Ok(CredentialStore::new(&folder, name, address, trust))
}
