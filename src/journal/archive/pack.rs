//! Writes the pack of a sealed segment: all of its blocks in one plain file, dense and in order.
//!
//! Blocks that are full are copied as they are; small ones, written while there was little traffic,
//! are merged, which saves a fifth of their space. Guarantees that a pack has its name only once it
//! is complete and on the disk, so a crash leaves the sled files, or both. Does not know seals.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::journal::archive::record_buffer::{LARGE, RecordBuffer};
use crate::journal::archive::segment::VALUE_BYTES_MAX;
use crate::journal::disk;
use crate::journal::error::JournalError;
use crate::journal::frame::Block;

/// The file of a sealed segment that has its blocks.
pub(super) const PACK: &str = "pack";
/// The file of a sealed segment that has the index of its pack.
pub(super) const INDEX: &str = "index";

/// The file of the active segment that has the blocks of an earlier start.
const TAKEN_OVER: &str = "taken-over";

/// Bytes that are written at once.
const WRITE_BYTES: usize = 256 << 10;

/// A pack that is being written.
#[derive(Debug)]
pub(super) struct PackWriter {
    folder: PathBuf,
    path: PathBuf,
    file: File,
    journal: Uuid,
    /// Bytes that are in the file.
    written: u64,
    buffer: Vec<u8>,
    /// Records of small blocks.
    small: RecordBuffer,
}

impl PackWriter {
    /// Begins a pack in the folder of a segment.
    pub(super) fn create(folder: &Path, journal: Uuid) -> Result<Self, JournalError> {
        let path = folder.join(PACK).with_added_extension("new");
        let file = File::create(&path).map_err(JournalError::io("create", &path))?;
        let (buffer, small) = (Vec::with_capacity(2 * WRITE_BYTES), RecordBuffer::default());
        Ok(Self { folder: folder.to_owned(), path, file, journal, written: 0, buffer, small })
    }

    /// Adds a block of records, above all that were added; `bytes` is the whole block.
    pub(super) fn push(&mut self, block: &Block, bytes: &[u8]) -> Result<(), JournalError> {
        let info = &block.header.info;
        let is_full = info.count as usize > LARGE.records / 2 || bytes.len() > VALUE_BYTES_MAX / 2;
        if is_full || self.small.next().is_some_and(|next| next != info.first) {
            self.merge(1)?;
        }
        if is_full {
            return self.append(bytes);
        }
        let number = info.first;
        self.small
            .push_block(block, &(0..=u64::MAX))
            .map_err(|source| JournalError::Unreadable { number, source })?;
        self.merge(LARGE.records)
    }

    /// Finishes the pack: durable, and under its name.
    pub(super) fn finish(mut self) -> Result<(), JournalError> {
        self.merge(1)?;
        self.flush()?;
        self.file.sync_all().map_err(JournalError::io("sync", &self.path))?;
        disk::rename(&self.path, &self.folder.join(PACK))
    }

    /// Ends it as the beginning of an active segment, which need not be durable; returns its length
    /// in bytes.
    pub(super) fn finish_unsealed(mut self) -> Result<u64, JournalError> {
        self.merge(1)?;
        self.flush()?;
        let path = self.folder.join(TAKEN_OVER);
        fs::rename(&self.path, &path).map_err(JournalError::io("rename", &path))?;
        Ok(self.written)
    }

    /// Writes small records as blocks while there are at least so many.
    fn merge(&mut self, records: usize) -> Result<(), JournalError> {
        while self.small.len() >= records || self.small.raw_bytes() >= LARGE.raw_bytes {
            let (_, block) = self.small.take_block(LARGE, self.journal);
            self.append(&block)?;
        }
        Ok(())
    }

    fn append(&mut self, block: &[u8]) -> Result<(), JournalError> {
        self.buffer.extend_from_slice(block);
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        self.file
            .write_all_at(&self.buffer, self.written)
            .map_err(JournalError::io("write", &self.path))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// Removes what a sealed segment does not need beside its pack: the files of sled.
pub(super) fn remove_leftovers(folder: &Path) -> Result<(), JournalError> {
    if !folder.join(PACK).is_file() {
        return Ok(());
    }
    for path in disk::paths_in(folder)? {
        if !path.ends_with(PACK) && !path.ends_with(INDEX) {
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(JournalError::io("remove", &path))?;
        }
    }
    Ok(())
}
