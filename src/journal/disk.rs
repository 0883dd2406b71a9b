//! How the journal makes files and folders last.
//!
//! Guarantees that what returned `Ok` here is on the disk, name included: new content is written
//! beside, synced, renamed, and the folder synced. It does not know what the files hold.

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

/// Puts a whole file in place, so that a crash leaves the old one or the new one, never a part.
pub(super) fn replace_file(path: &Path, content: &[u8]) -> Result<(), JournalError> {
    let beside = path.with_added_extension("new");
    // A leftover of a full disk would take room from what comes next.
    let removed = |error| {
        let _ = fs::remove_file(&beside);
        error
    };
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.map_err(JournalError::io("write", &beside)).map_err(removed)?;
    fs::rename(&beside, path).map_err(JournalError::io("put in place", path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Renames within one folder, durably.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), JournalError> {
    fs::rename(from, to).map_err(JournalError::io("rename", from))?;
    to.parent().map_or(Ok(()), sync_folder)
}

/// Reserves `bytes` for the file; what was not written reads as zeros.
pub(super) fn preallocate(file: &File, bytes: u64, path: &Path) -> Result<(), JournalError> {
    // On a tmpfs any signal that comes meanwhile ends it, those of reports too.
    match retry_on_intr(|| fallocate(file, FallocateFlags::empty(), 0, bytes)) {
        Ok(()) => Ok(()),
        // Some file systems can't reserve: then the length alone, so that it is not synced later.
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

/// What lies in `folder`, sorted by name.
pub(super) fn paths_in(folder: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
    };
    let mut paths = read().map_err(JournalError::io("list the folder", folder))?;
    paths.sort();
    Ok(paths)
}

/// What the file system of `folder` still has for us, in bytes.
pub(super) fn free_bytes(folder: &Path) -> Result<u64, JournalError> {
    let space = statvfs(folder)
        .map_err(|errno| JournalError::io("ask for the free space of", folder)(errno.into()))?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

/// How large the file system of `folder` is, in bytes.
pub(super) fn disk_bytes(folder: &Path) -> Result<u64, JournalError> {
    let space = statvfs(folder)
        .map_err(|errno| JournalError::io("ask for the size of", folder)(errno.into()))?;
    Ok(space.f_blocks.saturating_mul(space.f_frsize))
}

/// The length of all files below `folder` in bytes; what vanishes meanwhile counts nothing.
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

/// What all files below `folder` take on the disk, in bytes; what vanishes meanwhile takes nothing.
pub(super) fn allocated_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => allocated_below(&entry.path()),
            // Counted in these whatever the file system's own blocks are.
            Ok(found) => found.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

/// The number in names such as `span-00000000000000000042.sealed`; `None` if the name is another.
pub(super) fn number_in_name(path: &Path, prefix: &str, suffix: &str) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_prefix(prefix)?.strip_suffix(suffix)?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}
