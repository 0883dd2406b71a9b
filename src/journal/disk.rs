//! Writes files and folders of the journal durably.
//!
//! Guarantees that after `Ok` the change is on the disk, including the name: new content is written
//! to a temporary file, synced, renamed, and the folder synced. Does not know what the files
//! contain.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::retry_on_intr;

use super::error::JournalError;

/// Makes the names in `folder` durable: creations, renames, removals.
pub(super) fn sync_folder(folder: &Path) -> Result<(), JournalError> {
    // The parent of a relative name is the empty path.
    let name = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let handle = File::open(name).map_err(JournalError::io("open the folder", folder))?;
    handle.sync_all().map_err(JournalError::io("sync the folder", folder))
}

/// Creates `folder` if it is not there, durably; its parent must exist.
pub(super) fn create_folder(folder: &Path) -> Result<(), JournalError> {
    match fs::create_dir(folder) {
        Ok(()) => folder.parent().map_or(Ok(()), sync_folder),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(JournalError::io("create the folder", folder)(error)),
    }
}

/// Replaces a file atomically: a crash leaves the old one or the new one, never a part.
pub(super) fn replace_file(path: &Path, content: &[u8]) -> Result<(), JournalError> {
    replace_file_with(path, |file| file.write_all(content))
}

/// The same with what `write` writes.
pub(super) fn replace_file_with(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), JournalError> {
    let temporary = path.with_added_extension("new");
    // A partial file on a full disk would use space that the next write needs.
    let removed = |error| {
        let _ = fs::remove_file(&temporary);
        error
    };
    let written = File::create(&temporary).and_then(|mut file| {
        write(&mut file)?;
        file.sync_all()
    });
    written.map_err(JournalError::io("write", &temporary)).map_err(removed)?;
    fs::rename(&temporary, path).map_err(JournalError::io("put in place", path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Renames within one folder, durably.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), JournalError> {
    fs::rename(from, to).map_err(JournalError::io("rename", from))?;
    to.parent().map_or(Ok(()), sync_folder)
}

/// Reserves `bytes` for the file; bytes that were not written read as zeros.
pub(super) fn preallocate(file: &File, bytes: u64, path: &Path) -> Result<(), JournalError> {
    // On a tmpfs any signal interrupts it, including those of reports.
    match retry_on_intr(|| fallocate(file, FallocateFlags::empty(), 0, bytes)) {
        Ok(()) => Ok(()),
        // Some file systems can't reserve: then set the length alone, so that it is not synced
        // later.
        Err(rustix::io::Errno::OPNOTSUPP) => {
            file.set_len(bytes).map_err(JournalError::io("set the length of", path))
        }
        Err(errno) => Err(JournalError::io("reserve space for", path)(errno.into())),
    }
}

/// Syncs every file below `folder`, and the folders themselves.
pub(super) fn sync_tree(folder: &Path) -> Result<(), JournalError> {
    for path in paths_in(folder)? {
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            OpenOptions::new()
                .read(true)
                .open(&path)
                .and_then(|file| file.sync_data())
                .map_err(JournalError::io("sync", &path))?;
        }
    }
    sync_folder(folder)
}

/// The entries of `folder`, sorted by name.
pub(super) fn paths_in(folder: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
    };
    let mut paths = read().map_err(JournalError::io("list the folder", folder))?;
    paths.sort();
    Ok(paths)
}

/// Bytes that are available to us on the file system of `folder`.
pub(super) fn free_bytes(folder: &Path) -> Result<u64, JournalError> {
    let space = statvfs(folder)
        .map_err(|errno| JournalError::io("ask for the free space of", folder)(errno.into()))?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

/// Size of the file system of `folder`, in bytes.
pub(super) fn disk_bytes(folder: &Path) -> Result<u64, JournalError> {
    let space = statvfs(folder)
        .map_err(|errno| JournalError::io("ask for the size of", folder)(errno.into()))?;
    Ok(space.f_blocks.saturating_mul(space.f_frsize))
}

/// Length of all files below `folder`, in bytes; a file that vanishes meanwhile is not counted.
pub(super) fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => bytes_below(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Bytes that all files below `folder` use on the disk; a file that vanishes meanwhile is not
/// counted.
pub(super) fn allocated_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => allocated_below(&entry.path()),
            // In units of 512 bytes on every file system.
            Ok(found) => found.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

/// The number in names such as `span-00000000000000000042.sealed`; `None` for other names.
pub(super) fn number_in_name(path: &Path, prefix: &str, suffix: &str) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_prefix(prefix)?.strip_suffix(suffix)?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}
