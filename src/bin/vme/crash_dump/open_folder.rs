//! Reads a folder that other users may have written to.
//!
//! Guarantees that no symbolic link in it is followed, that only regular files of trusted owners are
//! seen, that opening a file never waits, and that a folder of any size takes bounded time and memory.
//! Does not know what the files are.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use grid_broker::grid::values::time::Timestamp;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;

/// Entries of one folder that are read.
const ENTRIES_READ_MAX: usize = 100_000;

/// The users whose files are believed: root, and that of this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct TrustedOwners(pub(super) [u32; 2]);

impl TrustedOwners {
    /// Of this process.
    pub(super) fn of_process() -> Self {
        Self([0, rustix::process::geteuid().as_raw()])
    }

    fn contains(self, stat: &Stat) -> bool {
        self.0.contains(&stat.st_uid)
    }
}

/// An open folder.
#[derive(Debug)]
pub(super) struct OpenFolder {
    folder: OwnedFd,
    path: PathBuf,
    trusted: TrustedOwners,
}

/// Size and time of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileState {
    pub(super) bytes: u64,
    pub(super) modified: Timestamp,
}

/// Names in a folder.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Those that were kept: the last ones in the order of their bytes.
    pub(super) kept: BTreeSet<OsString>,
    /// There are more.
    pub(super) is_cut: bool,
}

impl OpenFolder {
    /// The folder at `path`, which an administrator named: links on the way are followed.
    pub(super) fn open(path: &Path, trusted: TrustedOwners) -> io::Result<Self> {
        let folder = openat(CWD, path, folder_flags(), Mode::empty())?;
        Ok(Self { folder, path: path.to_owned(), trusted })
    }

    /// The folder of that name in it; `None`: it is none, or not of a trusted owner.
    pub(super) fn open_below(&self, name: &OsStr) -> io::Result<Option<Self>> {
        let folder =
            match openat(&self.folder, name, folder_flags() | OFlags::NOFOLLOW, Mode::empty()) {
                Ok(folder) => folder,
                // Gone since, a link, or a file.
                Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            };
        let is_trusted = self.trusted.contains(&fstat(&folder)?);
        let path = self.path.join(name);
        Ok(is_trusted.then_some(Self { folder, path, trusted: self.trusted }))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The last `kept_max` names for which `is_wanted`, given whether the entry may be a folder.
    pub(super) fn names(
        &self,
        kept_max: usize,
        is_wanted: impl Fn(&OsStr, bool) -> bool,
    ) -> io::Result<Names> {
        let mut names = Names::default();
        for (count, entry) in Dir::read_from(&self.folder)?.enumerate() {
            let entry = entry?;
            if count >= ENTRIES_READ_MAX {
                names.is_cut = true;
                break;
            }
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            let may_be_folder =
                matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
            if name == "." || name == ".." || !is_wanted(name, may_be_folder) {
                continue;
            }
            names.kept.insert(name.to_owned());
            if names.kept.len() > kept_max {
                names.kept.pop_first();
                names.is_cut = true;
            }
        }
        Ok(names)
    }

    /// The state of the file of that name; `None`: it is no regular file, or not of a trusted owner.
    pub(super) fn state(&self, name: &OsStr) -> io::Result<Option<FileState>> {
        match statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(self.accept(&stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Opens the file of that name; `None` as above.
    pub(super) fn open_file(&self, name: &OsStr) -> io::Result<Option<File>> {
        // A pipe without a writer would be waited for.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        match openat(&self.folder, name, flags, Mode::empty()) {
            Ok(file) => {
                let is_accepted = self.accept(&fstat(&file)?).is_some();
                Ok(is_accepted.then(|| File::from(file)))
            }
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn accept(&self, stat: &Stat) -> Option<FileState> {
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
        let micros = stat.st_mtime.saturating_mul(1_000_000).saturating_add(nanos / 1_000);
        (is_file && self.trusted.contains(stat)).then(|| FileState {
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            modified: Timestamp::from_micros(micros),
        })
    }
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    #[test]
    fn links_pipes_and_files_of_others_are_not_seen() {
        let ground = tempfile::TempDir::new().unwrap();
        let path = ground.path();
        fs::write(path.join("secret"), "s").unwrap();
        fs::create_dir_all(path.join("crash/real")).unwrap();
        symlink(path.join("secret"), path.join("crash/vmcore")).unwrap();
        symlink(path, path.join("crash/up")).unwrap();
        fs::write(path.join("crash/file"), "12345").unwrap();
        assert!(Command::new("mkfifo").arg(path.join("crash/pipe")).status().unwrap().success());

        let folder = OpenFolder::open(&path.join("crash"), TrustedOwners::of_process()).unwrap();
        assert_eq!(folder.state("file".as_ref()).unwrap().unwrap().bytes, 5);
        assert!(folder.open_file("file".as_ref()).unwrap().is_some());
        assert!(folder.open_below("real".as_ref()).unwrap().is_some());
        for name in ["vmcore", "up", "pipe", "gone", "real"] {
            assert_eq!(folder.state(name.as_ref()).unwrap(), None, "{name}");
            assert!(folder.open_file(name.as_ref()).unwrap().is_none(), "{name}");
        }
        for name in ["vmcore", "up", "pipe", "gone", "file"] {
            assert!(folder.open_below(name.as_ref()).unwrap().is_none(), "{name}");
        }
        // As if all of it belonged to another user.
        let nobody = TrustedOwners([u32::MAX - 1; 2]);
        let folder = OpenFolder::open(&path.join("crash"), nobody).unwrap();
        assert_eq!(folder.state("file".as_ref()).unwrap(), None);
        assert!(folder.open_file("file".as_ref()).unwrap().is_none());
        assert!(folder.open_below("real".as_ref()).unwrap().is_none());
    }

    #[test]
    fn the_last_names_are_kept() {
        let ground = tempfile::TempDir::new().unwrap();
        for number in 0..20 {
            fs::create_dir(ground.path().join(format!("{number:03}"))).unwrap();
        }
        fs::write(ground.path().join("900"), "").unwrap();
        let folder = OpenFolder::open(ground.path(), TrustedOwners::of_process()).unwrap();
        let names = folder.names(3, |_, may_be_folder| may_be_folder).unwrap();
        assert_eq!(names.kept.iter().collect::<Vec<_>>(), ["017", "018", "019"]);
        assert!(names.is_cut);
        let all = folder.names(21, |_, _| true).unwrap();
        assert_eq!((all.kept.len(), all.is_cut), (21, false));
    }
}
