//! Makes, stores and reads the key pair that is the identity of an appliance or administrator, and
//! makes requests for certificates.
//!
//! Guarantees that a key file has mode 0600 from its first byte on and appears under its name only
//! when it is complete and on the disk, that a key that others can read is refused, and that `Debug`
//! shows no key. Does not know brokers.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};

use super::certificate::hash_of_key;
use super::files::{self, IdentityFileError};
use crate::grid::values::identity::KeyHash;

/// Why a key cannot be made, stored or read. Never contains any part of it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] IdentityFileError),
    /// It contains something else.
    #[error("{} contains no P-256 key in PEM (PKCS#8); put the right file there", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// The library failed.
    #[error("cannot make a key or a request for a certificate: {0}")]
    Library(#[from] rcgen::Error),
}

/// A private key (ECDSA, P-256) with its public key.
pub struct IdentityKey(KeyPair);

impl IdentityKey {
    /// Makes a new key.
    ///
    /// # Errors
    ///
    /// When the random generator of the system fails.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?))
    }

    /// Reads a key; `None`: there is no such file.
    ///
    /// # Errors
    ///
    /// [`KeyError`] names the file, and says what is wrong with it.
    pub fn read(path: &Path) -> Result<Option<Self>, KeyError> {
        let pem = match files::read_private(path) {
            Ok(pem) => pem,
            Err(IdentityFileError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let pem = String::from_utf8(pem).ok();
        let key = pem.and_then(|pem| KeyPair::from_pem(&pem).ok());
        let key = key.filter(|key| key.is_compatible(&PKCS_ECDSA_P256_SHA256));
        key.map(|key| Some(Self(key))).ok_or_else(|| KeyError::NotAKey { path: path.to_owned() })
    }

    /// Stores the key; a file of that name is replaced.
    ///
    /// # Errors
    ///
    /// [`KeyError::File`].
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        Ok(files::replace_file(path, self.0.serialize_pem().as_bytes())?)
    }

    /// The hash of the public key.
    pub fn hash(&self) -> KeyHash {
        hash_of_key(&self.0.subject_public_key_info())
    }

    /// A request for a certificate (PKCS#10, DER), signed by the key. It names nobody: the broker
    /// decides the name.
    ///
    /// # Errors
    ///
    /// When the library fails.
    pub fn certificate_request(&self) -> Result<Vec<u8>, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(&self.0)?.der().to_vec())
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "IdentityKey({:?})", self.hash())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn a_key_is_stored_for_its_owner_only_and_reads_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let private = folder.path().join("identity");
        files::create_private_folder(&private).expect("a folder");
        assert_eq!(mode(&private), 0o700);
        let path = private.join("key.pem");
        assert!(IdentityKey::read(&path).expect("no error").is_none());
        // A former try ended in the middle of writing, with another mode.
        let partial = private.join("key.pem.new");
        fs::write(&partial, "-----BEG").expect("written");
        let key = IdentityKey::generate().expect("a key");
        key.write(&path).expect("written");
        assert_eq!(mode(&path), 0o600);
        assert!(!partial.exists());
        let read = IdentityKey::read(&path).expect("no error").expect("a key");
        assert_eq!(read.hash(), key.hash());
        assert_ne!(IdentityKey::generate().expect("a key").hash(), key.hash());
        assert!(!format!("{key:?}").contains("BEGIN"));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_in_words() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        IdentityKey::generate().expect("a key").write(&path).expect("written");
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
            let shown = path.display();
            assert_eq!(
                IdentityKey::read(&path).expect_err("refused").to_string(),
                format!(
                    "{shown} holds a private key, and others can read or write it (mode {mode:03o}); \
                     `chmod go= {shown}` fixes it"
                )
            );
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("changed");
        assert!(IdentityKey::read(&path).expect("no error").is_some());
    }

    #[test]
    fn what_is_no_key_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        for content in
            ["", "hunter2", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
        {
            fs::write(&path, content)
                .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)))
                .expect("written");
            let error = IdentityKey::read(&path).expect_err("no key").to_string();
            assert!(
                error.ends_with("contains no P-256 key in PEM (PKCS#8); put the right file there")
            );
        }
        let error = IdentityKey::read(folder.path()).expect_err("a folder").to_string();
        assert!(error.contains("holds no key or certificate"), "{error}");
    }

    #[test]
    fn a_request_names_nobody_and_is_signed_by_the_key() {
        let key = IdentityKey::generate().expect("a key");
        let request = key.certificate_request().expect("a request");
        let parsed = rcgen::CertificateSigningRequestParams::from_der(&request.into());
        let parsed = parsed.expect("its signature is right");
        let public_key = parsed.public_key.subject_public_key_info();
        assert_eq!(hash_of_key(&public_key), key.hash());
        assert!(parsed.params.subject_alt_names.is_empty());
        assert_eq!(parsed.params.distinguished_name.iter().count(), 0);
    }
}
