//! Where are the records that are not new any more? In sled, packed, in spans.
//!
//! A span is one sled folder of dense numbers, `archive/span-<first number>`. The newest is filled
//! by the archiver; the others are sealed: synced, read back whole, and marked so by a file
//! beside them. Guarantees that a sealed span was whole when its part of the commit log was
//! given up, and that an unsealed one is never relied on: a start throws it away and the archiver
//! builds it again. A sealed one is read without sled (`places`); one that is damaged is
//! salvaged by whoever finds it (`repair`).

mod archiver;
mod filling;
mod opening;
mod places;
mod repair;
mod retention;
mod seal;
mod span;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use uuid::Uuid;

pub(super) use self::archiver::Archiver;
pub(super) use self::opening::{open, verify};
use self::places::Places;
pub(super) use self::retention::read_mark;
pub use self::retention::{Retention, TrimDue};
pub(super) use self::seal::Seal;
use self::span::Span;
use super::disk;
use super::error::JournalError;
use super::frame::Block;

/// Sealed spans open at one time; each takes the places of its blocks in memory.
const OPEN_SPANS_MAX: usize = 4;

/// Open sealed spans by their first number.
type OpenSpans = Vec<(u64, Arc<Places>)>;

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
    /// Held by whoever repairs a span; true once the journal is closed.
    repairing: Mutex<bool>,
    /// Tells a repair to give up.
    closing: AtomicBool,
    /// Numbers that repairs found missing, until they are asked for.
    lost: Mutex<Vec<RangeInclusive<u64>>>,
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
        self.closing.store(true, Ordering::Release);
        *self.repairing.lock().unwrap_or_else(PoisonError::into_inner) = true;
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
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
        let unusable =
            |reason| JournalError::Archive { action: "read", path: self.span_path(first), reason };
        let block = self.opened(first)?.block_at(number)?;
        block.ok_or_else(|| unusable(format!("record {number} is not in it")))
    }

    fn opened(&self, first: u64) -> Result<Arc<Places>, JournalError> {
        let closed = || JournalError::Closed { path: self.folder.clone() };
        {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let open = open.as_mut().ok_or_else(closed)?;
            if let Some(at) = open.iter().position(|(number, _)| *number == first) {
                let found = open.remove(at);
                open.push(found);
                return Ok(Arc::clone(&open[open.len() - 1].1));
            }
        }
        // The scan takes a while, and is no business of those who read other spans.
        let path = self.span_path(first);
        let unusable =
            |reason| JournalError::Archive { action: "open", path: path.clone(), reason };
        let held = {
            let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
            sealed.get(&first).map(|span| (span.seal.held(first), span.seal.last))
        };
        let (held, last) = held.ok_or_else(|| unusable("it is not sealed".to_owned()))?;
        let places = Places::scan(&path, self.journal, &(first..=last), &self.closing)?;
        if let Some(lost) = places.first_lost(&held) {
            return Err(unusable(format!("record {lost} is not in it")));
        }
        let places = Arc::new(places);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open = open.as_mut().ok_or_else(closed)?;
        open.retain(|(number, _)| *number != first);
        if open.len() >= OPEN_SPANS_MAX {
            open.remove(0);
        }
        open.push((first, Arc::clone(&places)));
        Ok(places)
    }

    /// Forgets where the blocks of one sealed span lie; whoever reads one right now still does.
    fn close_one(&self, first: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = open.as_mut() {
            open.retain(|(number, _)| *number != first);
        }
    }

    fn span_path(&self, first: u64) -> PathBuf {
        self.folder.join(format!("span-{first:020}"))
    }

    fn seal_path(&self, first: u64) -> PathBuf {
        self.folder.join(format!("span-{first:020}.sealed"))
    }
}
