//! Secrets that cannot be displayed by accident.
//!
//! Guarantees that neither `Debug` nor `Display` shows a [`Secret`], that one comes only from its own
//! file or from the environment, and that errors about such a file contain nothing of its content.
//! Does not clear memory: only root can read that of gridd.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::system_error::Explained;

/// The text displayed in place of a secret.
pub const REDACTED: &str = "***";

/// Largest password, token or key, in bytes; a larger file is something else.
const BYTES_MAX: u64 = 64 << 10;

/// The mode bit that lets every user read a file.
const READ_BY_OTHERS: u32 = 0o004;

/// A password or the like, which displays as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    /// The file it is from.
    file: Option<PathBuf>,
    /// Whether every user of this machine can read that file.
    is_world_readable: bool,
}

/// An error about a secret. The secret is never part of it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file is missing, or its permissions forbid reading.
    #[error("can't read the secret in {}: {}", path.display(), Explained(source))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// It is a folder, a pipe or a device.
    #[error("{} is not a regular file, so it cannot hold a secret", path.display())]
    NotARegularFile {
        /// The file.
        path: PathBuf,
    },
    /// It is empty.
    #[error("the secret in {place} is empty")]
    Empty {
        /// The file or variable.
        place: String,
    },
    /// It is too large.
    #[error("{} is larger than 64KiB, so it is not a secret", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not text, or has several lines.
    #[error("the secret in {place} is not one line of text")]
    NotOneLine {
        /// The file or variable.
        place: String,
    },
}

impl Secret {
    /// Reads the secret from a file: one line, without its line end.
    ///
    /// # Errors
    ///
    /// [`SecretError`] names the file and the error.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
        // Before it is opened: opening a pipe blocks until there is a writer.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(SecretError::NotARegularFile { path: path.to_owned() });
        }
        let file = File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.mode();
        let mut bytes = Vec::new();
        file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(SecretError::TooLarge { path: path.to_owned() });
        }
        let place = path.display().to_string();
        let Ok(text) = String::from_utf8(bytes) else {
            return Err(SecretError::NotOneLine { place });
        };
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        let is_open = mode & READ_BY_OTHERS != 0;
        Self::validated(text, place).map(|it| Self {
            file: Some(path.to_owned()),
            is_world_readable: is_open,
            ..it
        })
    }

    /// The secret from the environment variable `name`.
    ///
    /// # Errors
    ///
    /// [`SecretError`] names the variable and the error.
    pub fn from_environment(name: &str, text: &str) -> Result<Self, SecretError> {
        Self::validated(text, name.to_owned())
    }

    fn validated(text: &str, place: String) -> Result<Self, SecretError> {
        if text.is_empty() {
            return Err(SecretError::Empty { place });
        }
        if text.chars().any(char::is_control) {
            return Err(SecretError::NotOneLine { place });
        }
        Ok(Self { text: text.to_owned(), file: None, is_world_readable: false })
    }

    /// The secret itself; it must not be displayed.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The file it was read from; `None`: the environment.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Whether every user of this machine can read its file.
    pub fn is_world_readable(&self) -> bool {
        self.is_world_readable
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_read_without_its_lines_end_and_never_printed() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for text in ["s3cr3t", "s3cr3t\n", "s3cr3t\r\n"] {
            std::fs::write(file.path(), text).expect("writes");
            let secret = Secret::read(file.path()).expect("is valid");
            assert_eq!((secret.expose(), secret.file()), ("s3cr3t", Some(file.path())));
            assert!(!secret.is_world_readable(), "a temporary file is its owner's alone");
            assert_eq!((format!("{secret:?}"), secret.to_string()), ("***".into(), "***".into()));
        }
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o644)).expect("a mode");
        assert!(Secret::read(file.path()).expect("is valid").is_world_readable());
    }

    #[test]
    fn errors_name_the_source_and_contain_nothing_of_the_secret() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path().display().to_string();
        let long = "x".repeat(65 << 10).into_bytes();
        for (bytes, message) in [
            (&b""[..], format!("the secret in {path} is empty")),
            (b"\n", format!("the secret in {path} is empty")),
            (b"s3cr3t\nmore\n", format!("the secret in {path} is not one line of text")),
            (b"s3cr3t\0", format!("the secret in {path} is not one line of text")),
            (b"s3cr3t\xff", format!("the secret in {path} is not one line of text")),
            (&long, format!("{path} is larger than 64KiB, so it is not a secret")),
        ] {
            std::fs::write(file.path(), bytes).expect("writes");
            assert_eq!(Secret::read(file.path()).expect_err("is rejected").to_string(), message);
        }
        for (path, message) in [
            (
                "/nowhere",
                "can't read the secret in /nowhere: No such file or directory (os error 2); check the \
                 path: it, or a folder above it, is not there",
            ),
            ("/", "/ is not a regular file, so it cannot hold a secret"),
            ("/dev/zero", "/dev/zero is not a regular file, so it cannot hold a secret"),
        ] {
            let error = Secret::read(Path::new(path)).expect_err("is rejected");
            assert_eq!(error.to_string(), message);
        }
        let empty = Secret::from_environment("GRIDD_MAIL__PASSWORD", "").expect_err("is rejected");
        assert_eq!(empty.to_string(), "the secret in GRIDD_MAIL__PASSWORD is empty");
    }
}
