//! Lock files with a note of their owner.
//!
//! Guarantees that one process on this machine holds a lock at a time, and that the lock is free
//! again when its owner has ended, however it ended (`flock(2)`). Does not know what is locked.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::{Errno, retry_on_intr};

use super::error::SpoolError;
use crate::clock::monotonic_now;

/// How often a held lock is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Our own files are never opened through a symbolic link.
pub(super) const NO_FOLLOW: i32 = OFlags::NOFOLLOW.bits().cast_signed();

/// Longest note of an owner.
const NOTE_BYTES_MAX: u64 = 4_096;

/// A held lock; dropping this releases it.
#[derive(Debug)]
pub struct LockGuard {
    file: File,
}

impl LockGuard {
    /// Waits until the lock is free, but not for ever: its owner may be stopped, or blocked by its
    /// disk.
    pub(super) fn acquire(path: &Path, timeout: Duration) -> Result<Self, SpoolError> {
        let until = monotonic_now() + timeout;
        loop {
            if let Some(lock) = Self::try_acquire(path)? {
                return Ok(lock);
            }
            if monotonic_now() >= until {
                return Err(SpoolError::Busy { path: path.to_owned() });
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Whether the lock is still the file at this path: a folder that was removed and created again
    /// has other files.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let found = fs::symlink_metadata(path).map(|it| (it.dev(), it.ino()));
        let own = self.file.metadata().map(|it| (it.dev(), it.ino()));
        matches!((found, own), (Ok(found), Ok(own)) if found == own)
    }

    /// Acquires the lock if it is free.
    pub(super) fn try_acquire(path: &Path) -> Result<Option<Self>, SpoolError> {
        let file = open_lock_file(path)?;
        match retry_on_intr(|| flock(&file, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => Ok(Some(Self { file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(SpoolError::io("lock", path)(errno.into())),
        }
    }

    /// Sets the note for processes that find the lock held.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn set_note(&mut self, note: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.write_all(note.as_bytes())
    }
}

/// The owner's note.
pub(super) fn read_note(path: &Path) -> Option<String> {
    let mut note = String::new();
    File::open(path).ok()?.take(NOTE_BYTES_MAX).read_to_string(&mut note).ok()?;
    Some(note)
}

fn open_lock_file(path: &Path) -> Result<File, SpoolError> {
    let mut options = File::options();
    options.create(true).read(true).write(true).truncate(false).mode(0o600);
    options.custom_flags(NO_FOLLOW);
    options.open(path).map_err(SpoolError::io("open", path))
}
