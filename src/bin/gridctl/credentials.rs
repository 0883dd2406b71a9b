//! Stores the credentials of contexts: a token, or a certificate with its key.
//!
//! Guarantees that a credential is found only for the context, address and way to recognise the broker
//! for which it was stored: it is never sent to another machine that took the address. Its files are
//! the user's alone, and no error or debug output has a secret. Opens no connection.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ring::digest;

use grid_broker::client::TokenText;
use grid_broker::exit_code::ExitCode;
use grid_broker::grid::values::identity::KeyHash;
use grid_broker::identity::token::{InvalidToken, TokenKind};

use crate::private_file::{self, Privacy, PrivateFileError};

/// The folder of secrets, beside the file of contexts.
const FOLDER: &str = "secrets";

/// Largest secret that is read, in bytes: a chain of certificates.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Why a credential cannot be used or stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialError {
    /// The file of it.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// Standard input cannot be read.
    #[error("the token cannot be read from stdin: {0}")]
    Stdin(io::Error),
    /// It is no token.
    #[error("the token in {place} {reason}")]
    Token {
        /// Where it was.
        place: String,
        /// What is wrong with it.
        reason: InvalidToken,
    },
    /// It is the token of something else.
    #[error("the token in {place} {is}; gridctl needs one of an administrator (gba_...)")]
    Kind {
        /// Where it was.
        place: String,
        /// What it is.
        is: &'static str,
    },
    /// The certificate is there without its key, or the other way round.
    #[error("{} is missing: log in again", path.display())]
    Half {
        /// The missing file.
        path: PathBuf,
    },
}

impl CredentialError {
    /// The exit code of the error.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::File(
                PrivateFileError::Write(_) | PrivateFileError::Io { what: "removed", .. },
            )
            | Self::Stdin(_) => ExitCode::Failed,
            Self::File(_) | Self::Token { .. } | Self::Kind { .. } | Self::Half { .. } => {
                ExitCode::Usage
            }
        }
    }
}

/// How a broker is recognised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum BrokerTrust {
    /// By the public key of its authority.
    Pin(KeyHash),
    /// By a certificate that an authority in this file signed, and its name.
    CaFile(PathBuf),
    /// By the authorities of this system, and its name; on loopback, a broker may be without TLS.
    #[default]
    System,
}

impl fmt::Display for BrokerTrust {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pin(pin) => write!(out, "pin {pin}"),
            Self::CaFile(path) => write!(out, "authorities in {}", path.display()),
            Self::System => out.write_str("authorities of this system"),
        }
    }
}

/// The credential of an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AdministratorCredential {
    /// A token.
    Token(TokenText),
    /// A certificate and its key: PEM files.
    Certificate {
        /// The certificate, then the authority's.
        chain: PathBuf,
        /// The private key.
        key: PathBuf,
    },
}

/// Where the credential of a context is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CredentialStore {
    /// The path of its files, without their extension.
    base: PathBuf,
}

impl CredentialStore {
    /// The store of the context `name` for the broker at `address`, in the folder of contexts.
    pub(crate) fn new(folder: &Path, name: &str, address: &str, trust: &BrokerTrust) -> Self {
        // Each part is preceded by its length, so that no two contexts have the same text.
        let trust = trust.to_string();
        let address = address.to_ascii_lowercase();
        let text = [name, &address, &trust].map(|part| format!("{}:{part}", part.len())).concat();
        let hash = digest::digest(&digest::SHA256, text.as_bytes());
        let digits: String = hash.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { base: folder.join(FOLDER).join(digits) }
    }

    fn token_path(&self) -> PathBuf {
        self.base.with_extension("token")
    }

    fn chain_path(&self) -> PathBuf {
        self.base.with_extension("pem")
    }

    fn key_path(&self) -> PathBuf {
        self.base.with_extension("key")
    }

    /// The key of an enrolment that is not complete.
    pub(crate) fn new_key_path(&self) -> PathBuf {
        self.base.with_extension("new-key")
    }

    fn new_chain_path(&self) -> PathBuf {
        self.base.with_extension("new-pem")
    }

    /// The credential; `None`: there is none. The files of a certificate are read at each connect.
    ///
    /// # Errors
    ///
    /// If others can read its files, or they are incomplete.
    pub(crate) fn load(&self) -> Result<Option<AdministratorCredential>, CredentialError> {
        let path = self.token_path();
        match private_file::read(&path, SECRET_BYTES_MAX, Privacy::Secret) {
            Ok(text) => {
                let token = administrator_token(&text, &path.display().to_string())?;
                return Ok(Some(AdministratorCredential::Token(token)));
            }
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error.into()),
        }
        let (chain, key) = (self.chain_path(), self.key_path());
        match (chain.exists(), key.exists()) {
            (true, true) => Ok(Some(AdministratorCredential::Certificate { chain, key })),
            (false, false) => Ok(None),
            (true, false) => Err(CredentialError::Half { path: key }),
            (false, true) => Err(CredentialError::Half { path: chain }),
        }
    }

    /// The kind of the stored credential, without reading it.
    pub(crate) fn stored_kind(&self) -> Option<&'static str> {
        match (self.token_path().exists(), self.chain_path().exists()) {
            (true, _) => Some("token"),
            (false, true) => Some("certificate"),
            (false, false) => None,
        }
    }

    /// Stores a token in place of the credential before.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub(crate) fn store_token(&self, token: &TokenText) -> Result<(), CredentialError> {
        private_file::write(&self.token_path(), &format!("{}\n", token.expose()))?;
        private_file::remove(&self.chain_path())?;
        private_file::remove(&self.key_path())?;
        Ok(())
    }

    /// Stores a new certificate, beside the credential before.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub(crate) fn store_new_chain(
        &self,
        chain: &str,
    ) -> Result<AdministratorCredential, CredentialError> {
        private_file::write(&self.new_chain_path(), chain)?;
        Ok(AdministratorCredential::Certificate {
            chain: self.new_chain_path(),
            key: self.new_key_path(),
        })
    }

    /// Puts the new certificate and its key in place of the credential before.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub(crate) fn accept_new(&self) -> Result<(), CredentialError> {
        private_file::rename(&self.new_key_path(), &self.key_path())?;
        private_file::rename(&self.new_chain_path(), &self.chain_path())?;
        private_file::remove(&self.token_path())?;
        Ok(())
    }

    /// Removes the credential; whether there was one.
    ///
    /// # Errors
    ///
    /// If a file of it remains.
    pub(crate) fn remove(&self) -> Result<bool, CredentialError> {
        let stored = [self.token_path(), self.chain_path(), self.key_path()];
        for path in [self.new_chain_path(), self.new_key_path()] {
            private_file::remove(&path)?;
        }
        let removed = stored.map(|path| private_file::remove(&path));
        let mut was_there = false;
        for one in removed {
            was_there |= one?;
        }
        Ok(was_there)
    }
}

/// Reads a token from a file; `-` is stdin.
///
/// # Errors
///
/// If others can read the file, or there is no token in it.
pub(crate) fn read_token_file(path: &Path) -> Result<(String, String), CredentialError> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin()
            .lock()
            .take(SECRET_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(CredentialError::Stdin)?;
        return Ok((text, "stdin".to_owned()));
    }
    let text = private_file::read(path, SECRET_BYTES_MAX, Privacy::Secret)?;
    Ok((text, path.display().to_string()))
}

/// Validates the token of an administrator, and removes blanks around it.
///
/// # Errors
///
/// If it is mistyped, or the token of something else.
pub(crate) fn administrator_token(text: &str, place: &str) -> Result<TokenText, CredentialError> {
    let token = parse_token(text, place)?;
    let place = place.to_owned();
    match token.parsed().kind {
        TokenKind::Administrator => Ok(token),
        TokenKind::Appliance => {
            Err(CredentialError::Kind { place, is: "is one of an appliance (gbd_...)" })
        }
        TokenKind::Enrolment => Err(CredentialError::Kind {
            place,
            is: "is for an enrolment (gbe_...): `gridctl login` exchanges it for a certificate",
        }),
    }
}

/// Parses a token of any kind, and removes blanks around it.
///
/// # Errors
///
/// If it is mistyped.
pub(crate) fn parse_token(text: &str, place: &str) -> Result<TokenText, CredentialError> {
    let invalid = |reason| CredentialError::Token { place: place.to_owned(), reason };
    TokenText::new(text.trim()).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use grid_broker::identity::token::NewToken;
    use tempfile::TempDir;

    use super::*;

    fn new_token(kind: TokenKind) -> TokenText {
        let pin = (kind == TokenKind::Enrolment).then_some(KeyHash([7; 32]));
        TokenText::new(NewToken::generate(kind, pin).unwrap().text()).unwrap()
    }

    #[test]
    fn a_credential_is_found_only_for_its_context_address_and_pin() {
        let folder = TempDir::new().unwrap();
        let pin = BrokerTrust::Pin(KeyHash([1; 32]));
        let store = |name: &str, address: &str, trust: &BrokerTrust| {
            CredentialStore::new(folder.path(), name, address, trust)
        };
        let token = new_token(TokenKind::Administrator);
        store("a", "h:1", &pin).store_token(&token).unwrap();
        let token = AdministratorCredential::Token(token);
        assert_eq!(store("a", "h:1", &pin).load().unwrap(), Some(token.clone()));
        assert_eq!(store("a", "H:1", &pin).load().unwrap(), Some(token));
        for other in [
            store("b", "h:1", &pin),
            store("a", "h:2", &pin),
            store("a", "h:1", &BrokerTrust::Pin(KeyHash([2; 32]))),
            store("a", "h:1", &BrokerTrust::System),
            store("a", "h:1", &BrokerTrust::CaFile("ca.pem".into())),
            store("ah", ":1", &pin),
        ] {
            assert_eq!(other.load().unwrap(), None);
        }
    }

    fn files(folder: &TempDir) -> Vec<String> {
        let found = fs::read_dir(folder.path().join(FOLDER)).unwrap().map(|file| {
            let file = file.unwrap();
            let mode = file.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file:?}");
            file.path().extension().unwrap().to_str().unwrap().to_owned()
        });
        let mut found: Vec<String> = found.collect();
        found.sort();
        found
    }

    #[test]
    fn a_token_and_a_certificate_replace_each_other_in_files_of_the_user_alone() {
        let folder = TempDir::new().unwrap();
        let store = CredentialStore::new(folder.path(), "a", "h:1", &BrokerTrust::System);
        assert!(!store.remove().unwrap());
        let token = new_token(TokenKind::Administrator);
        for _ in 0..2 {
            store.store_token(&token).unwrap();
            assert_eq!(store.load().unwrap(), Some(AdministratorCredential::Token(token.clone())));
            assert_eq!(
                (store.stored_kind(), files(&folder)),
                (Some("token"), vec!["token".into()])
            );
            private_file::write(&store.new_key_path(), "key").unwrap();
            store.store_new_chain("chain").unwrap();
            assert_eq!(store.stored_kind(), Some("token"), "it is not accepted yet");
            store.accept_new().unwrap();
            let (chain, key) = (store.chain_path(), store.key_path());
            assert_eq!(
                store.load().unwrap(),
                Some(AdministratorCredential::Certificate { chain, key })
            );
            assert_eq!(store.stored_kind(), Some("certificate"));
            assert_eq!(files(&folder), ["key", "pem"]);
        }
        fs::remove_file(store.key_path()).unwrap();
        assert!(store.load().unwrap_err().to_string().ends_with(".key is missing: log in again"));
        store.store_token(&token).unwrap();
        fs::set_permissions(store.token_path(), fs::Permissions::from_mode(0o644)).unwrap();
        let error = store.load().unwrap_err().to_string();
        assert!(error.contains("others can read it (mode 644)"), "{error}");
        assert!(store.remove().unwrap());
        assert_eq!(store.load().unwrap(), None);
    }

    #[test]
    fn only_tokens_of_administrators_are_accepted_and_none_is_printed() {
        let token = new_token(TokenKind::Administrator);
        let text = token.expose();
        assert_eq!(administrator_token(&format!(" {text}\n"), "FILE").unwrap(), token);
        for (kind, words) in [
            (
                TokenKind::Appliance,
                "the token in FILE is one of an appliance (gbd_...); gridctl needs",
            ),
            (TokenKind::Enrolment, "`gridctl login` exchanges it for a certificate"),
        ] {
            let other = new_token(kind);
            let error = administrator_token(other.expose(), "FILE").unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains(&other.expose()[4..20]), "{error}");
        }
        let error = administrator_token(&text[..text.len() - 1], "FILE").unwrap_err().to_string();
        assert_eq!(error, "the token in FILE is incomplete, or has more characters than a token");
        let shown = format!("{:?}", AdministratorCredential::Token(token.clone()));
        assert!(!shown.contains(&text[13..]), "{shown}");
    }
}
