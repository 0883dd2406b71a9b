//! Writes the file of an export, and finds where an interrupted one ends.
//!
//! Written as `FILE.partial`, readable by its owner only, beside its description `FILE.resume`. Guarantees
//! that `FILE` is complete and synced, or does not exist; that what is continued ends with a whole line,
//! whatever ended the program or the machine; and that one program at a time writes it. Does not know
//! the lines' content, except for their numbers.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use grid_broker::journal::stream::FileError;

use super::error::ExportError;
use super::lines::ExportFormat;
use super::plan::ExportPlan;
use crate::error::CliError;

/// Longest line that is read back, in bytes: a record of 1 MiB, with every byte escaped.
const LINE_BYTES_MAX: usize = 8 << 20;

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

/// The file of an export.
#[derive(Debug)]
pub(super) struct ExportFile {
    path: PathBuf,
    partial: PathBuf,
    description: PathBuf,
    file: File,
    may_replace: bool,
    /// Length in bytes.
    pub(super) bytes: u64,
}

/// What an interrupted export has written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct WrittenPart {
    /// The whole lines, in bytes.
    pub(super) bytes: u64,
    /// The records.
    pub(super) records: u64,
    /// The number of the last record, and its line without the line break.
    pub(super) last: Option<(u64, Vec<u8>)>,
    /// Bytes after the last whole line.
    pub(super) torn_bytes: u64,
}

impl ExportFile {
    /// Begins an export to `path`; `replace` allows that it exists, or was interrupted.
    ///
    /// # Errors
    ///
    /// If it may not be replaced, another program writes it, or a system call fails.
    pub(super) fn create(path: &Path, replace: bool) -> Result<Self, CliError> {
        check_target(path, replace)?;
        let (partial, description) = names(path);
        let is_interrupted = description.symlink_metadata().is_ok();
        if is_interrupted && !replace {
            return Err(ExportError::Interfering { path: path.to_owned() }.into());
        }
        let mut file = Self::open(path, partial, description)?;
        file.may_replace = replace;
        if is_interrupted {
            // First, so that it never describes another export.
            fs::remove_file(&file.description).map_err(io_error("remove", &file.description))?;
        }
        file.truncate(0)?;
        Ok(file)
    }

    /// Opens the interrupted export to `path`, behind its last whole line.
    ///
    /// # Errors
    ///
    /// If there is none, another program writes it, or a system call fails.
    pub(super) fn resume(path: &Path) -> Result<(Self, ExportPlan, WrittenPart), CliError> {
        let (partial, description) = names(path);
        let is_finished = partial.symlink_metadata().is_err() && path.symlink_metadata().is_ok();
        if is_finished || description.symlink_metadata().is_err() {
            return Err(ExportError::NothingToResume { path: path.to_owned() }.into());
        }
        let plan = ExportPlan::read(&description)?;
        let mut file = Self::open(path, partial, description)?;
        file.may_replace = plan.may_replace;
        let read = |source| file.error("read", source);
        let header = plan.has_titles.then(|| plan.format.header()).flatten();
        let source = BufReader::with_capacity(READ_BYTES, &file.file);
        let written = scan(source, plan.format, header.as_deref()).map_err(read)?;
        file.truncate(written.bytes)?;
        Ok((file, plan, written))
    }

    fn open(path: &Path, partial: PathBuf, description: PathBuf) -> Result<Self, CliError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&partial)
            .map_err(io_error("open", &partial))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(ExportError::Locked { path: path.to_owned() }.into());
            }
            // A file system without locks.
            Err(TryLockError::Error(_)) => {}
        }
        let path = path.to_owned();
        Ok(Self { path, partial, description, file, may_replace: false, bytes: 0 })
    }

    /// The file's final name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn truncate(&mut self, bytes: u64) -> Result<(), CliError> {
        let cut = self.file.set_len(bytes).and_then(|()| self.file.seek(SeekFrom::Start(bytes)));
        cut.map_err(|source| self.error("cut", source))?;
        self.bytes = bytes;
        Ok(())
    }

    /// Writes the description, before anything that it describes.
    pub(super) fn describe(&self, plan: &ExportPlan) -> Result<(), CliError> {
        let json = plan.to_json().map_err(io::Error::from)?;
        let mut draft = self.description.clone().into_os_string();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        write_private(&draft, json.as_bytes()).map_err(io_error("write", &draft))?;
        Ok(fs::rename(&draft, &self.description).map_err(io_error("write", &self.description))?)
    }

    /// Appends whole lines.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), CliError> {
        self.file.write_all(lines).map_err(|source| self.error("write", source))?;
        self.bytes += lines.len() as u64;
        Ok(())
    }

    /// Makes durable what was written.
    pub(super) fn sync(&self) -> Result<(), CliError> {
        Ok(self.file.sync_all().map_err(|source| self.error("sync", source))?)
    }

    /// Makes it durable and gives it its final name.
    pub(super) fn finish(self) -> Result<(), CliError> {
        self.sync()?;
        check_target(&self.path, self.may_replace)?;
        fs::rename(&self.partial, &self.path).map_err(io_error("put in place", &self.path))?;
        fs::remove_file(&self.description).map_err(io_error("remove", &self.description))?;
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        Ok(synced.map_err(io_error("sync the folder of", &self.path))?)
    }

    /// Removes what has no record.
    pub(super) fn discard(self) {
        // What stays is replaced by the next export.
        let _ = fs::remove_file(&self.partial);
        let _ = fs::remove_file(&self.description);
    }

    fn error(&self, action: &'static str, source: io::Error) -> FileError {
        io_error(action, &self.partial)(source)
    }
}

/// Finds the whole lines with ascending numbers at the start of the file. Everything behind them is torn:
/// written, but not synced, when the machine stopped.
fn scan(
    mut file: impl BufRead,
    format: ExportFormat,
    header: Option<&str>,
) -> io::Result<WrittenPart> {
    let mut part = WrittenPart::default();
    let mut line = Vec::new();
    let mut expected_header = header;
    loop {
        line.clear();
        let length =
            io::Read::take(&mut file, LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(part);
        }
        let is_next = match (line.strip_suffix(b"\n"), expected_header.take()) {
            (None, _) => false,
            (Some(line), Some(header)) => line == header.as_bytes(),
            (Some(line), None) => {
                let last = part.last.as_ref().map_or(0, |(number, _)| *number);
                match format.number_of(line).filter(|number| *number > last) {
                    Some(number) => {
                        let kept = &mut part.last.get_or_insert_default();
                        kept.0 = number;
                        kept.1.clear();
                        kept.1.extend_from_slice(line);
                        part.records += 1;
                        true
                    }
                    None => false,
                }
            }
        };
        if !is_next {
            let rest = io::copy(&mut file, &mut io::sink())?;
            part.torn_bytes = length as u64 + rest;
            return Ok(part);
        }
        part.bytes += length as u64;
    }
}

/// Writes a file that nobody else can change, whatever the umask: gridctl reads no other one.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // One that a crash left would keep its permissions.
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn names(path: &Path) -> (PathBuf, PathBuf) {
    (path.with_added_extension("partial"), path.with_added_extension("resume"))
}

fn check_target(path: &Path, replace: bool) -> Result<(), FileError> {
    if path.is_dir() {
        let source = io::Error::from(io::ErrorKind::IsADirectory);
        return Err(io_error("write", path)(source));
    }
    if !replace && path.symlink_metadata().is_ok() {
        return Err(FileError::Exists { path: path.to_owned() });
    }
    Ok(())
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { action, path, source }
}
