//! Stores the older records, compressed, in segments.
//!
//! A segment is one folder of dense numbers, `archive/span-<first number>`. The archiver fills the
//! newest with sled. The others are sealed: copied into one plain file (`pack`), synced, read back
//! completely, indexed, and marked by a file beside them. Guarantees that a sealed segment was
//! intact when its part of the commit log was removed, and that nothing depends on an unsealed one:
//! a start discards it and the archiver builds it again. A sealed one is read without sled, by its
//! index (`block_index`); a reader that finds one damaged salvages it (`repair`). Does not know the
//! content of a record.

mod active_segment;
mod archiver;
mod block_index;
mod pack;
mod postings;
mod record_buffer;
mod recovery;
mod repair;
mod retention;
mod seal;
mod search;
mod segment;
mod segment_index;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use uuid::Uuid;

pub(super) use self::archiver::Archiver;
pub(super) use self::retention::read_trim_mark;
pub use self::retention::{Retention, TrimDue};
pub(super) use self::seal::Seal;
use super::disk;
use super::error::JournalError;
use super::frame::Block;
use crate::journal::archive::block_index::BlockIndex;
use crate::journal::archive::pack::PACK;
pub(super) use crate::journal::archive::recovery::{open, verify_segment};
use crate::journal::archive::segment::Segment;
use crate::journal::archive::segment_index::SegmentTotals;

/// Sealed segments open at one time; each has the locations of its blocks in memory.
const OPEN_SEGMENTS_MAX: usize = 4;

/// Open sealed segments by their first number.
type OpenSegments = Vec<(u64, Arc<BlockIndex>)>;

/// The archive, as the archiver and the readers share it.
#[derive(Debug)]
pub(super) struct Archive {
    folder: PathBuf,
    journal: Uuid,
    sealed: RwLock<BTreeMap<u64, SealedSegment>>,
    active: RwLock<Option<Arc<ActiveSegment>>>,
    /// The least recently used first; `None` once the journal is closed.
    open_segments: Mutex<Option<OpenSegments>>,
    sealed_through: AtomicU64,
    archived_through: AtomicU64,
    trimmed_through: AtomicU64,
    /// Locked during a repair; true once the journal is closed.
    repair_lock: Mutex<bool>,
    /// Makes a repair stop.
    is_closing: AtomicBool,
    /// Numbers that repairs found missing, until they are fetched.
    lost_ranges: Mutex<Vec<RangeInclusive<u64>>>,
}

/// What is known of a sealed segment without opening it.
#[derive(Debug)]
struct SealedSegment {
    seal: Seal,
    /// Bytes that it uses on the disk.
    bytes: u64,
    /// What is in it, by its index; read when a search first needs it, `None` without an index.
    totals: Arc<OnceLock<Option<SegmentTotals>>>,
}

impl SealedSegment {
    fn new(seal: Seal, bytes: u64) -> Self {
        Self { seal, bytes, totals: Arc::default() }
    }
}

/// The segment that is being filled.
#[derive(Debug)]
struct ActiveSegment {
    first: u64,
    /// The last number in it; below `first` while it is empty.
    through: AtomicU64,
    segment: Segment,
}

impl Archive {
    /// All numbers up to this one are sealed, or were missing.
    pub(super) fn sealed_through(&self) -> u64 {
        self.sealed_through.load(Ordering::Acquire)
    }

    /// All numbers up to this one are in the archive, sealed or not, or were missing.
    pub(super) fn archived_through(&self) -> u64 {
        self.archived_through.load(Ordering::Acquire)
    }

    /// All numbers up to this one were trimmed.
    pub(super) fn trimmed_through(&self) -> u64 {
        self.trimmed_through.load(Ordering::Acquire)
    }

    /// The block around `number`; `None` if the archive does not contain it (any more, or yet).
    pub(super) fn block_at(&self, number: u64) -> Result<Option<Block>, JournalError> {
        if let Some(first) = self.sealed_segment_with(number) {
            return self.sealed_block(first, number).map(Some);
        }
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(active) = active else { return Ok(None) };
        if number < active.first || number > active.through.load(Ordering::Acquire) {
            return Ok(None);
        }
        // The commit log still has all of an unsealed segment, so a reader need not see a failure
        // here.
        Ok(active.segment.block_at(number).ok().flatten())
    }

    /// The smallest sealed number that is at least `number`.
    pub(super) fn at_or_above(&self, number: u64) -> Option<u64> {
        let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        let (first, segment) = sealed.iter().find(|(_, segment)| segment.seal.last >= number)?;
        let number = number.max(*first);
        Some(segment.seal.gap_at(number).map_or(number, |gap| *gap.end() + 1))
    }

    /// The largest sealed number that is at most `number`.
    pub(super) fn at_or_below(&self, number: u64) -> Option<u64> {
        let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        let (_, segment) = sealed.range(..=number).next_back()?;
        let number = number.min(segment.seal.last);
        Some(segment.seal.gap_at(number).map_or(number, |gap| *gap.start() - 1))
    }

    /// The ranges of numbers in sealed segments, ascending.
    pub(super) fn ranges(&self) -> Vec<RangeInclusive<u64>> {
        let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        sealed.iter().flat_map(|(first, segment)| segment.seal.present_ranges(*first)).collect()
    }

    /// Its length on the disk in bytes, sealed or not.
    pub(super) fn bytes(&self) -> u64 {
        disk::bytes_below(&self.folder)
    }

    /// Closes all segments; further reads return [`JournalError::Closed`].
    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        *self.repair_lock.lock().unwrap_or_else(PoisonError::into_inner) = true;
        *self.open_segments.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let active = self.active.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(active) = active {
            active.segment.close();
        }
    }

    fn sealed_segment_with(&self, number: u64) -> Option<u64> {
        let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        let (first, SealedSegment { seal, .. }) = sealed.range(..=number).next_back()?;
        (number <= seal.last && seal.gap_at(number).is_none()).then_some(*first)
    }

    fn sealed_block(&self, first: u64, number: u64) -> Result<Block, JournalError> {
        let unusable = |reason| JournalError::Archive {
            action: "read",
            path: self.segment_path(first),
            reason,
        };
        let index = self.block_index(first)?;
        let mut found = index.block_at(number);
        let is_found = found.as_ref().is_ok_and(Option::is_some);
        let is_damaged = found.as_ref().is_err_and(JournalError::is_damaged_segment);
        if !index.is_scanned() && !is_found && (found.is_ok() || is_damaged) {
            // It may be the index that is wrong, and not the segment.
            let (present, last) = self.present_ranges(first)?;
            found = self.scan_segment(first, last, &present)?.block_at(number);
        }
        found?.ok_or_else(|| unusable(format!("record {number} is not in it")))
    }

    fn block_index(&self, first: u64) -> Result<Arc<BlockIndex>, JournalError> {
        let closed = || JournalError::Closed { path: self.folder.clone() };
        {
            let mut open = self.open_segments.lock().unwrap_or_else(PoisonError::into_inner);
            let open = open.as_mut().ok_or_else(closed)?;
            if let Some(at) = open.iter().position(|(number, _)| *number == first) {
                let found = open.remove(at);
                open.push(found);
                return Ok(Arc::clone(&open[open.len() - 1].1));
            }
        }
        // Without the lock: a scan takes a while, and must not delay readers of other segments.
        let path = self.segment_path(first);
        let (present, last) = self.present_ranges(first)?;
        let why = match BlockIndex::open(&path, self.journal, &(first..=last)) {
            Ok(index) => match index.first_missing(&present) {
                None => return self.keep_open(first, index),
                Some(lost) => format!("record {lost} is not in it"),
            },
            Err(reason) => reason,
        };
        if path.join(PACK).exists() {
            let path = path.display();
            tracing::warn!(%path, "a segment is scanned: its index can't be used: {why}");
        }
        self.scan_segment(first, last, &present)
    }

    /// Scans a sealed segment whose index can't be used, and writes it a new one.
    fn scan_segment(
        &self,
        first: u64,
        last: u64,
        present: &[RangeInclusive<u64>],
    ) -> Result<Arc<BlockIndex>, JournalError> {
        let path = self.segment_path(first);
        let index = BlockIndex::scan(&path, self.journal, &(first..=last), &self.is_closing)?;
        if let Some(lost) = index.first_missing(present) {
            let reason = format!("record {lost} is not in it");
            return Err(JournalError::Archive { action: "open", path, reason });
        }
        // One reader at a time, and none while a repair moves the folder.
        if let Ok(is_closed) = self.repair_lock.try_lock()
            && !*is_closed
            && let Err(error) = index.write(self.journal, first)
        {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "an index can't be written; the next reader scans the segment");
        }
        self.keep_open(first, index)
    }

    fn present_ranges(&self, first: u64) -> Result<(Vec<RangeInclusive<u64>>, u64), JournalError> {
        let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        let present = sealed.get(&first).map(|it| (it.seal.present_ranges(first), it.seal.last));
        present.ok_or_else(|| JournalError::Archive {
            action: "open",
            path: self.segment_path(first),
            reason: "it is not sealed".to_owned(),
        })
    }

    fn keep_open(&self, first: u64, index: BlockIndex) -> Result<Arc<BlockIndex>, JournalError> {
        let index = Arc::new(index);
        let mut open = self.open_segments.lock().unwrap_or_else(PoisonError::into_inner);
        let open =
            open.as_mut().ok_or_else(|| JournalError::Closed { path: self.folder.clone() })?;
        open.retain(|(number, _)| *number != first);
        if open.len() >= OPEN_SEGMENTS_MAX {
            open.remove(0);
        }
        open.push((first, Arc::clone(&index)));
        Ok(index)
    }

    /// Drops the block index of one sealed segment; a running read continues.
    fn close_segment(&self, first: u64) {
        let mut open = self.open_segments.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = open.as_mut() {
            open.retain(|(number, _)| *number != first);
        }
    }

    fn segment_path(&self, first: u64) -> PathBuf {
        self.folder.join(format!("span-{first:020}"))
    }

    fn seal_path(&self, first: u64) -> PathBuf {
        self.folder.join(format!("span-{first:020}.sealed"))
    }
}
