//! Writes a running journal as a stream.
//!
//! Writes all records from the first available to the last durable one at the call, and the newest
//! checkpoint not above it. Guarantees that the stream is consistent whatever is appended, sealed,
//! trimmed or checkpointed meanwhile. A part of the journal that can't be read fails the backup: a
//! copy with a silent gap would be worse. Does not know where the stream goes.

use std::fs::{self, File};
use std::io::{self, Read, Write};

use super::checkpoint;
use super::error::JournalError;
use super::identity::Identity;
use super::query::{HeaderFilter, PageLimit};
use super::reader::JournalReader;
use super::scan::{BlockScan, ScanItem};
use super::stream::{Attachment, StreamHead, StreamTotals, StreamWriter};
use crate::system_error::Explained;

/// Limit of one read.
const PAGE_LIMIT: PageLimit = PageLimit { records: 2048, bytes: 1 << 20 };
/// When a checkpoint is removed during the search, there is a newer one.
const CHECKPOINT_ATTEMPTS: usize = 5;
/// Approximate bytes of a record in a stream: measured 80 to 150 bytes.
const RECORD_BYTES_ESTIMATE: u64 = 120;

/// The reason why a backup failed.
#[derive(Debug, thiserror::Error)]
pub enum JournalBackupError {
    /// The journal can't be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The output fails.
    #[error("the backup can't be written: {}", Explained(.0))]
    Write(#[from] io::Error),
}

/// Progress of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupProgress {
    /// The head of the stream, which says what it contains.
    pub head: StreamHead,
    /// The last number written or found missing so far; one below the first at the beginning.
    pub reached: u64,
}

impl JournalReader {
    /// Writes the journal as a stream, with these attachments; calls `on_progress` after each page.
    ///
    /// # Errors
    ///
    /// [`JournalBackupError`]; the written stream is incomplete then.
    pub fn back_up<W: Write>(
        &self,
        identity: Identity,
        term: u64,
        attachments: &[Attachment],
        out: W,
        on_progress: impl Fn(&mut W, BackupProgress) -> io::Result<()>,
    ) -> Result<(W, StreamTotals), JournalBackupError> {
        // First the checkpoint, then the end: so that the checkpoint is never above the end.
        let mut checkpoint = self.newest_checkpoint(identity)?;
        let last = self.durable();
        let first = self.first();
        let head = StreamHead {
            identity,
            term,
            first,
            last,
            checkpoint: checkpoint.as_ref().map(|found| found.through),
            estimated_bytes: self.estimate(
                first,
                last,
                checkpoint.as_ref().map_or(0, |it| it.bytes),
            ),
            attachments: 0,
        };
        let mut stream = StreamWriter::new(out, head, attachments)?;
        let head = *stream.head();
        if let Some(checkpoint) = &mut checkpoint {
            copy_checkpoint(&mut checkpoint.file, &mut stream)?;
        }
        let mut from = Some(first).filter(|first| *first <= last);
        on_progress(stream.out(), BackupProgress { head, reached: first - 1 })?;
        while let Some(number) = from {
            let page = self.forward(number, &HeaderFilter::default(), PAGE_LIMIT)?;
            for record in page.records.into_iter().filter(|record| record.number <= last) {
                stream.write_record(record)?;
            }
            let reached = page.reached.min(last);
            from = page.next.filter(|next| *next <= last);
            on_progress(stream.out(), BackupProgress { head, reached })?;
        }
        Ok(stream.finish()?)
    }

    fn newest_checkpoint(
        &self,
        identity: Identity,
    ) -> Result<Option<CheckpointSource>, JournalError> {
        let folder = self.checkpoints_folder();
        for _ in 0..CHECKPOINT_ATTEMPTS {
            let mut has_vanished = false;
            for (through, path) in checkpoint::list_checkpoints(&folder)?.into_iter().rev() {
                let Ok(mut file) = File::open(&path) else {
                    has_vanished = true;
                    break;
                };
                let verified = checkpoint::verify(&mut file, identity.journal, through)
                    .map_err(JournalError::io("read", &path))?;
                if verified.is_ok() {
                    let bytes = fs::metadata(&path).map_or(0, |found| found.len());
                    io::Seek::rewind(&mut file).map_err(JournalError::io("read", &path))?;
                    return Ok(Some(CheckpointSource { through, file, bytes }));
                }
            }
            if !has_vanished {
                break;
            }
        }
        Ok(None)
    }

    fn estimate(&self, first: u64, last: u64, checkpoint: u64) -> u64 {
        let records = (last + 1).saturating_sub(first);
        records.saturating_mul(RECORD_BYTES_ESTIMATE).saturating_add(checkpoint)
    }
}

struct CheckpointSource {
    through: u64,
    file: File,
    bytes: u64,
}

/// Copies a checkpoint into a stream, block by block.
pub(super) fn copy_checkpoint<W: Write>(
    file: &mut impl Read,
    stream: &mut StreamWriter<W>,
) -> io::Result<()> {
    let mut scan = BlockScan::new(file);
    while let Some(found) = scan.next_block()? {
        if let ScanItem::Block { bytes, .. } = found {
            stream.write_checkpoint_block(&bytes)?;
        }
    }
    Ok(())
}
