//! The errors of a spool, with path, cause and remedy.

use std::io;
use std::path::{Path, PathBuf};

use crate::system_error::Explained;

/// Why a spool cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// A system call failed.
    #[error("cannot {what} {}: {}", .path.display(), Explained(source))]
    Io {
        /// The operation.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// Written by a newer release.
    #[error("{} was written by a newer vme", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// Another process holds the lock for too long.
    #[error("{} is held by another process, which should take only a moment", .path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// Another user could make us write anywhere.
    #[error(
        "{} belongs to another user or can be written by all users, so it is not used (`ls -ld` \
         shows which; `chmod o-w` fixes the latter)",
        .path.display()
    )]
    Unsafe {
        /// The folder.
        path: PathBuf,
    },
    /// There is no room, and no event may be evicted.
    #[error("the spool is full ({events} events), and none of them may be dropped")]
    Full {
        /// Events in the spool.
        events: usize,
    },
    /// The event is too large for any spool.
    #[error("the event takes {bytes} bytes, more than a spool stores of one")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

impl SpoolError {
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}
