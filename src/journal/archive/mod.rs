//! Where are the records that are not new any more? In sled, packed, in spans.
//!
//! A span is one sled folder of dense numbers, `archive/span-<first number>`. The newest is filled
//! by the archiver; the others are sealed: synced, read back whole, and marked so by a file
//! beside them. Guarantees that a sealed span was whole when its part of the commit log was
//! given up, and that an unsealed one is never relied on: a start throws it away and the archiver
//! builds it again.

mod archiver;
mod filling;
mod opening;
mod retention;
mod seal;
mod span;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use uuid::Uuid;

pub(super) use self::archiver::Archiver;
pub(super) use self::opening::{open, verify};
pub(super) use self::retention::read_mark;
pub use self::retention::{Retention, TrimDue};
pub(super) use self::seal::Seal;
use self::span::Span;
use super::disk;
use super::error::JournalError;
use super::frame::Block;

/// Sealed spans open at one time; each has a thread, a cache and a buffer of its own.
const OPEN_SPANS_MAX: usize = 4;
/// A span is closed after so many bytes were read, because sled's cache keeps up to 16,384 pages
/// whatever it was told.
const READ_BYTES_MAX: u64 = 64 << 20;

/// Open sealed spans by their first number.
type OpenSpans = Vec<(u64, Arc<Span>)>;

/// The archive, as the archiver and the readers share it.
#[derive(Debug)]
pub(super) struct Archive {
    folder: PathBuf,
    journal: Uuid,
    sealed: RwLock<BTreeMap<u64, SealedSpan>>,
    active: RwLock<Option<Arc<ActiveSpan>>>,
    /// The least recently used first; `None` once the journal is closed.
    open: Mutex<Option<OpenSpans>>,
    sealed_through: AtomicU64,
    archived_through: AtomicU64,
    trimmed_through: AtomicU64,
}

/// A sealed span, as it is known without opening it.
#[derive(Debug)]
struct SealedSpan {
    seal: Seal,
    /// What it takes on the disk, in bytes.
    bytes: u64,
}

/// The span being filled.
#[derive(Debug)]
struct ActiveSpan {
    first: u64,
    /// The last number in it; below `first` while it is empty.
    through: AtomicU64,
    span: Span,
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

    /// All numbers up to this one were forgotten on purpose.
    pub(super) fn trimmed_through(&self) -> u64 {
        self.trimmed_through.load(Ordering::Acquire)
    }

    /// The block around `number`; `None` if the archive does not hold it (any more, or yet).
    pub(super) fn block_at(&self, number: u64) -> Result<Option<Block>, JournalError> {
        if let Some(first) = self.sealed_with(number) {
            return self.sealed_block(first, number).map(Some);
        }
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(active) = active else { return Ok(None) };
        if number < active.first || number > active.through.load(Ordering::Acquire) {
            return Ok(None);
        }
        // The commit log still has all of an unsealed span, so trouble here is no reader's.
        Ok(active.span.block_at(number).ok().flatten())
    }

    /// The smallest sealed number that is at least `number`.
    pub(super) fn at_or_above(&self, number: u64) -> Option<u64> {
        let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        let (first, span) = sealed.iter().find(|(_, span)| span.seal.last >= number)?;
        let number = number.max(*first);
        Some(span.seal.gap_at(number).map_or(number, |gap| *gap.end() + 1))
    }

    /// The largest sealed number that is at most `number`.
    pub(super) fn at_or_below(&self, number: u64) -> Option<u64> {
        let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        let (_, span) = sealed.range(..=number).next_back()?;
        let number = number.min(span.seal.last);
        Some(span.seal.gap_at(number).map_or(number, |gap| *gap.start() - 1))
    }

    /// The numbers that sealed spans hold, ascending.
    pub(super) fn ranges(&self) -> Vec<RangeInclusive<u64>> {
        let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        sealed.iter().flat_map(|(first, span)| span.seal.held(*first)).collect()
    }

    /// How many bytes it has on the disk, sealed or not.
    pub(super) fn bytes(&self) -> u64 {
        disk::bytes_below(&self.folder)
    }

    /// Closes all spans; readers that go on get [`JournalError::Closed`].
    pub(super) fn close(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        for (_, span) in open.into_iter().flatten() {
            span.close();
        }
        let active = self.active.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(active) = active {
            active.span.close();
        }
    }

    fn sealed_with(&self, number: u64) -> Option<u64> {
        let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        let (first, SealedSpan { seal, .. }) = sealed.range(..=number).next_back()?;
        (number <= seal.last && seal.gap_at(number).is_none()).then_some(*first)
    }

    fn sealed_block(&self, first: u64, number: u64) -> Result<Block, JournalError> {
        // Another reader may close the span between our finding and reading it.
        for _ in 0..OPEN_SPANS_MAX {
            let span = self.opened(first)?;
            if let Some(block) = span.block_at(number)? {
                return Ok(block);
            }
            if span.is_open() {
                break;
            }
        }
        let reason = format!("record {number} is not in it");
        Err(JournalError::Archive { action: "read", path: self.span_path(first), reason })
    }

    fn opened(&self, first: u64) -> Result<Arc<Span>, JournalError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open =
            open.as_mut().ok_or_else(|| JournalError::Closed { path: self.folder.clone() })?;
        if let Some(at) = open.iter().position(|(number, _)| *number == first) {
            let (_, span) = open.remove(at);
            if span.bytes_read() < READ_BYTES_MAX {
                open.push((first, Arc::clone(&span)));
                return Ok(span);
            }
            span.close();
        }
        if open.len() >= OPEN_SPANS_MAX {
            open.remove(0).1.close();
        }
        let span = Arc::new(Span::open(self.span_path(first))?);
        open.push((first, Arc::clone(&span)));
        Ok(span)
    }

    /// Closes one sealed span, once those who read a block of it right now are done.
    fn close_one(&self, first: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = open.as_mut()
            && let Some(at) = open.iter().position(|(number, _)| *number == first)
        {
            open.remove(at).1.close();
        }
    }

    fn span_path(&self, first: u64) -> PathBuf {
        self.folder.join(format!("span-{first:020}"))
    }

    fn seal_path(&self, first: u64) -> PathBuf {
        self.folder.join(format!("span-{first:020}.sealed"))
    }
}
