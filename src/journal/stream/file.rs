//! Creates a file atomically: it is complete, or it does not exist.
//!
//! Written as `FILE.partial`, readable by its owner only, synced, renamed, the folder synced.
//! Guarantees that `FILE` is never partial, and that an existing one is replaced only on request.
//! A failed attempt removes its partial file. Does not know what is written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::system_error::Explained;

/// The reason why a file was not created.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file exists.
    #[error("{} exists already: give another name, or --force to replace it", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The system refused a call.
    #[error("cannot {action} {}: {}", path.display(), Explained(source))]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

/// A file that is being written.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    may_replace: bool,
    is_finished: bool,
}

impl AtomicFile {
    /// Begins to write `path`; `replace` allows that it exists.
    ///
    /// # Errors
    ///
    /// If it exists and may not be replaced, or a system call fails.
    pub fn create(path: &Path, replace: bool) -> Result<Self, FileError> {
        check_target(path, replace)?;
        let partial = path.with_added_extension("partial");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)
            .map_err(io_error("create", &partial))?;
        Ok(Self { path: path.to_owned(), partial, file, may_replace: replace, is_finished: false })
    }

    /// Opens what was written so far for reading.
    ///
    /// # Errors
    ///
    /// If a system call fails.
    pub fn read_back(&self) -> Result<File, FileError> {
        File::open(&self.partial).map_err(io_error("read back", &self.partial))
    }

    /// The error for a failed write.
    pub fn write_error(&self, source: io::Error) -> FileError {
        io_error("write", &self.partial)(source)
    }

    /// Makes it durable and gives it its final name.
    ///
    /// # Errors
    ///
    /// As [`Self::create`].
    pub fn finish(mut self) -> Result<(), FileError> {
        self.file.sync_all().map_err(io_error("sync", &self.partial))?;
        check_target(&self.path, self.may_replace)?;
        fs::rename(&self.partial, &self.path).map_err(io_error("put in place", &self.path))?;
        self.is_finished = true;
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(io_error("sync the folder of", &self.path))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.is_finished {
            // The caller has the error; a partial file that stays is replaced by the next attempt.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

fn check_target(path: &Path, replace: bool) -> Result<(), FileError> {
    if path.is_dir() {
        let source = io::Error::from(io::ErrorKind::IsADirectory);
        return Err(io_error("write", path)(source));
    }
    if !replace && path.symlink_metadata().is_ok() {
        return Err(FileError::Exists { path: path.to_owned() });
    }
    Ok(())
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { action, path, source }
}
