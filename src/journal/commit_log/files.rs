//! Locates records in the files of the commit log, and reads them.
//!
//! Stores the files and, in memory, one [`BlockRun`] per 64 KiB or more of each: readers use
//! positional reads while the writer appends. Guarantees that a reader sees only what is durable,
//! because a run is added after the sync, and that no descriptor stays open, however many files
//! there are. Does not know the writer.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use bytes::{Buf, Bytes};

use crate::journal::disk;
use crate::journal::error::JournalError;
use crate::journal::frame::{Block, BlockHeader, FrameError};

/// Blocks are gathered into runs of at least this many bytes.
const RUN_BYTES: u64 = 64 << 10;

/// Consecutive blocks in a file, with dense numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct BlockRun {
    pub(in crate::journal) first: u64,
    pub(in crate::journal) last: u64,
    /// Where the first block begins, in bytes.
    pub(in crate::journal) offset: u64,
    /// Where the last block ends, in bytes.
    pub(in crate::journal) end: u64,
}

/// One file of the commit log.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) first: u64,
    pub(super) path: PathBuf,
    runs: Mutex<Vec<BlockRun>>,
}

impl LogFile {
    pub(super) fn new(first: u64, path: PathBuf) -> Self {
        Self { first, path, runs: Mutex::default() }
    }

    /// Adds durable blocks, in ascending order.
    pub(super) fn extend(&self, blocks: &[BlockRun]) {
        let mut runs = self.runs();
        for block in blocks {
            match runs.last_mut() {
                Some(run)
                    if run.end == block.offset
                        && run.last + 1 == block.first
                        && run.end - run.offset < RUN_BYTES =>
                {
                    (run.last, run.end) = (block.last, block.end);
                }
                Some(_) | None => runs.push(*block),
            }
        }
    }

    pub(super) fn runs(&self) -> MutexGuard<'_, Vec<BlockRun>> {
        // A panic can't leave the list half changed, so a poisoned one is still valid.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run_containing(&self, number: u64) -> Option<BlockRun> {
        let runs = self.runs();
        let at = runs.partition_point(|run| run.last < number);
        runs.get(at).copied().filter(|run| run.first <= number)
    }

    /// The blocks of a run that have `from` or later numbers; `None` if the file was removed meanwhile.
    fn read(&self, run: BlockRun, from: u64) -> Result<Option<Vec<Block>>, JournalError> {
        let length = usize::try_from(run.end - run.offset).expect("a run fits into memory");
        let mut bytes = vec![0; length];
        let handle = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(JournalError::io("open", &self.path))?,
        };
        handle
            .read_exact_at(&mut bytes, run.offset)
            .map_err(JournalError::io("read", &self.path))?;
        let damaged = |offset: u64, source: FrameError| JournalError::Damaged {
            path: self.path.clone(),
            offset,
            source,
        };
        let mut rest = Bytes::from(bytes);
        let mut blocks = Vec::new();
        let mut expected = run.first;
        while !rest.is_empty() {
            let offset = run.end - rest.len() as u64;
            let header = BlockHeader::parse(&rest).map_err(|source| damaged(offset, source))?;
            if header.info.first != expected {
                return Err(damaged(offset, FrameError::OutOfPlace));
            }
            expected = header.info.last() + 1;
            // A reader that follows the log has read and checked the blocks before.
            if expected > from {
                blocks.push(Block::parse(&rest).map_err(|source| damaged(offset, source))?);
            }
            if header.block_bytes() > rest.len() {
                return Err(damaged(offset, FrameError::TooShort));
            }
            rest.advance(header.block_bytes());
        }
        Ok(Some(blocks))
    }
}

/// All files of the commit log, as readers share them.
#[derive(Debug)]
pub(in crate::journal) struct LogFiles {
    folder: PathBuf,
    files: RwLock<Vec<Arc<LogFile>>>,
}

impl LogFiles {
    pub(super) fn new(folder: PathBuf, files: Vec<Arc<LogFile>>) -> Self {
        Self { folder, files: RwLock::new(files) }
    }

    /// Adds the newest file; replaces an empty one that starts with the same number.
    pub(super) fn add(&self, file: Arc<LogFile>) {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        files.pop_if(|last| last.first == file.first);
        files.push(file);
    }

    /// The blocks around `number`, in ascending order; `None` if the number is not in the log.
    pub(in crate::journal) fn blocks_at(
        &self,
        number: u64,
    ) -> Result<Option<Vec<Block>>, JournalError> {
        self.read_run(number, 0)
    }

    /// The block with `number` and some after it; `None` if the number is not in the log.
    pub(in crate::journal) fn blocks_from(
        &self,
        number: u64,
    ) -> Result<Option<Vec<Block>>, JournalError> {
        self.read_run(number, number)
    }

    fn read_run(&self, number: u64, from: u64) -> Result<Option<Vec<Block>>, JournalError> {
        let found = {
            let files = self.list();
            let after = files.partition_point(|file| file.first <= number);
            after.checked_sub(1).and_then(|at| {
                let file = &files[at];
                file.run_containing(number).map(|run| (Arc::clone(file), run))
            })
        };
        let Some((file, run)) = found else { return Ok(None) };
        match file.read(run, from)? {
            None if self.contains(&file) => {
                let not_found = std::io::Error::from(ErrorKind::NotFound);
                Err(JournalError::io("open", &file.path)(not_found))
            }
            blocks => Ok(blocks),
        }
    }

    /// The smallest number in the log that is at least `number`.
    pub(in crate::journal) fn at_or_above(&self, number: u64) -> Option<u64> {
        let files = self.list();
        files.iter().find_map(|file| {
            let runs = file.runs();
            let at = runs.partition_point(|run| run.last < number);
            runs.get(at).map(|run| run.first.max(number))
        })
    }

    /// The largest number in the log that is at most `number`.
    pub(in crate::journal) fn at_or_below(&self, number: u64) -> Option<u64> {
        let files = self.list();
        files.iter().rev().find_map(|file| {
            let runs = file.runs();
            let after = runs.partition_point(|run| run.first <= number);
            after.checked_sub(1).map(|at| runs[at].last.min(number))
        })
    }

    /// The number that the oldest file starts with.
    #[cfg(test)]
    pub(in crate::journal) fn first(&self) -> Option<u64> {
        self.list().first().map(|file| file.first)
    }

    /// The ranges of numbers in the log, ascending; they may be adjacent.
    pub(in crate::journal) fn ranges(&self) -> Vec<RangeInclusive<u64>> {
        let runs = self.list().iter().flat_map(|file| file.runs().clone()).collect::<Vec<_>>();
        runs.into_iter().map(|run| run.first..=run.last).collect()
    }

    /// Bytes that its files reserve.
    pub(in crate::journal) fn bytes(&self) -> u64 {
        disk::bytes_below(&self.folder)
    }

    /// Removes the files without records above `number`, except the active one.
    pub(in crate::journal) fn remove_through(&self, number: u64) -> Result<(), JournalError> {
        let removed: Vec<Arc<LogFile>> = {
            let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
            let first_needed = files
                .windows(2)
                .position(|pair| pair[1].first > number.saturating_add(1))
                .unwrap_or(files.len().saturating_sub(1));
            files.drain(..first_needed).collect()
        };
        for file in &removed {
            fs::remove_file(&file.path).map_err(JournalError::io("remove", &file.path))?;
        }
        if removed.is_empty() { Ok(()) } else { disk::sync_folder(&self.folder) }
    }

    fn contains(&self, file: &Arc<LogFile>) -> bool {
        self.list().iter().any(|one| Arc::ptr_eq(one, file))
    }

    fn list(&self) -> RwLockReadGuard<'_, Vec<Arc<LogFile>>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner)
    }
}
