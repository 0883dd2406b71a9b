//! Salvages a data folder that no broker can open.
//!
//! Writes every intact record in any file of it, and the newest intact checkpoint, as a stream for
//! `restore`. Guarantees that the folder is not written. Does not know the content of the
//! records, nor the cause of the damage.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::inventory::{Inventory, files_below};
use super::lock::lock;
use crate::journal::backup::copy_checkpoint;
use crate::journal::checkpoint;
use crate::journal::error::JournalError;
use crate::journal::identity::{self, Identity};
use crate::journal::recovery::{CHECKPOINTS, IDENTITY};
use crate::journal::scan::{BlockScan, ScanItem};
use crate::journal::stream::{Attachment, StreamHead, StreamTotals, StreamWriter};
use crate::system_error::Explained;

/// The reason why nothing was salvaged.
#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    /// The folder can't be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The stream can't be written.
    #[error("the stream can't be written: {}", Explained(.0))]
    Write(#[from] io::Error),
    /// There are blocks that this program must not skip.
    #[error("the block at byte {offset} of {} was written by a newer gridd: salvage with that one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Where the block begins, in bytes.
        offset: u64,
    },
}

/// The result of a salvage.
#[derive(Clone, Debug)]
pub struct Salvaged {
    /// The head of the stream.
    pub head: StreamHead,
    /// The totals of what was written.
    pub written: StreamTotals,
    /// Numbers between the first and the last that were not found.
    pub missing: Vec<RangeInclusive<u64>>,
    /// Intact blocks of records whose content can't be decoded.
    pub unreadable: u64,
    /// Intact blocks of another journal, which were skipped.
    pub foreign: u64,
    /// Whether the identity of the folder could not be used.
    pub identity_lost: bool,
}

impl Salvaged {
    /// Whether nothing is known to be lost.
    pub fn is_intact(&self) -> bool {
        self.missing.is_empty() && self.unreadable == 0 && !self.identity_lost
    }
}

/// Writes what is intact in `dir` as a stream, with these attachments; calls `on_file` before each
/// file. Files in `except` are skipped.
///
/// # Errors
///
/// If a broker has the folder open, or it contains nothing, or something newer.
pub fn salvage<W: Write>(
    dir: &Path,
    except: &[PathBuf],
    attachments: &[Attachment],
    mut on_file: impl FnMut(&Path),
    out: W,
) -> Result<(W, Salvaged), SalvageError> {
    let _lock = lock(dir)?;
    let found = match identity::read(&dir.join(IDENTITY)) {
        Ok(found) => found,
        Err(error @ JournalError::NewerFormat { .. }) => return Err(error.into()),
        Err(_) => None,
    };
    let identity_lost = found.is_none();
    let identity = match found {
        Some(identity) => identity,
        None => Identity { journal: most_common_journal(dir, except)?, broker: Uuid::new_v4() },
    };
    let inventory = Inventory::scan_folder(dir, identity.journal, except, &mut on_file)?;
    if let Some((path, offset)) = inventory.newer {
        return Err(SalvageError::Newer { path, offset });
    }
    let mut checkpoint = newest_checkpoint(dir, identity.journal)?;
    let ranges = inventory.ranges();
    let through = checkpoint.as_ref().map(|(through, _)| *through);
    if ranges.is_empty() && through.is_none() {
        return Err(JournalError::NoJournal { path: dir.to_owned() }.into());
    }
    let after = through.unwrap_or(0);
    let head = StreamHead {
        identity,
        term: inventory.term,
        first: ranges.first().map_or(after + 1, |range| *range.start()),
        last: ranges.last().map_or(after, |range| *range.end()).max(after),
        checkpoint: through,
        estimated_bytes: 0,
        attachments: 0,
    };
    let mut stream = StreamWriter::new(out, head, attachments)?;
    let head = *stream.head();
    if let Some((_, file)) = &mut checkpoint {
        copy_checkpoint(file, &mut stream)?;
    }
    inventory.read_records(|records| -> Result<(), SalvageError> {
        records.into_iter().try_for_each(|record| Ok(stream.write_record(record)?))
    })?;
    let (out, written) = stream.finish()?;
    let missing = gaps(&ranges, head.last);
    let Inventory { unreadable, foreign, .. } = inventory;
    Ok((out, Salvaged { head, written, missing, unreadable, foreign, identity_lost }))
}

fn gaps(ranges: &[RangeInclusive<u64>], last: u64) -> Vec<RangeInclusive<u64>> {
    let mut present = ranges.to_vec();
    let oldest = ranges.first().map(|range| *range.start());
    crate::journal::recovery::missing_ranges(oldest, &mut present, last)
}

/// The journal with the most blocks, for a folder whose identity is lost.
fn most_common_journal(dir: &Path, except: &[PathBuf]) -> Result<Uuid, SalvageError> {
    let mut counts = BTreeMap::<Uuid, u64>::new();
    for path in files_below(dir)?.into_iter().filter(|path| !except.contains(path)) {
        let file = File::open(&path).map_err(JournalError::io("open", &path))?;
        let mut scan = BlockScan::new(file);
        while let Some(found) = scan.next_block().map_err(JournalError::io("read", &path))? {
            if let ScanItem::Block { block, .. } = found {
                *counts.entry(block.header.info.journal).or_default() += 1;
            }
        }
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(journal, _)| journal)
        .ok_or_else(|| JournalError::NoJournal { path: dir.to_owned() }.into())
}

fn newest_checkpoint(dir: &Path, journal: Uuid) -> Result<Option<(u64, File)>, JournalError> {
    let folder = dir.join(CHECKPOINTS);
    if !folder.is_dir() {
        return Ok(None);
    }
    for (through, path) in checkpoint::list_checkpoints(&folder)?.into_iter().rev() {
        let open = || fs::File::open(&path).map_err(JournalError::io("open", &path));
        let verified = checkpoint::verify(open()?, journal, through)
            .map_err(JournalError::io("read", &path))?;
        if verified.is_ok() {
            return Ok(Some((through, open()?)));
        }
    }
    Ok(None)
}
