//! Defines the attachments of a stream: small files of the data folder that are no records.
//!
//! Guarantees that a name stays within the folders that a stream may have files of, and that number
//! and size are bounded. Does not know what is in them, and never shows it.

use std::fmt;
use std::path::{Path, PathBuf};

/// The folder, below the data folder, that attachments are files of.
pub const ATTACHMENT_FOLDER: &str = "ca";

/// Most attachments in a stream.
pub const ATTACHMENTS_MAX: usize = 16;

/// Largest attachment, in bytes.
pub const ATTACHMENT_BYTES_MAX: usize = 64 << 10;

/// Longest name of a file in the folder, in bytes.
const FILE_NAME_BYTES_MAX: usize = 64;

/// The reason why something cannot be an attachment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachmentError {
    /// The name leads out of the folder, or is not plain.
    #[error(
        "{0:?} is no name of an attachment, which is `{ATTACHMENT_FOLDER}/` and up to \
         {FILE_NAME_BYTES_MAX} of `a-z 0-9 . - _`, not beginning with a dot"
    )]
    Name(String),
    /// It is too large.
    #[error("{name} has {bytes} bytes, and an attachment has at most {ATTACHMENT_BYTES_MAX}")]
    TooLarge {
        /// Its name.
        name: AttachmentName,
        /// Its size.
        bytes: usize,
    },
    /// There is one of that name already.
    #[error("{0} is there twice")]
    Twice(AttachmentName),
    /// There are too many.
    #[error("{0} is one too many: a stream has at most {ATTACHMENTS_MAX} attachments")]
    TooMany(AttachmentName),
}

/// The name of an attachment: a path below the data folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttachmentName(Box<str>);

impl AttachmentName {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`AttachmentError::Name`].
    pub fn new(name: &str) -> Result<Self, AttachmentError> {
        let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b".-_".contains(&c);
        let file = name.strip_prefix(ATTACHMENT_FOLDER).and_then(|rest| rest.strip_prefix('/'));
        let is_valid = file.is_some_and(|file| {
            (1..=FILE_NAME_BYTES_MAX).contains(&file.len())
                && !file.starts_with('.')
                && file.bytes().all(is_plain)
        });
        // Of a name that somebody forged only the beginning is shown.
        let shown = || name.chars().take(FILE_NAME_BYTES_MAX).collect();
        if is_valid { Ok(Self(name.into())) } else { Err(AttachmentError::Name(shown())) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where it belongs in the data folder `dir`.
    pub fn below(&self, dir: &Path) -> PathBuf {
        dir.join(&*self.0)
    }
}

impl fmt::Display for AttachmentName {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

/// A small file in a stream.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    name: AttachmentName,
    content: Vec<u8>,
}

impl Attachment {
    /// Checks name and size.
    ///
    /// # Errors
    ///
    /// [`AttachmentError::Name`] and [`AttachmentError::TooLarge`].
    pub fn new(name: &str, content: Vec<u8>) -> Result<Self, AttachmentError> {
        let name = AttachmentName::new(name)?;
        match content.len() {
            0..=ATTACHMENT_BYTES_MAX => Ok(Self { name, content }),
            bytes => Err(AttachmentError::TooLarge { name, bytes }),
        }
    }

    /// Its name.
    pub fn name(&self) -> &AttachmentName {
        &self.name
    }

    /// What is in it.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// Whether it may follow the attachments `before`.
    ///
    /// # Errors
    ///
    /// [`AttachmentError::Twice`] and [`AttachmentError::TooMany`].
    pub fn check_after(&self, before: &[AttachmentName]) -> Result<(), AttachmentError> {
        if before.contains(&self.name) {
            return Err(AttachmentError::Twice(self.name.clone()));
        }
        if before.len() >= ATTACHMENTS_MAX {
            return Err(AttachmentError::TooMany(self.name.clone()));
        }
        Ok(())
    }
}

/// Without its content, which may be a secret.
impl fmt::Debug for Attachment {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.content.len();
        to.debug_struct("Attachment").field("name", &self.name).field("bytes", &bytes).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_in_the_folder() {
        let longest = format!("ca/{}", "x".repeat(FILE_NAME_BYTES_MAX));
        for name in ["ca/ca.key", "ca/a-b_0..pem", &longest] {
            assert_eq!(AttachmentName::new(name).unwrap().as_str(), name);
        }
        let longer = format!("{longest}x");
        for name in [
            "",
            "ca",
            "ca/",
            "/ca/ca.key",
            "ca/../identity",
            "ca/..",
            "ca/.new",
            "ca//ca.key",
            "ca/sub/ca.key",
            "cat/ca.key",
            "archive/db",
            "ca/\0",
            "ca/A",
            "ca/\u{e9}",
            &longer,
        ] {
            let error = AttachmentName::new(name).unwrap_err().to_string();
            assert!(error.contains(" is no name of an attachment, which is `ca/` and "), "{error}");
        }
    }

    #[test]
    fn size_and_number_are_bounded_and_the_content_is_not_shown() {
        let whole = Attachment::new("ca/x", vec![b'#'; ATTACHMENT_BYTES_MAX]).unwrap();
        assert_eq!(
            format!("{whole:?}"),
            "Attachment { name: AttachmentName(\"ca/x\"), bytes: 65536 }"
        );
        let error = Attachment::new("ca/x", vec![0; ATTACHMENT_BYTES_MAX + 1]).unwrap_err();
        assert_eq!(error.to_string(), "ca/x has 65537 bytes, and an attachment has at most 65536");
        let names: Vec<_> = (0..ATTACHMENTS_MAX)
            .map(|it| AttachmentName::new(&format!("ca/{it}")).unwrap())
            .collect();
        assert_eq!(whole.check_after(&names[1..]), Ok(()));
        assert!(matches!(whole.check_after(&names), Err(AttachmentError::TooMany(_))));
        let again = whole.check_after(std::slice::from_ref(whole.name()));
        assert!(matches!(again, Err(AttachmentError::Twice(_))));
    }
}
