//! Reads the certificate files of an operator, and checks them as a start does.
//!
//! Guarantees that a pair is accepted only if its key fits, it is in force and may identify a server,
//! and nobody else can read the key; and that the file of the clients' CA has CAs only, of which one is
//! in force. Does not know what they are used for.

use std::path::{Path, PathBuf};

use tokio_rustls::rustls::crypto::{CryptoProvider, ring as provider};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, InconsistentKeys};

use crate::grid::values::time::Timestamp;
use crate::identity::ca::AuthorityError;
use crate::identity::certificate::{CertificateFacts, show_time};
use crate::identity::files::{self, IdentityFileError};
use crate::identity::name_pattern::NamePattern;

/// Files of an operator; without them the broker's own CA takes their place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorFiles {
    /// The server's certificate with its chain, and its key, both PEM.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The CA of clients in PEM, and the form of their names. It is trusted beside the broker's own
    /// CA.
    pub client_ca: Option<(PathBuf, NamePattern)>,
}

/// TLS cannot be set up, or not be renewed.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The broker's own CA cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A file cannot be read, or others can read a key.
    #[error(transparent)]
    File(#[from] IdentityFileError),
    /// A file has no certificate.
    #[error("{} has no certificate in PEM format", .0.display())]
    NoCertificate(PathBuf),
    /// A certificate cannot be read.
    #[error("a certificate in {} {why}", path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: Box<str>,
    },
    /// A file has no private key.
    #[error("{} has no private key in PEM format that is supported (ECDSA, RSA or Ed25519)", .0.display())]
    NoKey(PathBuf),
    /// Key and certificate are of two pairs.
    #[error(
        "the key in {} is not that of the first certificate in {}; the server's own certificate must \
         come first",
        key.display(),
        certificate.display()
    )]
    OtherKey {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        certificate: PathBuf,
    },
    /// A certificate is not in force.
    #[error(
        "the certificate in {} is valid from {} to {}, and this host's clock says {}",
        path.display(),
        show_time(*from),
        show_time(*to),
        show_time(*now)
    )]
    NotInForce {
        /// The file.
        path: PathBuf,
        /// The begin of its validity.
        from: Timestamp,
        /// The end of its validity.
        to: Timestamp,
        /// This host's time.
        now: Timestamp,
    },
    /// The certificate is for something else.
    #[error("the certificate in {} is not for servers: it lacks the purpose serverAuth", .0.display())]
    NotForServers(PathBuf),
    /// A certificate that should be a CA's is none.
    #[error("{} has a certificate that is not a CA's ({names}), so it cannot sign those of clients", path.display())]
    NotACa {
        /// The file.
        path: PathBuf,
        /// Its names.
        names: Box<str>,
    },
    /// rustls refuses it.
    #[error("cannot set up TLS: {0}")]
    Rustls(Box<str>),
}

/// A certificate chain with its key, as read.
pub(super) struct ServerPair {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    /// Where it is from, for texts: certificate and key.
    pub(super) paths: (PathBuf, PathBuf),
}

impl OperatorFiles {
    /// Checks the server's certificate and key, as a start does.
    ///
    /// # Errors
    ///
    /// Why they cannot be used.
    pub fn check_certificate(&self, now: Timestamp) -> Result<(), TlsError> {
        let Some((certificate, key)) = &self.certificate else { return Ok(()) };
        certify(read_pair(certificate, key)?, &provider::default_provider(), now).map(drop)
    }

    /// Checks the CA of clients, as a start does.
    ///
    /// # Errors
    ///
    /// Why it cannot be used.
    pub fn check_client_ca(&self, now: Timestamp) -> Result<(), TlsError> {
        let Some((path, _)) = &self.client_ca else { return Ok(()) };
        check_authorities(path, &read_certificates(path)?, now)
    }
}

pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = files::read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|error| TlsError::BadCertificate {
        path: path.to_owned(),
        why: format!("cannot be read: {error}").into(),
    })?;
    if all.is_empty() { Err(TlsError::NoCertificate(path.to_owned())) } else { Ok(all) }
}

pub(super) fn read_pair(certificate: &Path, key: &Path) -> Result<ServerPair, TlsError> {
    let chain = read_certificates(certificate)?;
    let pem = files::read_private(key)?;
    let paths = (certificate.to_owned(), key.to_owned());
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| TlsError::NoKey(key.to_owned()))?;
    Ok(ServerPair { chain, key, paths })
}

pub(super) fn parse(path: &Path, der: &[u8]) -> Result<CertificateFacts, TlsError> {
    CertificateFacts::parse(der).map_err(|error| TlsError::BadCertificate {
        path: path.to_owned(),
        why: error.to_string().into(),
    })
}

/// Checks that a certificate can identify the server, with its key.
pub(super) fn certify(
    pair: ServerPair,
    provider: &CryptoProvider,
    now: Timestamp,
) -> Result<(CertifiedKey, CertificateFacts), TlsError> {
    let ServerPair { chain, key, paths: (path, key_path) } = pair;
    let first = chain.first().ok_or_else(|| TlsError::NoCertificate(path.clone()))?;
    let facts = parse(&path, first)?;
    check_in_force(&path, &facts, now)?;
    if !facts.is_for_servers {
        return Err(TlsError::NotForServers(path));
    }
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|_| TlsError::NoKey(key_path.clone()))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) => Ok((certified, facts)),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(TlsError::OtherKey { key: key_path, certificate: path })
        }
        Err(error) => Err(TlsError::Rustls(error.to_string().into())),
    }
}

fn check_in_force(path: &Path, facts: &CertificateFacts, now: Timestamp) -> Result<(), TlsError> {
    if facts.is_valid_at(now) {
        return Ok(());
    }
    let (from, to) = (facts.not_before, facts.not_after);
    Err(TlsError::NotInForce { path: path.to_owned(), from, to, now })
}

/// Checks the CA certificates of a file: all are of CAs, and one at least is in force.
pub(super) fn check_authorities(
    path: &Path,
    certificates: &[CertificateDer<'_>],
    now: Timestamp,
) -> Result<(), TlsError> {
    let mut last = Ok(());
    let mut is_any_in_force = false;
    for certificate in certificates {
        let facts = parse(path, certificate)?;
        if !facts.is_ca {
            let names = facts.common_name.clone().unwrap_or_else(|| facts.listed_names());
            return Err(TlsError::NotACa { path: path.to_owned(), names });
        }
        last = check_in_force(path, &facts, now);
        is_any_in_force |= last.is_ok();
    }
    if is_any_in_force { Ok(()) } else { last }
}
