//! Stores all standard error of a start, of which the grid log has only the last line.
//!
//! One file per boot in vme's state folder. Guarantees a bounded size and a bounded number of
//! files, and that a failed write never stops a start: the first error is returned, and nothing
//! more is written. Does not know what the output means.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use uuid::Uuid;

/// Longest file.
const STDERR_BYTES_MAX: usize = 1 << 20;

/// The number of retained files, including this one.
const FILES_KEPT: usize = 5;

/// The end of a truncated file.
const TRUNCATION_MARK: &[u8] = b"\n[vme: truncated to 1 MiB]\n";

const PREFIX: &str = "start-";
const SUFFIX: &str = ".stderr";

/// The file of one start; created by the first write.
#[derive(Debug)]
pub(crate) struct StderrFile {
    path: PathBuf,
    content: StderrFileState,
}

#[derive(Debug)]
enum StderrFileState {
    NotCreated,
    Open { file: File, room: usize },
    Full(File),
    Failed,
}

impl StderrFile {
    /// Removes the file of an earlier start in the same boot, which would be mistaken for this
    /// one's.
    pub(crate) fn new(folder: &Path, boot: Option<Uuid>) -> Self {
        let boot = boot.map_or_else(|| "unknown".to_owned(), |boot| boot.to_string());
        let path = folder.join(format!("{PREFIX}{boot}{SUFFIX}"));
        drop(fs::remove_file(&path));
        Self { path, content: StderrFileState::NotCreated }
    }

    /// Appends the next chunk.
    ///
    /// # Errors
    ///
    /// Once; after that nothing is written.
    pub(crate) fn append(&mut self, chunk: &[u8]) -> io::Result<()> {
        let result = self.append_bounded(chunk);
        if result.is_err() {
            self.content = StderrFileState::Failed;
        }
        result
    }

    fn append_bounded(&mut self, chunk: &[u8]) -> io::Result<()> {
        if matches!(self.content, StderrFileState::NotCreated) {
            let file = self.create()?;
            self.content =
                StderrFileState::Open { file, room: STDERR_BYTES_MAX - TRUNCATION_MARK.len() };
        }
        match &mut self.content {
            StderrFileState::Open { file, room } if chunk.len() <= *room => {
                *room -= chunk.len();
                file.write_all(chunk)
            }
            StderrFileState::Open { file, room } => {
                file.write_all(&chunk[..*room])?;
                file.write_all(TRUNCATION_MARK)?;
                self.content = StderrFileState::Full(file.try_clone()?);
                Ok(())
            }
            StderrFileState::NotCreated | StderrFileState::Full(_) | StderrFileState::Failed => {
                Ok(())
            }
        }
    }

    /// Readable by the owner only: such output contains passwords more often than it should.
    fn create(&self) -> io::Result<File> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        // One of them is the new file. A failed removal is no reason to fail a start.
        drop(remove_oldest(folder, FILES_KEPT - 1));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(&self.path)
    }

    /// Syncs the file; returns its path if it is not empty.
    pub(crate) fn sync(&mut self) -> Option<&Path> {
        match &self.content {
            StderrFileState::Open { file, .. } | StderrFileState::Full(file) => {
                drop(file.sync_all());
                Some(&self.path)
            }
            StderrFileState::NotCreated | StderrFileState::Failed => None,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Removes all such files except the `retained` newest.
fn remove_oldest(folder: &Path, retained: usize) -> io::Result<()> {
    let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with(PREFIX) || !name.ends_with(SUFFIX) {
            continue;
        }
        found.push((entry.metadata()?.modified()?, entry.path()));
        found.sort();
        if found.len() > retained {
            drop(fs::remove_file(found.remove(0).1));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn no_output_leaves_no_file_and_removes_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let mut first = StderrFile::new(&state, Some(Uuid::nil()));
        assert_eq!(first.sync(), None);
        assert!(!state.exists());
        first.append(b"no ").unwrap();
        first.append(b"DNS\n").unwrap();
        let path = first.sync().unwrap().to_owned();
        assert_eq!(path.file_name().unwrap(), &*format!("start-{}.stderr", Uuid::nil()));
        assert_eq!(fs::read(&path).unwrap(), b"no DNS\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(StderrFile::new(&state, Some(Uuid::nil())).sync(), None);
        assert!(!path.exists());
    }

    #[test]
    fn output_beyond_the_limit_is_truncated_with_a_mark() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = StderrFile::new(folder.path(), None);
        for _ in 0..40 {
            file.append(&[b'x'; 50_000]).unwrap();
        }
        let retained = fs::read(file.sync().unwrap()).unwrap();
        assert_eq!(retained.len(), STDERR_BYTES_MAX);
        assert!(retained.ends_with(TRUNCATION_MARK));
    }

    #[test]
    fn the_newest_starts_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("start.stderr");
        fs::write(&other, "not ours").unwrap();
        let name = |boot: u64| format!("start-{}.stderr", Uuid::from_u128(boot.into()));
        for boot in 0..9_u64 {
            let named = Some(Uuid::from_u128(boot.into()));
            let mut file = StderrFile::new(folder.path(), named);
            file.append(b"x").unwrap();
            let made = File::open(folder.path().join(name(boot))).unwrap();
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(boot);
            made.set_modified(at).unwrap();
        }
        let is_there = |boot: &u64| folder.path().join(name(*boot)).exists();
        assert_eq!((0..9).filter(is_there).collect::<Vec<_>>(), [4, 5, 6, 7, 8]);
        assert!(other.exists());
    }

    #[test]
    fn a_file_that_cannot_be_written_is_reported_once() {
        let folder = tempfile::tempdir().unwrap();
        let in_the_way = folder.path().join("state");
        fs::write(&in_the_way, "a file").unwrap();
        let mut file = StderrFile::new(&in_the_way, None);
        assert!(file.append(b"x").is_err());
        assert!(file.append(b"x").is_ok());
        assert_eq!(file.sync(), None);
    }
}
