//! Folders of tests: one that goes away, what is in one, and a copy of one.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Room that a folder in memory must have, in bytes.
const ROOM_NEEDED: u64 = 4 << 30;

/// A folder in memory if there is one with room: what is proved there does not depend on the disk.
pub(crate) fn scratch() -> TempDir {
    let shared = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(shared).map_or(0, |space| space.f_bavail * space.f_frsize);
    let parent = if room > ROOM_NEEDED { shared.to_owned() } else { std::env::temp_dir() };
    TempDir::with_prefix_in("grid-test-", parent).expect("a temporary folder")
}

/// Every file below `folder`, sorted. There is at least one.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder to list") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    assert!(!files.is_empty(), "there is no file below {}", folder.display());
    files.sort();
    files
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder for the copy");
    for entry in std::fs::read_dir(from).expect("a folder to copy") {
        let path = entry.expect("an entry").path();
        let copy = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_folder(&path, &copy);
        } else {
            std::fs::copy(&path, &copy).expect("a file to copy");
        }
    }
}
