//! The certificate of the broker itself, signed by its own CA.
//!
//! Guarantees that it has the names that it should have and is in force, for one third of its life
//! at least: it is renewed otherwise, by the broker itself and with the same key. Does not know who
//! shows it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use rcgen::{ExtendedKeyUsagePurpose, KeyPair, PublicKeyData, SanType};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::ca::{self, AuthorityError, CertificateAuthority, parameters, random_serial};
use super::certificate::{CertificateFacts, hash_of_key};
use super::files;
use crate::grid::values::time::Timestamp;

/// The file of the private key.
const KEY_FILE: &str = "server.key";

/// The file of the certificate.
const CERTIFICATE_FILE: &str = "server.pem";

/// How long it is valid.
const LIFETIME: Duration = Duration::from_secs(90 * 86_400);

/// It is renewed with this much left.
const RENEWED_BEFORE_END: Duration = Duration::from_secs(30 * 86_400);

/// A certificate of the broker with its key.
#[derive(Debug)]
pub struct ServerCertificate {
    /// It, and the CA behind it.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
}

impl CertificateAuthority {
    /// The certificate of the broker itself for `names`, which are host names and addresses. Made if
    /// there is none, and renewed if it ends soon or has other names. Blocks.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or written, or others can read the key.
    pub fn server_certificate(
        &self,
        names: &BTreeSet<String>,
        now: Timestamp,
    ) -> Result<ServerCertificate, AuthorityError> {
        let [key_path, path] = [KEY_FILE, CERTIFICATE_FILE].map(|name| self.folder().join(name));
        let key = if key_path.exists() {
            ca::read_key(&key_path)?
        } else {
            let key = KeyPair::generate()?;
            files::replace_file(&key_path, key.serialize_pem().as_bytes())?;
            key
        };
        let stored = if path.exists() { self.stored(&files::read(&path)?) } else { None };
        let is_usable = |facts: &CertificateFacts| {
            facts.key == hash_of_key(&key.subject_public_key_info())
                && names_of(facts) == *names
                && facts.is_valid_at(now)
                // It cannot be valid for longer than the CA.
                && (now <= facts.not_after.before(RENEWED_BEFORE_END)
                    || facts.not_after == self.expires_at())
        };
        let stored = stored.filter(|(_, facts)| is_usable(facts));
        let certificate = match stored {
            Some((certificate, _)) => certificate,
            None => {
                let certificate = self.issue(&key, names, now)?;
                files::replace_file(&path, certificate.pem().as_bytes())?;
                tracing::info!(
                    path = %path.display(),
                    "the broker has signed its own server certificate"
                );
                certificate.der().clone()
            }
        };
        let chain = vec![certificate, self.certificate_der().clone()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Ok(ServerCertificate { chain, key })
    }

    /// The certificate in a file, if it is one that this authority has signed.
    fn stored(&self, pem: &[u8]) -> Option<(CertificateDer<'static>, CertificateFacts)> {
        let certificate = CertificateDer::from_pem_slice(pem).ok()?;
        let facts = CertificateFacts::parse(&certificate).ok()?;
        self.has_signed(&certificate).then_some((certificate, facts))
    }

    fn issue(
        &self,
        key: &KeyPair,
        names: &BTreeSet<String>,
        now: Timestamp,
    ) -> Result<rcgen::Certificate, AuthorityError> {
        let end = now.after(LIFETIME).min(self.expires_at());
        let mut params = parameters(random_serial()?, (now.before(ca::BACKDATED), end));
        let to_name = |name: &String| -> Result<SanType, rcgen::Error> {
            Ok(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into()?),
            })
        };
        params.subject_alt_names = names.iter().map(to_name).collect::<Result<_, _>>()?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign_parameters(&params, key)
    }
}

fn names_of(facts: &CertificateFacts) -> BTreeSet<String> {
    let names = facts.dns_names.iter().map(ToString::to_string);
    names.chain(facts.addresses.iter().map(ToString::to_string)).collect()
}
