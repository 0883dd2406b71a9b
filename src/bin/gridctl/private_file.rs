//! Reads and writes files that belong to the user alone.
//!
//! Guarantees that a file that others can read or change is never read, and that a written file is
//! 0600 from its first byte on, complete or not there, and durable. Knows no formats.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use grid_broker::identity::files::{self, IdentityFileError};
use grid_broker::system_error::Explained;

/// Permissions of others than the owner.
const OTHERS: u32 = 0o077;

/// Permissions of others to change.
const OTHERS_WRITE: u32 = 0o022;

/// Why a private file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrivateFileError {
    /// It cannot be read or written.
    #[error("{}: cannot be {what}: {}", path.display(), Explained(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Others than its owner can read or change it.
    #[error("{0}: others can {what} it (mode {mode:03o}), so it is not used; only you may: chmod {to} {0}", path.display())]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// `read` or `change`.
        what: &'static str,
        /// Its permissions.
        mode: u32,
        /// The permissions that it should have.
        to: &'static str,
    },
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] IdentityFileError),
    /// It belongs to another user.
    #[error("{}: belongs to user {owner}, so it is not used; it must be yours", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// The owner's number.
        owner: u32,
    },
    /// It is longer than what is expected there.
    #[error("{}: has more than {max} bytes, so it is not what is expected there", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        max: u64,
    },
}

impl PrivateFileError {
    /// Whether the file does not exist.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Privacy {
    /// Its owner alone.
    Secret,
    /// Everybody, but only its owner may change it.
    Public,
}

/// Reads a text.
///
/// # Errors
///
/// If others than the owner can read a secret or change any file, if it belongs to somebody else than
/// the user or root, or is longer than `max` bytes.
pub(crate) fn read(path: &Path, max: u64, privacy: Privacy) -> Result<String, PrivateFileError> {
    let failed = |source| PrivateFileError::Io { path: path.to_owned(), what: "read", source };
    let file = File::open(path).map_err(failed)?;
    // Of the open file, so that it cannot be replaced in between.
    check(path, &file.metadata().map_err(failed)?, privacy)?;
    let mut text = String::new();
    file.take(max + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > max {
        return Err(PrivateFileError::TooLong { path: path.to_owned(), max });
    }
    Ok(text)
}

fn check(path: &Path, about: &fs::Metadata, privacy: Privacy) -> Result<(), PrivateFileError> {
    // A pipe, as in `--token-file <(pass show grid)`, is of this process's making.
    if !about.is_file() {
        return Ok(());
    }
    let (mode, path) = (about.permissions().mode() & 0o777, path.to_owned());
    if mode & OTHERS_WRITE != 0 {
        let to = if privacy == Privacy::Secret { "600" } else { "go-w" };
        return Err(PrivateFileError::Exposed { path, what: "change", mode, to });
    }
    if privacy == Privacy::Secret && mode & OTHERS != 0 {
        return Err(PrivateFileError::Exposed { path, what: "read", mode, to: "600" });
    }
    let (owner, user) = (about.uid(), rustix::process::geteuid().as_raw());
    if owner != user && owner != 0 {
        return Err(PrivateFileError::Owner { path, owner });
    }
    Ok(())
}

/// Writes a file, 0600, in a folder that is created with 0700 if it does not exist.
///
/// # Errors
///
/// If it cannot be written, or if others can change its folder; then the file is as before.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), PrivateFileError> {
    let failed = |source| PrivateFileError::Io { path: path.to_owned(), what: "written", source };
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    files::create_missing_folders(folder)?;
    let mode = fs::metadata(folder).map_err(failed)?.permissions().mode() & 0o777;
    if mode & OTHERS_WRITE != 0 {
        let path = folder.to_owned();
        return Err(PrivateFileError::Exposed { path, what: "change", mode, to: "700" });
    }
    Ok(files::replace_file(path, text.as_bytes())?)
}

/// Gives a file another name, in place of the one that has it.
///
/// # Errors
///
/// If it cannot be renamed.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), PrivateFileError> {
    let failed = |source| PrivateFileError::Io { path: to.to_owned(), what: "written", source };
    fs::rename(from, to).map_err(failed)
}

/// Removes a file; whether there was one.
pub(crate) fn remove(path: &Path) -> Result<bool, PrivateFileError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(PrivateFileError::Io { path: path.to_owned(), what: "removed", source }),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_written_file_and_its_folder_are_the_users_alone() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a/b/secret");
        write(&path, "one").unwrap();
        write(&path, "two").unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(read(&path, 10, Privacy::Secret).unwrap(), "two");
        let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(names.len(), 1, "no partial file is left: {names:?}");
        assert!(remove(&path).unwrap());
        assert!(!remove(&path).unwrap());
        assert!(read(&path, 10, Privacy::Secret).unwrap_err().is_missing());
    }

    #[test]
    fn a_replaced_file_loses_the_permissions_of_others() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("contexts.toml");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, "new").unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_file_that_others_can_read_or_change_is_refused_with_the_chmod() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("secret");
        write(&path, "x").unwrap();
        for (bits, privacy, words) in [
            (
                0o640,
                Privacy::Secret,
                Some("others can read it (mode 640), so it is not used; only you may: chmod 600 "),
            ),
            (0o604, Privacy::Secret, Some("others can read it (mode 604)")),
            (0o620, Privacy::Secret, Some("others can change it (mode 620)")),
            (
                0o662,
                Privacy::Public,
                Some(
                    "others can change it (mode 662), so it is not used; only you may: chmod go-w ",
                ),
            ),
            (0o644, Privacy::Public, None),
            (0o600, Privacy::Secret, None),
            (0o400, Privacy::Secret, None),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
            let said = read(&path, 10, privacy).map_err(|error| error.to_string());
            match words {
                Some(words) => assert!(said.unwrap_err().contains(words), "{bits:o}"),
                None => assert_eq!(said.unwrap(), "x", "{bits:o}"),
            }
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "more than ten").unwrap();
        assert!(read(&path, 10, Privacy::Secret).unwrap_err().to_string().contains("10 bytes"));
    }

    #[test]
    fn nothing_is_written_into_a_folder_that_others_can_change() {
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = write(&folder.path().join("secret"), "x").unwrap_err().to_string();
        assert!(error.contains("others can change it (mode 777)") && error.contains("chmod 700"));
        assert!(!folder.path().join("secret").exists());
    }
}
