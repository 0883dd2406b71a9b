//! How vme gets to the broker: whom it trusts, and by which credential it is known.
//!
//! Guarantees that files with tokens, certificates and keys are read at each connect, so that renewed
//! ones are used at once, and that an ended certificate is renewed first. Does not know what is sent.

use std::path::PathBuf;

use grid_broker::client::{
    BrokerAddress, BrokerChannel, ClientCredential, ClientError, ConnectOptions, SecurityFailure,
    ServerTrust, TokenText,
};
use grid_broker::identity::token::TokenKind;

use crate::identity::folder::IdentityFolder;
use crate::identity::renewal;

/// The way to the broker.
#[derive(Clone, Debug, Default)]
pub(crate) struct ApplianceAccess {
    /// How the broker is verified. With an identity: as given, else by its pin.
    pub(crate) trust: ServerTrust,
    /// Who we are.
    pub(crate) login: ApplianceLogin,
}

/// How this appliance is known to the broker.
#[derive(Clone, Debug, Default)]
pub(crate) enum ApplianceLogin {
    /// By its name alone: a development broker on loopback.
    #[default]
    NameOnly,
    /// By a token in this file.
    TokenFile(PathBuf),
    /// By a certificate that an operator's CA signed.
    CertificateFiles { certificate: PathBuf, key: PathBuf },
    /// By the identity of this host.
    Enrolled(IdentityFolder),
    /// By nothing: the identity of this host cannot be read, and why.
    Unreadable(String),
}

impl ApplianceAccess {
    /// Connects to the broker at `address`.
    ///
    /// # Errors
    ///
    /// As [`ConnectOptions::connect`], and if a file cannot be used.
    pub(crate) async fn connect(&self, address: &str) -> Result<BrokerChannel, ClientError> {
        let options = match &self.login {
            ApplianceLogin::NameOnly => self.options(address, ClientCredential::None),
            ApplianceLogin::TokenFile(path) => {
                self.options(address, ClientCredential::Token(read_token(path)?))
            }
            ApplianceLogin::CertificateFiles { certificate, key } => {
                let (certificate, key) = (certificate.clone(), key.clone());
                self.options(address, ClientCredential::Certificate { certificate, key })
            }
            ApplianceLogin::Enrolled(folder) => self.enrolled(address, folder).await?,
            ApplianceLogin::Unreadable(why) => return Err(unusable(why)),
        };
        options.connect().await
    }

    async fn enrolled(
        &self,
        address: &str,
        folder: &IdentityFolder,
    ) -> Result<ConnectOptions, ClientError> {
        let load = || folder.load().map_err(|error| unusable(&error.to_string()));
        let missing = "the identity of this host was removed; enrol it again (`vme enrol`)";
        let mut stored = load()?.ok_or_else(|| unusable(missing))?;
        if stored.has_ended() {
            // Without a new one the broker refuses us, and that error says why. Another process may
            // have renewed it.
            let _ = renewal::renew_if_due(folder, renewal::RENEWAL_WITHIN).await;
            stored = load()?.ok_or_else(|| unusable(missing))?;
        }
        let trust = match &self.trust {
            ServerTrust::ByAddress => ServerTrust::Pin(stored.pin),
            given @ (ServerTrust::CaFile(_) | ServerTrust::Pin(_)) => given.clone(),
        };
        Ok(ConnectOptions { address: address.to_owned(), trust, credential: folder.credential() })
    }

    fn options(&self, address: &str, credential: ClientCredential) -> ConnectOptions {
        ConnectOptions { address: address.to_owned(), trust: self.trust.clone(), credential }
    }

    /// The folder with the identity of this host, if that is used.
    pub(crate) fn identity_folder(&self) -> Option<&IdentityFolder> {
        match &self.login {
            ApplianceLogin::Enrolled(folder) => Some(folder),
            ApplianceLogin::NameOnly
            | ApplianceLogin::TokenFile(_)
            | ApplianceLogin::CertificateFiles { .. }
            | ApplianceLogin::Unreadable(_) => None,
        }
    }
}

/// An address to which the broker at `from` sent us: with TLS if that one has it.
pub(crate) fn redirected(from: &str, to: &str) -> String {
    let is_tls = |address: &str| {
        BrokerAddress::parse(address).is_ok_and(|address| address.is_https == Some(true))
    };
    if !is_tls(from) || is_tls(to) {
        return to.to_owned();
    }
    format!("https://{}", to.strip_prefix("http://").unwrap_or(to))
}

/// The same host and port, whatever the schemes.
pub(crate) fn is_same_broker(one: &str, other: &str) -> bool {
    let authority = |address: &str| {
        address.split_once("://").map_or(address, |(_, rest)| rest).trim_end_matches('/').to_owned()
    };
    authority(one) == authority(other)
}

fn read_token(path: &std::path::Path) -> Result<TokenText, ClientError> {
    let token = TokenText::read(path).map_err(|error| unusable(&error.to_string()))?;
    let what = match token.parsed().kind {
        TokenKind::Appliance => return Ok(token),
        TokenKind::Administrator => {
            "an administrator's; vme needs an appliance's, which begins with gbd_"
        }
        TokenKind::Enrolment => "for enrolment; exchange it by `vme enrol`",
    };
    Err(unusable(&format!("the token in {} is {what}", path.display())))
}

fn unusable(why: &str) -> ClientError {
    SecurityFailure::options(why).into()
}
