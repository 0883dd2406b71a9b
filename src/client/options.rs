//! Defines how to connect to a broker: its address, whom to trust, and by which credential.
//!
//! Guarantees that a connection without TLS carries a token to a loopback address only, and no options
//! that contradict each other. Does not open connections.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::client::ClientError;
use crate::client::security_failure::{SecurityFailure, SecurityFailureKind};
use crate::client::token_text::TokenText;
use crate::grid::values::identity::KeyHash;

/// How to connect to a broker.
///
/// ```no_run
/// use grid_broker::client::{ClientCredential, ConnectOptions, ServerTrust};
/// # async fn example() -> Result<(), grid_broker::client::ClientError> {
/// let options = ConnectOptions {
///     address: "broker.example.org:7443".to_owned(),
///     trust: ServerTrust::CaFile("/etc/grid/ca.pem".into()),
///     credential: ClientCredential::None,
/// }
/// .checked()?;
/// let channel = options.connect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// `host:port`, `http://host:port` or `https://host:port`.
    pub address: String,
    /// How the broker's certificate is verified.
    pub trust: ServerTrust,
    /// Who we are.
    pub credential: ClientCredential,
}

/// How the broker's certificate is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ServerTrust {
    /// For an `https://` address: by the CAs of the system. Otherwise the connection has no TLS.
    #[default]
    ByAddress,
    /// By the CA certificates in this PEM file.
    CaFile(PathBuf),
    /// By the hash of the public key of its CA, or of its own certificate.
    Pin(KeyHash),
}

/// Our own credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientCredential {
    /// None.
    #[default]
    None,
    /// A token, sent with each call.
    Token(TokenText),
    /// A client certificate: PEM files, read at each connect.
    Certificate {
        /// The certificate, with those between it and the CA after it.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
}

/// A parsed address of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddress {
    /// The host name or IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The scheme, if it is given: `https` is true, `http` is false.
    pub is_https: Option<bool>,
}

impl BrokerAddress {
    /// Parses `host:port`, `http://host:port` or `https://host:port`.
    ///
    /// # Errors
    ///
    /// [`ClientError::Address`] if it is none of them.
    pub fn parse(address: &str) -> Result<Self, ClientError> {
        let invalid = || ClientError::Address { address: address.to_owned() };
        let is_https = match address.split_once("://") {
            None => None,
            Some(("https", _)) => Some(true),
            Some(("http", _)) => Some(false),
            Some(_) => return Err(invalid()),
        };
        let uri = if is_https.is_some() { address.to_owned() } else { format!("http://{address}") };
        let uri: http::Uri = uri.parse().map_err(|_| invalid())?;
        let host = uri.host().ok_or_else(invalid)?;
        let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        let has_user = uri.authority().is_some_and(|it| it.as_str().contains('@'));
        if host.is_empty() || has_user || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(invalid());
        }
        let port = uri.port_u16().ok_or_else(invalid)?;
        Ok(Self { host: host.to_owned(), port, is_https })
    }

    /// Whether the host is this machine, without asking a name server.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => {
                let host = self.host.to_ascii_lowercase();
                host == "localhost" || host.ends_with(".localhost")
            }
        }
    }

    /// `host:port`, as sockets and URIs have it.
    pub(super) fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl ConnectOptions {
    /// Without TLS, unless the address begins with `https://`, and without a credential.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            trust: ServerTrust::default(),
            credential: ClientCredential::default(),
        }
    }

    /// The same options with `https://` before the address if the connection uses TLS, so that errors
    /// about the address say so. Checks that the options fit each other.
    ///
    /// # Errors
    ///
    /// As [`ConnectOptions::check`].
    pub fn checked(self) -> Result<Self, ClientError> {
        let (address, is_tls) = self.check()?;
        Ok(match is_tls {
            true => Self { address: format!("https://{}", address.authority()), ..self },
            false => self,
        })
    }

    /// Checks that the options fit each other, without opening a file or a connection. Returns the
    /// address and whether the connection uses TLS.
    ///
    /// # Errors
    ///
    /// [`ClientError::Address`], or [`ClientError::Security`] with what contradicts what.
    pub fn check(&self) -> Result<(BrokerAddress, bool), ClientError> {
        let address = BrokerAddress::parse(&self.address)?;
        let is_trust_given = match self.trust {
            ServerTrust::ByAddress => false,
            ServerTrust::CaFile(_) | ServerTrust::Pin(_) => true,
        };
        let contradiction =
            |text: String| Err(SecurityFailure::new(SecurityFailureKind::Options, text).into());
        if is_trust_given && address.is_https == Some(false) {
            return contradiction(format!(
                "{} is an address without TLS, and a CA file or a pin is given; write https:// \
                 before it",
                self.address
            ));
        }
        let is_tls = is_trust_given || address.is_https == Some(true);
        match &self.credential {
            ClientCredential::Token(_) if !is_tls && !address.is_loopback() => {
                contradiction(format!(
                    "the token is not sent to {} without TLS, where others could read it; write \
                     https:// before the address, or give the broker's CA file or pin",
                    self.address
                ))
            }
            ClientCredential::Certificate { certificate, .. } if !is_tls => contradiction(format!(
                "the certificate {} cannot be used without TLS; write https:// before {}, or \
                     give the broker's CA file or pin",
                certificate.display(),
                self.address
            )),
            ClientCredential::None
            | ClientCredential::Token(_)
            | ClientCredential::Certificate { .. } => Ok((address, is_tls)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::token::{NewToken, TokenKind};

    fn address(text: &str) -> Option<(String, u16, Option<bool>)> {
        BrokerAddress::parse(text).ok().map(|it| (it.host, it.port, it.is_https))
    }

    #[test]
    fn an_address_is_host_and_port_with_or_without_a_scheme() {
        for (text, host, port, is_https) in [
            ("127.0.0.1:7443", "127.0.0.1", 7443, None),
            ("http://broker:1", "broker", 1, Some(false)),
            ("https://broker.example.org:7443/", "broker.example.org", 7443, Some(true)),
            ("[::1]:7443", "::1", 7443, None),
            ("https://[2001:db8::1]:1", "2001:db8::1", 1, Some(true)),
        ] {
            assert_eq!(address(text), Some((host.to_owned(), port, is_https)), "{text}");
        }
        for text in [
            "",
            "broker",
            ":7443",
            "https://broker",
            "ftp://broker:1",
            "https://u@broker:1",
            "broker:1/x",
            "broker:1?x",
            "broker:70000",
            "::1:7443",
            "broker :1",
        ] {
            assert_eq!(address(text), None, "{text}");
        }
    }

    #[test]
    fn loopback_is_an_address_or_a_name_below_localhost() {
        for (text, is_loopback) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("LocalHost:1", true),
            ("a.localhost:1", true),
            ("localhost.example.org:1", false),
            ("evillocalhost:1", false),
            ("10.0.0.1:1", false),
            ("0.0.0.0:1", false),
        ] {
            assert_eq!(
                BrokerAddress::parse(text).expect("address").is_loopback(),
                is_loopback,
                "{text}"
            );
        }
    }

    #[test]
    fn a_token_is_never_sent_in_clear_off_loopback() {
        let token = NewToken::generate(TokenKind::Administrator, None).expect("a token");
        let credential = ClientCredential::Token(TokenText::new(token.text()).expect("a token"));
        let options = |address: &str, trust| ConnectOptions {
            address: address.to_owned(),
            trust,
            credential: credential.clone(),
        };
        let error = options("broker:7443", ServerTrust::ByAddress).check().expect_err("refused");
        assert_eq!(
            error.to_string(),
            "the token is not sent to broker:7443 without TLS, where others could read it; write \
             https:// before the address, or give the broker's CA file or pin"
        );
        assert!(options("http://10.0.0.1:1", ServerTrust::ByAddress).check().is_err());
        let pin = ServerTrust::Pin(KeyHash([1; 32]));
        for (address, trust, is_tls) in [
            ("127.0.0.1:7443", ServerTrust::ByAddress, false),
            ("http://localhost:7443", ServerTrust::ByAddress, false),
            ("https://broker:7443", ServerTrust::ByAddress, true),
            ("broker:7443", pin.clone(), true),
            ("broker:7443", ServerTrust::CaFile("ca.pem".into()), true),
        ] {
            let checked = options(address, trust).check().expect("no contradiction");
            assert_eq!(checked.1, is_tls, "{address}");
        }
        let error = options("http://localhost:1", pin).check().expect_err("a contradiction");
        assert!(error.to_string().contains("write https:// before it"), "{error}");
        assert!(!format!("{credential:?}").contains(&token.text()[13..]), "no secret is printed");
    }

    #[test]
    fn a_certificate_needs_tls() {
        let options = ConnectOptions {
            address: "127.0.0.1:1".to_owned(),
            trust: ServerTrust::ByAddress,
            credential: ClientCredential::Certificate {
                certificate: "/a/cert.pem".into(),
                key: "/a/key.pem".into(),
            },
        };
        assert_eq!(
            options.check().expect_err("a contradiction").to_string(),
            "the certificate /a/cert.pem cannot be used without TLS; write https:// before \
             127.0.0.1:1, or give the broker's CA file or pin"
        );
    }
}
