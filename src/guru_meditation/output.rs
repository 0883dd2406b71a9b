//! Writes reports to standard error or into a folder.
//!
//! Guarantees that a reader that does not read, a full disk or a thread that holds the lock of
//! standard error delays a report by a few seconds at most, and that a file appears complete or not
//! at all, is readable by its owner only, and never replaces another. Does not know the content.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::time;

/// Bytes per write: a pipe that polls as writable has room for this much.
const CHUNK_BYTES: usize = 4_096;

/// Timeout for writing a report.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of reports in one second.
const SAME_SECOND_MAX: u32 = 1_000;

/// The folder of reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDir {
    /// Its path.
    pub folder: PathBuf,
    /// The name of the service, which begins the names of files.
    pub service: String,
    /// How many reports are retained; older ones are deleted.
    pub keep: usize,
}

impl LogDir {
    /// Writes a report to a new file and returns its path.
    ///
    /// # Errors
    ///
    /// If the folder does not exist or cannot be written.
    pub(super) fn write(&self, report: &str, at: Timestamp) -> io::Result<PathBuf> {
        let name = format!("{}{}", self.prefix(), time::file_stamp(at));
        let beside = self.folder.join(format!(".{name}.{}", std::process::id()));
        let written =
            write_new(&beside, report).and_then(|()| self.rename_into_place(&beside, &name));
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        let path = written?;
        self.delete_old();
        Ok(path)
    }

    fn prefix(&self) -> String {
        format!("{}_gurumeditation_", self.service)
    }

    fn rename_into_place(&self, beside: &Path, name: &str) -> io::Result<PathBuf> {
        for number in 1..=SAME_SECOND_MAX {
            let path = match number {
                1 => self.folder.join(name),
                number => self.folder.join(format!("{name}_{number:03}")),
            };
            match renameat_with(CWD, beside, CWD, &path, RenameFlags::NOREPLACE) {
                Ok(()) => return Ok(path),
                Err(Errno::EXIST) => {}
                // Some file systems do not support NOREPLACE; nobody else writes these names.
                Err(Errno::INVAL | Errno::NOSYS) if !path.exists() => {
                    fs::rename(beside, &path)?;
                    return Ok(path);
                }
                Err(Errno::INVAL | Errno::NOSYS) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::other("too many reports within this second"))
    }

    /// Deletes the oldest reports beyond the number to retain. The names sort by time.
    fn delete_old(&self) {
        let prefix = self.prefix();
        let entries = fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        let names = entries.map(|entry| entry.file_name());
        let is_ours = |name: &std::ffi::OsString| {
            let time = name.to_str().and_then(|name| name.strip_prefix(&prefix));
            time.is_some_and(|time| {
                time.len() >= 14 && time.bytes().all(|b| b.is_ascii_digit() || b == b'_')
            })
        };
        let mut ours: Vec<_> = names.filter(is_ours).collect();
        ours.sort();
        for old in ours.iter().take(ours.len().saturating_sub(self.keep.max(1))) {
            let _ = fs::remove_file(self.folder.join(old));
        }
    }
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    // A killed process with the same pid may have left this file.
    let _ = fs::remove_file(path);
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Writes to standard error without its lock, which a stuck thread may hold.
///
/// # Errors
///
/// If it cannot be written, or not completely in time.
pub(super) fn write_stderr(text: &str) -> io::Result<()> {
    // Uses the descriptor without the lock; others may write at the same time.
    write_within(rustix::stdio::stderr(), text, WRITE_TIMEOUT)
}

fn write_within(out: impl AsFd, text: &str, within: Duration) -> io::Result<()> {
    let begun = time::monotonic_now();
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let left = within.checked_sub(begun.elapsed()).filter(|left| !left.is_zero());
        let Some(left) = left else { return Err(io::ErrorKind::TimedOut.into()) };
        let mut waits = [PollFd::new(&out, PollFlags::OUT)];
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut waits, Some(&left)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match rustix::io::write(&out, &rest[..rest.len().min(CHUNK_BYTES)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn log_dir(folder: &Path, keep: usize) -> LogDir {
        LogDir { folder: folder.to_owned(), service: "fake-service".to_owned(), keep }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_file_has_oslos_name_and_is_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let at = "2014-01-01T12:00:00Z".parse().unwrap();
        let path = log_dir(folder.path(), 9).write("a report", at).unwrap();
        assert_eq!(path, folder.path().join("fake-service_gurumeditation_20140101120000"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "a report");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn reports_of_one_second_are_files_of_their_own_and_the_newest_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("fake-service_gurumeditation_notes"), "").unwrap();
        let at = "2014-01-01T12:00:00Z".parse().unwrap();
        for report in ["1", "2", "3"] {
            log_dir(folder.path(), 2).write(report, at).unwrap();
        }
        let expected = [
            "fake-service_gurumeditation_20140101120000_002",
            "fake-service_gurumeditation_20140101120000_003",
            "fake-service_gurumeditation_notes",
        ];
        assert_eq!(names(folder.path()), expected);
        assert_eq!(fs::read_to_string(folder.path().join(expected[1])).unwrap(), "3");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = log_dir(&folder.path().join("nowhere"), 9);
        let error = nowhere.write("x", Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn writing_to_an_unread_pipe_times_out() {
        let (mut reader, writer) = io::pipe().unwrap();
        let long = "x".repeat(1 << 20);
        let error = write_within(&writer, &long, Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(writer);
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert!(read.len() >= CHUNK_BYTES && read.len() < long.len());
    }
}
