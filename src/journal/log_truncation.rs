//! Truncates the commit log: removes the files that are not needed any more.
//!
//! A file is not needed when its records are sealed in the archive **and** contained in the older
//! of two checkpoints. The background threads call this after each seal and each checkpoint. Does
//! not know times.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::archive::Archive;
use super::commit_log::LogFiles;
use super::error::JournalError;

/// The two conditions, and the files that they apply to.
#[derive(Debug)]
pub(super) struct LogTruncation {
    pub(super) files: Arc<LogFiles>,
    pub(super) archive: Arc<Archive>,
    /// The last record of the older of two checkpoints; 0 while there is only one.
    pub(super) older_checkpoint: AtomicU64,
    /// Whether the seal alone is enough: during a restore, since the stream itself is still there.
    pub(super) needs_only_seal: AtomicBool,
}

impl LogTruncation {
    /// Removes the files of the commit log that are not needed any more.
    pub(super) fn truncate(&self) -> Result<(), JournalError> {
        let checkpointed = match self.needs_only_seal.load(Ordering::Acquire) {
            true => u64::MAX,
            false => self.older_checkpoint.load(Ordering::Acquire),
        };
        self.files.remove_through(self.archive.sealed_through().min(checkpointed))
    }
}
