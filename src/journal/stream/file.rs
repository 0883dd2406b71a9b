//! A file that is there whole or not at all.
//!
//! Written as `FILE.partial`, readable by its owner only, synced, renamed, the folder synced.
//! Guarantees that `FILE` is never a part, and that an existing one stays unless it was said
//! otherwise. What is left of an attempt that failed is removed. It does not know what is written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::system_error::Explained;

/// Why a file was not made.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is one.
    #[error("{} is there already: give another name, or --force to replace it", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The system says no.
    #[error("cannot {action} {}: {}", path.display(), Explained(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
}

/// A file under way.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    replace: bool,
    is_finished: bool,
}

impl NewFile {
    /// Begins `path`; `replace` allows that there is one already.
    ///
    /// # Errors
    ///
    /// When there is one, or the system says no.
    pub fn create(path: &Path, replace: bool) -> Result<Self, FileError> {
        may_make(path, replace)?;
        let partial = path.with_added_extension("partial");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)
            .map_err(failed("create", &partial))?;
        Ok(Self { path: path.to_owned(), partial, file, replace, is_finished: false })
    }

    /// What was written so far, to be read back.
    ///
    /// # Errors
    ///
    /// When the system says no.
    pub fn read_back(&self) -> Result<File, FileError> {
        File::open(&self.partial).map_err(failed("read back", &self.partial))
    }

    /// The failure to write it, in words.
    pub fn write_failed(&self, source: io::Error) -> FileError {
        failed("write", &self.partial)(source)
    }

    /// Makes it last and gives it its name.
    ///
    /// # Errors
    ///
    /// As [`Self::create`].
    pub fn finish(mut self) -> Result<(), FileError> {
        self.file.sync_all().map_err(failed("sync", &self.partial))?;
        may_make(&self.path, self.replace)?;
        fs::rename(&self.partial, &self.path).map_err(failed("put in place", &self.path))?;
        self.is_finished = true;
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed("sync the folder of", &self.path))
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_finished {
            // Whoever gave up has said why; a part that stays is replaced by the next attempt.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

fn may_make(path: &Path, replace: bool) -> Result<(), FileError> {
    if path.is_dir() {
        let source = io::Error::from(io::ErrorKind::IsADirectory);
        return Err(failed("write", path)(source));
    }
    if !replace && path.symlink_metadata().is_ok() {
        return Err(FileError::Exists { path: path.to_owned() });
    }
    Ok(())
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { action, path, source }
}
