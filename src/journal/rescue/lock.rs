//! Locks a data folder against brokers, without writing a byte.
//!
//! Guarantees that no broker runs in the folder while the lock is held. Does not know journals.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use crate::journal::error::JournalError;
use crate::journal::recovery::LOCK;

/// Locks the folder until the returned file is dropped; `None` if there is no lock file.
pub(super) fn lock(dir: &Path) -> Result<Option<File>, JournalError> {
    match std::fs::read_dir(dir) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(JournalError::NoJournal { path: dir.to_owned() });
        }
        Err(error) => return Err(JournalError::io("list the folder", dir)(error)),
    }
    let path = dir.join(LOCK);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(JournalError::io("open", &path)(error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(JournalError::BrokerRunning { path: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(JournalError::io("lock", &path)(error)),
    }
}
