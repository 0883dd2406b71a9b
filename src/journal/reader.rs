//! Reads records from the journal, for any number of threads.
//!
//! Reads the archive as far as it goes and the commit log after it, and never beyond what is
//! durable. Guarantees that between `first` and `durable` every number is either read or
//! reported missing. All calls may block on the disk: async callers use a blocking thread.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::archive::Archive;
use super::commit_log::LogFiles;
use super::error::JournalError;
use super::frame::{Block, BlockContent};
use super::growth::Growth;
use super::query::{HeaderFilter, PageLimit, RecordPage};
use super::record::{BlockSummary, EncodedRecord, records_in_block};
use super::{JournalStatus, checkpoint, disk};
use crate::journal::disk_state::DiskState;
use crate::journal::recovery;
use crate::journal::threads::BackgroundFailures;

/// A record removed from the commit log is in the archive, so a second lookup finds it.
const LOOKUP_ATTEMPTS: usize = 3;

/// Reads the journal; cheap to clone.
#[derive(Clone, Debug)]
pub struct JournalReader {
    archive: Arc<Archive>,
    files: Arc<LogFiles>,
    durable: watch::Receiver<u64>,
    dir: Arc<Path>,
    disk_state: Arc<DiskState>,
    growth: Arc<Mutex<Growth>>,
    background_failures: BackgroundFailures,
}

/// The result of a lookup: blocks in ascending order, or a gap.
enum Lookup {
    Blocks(Vec<Block>),
    Gap,
}

impl JournalReader {
    pub(super) fn new(
        archive: Arc<Archive>,
        files: Arc<LogFiles>,
        durable: watch::Receiver<u64>,
        dir: &Path,
        upkeep: Arc<DiskState>,
        trouble: BackgroundFailures,
    ) -> Self {
        let growth = Arc::default();
        Self {
            archive,
            files,
            durable,
            dir: dir.into(),
            disk_state: upkeep,
            growth,
            background_failures: trouble,
        }
    }

    /// Samples the size of the archive; to be called every [`SAMPLE_EVERY`](super::SAMPLE_EVERY).
    pub fn sample_growth(&self) {
        let archive_bytes = self.archive.bytes();
        self.growth.lock().unwrap_or_else(PoisonError::into_inner).sample(archive_bytes);
    }

    /// Sizes, positions and failures of the journal; walks its folders.
    ///
    /// # Errors
    ///
    /// If the file system does not report its free space.
    pub fn status(&self) -> Result<JournalStatus, JournalError> {
        let trouble =
            self.background_failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(JournalStatus {
            commit_log_bytes: self.files.bytes(),
            archive_bytes: self.archive.bytes(),
            checkpoint_bytes: disk::bytes_below(&self.dir.join(recovery::CHECKPOINTS)),
            checkpoint: self.newest_checkpoint_time(),
            free_bytes: disk::free_bytes(&self.dir)?,
            sealed_segments: self.archive.ranges().len(),
            sealed_through: self.archive.sealed_through(),
            archived_through: self.archive.archived_through(),
            durable: self.durable(),
            low_water: self.disk_state.low_water(),
            retention_bytes: self.disk_state.retention_bytes(),
            growth: self.growth.lock().unwrap_or_else(PoisonError::into_inner).rate(),
            background_failures: trouble,
        })
    }

    /// `None` also if it is removed while it is read: the next call finds the newer one.
    fn newest_checkpoint_time(&self) -> Option<(u64, Duration)> {
        let found = checkpoint::list_checkpoints(&self.dir.join(recovery::CHECKPOINTS)).ok()?;
        let (through, path) = found.into_iter().max_by_key(|(through, _)| *through)?;
        let written = std::fs::metadata(path).and_then(|it| it.modified()).ok()?;
        Some((through, written.duration_since(std::time::UNIX_EPOCH).ok()?))
    }

    /// The smallest number that was not trimmed; one above [`Self::durable`] if there is none.
    pub fn first(&self) -> u64 {
        (self.archive.trimmed_through() + 1).min(self.durable() + 1)
    }

    /// The last number that is durable; 0 before the first.
    pub fn durable(&self) -> u64 {
        *self.durable.borrow()
    }

    /// The last number in the archive.
    pub fn archived_through(&self) -> u64 {
        self.archive.archived_through()
    }

    /// A receiver of each new durable number.
    pub fn watch_durable(&self) -> watch::Receiver<u64> {
        self.durable.clone()
    }

    /// The matching records from `from` upwards, up to what is durable at the call.
    ///
    /// # Errors
    ///
    /// If a part of the journal that should be there can't be read.
    pub fn forward(
        &self,
        from: u64,
        filter: &HeaderFilter,
        limit: PageLimit,
    ) -> Result<RecordPage, JournalError> {
        let end = self.durable();
        let mut number = from.max(self.first().min(end + 1));
        let mut page_builder = PageBuilder::new(filter, limit, number.saturating_sub(1));
        while number <= end {
            if page_builder.is_exhausted() {
                page_builder.page.next = Some(number);
                break;
            }
            match self.lookup(number)? {
                Lookup::Blocks(blocks) => {
                    number = page_builder.push_ascending(number..=end, &blocks)?;
                }
                Lookup::Gap => {
                    let trimmed = self.archive.trimmed_through().min(end);
                    if number <= trimmed {
                        page_builder.page.trimmed = Some(number..=trimmed);
                        page_builder.page.reached = trimmed;
                        number = trimmed + 1;
                        continue;
                    }
                    let after = self.at_or_above(number).unwrap_or(end + 1).min(end + 1);
                    // A number that was found meanwhile is no gap.
                    if after > number {
                        page_builder.page.missing.push(number..=after - 1);
                        page_builder.page.reached = after - 1;
                    }
                    number = after;
                }
            }
        }
        Ok(page_builder.page)
    }

    /// The matching records from `from` downwards, newest first, to the smallest number not
    /// trimmed.
    ///
    /// # Errors
    ///
    /// As [`Self::forward`].
    pub fn backward(
        &self,
        from: u64,
        filter: &HeaderFilter,
        limit: PageLimit,
    ) -> Result<RecordPage, JournalError> {
        let end = self.first();
        // `above` is one above the next number to read, so that 0 needs no sign.
        let mut above = from.min(self.durable()).saturating_add(1);
        let mut page_builder = PageBuilder::new(filter, limit, above);
        while above > end {
            let number = above - 1;
            if page_builder.is_exhausted() {
                page_builder.page.next = Some(number);
                break;
            }
            match self.lookup(number)? {
                Lookup::Blocks(blocks) => {
                    above = page_builder.push_descending(end..=number, &blocks)?;
                }
                Lookup::Gap => {
                    if number <= self.archive.trimmed_through() {
                        page_builder.page.trimmed = Some(end..=number);
                        page_builder.page.reached = end;
                        break;
                    }
                    let least = end.max(self.archive.trimmed_through() + 1);
                    let below = self.at_or_below(number).map_or(least, |it| it + 1).max(least);
                    if below < above {
                        page_builder.page.missing.push(below..=number);
                        page_builder.page.reached = below;
                    }
                    above = below;
                }
            }
        }
        Ok(page_builder.page)
    }

    /// The data folder.
    pub fn data_folder(&self) -> &Path {
        &self.dir
    }

    /// The folder of the checkpoints.
    pub(super) fn checkpoints_folder(&self) -> PathBuf {
        self.dir.join(recovery::CHECKPOINTS)
    }

    fn lookup(&self, number: u64) -> Result<Lookup, JournalError> {
        for _ in 0..LOOKUP_ATTEMPTS {
            let mut archived = self.archive.block_at(number);
            if let Err(error) = &archived
                && error.is_damaged_segment()
                && number > self.archive.trimmed_through()
            {
                self.archive.repair(number, error, &self.files)?;
                archived = self.archive.block_at(number);
            }
            // A segment that is trimmed during a read is no failure.
            if number <= self.archive.trimmed_through() {
                break;
            }
            if let Ok(Some(block)) = archived {
                return Ok(Lookup::Blocks(vec![block]));
            }
            // Records in the log can be read even if their segment can't: a start never needs a
            // segment for the records after the newest checkpoint.
            if let Some(blocks) = self.files.blocks_at(number)? {
                return Ok(Lookup::Blocks(blocks));
            }
            archived?;
        }
        Ok(Lookup::Gap)
    }

    fn at_or_above(&self, number: u64) -> Option<u64> {
        // Records move from the log to the archive, so read the log first: what has left it
        // by then is found in the archive.
        let in_log = self.files.at_or_above(number);
        in_log.into_iter().chain(self.archive.at_or_above(number)).min()
    }

    fn at_or_below(&self, number: u64) -> Option<u64> {
        let in_log = self.files.at_or_below(number);
        in_log.into_iter().chain(self.archive.at_or_below(number)).max()
    }
}

/// A page that is being read.
struct PageBuilder<'a> {
    filter: &'a HeaderFilter,
    limit: PageLimit,
    bytes: u64,
    page: RecordPage,
}

impl<'a> PageBuilder<'a> {
    fn new(filter: &'a HeaderFilter, limit: PageLimit, reached: u64) -> Self {
        let page = RecordPage {
            records: Vec::new(),
            next: None,
            reached,
            missing: Vec::new(),
            trimmed: None,
        };
        Self { filter, limit, bytes: 0, page }
    }

    fn is_exhausted(&self) -> bool {
        self.bytes > 0 && (self.bytes >= self.limit.bytes || self.is_full())
    }

    /// Adds the matching records of `range`; returns the number to continue with.
    fn push_ascending(
        &mut self,
        range: RangeInclusive<u64>,
        blocks: &[Block],
    ) -> Result<u64, JournalError> {
        let mut next = *range.start();
        for block in blocks.iter().filter(|block| block.header.info.last() >= *range.start()) {
            if next > *range.end() || self.is_exhausted() {
                break;
            }
            let last = block.header.info.last().min(*range.end());
            if self.should_decode(block) {
                for record in records(block)?.into_iter().filter(|r| range.contains(&r.number)) {
                    if self.filter.matches(&record.header) {
                        self.page.records.push(record.clone());
                    }
                    self.page.reached = record.number;
                    if self.is_full() {
                        return Ok(record.number + 1);
                    }
                }
            }
            self.page.reached = last;
            next = last + 1;
        }
        Ok(next)
    }

    /// The same downwards; returns one above the number to continue with.
    fn push_descending(
        &mut self,
        range: RangeInclusive<u64>,
        blocks: &[Block],
    ) -> Result<u64, JournalError> {
        let mut above = *range.end() + 1;
        for block in blocks.iter().rev().filter(|block| block.header.info.first <= *range.end()) {
            if above <= *range.start() || self.is_exhausted() {
                break;
            }
            let first = block.header.info.first.max(*range.start());
            if self.should_decode(block) {
                let records = records(block)?;
                for record in records.into_iter().rev().filter(|r| range.contains(&r.number)) {
                    if self.filter.matches(&record.header) {
                        self.page.records.push(record.clone());
                    }
                    self.page.reached = record.number;
                    if self.is_full() {
                        return Ok(record.number);
                    }
                }
            }
            (self.page.reached, above) = (first, first);
        }
        Ok(above)
    }

    fn is_full(&self) -> bool {
        self.page.records.len() >= self.limit.records
    }

    /// Counts the block; returns whether it may contain a matching record.
    fn should_decode(&mut self, block: &Block) -> bool {
        self.bytes += block.header.block_bytes() as u64;
        match block.header.info.content {
            // A summary that can't be decoded only costs decoding the block.
            BlockContent::Records => BlockSummary::decode(&block.summary)
                .is_none_or(|summary| self.filter.may_match(&summary)),
            BlockContent::Commit
            | BlockContent::Checkpoint
            | BlockContent::Seal
            | BlockContent::CheckpointEnd
            | BlockContent::StreamHead
            | BlockContent::StreamEnd
            | BlockContent::Attachment => true,
        }
    }
}

fn records(block: &Block) -> Result<Vec<EncodedRecord>, JournalError> {
    let number = block.header.info.first;
    records_in_block(block).map_err(|source| JournalError::Unreadable { number, source })
}
