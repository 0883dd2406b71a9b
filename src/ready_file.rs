//! Maintains the ready file, which tells the starting program the addresses of a serving broker.
//!
//! Guarantees that the file exists only while the broker serves, unless the broker is killed: one left
//! by an earlier run is removed first, it appears complete or not at all, and it is removed when the
//! broker stops. Does not know its content.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::system_error::Explained;

/// The ready file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the ready file {}: {}", path.display(), Explained(source))]
pub struct ReadyFileError {
    path: PathBuf,
    source: io::Error,
}

/// A ready file; it is removed on drop.
#[derive(Debug)]
pub struct ReadyFile {
    path: PathBuf,
    temp_path: PathBuf,
}

impl ReadyFile {
    /// Removes the file of an earlier run, and checks that a new one can be written.
    ///
    /// # Errors
    ///
    /// When it cannot.
    pub fn prepare(path: &Path) -> Result<Self, ReadyFileError> {
        let ready = Self { path: path.to_owned(), temp_path: path.with_added_extension("tmp") };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ready.error(error));
            }
            Ok(()) | Err(_) => {}
        }
        std::fs::write(&ready.temp_path, "").map_err(|error| ready.error(error))?;
        Ok(ready)
    }

    /// Writes it atomically: a reader finds all of it or no file.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, text: &str) -> Result<(), ReadyFileError> {
        // Another user may have started gridd; the file contains no secret.
        let open = Permissions::from_mode(0o644);
        std::fs::write(&self.temp_path, text)
            .and_then(|()| std::fs::set_permissions(&self.temp_path, open))
            .and_then(|()| std::fs::rename(&self.temp_path, &self.path))
            .map_err(|error| self.error(error))
    }

    fn error(&self, source: io::Error) -> ReadyFileError {
        ReadyFileError { path: self.path.clone(), source }
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        for path in [&self.path, &self.temp_path] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "cannot remove the ready file");
                }
                Ok(()) | Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_exists_complete_from_write_to_drop() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready.json");
        std::fs::write(&path, "of an earlier run").unwrap();
        let ready = ReadyFile::prepare(&path).unwrap();
        assert!(!path.exists(), "an old one would be wrong");
        ready.write("{}\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{}\n");
        drop(ready);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no file remains");
    }

    #[test]
    fn an_unwritable_path_is_reported_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let error = ReadyFile::prepare(&folder.path().join("nowhere/ready.json")).unwrap_err();
        assert!(error.to_string().contains("nowhere/ready.json"), "{error}");
    }
}
