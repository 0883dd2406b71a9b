//! The broker's own certificate authority: makes it, opens it, signs with it.
//!
//! ```text
//! ca.key, ca.pem, server.key, server.pem
//! ```
//!
//! Guarantees that there is never a second authority in silence: a crash while it is made leaves
//! nothing, or what the next start completes, and an authority with a missing part or of another
//! journal is refused. Signs nothing but what a grant says: of a request it takes the public key
//! alone. Does not know who may have a certificate.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, date_time_ymd,
};
use ring::rand::{SecureRandom, SystemRandom};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use uuid::Uuid;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::certificate::{
    BROKER_CA, CertificateError, CertificateFacts, hash_of_key, own_uri, show_time,
};
use super::files::{self, IdentityFileError};
use super::request::CertificateRequest;
use crate::grid::model::identity::CertificateGrant;
use crate::grid::values::identity::{KeyHash, Serial};
use crate::grid::values::time::Timestamp;

/// The file of the private key.
pub const KEY_FILE: &str = "ca.key";

/// The file of the certificate.
pub const CERTIFICATE_FILE: &str = "ca.pem";

/// Certificates are in force this long before they are made, for clocks that are behind.
pub(super) const BACKDATED: Duration = Duration::from_secs(3_600);

/// How long the authority's certificate is valid: ten years.
const LIFETIME: Duration = Duration::from_secs(3_652 * 86_400);

/// The authority's common name is this, and the id of the journal.
const COMMON_NAME: &str = BROKER_CA;

/// The common name of the certificates that it signs.
const LEAF_COMMON_NAME: &str = "grid-broker";

/// The broker's own certificate authority.
#[derive(Debug)]
pub struct CertificateAuthority {
    folder: PathBuf,
    journal: Uuid,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    facts: CertificateFacts,
}

/// The authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read or written, or is open to others.
    #[error(transparent)]
    File(#[from] IdentityFileError),
    /// Half of it is missing.
    #[error(
        "the broker's CA is incomplete: {} has {present}, but {missing} is missing; restore it from \
         a backup, or move the folder away and start once with --new-ca: then gridd makes another \
         CA, and all that have certificates must enrol again",
        folder.display()
    )]
    Incomplete {
        /// The folder.
        folder: PathBuf,
        /// The file that is there.
        present: &'static str,
        /// The file that is not.
        missing: &'static str,
    },
    /// A file has not what it should have.
    #[error("{} {why}; restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: Box<str>,
    },
    /// The authority is another journal's.
    #[error(
        "the CA in {} is of the journal {found}, and this journal is {expected}: the folder was \
         copied from another broker; restore the right one from a backup, or move it away and start \
         once with --new-ca: then gridd makes another CA, and all that have certificates must enrol \
         again",
        folder.display()
    )]
    OtherJournal {
        /// The folder.
        folder: PathBuf,
        /// The journal of the authority.
        found: Uuid,
        /// This journal.
        expected: Uuid,
    },
    /// Its certificate is not in force.
    #[error(
        "the broker's CA in {} is valid from {} to {}, and this host's clock says {}; check the \
         clock first; after its end, move the folder away and start once with --new-ca: then gridd \
         makes another CA, and all that have certificates must enrol again",
        folder.display(),
        show_time(*from),
        show_time(*to),
        show_time(*now)
    )]
    NotInForce {
        /// The folder.
        folder: PathBuf,
        /// The begin of its validity.
        from: Timestamp,
        /// The end of its validity.
        to: Timestamp,
        /// This host's time.
        now: Timestamp,
    },
    /// It is gone, and keys are enrolled whose certificates it signed.
    #[error(
        "the broker's CA is missing: {} has neither {KEY_FILE} nor {CERTIFICATE_FILE}, and it signed \
         for enrolled keys ({enrolled_keys}); put the folder back from a backup (`gridd journal \
         restore` into another folder gives it); if it is gone for good, start once with --new-ca: \
         then gridd makes another CA, and all that have certificates must enrol again",
        folder.display()
    )]
    Lost {
        /// The folder.
        folder: PathBuf,
        /// How many keys are enrolled.
        enrolled_keys: usize,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Signing(#[from] rcgen::Error),
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    NoRandomness,
}

/// Refuses that another authority is made in silence: when keys are enrolled, the old one has signed
/// their certificates, and only `may_replace` allows a new one.
///
/// # Errors
///
/// [`AuthorityError::Lost`].
pub fn refuse_second(
    folder: &Path,
    enrolled_keys: usize,
    may_replace: bool,
) -> Result<(), AuthorityError> {
    // One with a missing part is refused when it is opened.
    let is_there = [KEY_FILE, CERTIFICATE_FILE].iter().any(|name| folder.join(name).exists());
    if is_there || enrolled_keys == 0 || may_replace {
        return Ok(());
    }
    Err(AuthorityError::Lost { folder: folder.to_owned(), enrolled_keys })
}

impl CertificateAuthority {
    /// Opens the authority of `journal` in `folder`, or makes one if there is none. Blocks.
    ///
    /// # Errors
    ///
    /// What is missing, damaged, open to others, or of another journal.
    pub fn open_or_create(
        folder: &Path,
        journal: Uuid,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        files::create_private_folder(folder)?;
        let [key, certificate] = [KEY_FILE, CERTIFICATE_FILE].map(|name| folder.join(name));
        match (key.exists(), certificate.exists()) {
            (false, false) => create(folder, journal, now)?,
            // A crash between the two names, see `create`.
            (false, true) if is_pair(&files::temporary(&key), &certificate) => {
                files::put_in_place(&key)?;
                files::sync_folder(folder)?;
            }
            (true, true) => {}
            (is_key, _) => {
                let [present, missing] = if is_key {
                    [KEY_FILE, CERTIFICATE_FILE]
                } else {
                    [CERTIFICATE_FILE, KEY_FILE]
                };
                let folder = folder.to_owned();
                return Err(AuthorityError::Incomplete { folder, present, missing });
            }
        }
        Self::open(folder, journal, now)
    }

    fn open(folder: &Path, journal: Uuid, now: Timestamp) -> Result<Self, AuthorityError> {
        let [key_path, path] = [KEY_FILE, CERTIFICATE_FILE].map(|name| folder.join(name));
        let key = read_key(&key_path)?;
        let damaged = |why: String| AuthorityError::Damaged { path: path.clone(), why: why.into() };
        let pem = files::read(&path)?;
        let certificate = CertificateDer::from_pem_slice(&pem)
            .map_err(|error| damaged(format!("has no certificate in PEM format ({error})")))?;
        let facts =
            CertificateFacts::parse(&certificate).map_err(|error| damaged(error.to_string()))?;
        let found = facts.common_name.as_deref().and_then(|name| name.strip_prefix(COMMON_NAME));
        let found = found
            .and_then(|id| Uuid::try_parse(id).ok())
            .ok_or_else(|| damaged("is not the certificate of a broker's CA".to_owned()))?;
        if found != journal {
            let folder = folder.to_owned();
            return Err(AuthorityError::OtherJournal { folder, found, expected: journal });
        }
        if !facts.is_ca {
            return Err(damaged("is not the certificate of a CA".to_owned()));
        }
        if facts.key != hash_of_key(&key.subject_public_key_info()) {
            return Err(damaged(format!("is not the certificate of the key in {KEY_FILE}")));
        }
        if !facts.is_valid_at(now) {
            let (folder, from, to) = (folder.to_owned(), facts.not_before, facts.not_after);
            return Err(AuthorityError::NotInForce { folder, from, to, now });
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        let folder = folder.to_owned();
        Ok(Self { folder, journal, issuer, certificate, facts })
    }

    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The journal whose authority this is.
    pub fn journal(&self) -> Uuid {
        self.journal
    }

    /// The hash of its public key, by which clients know it.
    pub fn pin(&self) -> KeyHash {
        self.facts.key
    }

    /// When it ends.
    pub fn expires_at(&self) -> Timestamp {
        self.facts.not_after
    }

    /// Its certificate in DER.
    pub fn certificate_der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Whether it has signed `certificate`: by the signature, not by names.
    pub fn has_signed(&self, certificate: &[u8]) -> bool {
        let Ok((_, own)) = X509Certificate::from_der(&self.certificate) else { return false };
        let Ok((_, other)) = X509Certificate::from_der(certificate) else { return false };
        other.issuer().as_raw() == own.subject().as_raw()
            && other.verify_signature(Some(own.public_key())).is_ok()
    }

    /// Signs the certificate of a grant, for the key of a request.
    ///
    /// # Errors
    ///
    /// When the signature fails.
    pub fn sign(
        &self,
        grant: &CertificateGrant,
        request: &CertificateRequest,
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        let times = (grant.issued_at.before(BACKDATED), grant.expires_at);
        let mut params = parameters(grant.serial, times);
        let uri = own_uri(self.journal, &grant.subject);
        params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Ok(self.sign_parameters(&params, request.public_key())?.der().clone())
    }

    /// Signs certificates that are not of the authority's kind.
    pub(super) fn sign_parameters(
        &self,
        params: &CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<rcgen::Certificate, AuthorityError> {
        Ok(params.signed_by(key, &self.issuer)?)
    }
}

/// The parameters that all certificates of the authority share: no CA, nothing but signatures. Names are
/// in the alternative names only; the common name is for people.
pub(super) fn parameters(
    serial: Serial,
    (not_before, not_after): (Timestamp, Timestamp),
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // An empty subject confuses some programs.
    params.distinguished_name.push(DnType::CommonName, LEAF_COMMON_NAME);
    params.serial_number = Some(SerialNumber::from_slice(&serial.0));
    // Not after the times of the grant: certificates have whole seconds.
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + not_before.since(Timestamp::EPOCH);
    params.not_after = epoch + not_after.since(Timestamp::EPOCH);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

/// A random serial number.
///
/// # Errors
///
/// When the system gives no random numbers.
pub fn random_serial() -> Result<Serial, AuthorityError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| AuthorityError::NoRandomness)?;
    bytes[0] &= 0x7f;
    Ok(Serial(bytes))
}

/// Makes an authority. Both files are complete on the disk before the first gets its name, and the
/// certificate gets its name first: a certificate without a key means that only the key's name is
/// missing.
fn create(folder: &Path, journal: Uuid, now: Timestamp) -> Result<(), AuthorityError> {
    let key = KeyPair::generate()?;
    let times = (now.before(BACKDATED), now.after(LIFETIME));
    let mut params = parameters(random_serial()?, times);
    let name = format!("{COMMON_NAME}{}", journal.hyphenated());
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.use_authority_key_identifier_extension = false;
    let certificate = params.self_signed(&key)?;
    let [key_path, path] = [KEY_FILE, CERTIFICATE_FILE].map(|name| folder.join(name));
    files::write_temporary(&key_path, key.serialize_pem().as_bytes())?;
    files::write_temporary(&path, certificate.pem().as_bytes())?;
    files::sync_folder(folder)?;
    files::put_in_place(&path)?;
    files::sync_folder(folder)?;
    files::put_in_place(&key_path)?;
    files::sync_folder(folder)?;
    Ok(())
}

/// Reads a private key of ours.
pub(super) fn read_key(path: &Path) -> Result<KeyPair, AuthorityError> {
    let pem = files::read_private(path)?;
    let text = String::from_utf8_lossy(&pem);
    KeyPair::from_pem(&text).map_err(|error| AuthorityError::Damaged {
        path: path.to_owned(),
        why: format!("has no private key in PEM format ({error})").into(),
    })
}

/// Whether both files can be read and belong together.
fn is_pair(key: &Path, certificate: &Path) -> bool {
    let (key, certificate) = (files::read_private(key), files::read(certificate));
    key.is_ok_and(|key| certificate.is_ok_and(|certificate| belong_together(&key, &certificate)))
}

/// Whether a private key and a certificate in PEM belong together.
pub(super) fn belong_together(key: &[u8], certificate: &[u8]) -> bool {
    let key = KeyPair::from_pem(&String::from_utf8_lossy(key)).ok();
    let key = key.map(|key| hash_of_key(&key.subject_public_key_info()));
    let facts = CertificateDer::from_pem_slice(certificate).ok().and_then(|der| {
        let facts: Result<_, CertificateError> = CertificateFacts::parse(&der);
        facts.ok()
    });
    key.is_some() && key == facts.map(|facts| facts.key)
}

#[cfg(test)]
mod tests;
