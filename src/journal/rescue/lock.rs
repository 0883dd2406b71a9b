//! Is a broker at work in this folder? Asked without writing a byte.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use crate::journal::error::JournalError;
use crate::journal::recovery::LOCK;

/// Keeps brokers out of the folder while it lives; `None` if there is no lock file to hold.
pub(super) fn lock(dir: &Path) -> Result<Option<File>, JournalError> {
    match std::fs::read_dir(dir) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(JournalError::NoJournal { path: dir.to_owned() });
        }
        Err(error) => return Err(JournalError::io("look into", dir)(error)),
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
