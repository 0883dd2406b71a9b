//! Who may, and one at a time: locks that end with their process.
//!
//! Guarantees that whoever holds one is alone with it on this machine, and that it is free again when
//! its holder is gone, however it went (`flock(2)`). Does not know what is locked.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};

use super::error::SpoolError;

/// Longest word that a holder leaves for others.
const WORD_BYTES_MAX: u64 = 4_096;

/// A lock that is held; it is free again when this goes.
#[derive(Debug)]
pub struct Held {
    file: File,
}

impl Held {
    /// Waits until it is free.
    pub(super) fn wait(path: &Path) -> Result<Self, SpoolError> {
        let file = open(path)?;
        retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))
            .map_err(|errno| SpoolError::io("lock", path)(errno.into()))?;
        Ok(Self { file })
    }

    /// Takes it if it is free.
    pub(super) fn if_free(path: &Path) -> Result<Option<Self>, SpoolError> {
        let file = open(path)?;
        match retry_on_intr(|| flock(&file, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => Ok(Some(Self { file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(SpoolError::io("lock", path)(errno.into())),
        }
    }

    /// Leaves a word for whoever finds it held.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn leave_word(&mut self, word: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.write_all(word.as_bytes())
    }
}

/// The word that the holder left.
pub(super) fn word(path: &Path) -> Option<String> {
    let mut word = String::new();
    File::open(path).ok()?.take(WORD_BYTES_MAX).read_to_string(&mut word).ok()?;
    Some(word)
}

fn open(path: &Path) -> Result<File, SpoolError> {
    let mut options = File::options();
    options.create(true).read(true).write(true).truncate(false).mode(0o600);
    options.open(path).map_err(SpoolError::io("open", path))
}
