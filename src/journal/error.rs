//! What can go wrong in the journal, and what the reader of the message should do about it.
//!
//! One variant per thing a caller would do differently; every text names the path. It does not
//! know which of these end the process: that is decided where they are handled.

use std::io;
use std::path::{Path, PathBuf};

use super::frame::FrameError;
use crate::resources;
use crate::system_error::Explained;

/// A failure of the journal: the world broke, or the folder is not ours to use.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system refused a call.
    #[error("cannot {action} {}: {}", path.display(), Explained(source))]
    Io {
        /// What was tried, as a verb that takes the path.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// Another process holds the folder's lock.
    #[error("another gridd uses the data folder {}: stop it, or give this one a folder of its own", path.display())]
    InUse {
        /// The data folder.
        path: PathBuf,
    },
    /// The same, for a tool that wants to look at it.
    #[error("a gridd is at work in {}: stop it first, or take a copy of a running one by `gridctl journal backup FILE`", path.display())]
    AtWork {
        /// The data folder.
        path: PathBuf,
    },
    /// There is nothing to look at.
    #[error("no journal lies in {}: --data says where the data folder is", path.display())]
    NoJournal {
        /// The folder.
        path: PathBuf,
    },
    /// The folder is somebody's, and no journal is in it.
    #[error("{} holds no journal, but other files such as {}: give gridd an empty folder of its own; nothing was written", path.display(), name.display())]
    Strangers {
        /// The folder.
        path: PathBuf,
        /// The name of one of them.
        name: PathBuf,
    },
    /// A restore was broken off.
    #[error("an unfinished restore lies in {}: empty the folder and run `gridd journal restore` again", path.display())]
    Restoring {
        /// The data folder.
        path: PathBuf,
    },
    /// The folder was written in a format this program does not know.
    #[error("{} has format {found}, this gridd knows up to {known}: start a newer gridd", path.display())]
    NewerFormat {
        /// The identity file.
        path: PathBuf,
        /// The format found there.
        found: u32,
        /// The newest format this program reads.
        known: u32,
    },
    /// A block was written in a format this program does not know, so it must not touch it.
    #[error("{}: the block at byte {offset} was written by a newer gridd, this one knows format {}: start the newer one", path.display(), super::frame::FORMAT)]
    NewerBlock {
        /// The file.
        path: PathBuf,
        /// Where the block begins, in bytes.
        offset: u64,
    },
    /// The identity file can't be understood.
    #[error("{} is not a journal's identity ({reason}): restore it from a backup", path.display())]
    Identity {
        /// The identity file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A block that was whole at the start is not whole any more, or came back from another file.
    #[error("{} is damaged at byte {offset}: stop gridd and run `gridd journal check`", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the block begins, in bytes.
        offset: u64,
        /// What does not hold.
        #[source]
        source: FrameError,
    },
    /// A block's checksums hold, and yet its records can't be told apart.
    #[error("the block of record {number} can't be read: was it written by a newer gridd?")]
    Unreadable {
        /// The block's first number.
        number: u64,
        /// What does not hold.
        #[source]
        source: FrameError,
    },
    /// A span of the archive can't be used.
    #[error("cannot {action} the span {} ({reason}): stop gridd and run `gridd journal check`", path.display())]
    Archive {
        /// What was tried.
        action: &'static str,
        /// The span's folder.
        path: PathBuf,
        /// The store's own word, or the text of its panic.
        reason: String,
    },
    /// A record is larger than a block may be.
    #[error("record {number} has {bytes} bytes, at most {limit} fit: send it in smaller parts")]
    RecordTooLarge {
        /// The record's number.
        number: u64,
        /// Its encoded length in bytes.
        bytes: usize,
        /// The most a record may have, in bytes.
        limit: usize,
    },
    /// A sync of the commit log failed before: what lies on the disk is no longer known.
    #[error("an earlier sync of {} failed, nothing more can be promised: restart gridd", path.display())]
    Broken {
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
    /// Whether there is no room on the disk: the same may succeed later. A failed sync is never
    /// meant, whatever its reason: nobody knows then what lies on the disk.
    pub fn is_out_of_space(&self) -> bool {
        match self {
            Self::Io { action, source, .. } => {
                !action.starts_with("sync") && super::upkeep::is_full(source)
            }
            Self::Archive { .. }
            | Self::InUse { .. }
            | Self::AtWork { .. }
            | Self::NoJournal { .. }
            | Self::Strangers { .. }
            | Self::Restoring { .. }
            | Self::NewerBlock { .. }
            | Self::NewerFormat { .. }
            | Self::Identity { .. }
            | Self::Damaged { .. }
            | Self::Unreadable { .. }
            | Self::RecordTooLarge { .. }
            | Self::Broken { .. }
            | Self::Closed { .. } => false,
        }
    }

    /// What the system did not grant at this moment, descriptors or memory: the same may succeed
    /// later. A failed sync is never meant, as above.
    pub fn shortage(&self) -> Option<&io::Error> {
        let Self::Io { action, source, .. } = self else { return None };
        (!action.starts_with("sync") && resources::is_not_now(source)).then_some(source)
    }

    /// Whether waiting may help: there is no room, or the system grants no more at this moment. What
    /// it does not grant is noted for the alert.
    pub(super) fn is_for_now(&self) -> bool {
        self.is_out_of_space() || self.is_noted_shortage()
    }

    /// Whether the system does not grant something at this moment, which is noted for the alert.
    pub fn is_noted_shortage(&self) -> bool {
        match (self, self.shortage()) {
            (Self::Io { action, path, .. }, Some(source)) => {
                resources::note(&format!("{action} {}", path.display()), source)
            }
            _ => false,
        }
    }

    /// Whether a sealed span itself is at fault, and not the system that reads it.
    pub(super) fn is_damaged_span(&self) -> bool {
        matches!(self, Self::Archive { .. })
    }

    /// Makes the mapper from a system's error to ours: `.map_err(JournalError::io("open", path))`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
