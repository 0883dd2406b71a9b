//! Appends records to the write-ahead log; an acknowledgement depends on this log alone.
//!
//! Files `commits/<first number>.log`, each reserved in full when it is created, filled by
//! positional writes, one `fdatasync` a commit. A commit is one or more blocks in one file. Each
//! block contains the first number of its commit, so that a start can distinguish an unfinished
//! commit (removed) from damage in acknowledged records (reported, and skipped). Guarantees that
//! numbers are dense and that nothing is reported durable before it is. Does not know the content
//! of a record, nor who reads it; `files` serves the readers, `recovery` opens.

mod files;
mod recovery;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

pub(super) use self::files::BlockRun;
use self::files::LogFile;
pub(super) use self::files::LogFiles;
pub use self::recovery::TruncatedTail;
pub(super) use self::recovery::open;
use super::disk;
use super::error::JournalError;
use super::frame::{BlockContent, FrameError};
use crate::journal::commit_batch::CommitBatch;

/// Bytes that a file reserves when the disk has no space for a whole one.
const FILE_BYTES_MIN: u64 = 64 << 10;
/// A tail is read in pieces of this length, and zeroed in blocks of the next.
const ZERO_READ_BYTES: usize = 1 << 20;
const ZERO_BLOCK_BYTES: usize = 4 << 10;
/// The writing end; owned by one thread.
#[derive(Debug)]
pub(super) struct CommitLog {
    folder: PathBuf,
    journal: Uuid,
    term: u64,
    file_bytes: u64,
    files: Arc<LogFiles>,
    active: Option<ActiveFile>,
    next_number: u64,
    tail: TailState,
}

#[derive(Debug)]
struct ActiveFile {
    file: Arc<LogFile>,
    /// Readers open it themselves: the whole log keeps one descriptor open.
    handle: Arc<File>,
    /// Where the next commit begins, in bytes.
    end: u64,
    /// Reserved length of the file, in bytes.
    size: u64,
}

/// The state of the file after the last durable commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TailState {
    /// Zeros.
    Clean,
    /// Parts of a commit whose write failed; they must be removed before the next one.
    Torn,
    /// Unknown, since a sync failed.
    Unknown,
}

impl CommitLog {
    /// Appends one commit and returns when it is durable.
    ///
    /// After an error other than a failed sync the same records may be appended again.
    /// [`JournalError::is_out_of_space`] and [`JournalError::shortage`] say whether that may help.
    ///
    /// # Panics
    ///
    /// If the numbers are not dense.
    pub(super) fn append(&mut self, batch: &mut CommitBatch) -> Result<(), JournalError> {
        if batch.is_empty() {
            return Ok(());
        }
        match self.tail {
            TailState::Clean => {}
            TailState::Torn => self.clear_tail()?,
            TailState::Unknown => {
                return Err(JournalError::SyncFailed { path: self.folder.clone() });
            }
        }
        let (bytes, mut runs) = batch.finish(self.journal, self.term, self.next_number)?;
        let active = self.ensure_capacity(bytes.len() as u64)?;
        for run in &mut runs {
            run.offset += active.end;
            run.end += active.end;
        }
        let (file, end) = (Arc::clone(&active.file), active.end);
        let handle = Arc::clone(&active.handle);
        self.tail = TailState::Torn;
        handle.write_all_at(bytes, end).map_err(JournalError::io("append to", &file.path))?;
        self.tail = TailState::Unknown;
        handle.sync_data().map_err(JournalError::io("sync", &file.path))?;
        self.tail = TailState::Clean;
        if let Some(active) = &mut self.active {
            active.end += bytes.len() as u64;
        }
        file.extend(&runs);
        self.next_number = runs.last().map_or(self.next_number, |run| run.last + 1);
        Ok(())
    }

    /// The number that the next record must have.
    pub(super) fn next_number(&self) -> u64 {
        self.next_number
    }

    /// The reading end.
    pub(super) fn files(&self) -> &Arc<LogFiles> {
        &self.files
    }

    /// Skips numbers that were assigned before but are not in the log any more.
    pub(super) fn skip_to(&mut self, next: u64) {
        if next > self.next_number {
            self.next_number = next;
            // The numbers in a file are dense, and its name is the first one.
            self.active = None;
        }
    }

    /// Reserves space, so that a commit of this size needs no new disk space.
    pub(super) fn reserve(&mut self, bytes: u64) -> Result<(), JournalError> {
        self.ensure_capacity(bytes).map(drop)
    }

    /// The file for a commit of that size: the active one if it has space, else a new one.
    fn ensure_capacity(&mut self, bytes: u64) -> Result<&ActiveFile, JournalError> {
        let fits = |active: &ActiveFile| active.end + bytes <= active.size;
        if !self.active.as_ref().is_some_and(fits) {
            let path = self.folder.join(file_name(self.next_number));
            let create = |size: u64| {
                let created = create_file(&self.folder, &path, size).map(|handle| (handle, size));
                created.inspect_err(|_| {
                    // Nothing in it was acknowledged; a leftover would be found empty at the start.
                    let _ = fs::remove_file(&path);
                })
            };
            let (handle, size) = match create(self.file_bytes.max(bytes)) {
                // The last space on a full disk is for events that were accepted already.
                Err(error) if error.is_out_of_space() => {
                    create(bytes.next_multiple_of(FILE_BYTES_MIN))?
                }
                created => created?,
            };
            let file = Arc::new(LogFile::new(self.next_number, path));
            self.files.add(Arc::clone(&file));
            self.active = Some(ActiveFile { file, handle: Arc::new(handle), end: 0, size });
        }
        Ok(self.active.as_ref().expect("the active file was just put there"))
    }

    fn clear_tail(&mut self) -> Result<(), JournalError> {
        if let Some(active) = &self.active {
            let zeroed = zero_from(&active.handle, &active.file.path, active.end);
            if zeroed.as_ref().is_err_and(|error| !error.is_transient()) {
                self.tail = TailState::Unknown;
            }
            zeroed?;
        }
        self.tail = TailState::Clean;
        Ok(())
    }
}

fn file_name(first: u64) -> String {
    format!("{first:020}.log")
}

fn create_file(folder: &Path, path: &Path, size: u64) -> Result<File, JournalError> {
    // No number in it was ever durable, so an existing file of this name is not needed.
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .map_err(JournalError::io("create", path))?;
    disk::preallocate(&file, size, path)?;
    file.sync_all().map_err(JournalError::io("sync", path))?;
    disk::sync_folder(folder)?;
    Ok(file)
}

/// Zeroes everything after `end`, durably. In place: on a full disk, space that was freed even
/// for a moment may be taken by another process.
fn zero_from(file: &File, path: &Path, end: u64) -> Result<(), JournalError> {
    let mut piece = vec![0; ZERO_READ_BYTES];
    let mut at = end;
    loop {
        let read = file.read_at(&mut piece, at).map_err(JournalError::io("read", path))?;
        if read == 0 {
            break;
        }
        // A zero block may not be allocated, and to write it would need space.
        for (block, offset) in
            piece[..read].chunks_mut(ZERO_BLOCK_BYTES).zip((at..).step_by(ZERO_BLOCK_BYTES))
        {
            if block.iter().any(|byte| *byte != 0) {
                block.fill(0);
                file.write_all_at(block, offset).map_err(JournalError::io("truncate", path))?;
            }
        }
        at += read as u64;
    }
    file.sync_all().map_err(JournalError::io("sync", path))
}

/// The first number of the commit that a block belongs to; `OutOfPlace` for other blocks.
pub(super) fn commit_start(block: &super::frame::Block) -> Result<u64, FrameError> {
    match block.header.info.content {
        BlockContent::Commit => block
            .summary
            .first_chunk()
            .map(|first| u64::from_le_bytes(*first))
            .ok_or(FrameError::OutOfPlace),
        BlockContent::Records
        | BlockContent::Checkpoint
        | BlockContent::Seal
        | BlockContent::CheckpointEnd
        | BlockContent::StreamHead
        | BlockContent::StreamEnd
        | BlockContent::Attachment
        | BlockContent::SegmentIndex => Err(FrameError::OutOfPlace),
    }
}
