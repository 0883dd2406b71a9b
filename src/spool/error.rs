//! What can go wrong with a spool, and what whoever reads of it should know.

use std::io;
use std::path::{Path, PathBuf};

use crate::system_error::Explained;

/// Why something could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The system says no.
    #[error("can't {what} {}: {}", .path.display(), Explained(source))]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// Written by a program that knows more.
    #[error("{} was written by a newer vme", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// Another process holds the files for too long.
    #[error("{} is held by another process, which should take a moment only", .path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// Whoever likes could make us write anywhere.
    #[error(
        "{} belongs to another user or can be written by all users, so it is not used (`ls -ld` \
         shows which; `chmod o-w` mends the latter)",
        .path.display()
    )]
    Unsafe {
        /// The folder.
        path: PathBuf,
    },
    /// There is no room, and none can be made.
    #[error("the spool is full ({events} events), and none of them may go")]
    Full {
        /// How many there are.
        events: usize,
    },
    /// Too large for any spool.
    #[error("the event takes {bytes} bytes, more than a spool keeps of one")]
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
