//! The settings of TLS and authentication, and whether they fit together and the listeners.
//!
//! Guarantees that no listener off loopback is without TLS or trusts everybody, unless the operator
//! says so; that half a pair of files is an error; and that files that a start could not use are
//! errors already of a check. Does not set up TLS.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Settings;
use super::mail::TextRule;
use crate::clock;
use crate::config::error::{ConfigError, Origin};
use crate::identity::authenticator::AuthenticationMode;
use crate::identity::name_pattern::NamePattern;
use crate::identity::server_tls::{ClientCertificates, OperatorFiles, TlsError};

/// Whether callers need credentials, as configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// Unless both listeners are on loopback.
    #[default]
    Auto,
    /// Yes.
    Required,
    /// No: everybody is trusted. On loopback only.
    Off,
}

/// Which listeners have TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// Those that are not on loopback.
    #[default]
    Auto,
    /// Both.
    On,
    /// None.
    Off,
}

/// The settings of TLS; an empty text is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Which listeners have it.
    pub mode: TlsMode,
    /// The file of the server's certificate with its chain; empty: the broker's own CA signs one.
    pub certificate: String,
    /// The file of its key.
    pub key: String,
    /// The file of a CA of clients, which is trusted besides the broker's own.
    pub client_ca: String,
    /// The form of the names in certificates of that CA.
    pub client_names: String,
    /// Whether a listener off loopback may be without TLS.
    pub plaintext_off_loopback: bool,
    /// Whether the gRPC listener asks for client certificates.
    pub grpc_client_certificates: ClientCertificates,
    /// Whether the HTTP listener does.
    pub http_client_certificates: ClientCertificates,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            mode: TlsMode::Auto,
            certificate: String::new(),
            key: String::new(),
            client_ca: String::new(),
            client_names: String::new(),
            plaintext_off_loopback: false,
            grpc_client_certificates: ClientCertificates::Optional,
            http_client_certificates: ClientCertificates::Off,
        }
    }
}

/// The form of names in certificates.
pub(super) static CLIENT_NAMES: TextRule = TextRule {
    allowed: "a form of names such as spiffe://corp.example/grid/{name} or {name}.vm.example",
    error: |text| {
        let invalid = NamePattern::new(text).err().filter(|_| !text.is_empty());
        invalid.map(|error| format!("it {error}"))
    },
};

/// What is at risk on a listener off loopback that has no TLS.
const PLAINTEXT_RISK: &str = "tokens and events can be read and changed on the way";

impl Settings {
    /// Whether the gRPC listener has TLS.
    pub fn grpc_has_tls(&self) -> bool {
        self.has_tls(self.grpc)
    }

    /// Whether the HTTP listener has TLS.
    pub fn http_has_tls(&self) -> bool {
        self.has_tls(self.http)
    }

    fn has_tls(&self, at: SocketAddr) -> bool {
        match self.tls.mode {
            TlsMode::Auto => !at.ip().is_loopback(),
            TlsMode::On => true,
            TlsMode::Off => false,
        }
    }

    /// Whether callers need credentials.
    pub fn authentication_mode(&self) -> AuthenticationMode {
        let is_local = self.grpc.ip().is_loopback() && self.http.ip().is_loopback();
        match self.authentication {
            Authentication::Off => AuthenticationMode::Off,
            Authentication::Auto if is_local => AuthenticationMode::Off,
            Authentication::Auto | Authentication::Required => AuthenticationMode::Required,
        }
    }

    /// The operator's files of certificates. The settings are valid: no pair is half.
    pub fn operator_files(&self) -> OperatorFiles {
        let TlsSettings { certificate, key, client_ca, client_names, .. } = &self.tls;
        let pattern = NamePattern::new(client_names).ok();
        OperatorFiles {
            certificate: (!certificate.is_empty() && !key.is_empty())
                .then(|| (PathBuf::from(certificate), PathBuf::from(key))),
            client_ca: pattern
                .filter(|_| !client_ca.is_empty())
                .map(|pattern| (PathBuf::from(client_ca), pattern)),
        }
    }

    /// Errors of the settings of TLS and authentication as a whole.
    pub(super) fn check_tls(&self) -> Vec<ConfigError> {
        let listeners = [("grpc", self.grpc), ("http", self.http)];
        let mut errors = Vec::new();
        for (key, at) in listeners.into_iter().filter(|(_, at)| !at.ip().is_loopback()) {
            if !self.has_tls(at) && !self.tls.plaintext_off_loopback {
                let text = format!(
                    "{at} is not on loopback, and with tls.mode = \"off\" {PLAINTEXT_RISK}; set \
                     tls.mode = \"auto\", listen on 127.0.0.1 or [::1], or accept that risk with \
                     tls.plaintext_off_loopback = true"
                );
                errors.push(self.error_at(&[key, "tls.mode"], text));
            }
            if self.authentication == Authentication::Off {
                let text = format!(
                    "off: everybody who can reach {key} on {at}, which is not on loopback, could do \
                     everything; set authentication = \"auto\", or listen on 127.0.0.1 or [::1]"
                );
                errors.push(self.error_at(&["authentication"], text));
            }
        }
        // Once for both listeners.
        errors.dedup_by(|a, b| a.key == b.key);
        errors.extend(self.check_client_certificates());
        errors.extend(self.check_tls_files());
        errors
    }

    fn check_client_certificates(&self) -> Vec<ConfigError> {
        let of = [
            ("tls.grpc_client_certificates", self.tls.grpc_client_certificates, self.grpc),
            ("tls.http_client_certificates", self.tls.http_client_certificates, self.http),
        ];
        let is_without_tls = |clients: ClientCertificates, at: SocketAddr| {
            clients == ClientCertificates::Required && !self.has_tls(at)
        };
        let wrong = of.into_iter().filter(|(_, clients, at)| is_without_tls(*clients, *at));
        let error = |(key, _, at)| {
            let text = format!(
                "required: but {at} has no TLS, so there are no certificates; tls.mode = \"on\" \
                 gives it TLS"
            );
            self.error_at(&[key], text)
        };
        wrong.map(error).collect()
    }

    fn check_tls_files(&self) -> Vec<ConfigError> {
        let TlsSettings { certificate, key, client_ca, client_names, .. } = &self.tls;
        let mut errors = Vec::new();
        for (set, missing, [set_value, missing_value]) in [
            ("tls.certificate", "tls.key", [certificate, key]),
            ("tls.key", "tls.certificate", [key, certificate]),
            ("tls.client_ca", "tls.client_names", [client_ca, client_names]),
            ("tls.client_names", "tls.client_ca", [client_names, client_ca]),
        ] {
            if !set_value.is_empty() && missing_value.is_empty() {
                errors.push(self.error_at(&[set], format!("needs {missing}, which is not set")));
            }
        }
        let (files, now) = (self.operator_files(), clock::wall_now());
        let unusable = |keys: &[&str], checked: Result<(), TlsError>| {
            checked.err().map(|error| self.error_at(keys, error.to_string()))
        };
        errors.extend(unusable(&["tls.certificate", "tls.key"], files.check_certificate(now)));
        errors.extend(unusable(&["tls.client_ca"], files.check_client_ca(now)));
        errors
    }

    /// An error at the first of `keys`, with the source of the first one that is set.
    fn error_at(&self, keys: &[&str], text: String) -> ConfigError {
        let set = keys.iter().find(|key| self.origin(key) != Origin::Default).or(keys.first());
        let key = set.copied().unwrap_or_default().to_owned();
        ConfigError { origin: self.origin(&key), key, text }
    }

    /// The warning about a listener off loopback without TLS.
    pub(super) fn plaintext_warning(&self) -> Option<ConfigError> {
        let is_plain = |at: SocketAddr| !at.ip().is_loopback() && !self.has_tls(at);
        let plain = [self.grpc, self.http].into_iter().find(|at| is_plain(*at))?;
        let text = format!("{plain} is not on loopback and has no TLS: {PLAINTEXT_RISK}");
        Some(self.error_at(&["tls.plaintext_off_loopback"], text))
    }
}
