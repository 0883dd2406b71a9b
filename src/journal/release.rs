//! Which part of the commit log is not needed any more?
//!
//! What is sealed in the archive **and** folded into the older of two checkpoints. Asked after
//! each seal and each checkpoint, by the threads that made them. It knows no times.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::archive::Archive;
use super::commit_log::Files;
use super::error::JournalError;

/// The two conditions, side by side.
#[derive(Debug)]
pub(super) struct Release {
    pub(super) files: Arc<Files>,
    pub(super) archive: Arc<Archive>,
    /// The number that the older of two kept checkpoints goes to; 0 while there is only one.
    pub(super) older_checkpoint: AtomicU64,
    /// Whether sealed is enough: while a stream is restored, which is still there itself.
    pub(super) sealed_suffices: AtomicBool,
}

impl Release {
    /// Removes the files of the commit log that nobody needs.
    pub(super) fn release(&self) -> Result<(), JournalError> {
        let checkpointed = match self.sealed_suffices.load(Ordering::Acquire) {
            true => u64::MAX,
            false => self.older_checkpoint.load(Ordering::Acquire),
        };
        self.files.release_through(self.archive.sealed_through().min(checkpointed))
    }
}
