//! Builds the TLS configurations of both listeners, and builds them again when files have changed.
//!
//! Guarantees that a configuration is used only if its key fits its certificate, the certificate is
//! in force and may identify a server, nobody else can read the key, and the file of the clients' CA
//! has one; and that no session is resumed, since a resumed one would let an ended certificate in.
//! Compares contents, not times of files. Does not know who accepts connections.

mod operator_files;

use std::collections::BTreeSet;
use std::sync::Arc;

use ring::digest::{Context, SHA256};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring as provider};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{Error, RootCertStore, ServerConfig, version};

pub use self::operator_files::{OperatorFiles, TlsError};
use self::operator_files::{
    ServerPair, certify, check_authorities, parse, read_certificates, read_pair,
};
use super::ca::CertificateAuthority;
use super::certificate::show_time;
use super::client_verifier::ClientVerifier;
use crate::grid::values::identity::KeyHash;
use crate::grid::values::time::Timestamp;

/// Whether a listener asks its clients for certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// No.
    #[default]
    Off,
    /// Yes, and a client may have none. One that is not accepted ends the handshake.
    Optional,
    /// Yes, and without one there is no connection.
    Required,
}

/// What the TLS of both listeners is built from.
#[derive(Clone, Debug)]
pub struct TlsPlan {
    /// Files of the operator.
    pub files: OperatorFiles,
    /// Names and addresses in the broker's own certificate.
    pub names: BTreeSet<String>,
    /// Of the gRPC listener.
    pub grpc_clients: ClientCertificates,
    /// Of the HTTP listener.
    pub http_clients: ClientCertificates,
}

/// The TLS configuration of one listener.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// The configuration.
    pub server: Arc<ServerConfig>,
    /// Whether it asks for certificates.
    pub clients: ClientCertificates,
}

/// The TLS configurations of both listeners.
#[derive(Clone, Debug)]
pub struct TlsConfigs {
    /// Of the gRPC listener.
    pub grpc: TlsConfig,
    /// Of the HTTP listener.
    pub http: TlsConfig,
    /// The hash of the public key of the last certificate that the server sends. Clients pin it.
    pub pin: KeyHash,
    /// When the server's certificate began.
    pub issued_at: Timestamp,
    /// When the server's certificate ends.
    pub expires_at: Timestamp,
    /// The serial number of the server's certificate.
    pub serial: Box<str>,
}

/// The part of its life that is left when an alert opens: a sixth.
const WARNED_LIFE: u32 = 6;

/// What is known of the server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsStatus {
    /// When it began.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Its serial number.
    pub serial: Box<str>,
    /// Why its files, which have changed, are not used; the old one stays in use.
    pub error: Option<Box<str>>,
}

impl TlsStatus {
    /// The status of configurations that were just loaded.
    pub fn of(configs: &TlsConfigs) -> Self {
        Self {
            issued_at: configs.issued_at,
            expires_at: configs.expires_at,
            serial: configs.serial.clone(),
            error: None,
        }
    }

    /// What somebody has to do about it at `now`, as a sentence; `None`: nothing. It ends when a sixth
    /// of its life is left: the broker renews its own long before.
    pub fn problem(&self, now: Timestamp) -> Option<String> {
        let warned_from =
            self.expires_at.before(self.expires_at.since(self.issued_at) / WARNED_LIFE);
        let end = show_time(self.expires_at);
        let ending = if now >= self.expires_at {
            Some(format!("the server certificate has ended ({end}): clients refuse it"))
        } else if now >= warned_from {
            Some(format!("the server certificate ends {end} and was not replaced"))
        } else {
            None
        };
        let error = self.error.as_ref();
        let error = error.map(|error| format!("the new server certificate is not used: {error}"));
        match (ending, error) {
            (Some(ending), Some(error)) => Some(format!("{ending}; {error}")),
            (ending, error) => ending.or(error),
        }
    }
}

/// Loads the TLS configurations. Blocks: it reads files, and may write those of the broker's own CA.
#[derive(Debug)]
pub struct TlsLoader {
    plan: TlsPlan,
    authority: Arc<CertificateAuthority>,
    /// The hash of the contents that are in use.
    loaded: Option<[u8; 32]>,
}

impl TlsLoader {
    /// A loader that has loaded nothing yet.
    pub fn new(plan: TlsPlan, authority: Arc<CertificateAuthority>) -> Self {
        Self { plan, authority, loaded: None }
    }

    /// Loads the configurations if contents have changed since the last time that it could; `None`:
    /// they have not.
    ///
    /// # Errors
    ///
    /// Why the files cannot be used. The next call tries again.
    pub fn load(&mut self, now: Timestamp) -> Result<Option<TlsConfigs>, TlsError> {
        let (pair, client_ca) = self.read(now)?;
        if self.loaded == Some(hash_of(&pair, &client_ca)) {
            return Ok(None);
        }
        self.load_contents(pair, client_ca, now).map(Some)
    }

    /// Loads the configurations, whether the contents have changed or not.
    ///
    /// # Errors
    ///
    /// Why the files cannot be used.
    pub fn load_first(&mut self, now: Timestamp) -> Result<TlsConfigs, TlsError> {
        let (pair, client_ca) = self.read(now)?;
        self.load_contents(pair, client_ca, now)
    }

    fn load_contents(
        &mut self,
        pair: ServerPair,
        client_ca: Vec<CertificateDer<'static>>,
        now: Timestamp,
    ) -> Result<TlsConfigs, TlsError> {
        let contents = hash_of(&pair, &client_ca);
        let configs = self.build(pair, client_ca, now)?;
        self.loaded = Some(contents);
        Ok(configs)
    }

    /// Reads the server's pair and the CA of clients.
    fn read(&self, now: Timestamp) -> Result<(ServerPair, Vec<CertificateDer<'static>>), TlsError> {
        let pair = match &self.plan.files.certificate {
            Some((certificate, key)) => read_pair(certificate, key)?,
            None => self.own_pair(now)?,
        };
        let client_ca = match &self.plan.files.client_ca {
            Some((path, _)) => read_certificates(path)?,
            None => Vec::new(),
        };
        Ok((pair, client_ca))
    }

    fn own_pair(&self, now: Timestamp) -> Result<ServerPair, TlsError> {
        let own = self.authority.server_certificate(&self.plan.names, now)?;
        let folder = self.authority.folder();
        let paths = (folder.join("server.pem"), folder.join("server.key"));
        Ok(ServerPair { chain: own.chain, key: own.key, paths })
    }

    fn build(
        &self,
        pair: ServerPair,
        client_ca: Vec<CertificateDer<'static>>,
        now: Timestamp,
    ) -> Result<TlsConfigs, TlsError> {
        let provider = Arc::new(provider::default_provider());
        let path = pair.paths.0.clone();
        let (certified, facts) = certify(pair, &provider, now)?;
        let last = certified.cert.last().map(|der| parse(&path, der)).transpose()?;
        let pin = last.map_or(facts.key, |last| last.key);
        let mut roots = RootCertStore::empty();
        let refused = |error: Error| TlsError::Rustls(error.to_string().into());
        roots.add(self.authority.certificate_der().clone()).map_err(refused)?;
        if let Some((path, _)) = &self.plan.files.client_ca {
            check_authorities(path, &client_ca, now)?;
            for certificate in client_ca {
                roots.add(certificate).map_err(refused)?;
            }
        }
        let roots = Arc::new(roots);
        let resolver = Arc::new(SingleCertAndKey::from(certified));
        let config = |clients, protocols: &[&[u8]]| {
            let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(&[&version::TLS13, &version::TLS12])
                .map_err(refused)?;
            let builder = match self.verifier(clients, &roots, &provider)? {
                Some(verifier) => builder.with_client_cert_verifier(verifier),
                None => builder.with_no_client_auth(),
            };
            let mut config = builder.with_cert_resolver(Arc::clone(&resolver) as Arc<_>);
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            // A resumed session is not verified again.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            Ok::<_, TlsError>(TlsConfig { server: Arc::new(config), clients })
        };
        Ok(TlsConfigs {
            grpc: config(self.plan.grpc_clients, &[b"h2"])?,
            http: config(self.plan.http_clients, &[b"h2", b"http/1.1"])?,
            pin,
            issued_at: facts.not_before,
            expires_at: facts.not_after,
            serial: facts.serial,
        })
    }

    fn verifier(
        &self,
        clients: ClientCertificates,
        roots: &Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let (roots, provider) = (Arc::clone(roots), Arc::clone(provider));
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
        let builder = match clients {
            ClientCertificates::Off => return Ok(None),
            ClientCertificates::Optional => builder.allow_unauthenticated(),
            ClientCertificates::Required => builder,
        };
        let chain = builder.build().map_err(|error| TlsError::Rustls(error.to_string().into()))?;
        let pattern = self.plan.files.client_ca.as_ref().map(|(_, pattern)| pattern.clone());
        let authority = Arc::clone(&self.authority);
        Ok(Some(Arc::new(ClientVerifier { chain, authority, pattern })))
    }
}

fn hash_of(pair: &ServerPair, client_ca: &[CertificateDer<'_>]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    let parts = pair.chain.iter().map(|der| &der[..]);
    let parts = parts.chain([pair.key.secret_der()]).chain(client_ca.iter().map(|der| &der[..]));
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests;
