//! Reads and writes files with keys and certificates.
//!
//! Guarantees that a private key is never written readable for others, that one others can read is
//! refused, that a file appears complete or not at all, and that after `Ok` it is on the disk. Does
//! not know what is in the files.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::system_error::Explained;

/// Largest file with keys or certificates, in bytes: some 200 certificates.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Mode bits of other users.
const OTHERS: u32 = 0o007;

/// Mode bits of other users and the group.
const GROUP_AND_OTHERS: u32 = 0o077;

/// A file with keys or certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityFileError {
    /// The system refuses it.
    #[error("cannot {what} {}: {}", path.display(), Explained(source))]
    Io {
        /// The verb.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Other users can read a private key.
    #[error(
        "{path} holds a private key, and others can read or write it (mode {mode:03o}); \
         `chmod {fix} {path}` fixes it",
        path = path.display()
    )]
    OpenToOthers {
        /// The file or folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The argument of chmod.
        fix: &'static str,
    },
    /// It is too large, or no file.
    #[error("{} is not a file of at most 1 MiB, so it holds no key or certificate", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
}

/// The error of the system, with what was tried.
fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IdentityFileError {
    move |source| IdentityFileError::Io { what, path: path.to_owned(), source }
}

/// Creates the folder for keys, 0700, durably; one that exists must be as private.
///
/// # Errors
///
/// [`IdentityFileError`] names the file and the reason.
pub fn create_private_folder(path: &Path) -> Result<(), IdentityFileError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_folder(path.parent().unwrap_or(path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
            let mode = std::fs::metadata(path).map_err(io_error("look at", path))?.mode() & 0o777;
            if mode & GROUP_AND_OTHERS == 0 {
                Ok(())
            } else {
                let path = path.to_owned();
                Err(IdentityFileError::OpenToOthers { path, mode, fix: "go=" })
            }
        }
        Err(error) => Err(io_error("create the folder", path)(error)),
    }
}

/// Creates a folder, and those above it that are missing, for its owner alone; one that exists stays as
/// it is.
///
/// # Errors
///
/// [`IdentityFileError`] names the folder and the reason.
pub fn create_missing_folders(path: &Path) -> Result<(), IdentityFileError> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.map_err(io_error("create the folder", path))
}

/// Makes the names in a folder durable.
///
/// # Errors
///
/// [`IdentityFileError`] names the file and the reason.
pub fn sync_folder(path: &Path) -> Result<(), IdentityFileError> {
    // The parent of a relative name is the empty path.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path).and_then(|folder| folder.sync_all()).map_err(io_error("sync the folder", path))
}

/// The name of a file that is not complete yet.
pub(super) fn temporary(path: &Path) -> PathBuf {
    path.with_added_extension("new")
}

/// Writes the temporary file for `path`, durable except for its name. Others cannot read it.
pub(super) fn write_temporary(path: &Path, content: &[u8]) -> Result<(), IdentityFileError> {
    let temporary = temporary(path);
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("remove", &temporary)(error));
        }
        Ok(()) | Err(_) => {}
    }
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
    let written = written.and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.map_err(io_error("write", &temporary))
}

/// Gives the temporary file of `path` its name.
pub(super) fn put_in_place(path: &Path) -> Result<(), IdentityFileError> {
    std::fs::rename(temporary(path), path).map_err(io_error("put in place", path))
}

/// Replaces a file, durably and atomically.
///
/// # Errors
///
/// [`IdentityFileError`] names the file and the reason.
pub fn replace_file(path: &Path, content: &[u8]) -> Result<(), IdentityFileError> {
    write_temporary(path, content)?;
    put_in_place(path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Reads a file with certificates.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, IdentityFileError> {
    read_checked(path, false)
}

/// Reads a file with a private key. Others must have no access; the group may, if the file belongs to
/// somebody else, as keys of a system or of Kubernetes do.
///
/// # Errors
///
/// [`IdentityFileError`] names the file and the reason.
pub fn read_private(path: &Path) -> Result<Vec<u8>, IdentityFileError> {
    read_checked(path, true)
}

fn read_checked(path: &Path, is_private: bool) -> Result<Vec<u8>, IdentityFileError> {
    let not_a_file = || IdentityFileError::NotAFile { path: path.to_owned() };
    // Before it is opened: opening a pipe waits for a writer.
    if !std::fs::metadata(path).map_err(io_error("read", path))?.is_file() {
        return Err(not_a_file());
    }
    let file = File::open(path).map_err(io_error("read", path))?;
    let found = file.metadata().map_err(io_error("read", path))?;
    let is_own = found.uid() == rustix::process::geteuid().as_raw();
    let forbidden = if is_own { GROUP_AND_OTHERS } else { OTHERS };
    let mode = found.mode() & 0o777;
    if is_private && mode & forbidden != 0 {
        let fix = if is_own { "go=" } else { "o=" };
        return Err(IdentityFileError::OpenToOthers { path: path.to_owned(), mode, fix });
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io_error("read", path))?;
    if bytes.len() as u64 > FILE_BYTES_MAX { Err(not_a_file()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_written_for_its_owner_alone_and_an_open_one_is_refused_with_the_cure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.key");
        std::fs::write(temporary(&path), "of an interrupted write").unwrap();
        std::fs::set_permissions(temporary(&path), PermissionsExt::from_mode(0o666)).unwrap();
        replace_file(&path, b"secret").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read_private(&path).unwrap(), b"secret");
        for mode in [0o604, 0o640, 0o602, 0o660] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let error = read_private(&path).unwrap_err().to_string();
            let cure = format!("(mode {mode:03o}); `chmod go= {}` fixes it", path.display());
            assert!(error.ends_with(&cure), "{error}");
            assert_eq!(read(&path).unwrap(), b"secret", "a certificate is public");
        }
    }

    #[test]
    fn what_is_no_file_or_too_large_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        let file = File::create(&path).unwrap();
        file.set_len(FILE_BYTES_MAX).unwrap();
        assert!(read(&path).is_ok());
        file.set_len(FILE_BYTES_MAX + 1).unwrap();
        for path in [path.as_path(), folder.path(), Path::new("/dev/zero")] {
            assert!(read(path).unwrap_err().to_string().contains("is not a file of at most 1 MiB"));
        }
        let error = read(Path::new("/nowhere/x.pem")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read /nowhere/x.pem: No such file"), "{error}");
    }

    #[test]
    fn a_folder_for_keys_is_private() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("ca");
        create_private_folder(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        create_private_folder(&path).unwrap();
        let inner = path.join("a/b");
        create_missing_folders(&inner).unwrap();
        assert_eq!(std::fs::metadata(&inner).unwrap().mode() & 0o777, 0o700);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o750)).unwrap();
        create_missing_folders(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o750);
        let error = create_private_folder(&path).unwrap_err().to_string();
        assert!(error.contains("(mode 750); `chmod go= "), "{error}");
    }
}
