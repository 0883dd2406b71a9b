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
use super::frame::Block;
use super::growth::Growth;
use super::query::{
    CountBy, HeaderFilter, PageLimit, RecordCounts, RecordPage, RecordQuery, ScanStatistics,
    SearchPage,
};
use super::search::{CountSink, RecordSink, Search};
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
pub(super) enum Lookup {
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
        self.read_page(from, filter, limit, false)
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
        self.read_page(from, filter, limit, true)
    }

    fn read_page(
        &self,
        from: u64,
        filter: &HeaderFilter,
        limit: PageLimit,
        is_newest_first: bool,
    ) -> Result<RecordPage, JournalError> {
        let (filter, content, stop) = (filter.clone(), None, Arc::default());
        let query = RecordQuery { filter, content, through: u64::MAX, is_newest_first, stop };
        let sink = RecordSink::new(limit.records, usize::MAX);
        let numbers = self.numbers(from, &query);
        let page = Search::new(self, &query, limit, false).run(numbers, sink)?;
        let SearchPage { found, next, reached, missing, trimmed, statistics: _ } = page;
        Ok(RecordPage { records: found.records, next, reached, missing, trimmed })
    }

    /// The records that `query` finds from `from` on, up to `limit` and `record_bytes` of them; with
    /// the help of another thread if there is much to read.
    ///
    /// # Errors
    ///
    /// As [`Self::forward`].
    pub fn search(
        &self,
        from: u64,
        query: &RecordQuery,
        limit: PageLimit,
        record_bytes: usize,
    ) -> Result<(RecordPage, ScanStatistics), JournalError> {
        let sink = RecordSink::new(limit.records, record_bytes);
        let numbers = self.numbers(from, query);
        let page = Search::new(self, query, limit, true).run(numbers, sink)?;
        let SearchPage { found, next, reached, missing, trimmed, statistics } = page;
        Ok((RecordPage { records: found.records, next, reached, missing, trimmed }, statistics))
    }

    /// Counts the records that `query` finds from `from` on, up to `limit.bytes`, and until there are
    /// `limit.records` different counts.
    ///
    /// # Errors
    ///
    /// As [`Self::forward`].
    pub fn count(
        &self,
        from: u64,
        query: &RecordQuery,
        by: CountBy,
        limit: PageLimit,
    ) -> Result<SearchPage<RecordCounts>, JournalError> {
        let numbers = self.numbers(from, query);
        let sink = CountSink::new(by, limit.records);
        let page = Search::new(self, query, limit, true).run(numbers, sink)?;
        let SearchPage { found, next, reached, missing, trimmed, statistics } = page;
        Ok(SearchPage { found: found.counts, next, reached, missing, trimmed, statistics })
    }

    /// The numbers of the query from `from` on that are durable and not trimmed now.
    fn numbers(&self, from: u64, query: &RecordQuery) -> RangeInclusive<u64> {
        let end = self.durable().min(query.through);
        match query.is_newest_first {
            true => self.first()..=from.min(end),
            false => from.max(self.first().min(end + 1))..=end,
        }
    }

    /// The newest records from `from` on, as blocks of the commit log: as many as one read has, at most
    /// some beyond [`Self::durable`]. `None` where [`Self::forward`] has to look: `from` was trimmed, or is
    /// in the archive alone.
    ///
    /// # Errors
    ///
    /// As [`Self::forward`].
    pub fn newest_blocks(&self, from: u64) -> Result<Option<Vec<Block>>, JournalError> {
        if from <= self.archive.trimmed_through() {
            return Ok(None);
        }
        self.files.blocks_from(from)
    }

    /// The data folder.
    pub fn data_folder(&self) -> &Path {
        &self.dir
    }

    /// The folder of the checkpoints.
    pub(super) fn checkpoints_folder(&self) -> PathBuf {
        self.dir.join(recovery::CHECKPOINTS)
    }

    /// All numbers up to this one were trimmed.
    pub(super) fn trimmed_through(&self) -> u64 {
        self.archive.trimmed_through()
    }

    /// The blocks around `number`.
    pub(super) fn lookup(&self, number: u64) -> Result<Lookup, JournalError> {
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

    /// The smallest number that is there and at least `number`.
    pub(super) fn at_or_above(&self, number: u64) -> Option<u64> {
        // Records move from the log to the archive, so read the log first: what has left it
        // by then is found in the archive.
        let in_log = self.files.at_or_above(number);
        in_log.into_iter().chain(self.archive.at_or_above(number)).min()
    }

    /// The nearest number at or beyond `from`, downwards if `descending`, that may match by the
    /// indexes of the archive, or that they do not know; `None` if there is none. Looks no further than
    /// `until`.
    pub(super) fn next_candidate(
        &self,
        from: u64,
        filter: &HeaderFilter,
        descending: bool,
        until: u64,
    ) -> Result<Option<u64>, JournalError> {
        self.archive.next_candidate(from, filter, descending, until)
    }

    /// The largest number that is there and at most `number`.
    pub(super) fn at_or_below(&self, number: u64) -> Option<u64> {
        let in_log = self.files.at_or_below(number);
        in_log.into_iter().chain(self.archive.at_or_below(number)).max()
    }
}
