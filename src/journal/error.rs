//! Defines the errors of the journal, and says in each what to do about it.
//!
//! One variant for each case that a caller handles differently; every text contains the path. Does
//! not know which of these end the process: their handlers decide that.

use std::io;
use std::path::{Path, PathBuf};

use super::frame::FrameError;
use crate::resources;
use crate::system_error::Explained;

/// A failure of the journal: the system failed, or the folder is not ours to use.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system refused a call.
    #[error("cannot {action} {}: {}", path.display(), Explained(source))]
    Io {
        /// What was attempted, as a verb that takes the path.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// Another process holds the folder's lock.
    #[error("another gridd uses the data folder {}: stop it, or give this one a folder of its own", path.display())]
    InUse {
        /// The data folder.
        path: PathBuf,
    },
    /// The same, for a tool that reads the folder.
    #[error("a gridd is running in {}: stop it first, or copy its journal with `gridctl journal backup FILE`", path.display())]
    BrokerRunning {
        /// The data folder.
        path: PathBuf,
    },
    /// There is no journal.
    #[error("there is no journal in {}: set the data folder with --data", path.display())]
    NoJournal {
        /// The folder.
        path: PathBuf,
    },
    /// The folder has files of others, and no journal.
    #[error("{} contains no journal, but other files such as {}: give gridd an empty folder of its own; nothing was written", path.display(), name.display())]
    ForeignFiles {
        /// The folder.
        path: PathBuf,
        /// The name of one of them.
        name: PathBuf,
    },
    /// A restore was interrupted.
    #[error("there is an unfinished restore in {}: empty the folder and run `gridd journal restore` again", path.display())]
    UnfinishedRestore {
        /// The data folder.
        path: PathBuf,
    },
    /// The folder was written in a format that this program does not know.
    #[error("{} has format {found}, this gridd knows up to {known}: start a newer gridd", path.display())]
    NewerFormat {
        /// The identity file.
        path: PathBuf,
        /// The format found there.
        found: u32,
        /// The newest format this program reads.
        known: u32,
    },
    /// A block was written in a format that this program does not know, so it must not change it.
    #[error("{}: the block at byte {offset} was written by a newer gridd, this one knows format {}: start the newer one", path.display(), super::frame::FORMAT)]
    NewerBlock {
        /// The file.
        path: PathBuf,
        /// Where the block begins, in bytes.
        offset: u64,
    },
    /// The identity file can't be parsed.
    #[error("{} is no valid identity of a journal ({reason}): restore it from a backup", path.display())]
    Identity {
        /// The identity file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A block that was intact at the start is damaged now, or was read from another file.
    #[error("{} is damaged at byte {offset}: stop gridd and run `gridd journal check`", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the block begins, in bytes.
        offset: u64,
        /// The check that failed.
        #[source]
        source: FrameError,
    },
    /// The checksums of a block are valid, but it can't be split into records.
    #[error("the block of record {number} can't be read: was it written by a newer gridd?")]
    Unreadable {
        /// The block's first number.
        number: u64,
        /// The check that failed.
        #[source]
        source: FrameError,
    },
    /// A segment of the archive can't be used.
    #[error("cannot {action} the segment {} ({reason}): stop gridd and run `gridd journal check`", path.display())]
    Archive {
        /// What was attempted.
        action: &'static str,
        /// The segment's folder.
        path: PathBuf,
        /// The error of sled, or the text of its panic.
        reason: String,
    },
    /// A record is larger than a block may be.
    #[error(
        "record {number} has {bytes} bytes, at most {limit} are allowed: send it in smaller parts"
    )]
    RecordTooLarge {
        /// The record's number.
        number: u64,
        /// Its encoded length in bytes.
        bytes: usize,
        /// The largest allowed length, in bytes.
        limit: usize,
    },
    /// A sync of the commit log failed before: the content of the disk is unknown.
    #[error("an earlier sync of {} failed, so no event can be acknowledged any more: restart gridd", path.display())]
    SyncFailed {
        /// The commit log's folder.
        path: PathBuf,
    },
    /// The journal was closed while this reader was still in use.
    #[error("the journal in {} is closed", path.display())]
    Closed {
        /// The archive's folder.
        path: PathBuf,
    },
}

impl JournalError {
    /// Whether the disk is full: the same call may succeed later. A failed sync never counts,
    /// whatever its reason: the content of the disk is unknown then.
    pub fn is_out_of_space(&self) -> bool {
        match self {
            Self::Io { action, source, .. } => {
                !action.starts_with("sync") && crate::journal::disk_state::is_disk_full(source)
            }
            Self::Archive { .. }
            | Self::InUse { .. }
            | Self::BrokerRunning { .. }
            | Self::NoJournal { .. }
            | Self::ForeignFiles { .. }
            | Self::UnfinishedRestore { .. }
            | Self::NewerBlock { .. }
            | Self::NewerFormat { .. }
            | Self::Identity { .. }
            | Self::Damaged { .. }
            | Self::Unreadable { .. }
            | Self::RecordTooLarge { .. }
            | Self::SyncFailed { .. }
            | Self::Closed { .. } => false,
        }
    }

    /// The error, if the system lacks descriptors or memory at this moment: the same call may
    /// succeed later. A failed sync never counts, as above.
    pub fn shortage(&self) -> Option<&io::Error> {
        let Self::Io { action, source, .. } = self else { return None };
        (!action.starts_with("sync") && resources::is_temporary(source)).then_some(source)
    }

    /// Whether waiting may help: the disk is full, or the system lacks a resource at this moment.
    /// The latter is noted for the alert.
    pub(super) fn is_transient(&self) -> bool {
        self.is_out_of_space() || self.note_shortage()
    }

    /// Notes for the alert that the system lacks a resource at this moment; `false` if it does not.
    pub fn note_shortage(&self) -> bool {
        match (self, self.shortage()) {
            (Self::Io { action, path, .. }, Some(source)) => {
                resources::record_failure(&format!("{action} {}", path.display()), source)
            }
            _ => false,
        }
    }

    /// Whether a sealed segment itself is damaged, and not the system that reads it.
    pub(super) fn is_damaged_segment(&self) -> bool {
        matches!(self, Self::Archive { .. })
    }

    /// Returns the mapper from an error of the system to ours: `.map_err(JournalError::io("open",
    /// path))`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
