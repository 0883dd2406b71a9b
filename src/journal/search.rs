//! Searches the journal for few records among many.
//!
//! The numbers are divided into stretches, which a second thread helps to read once the first ones
//! had too little. Guarantees that pages are the same with and without help, that at most
//! [`STRETCHES_AHEAD_MAX`] stretches are read beyond the page, and that a search ends with the block
//! that it reads once its caller stops it. Does not know the content of records.

mod count_sink;
mod merge;
mod record_sink;
mod stretch;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

pub(super) use self::count_sink::CountSink;
use self::merge::MergedStretches;
pub(super) use self::record_sink::RecordSink;
use self::stretch::{Stretch, StretchReader};
use super::error::JournalError;
use super::query::{PageLimit, RecordQuery, SearchPage};
use super::reader::JournalReader;
use super::record::{BlockSummary, RecordHeader};
use crate::tasks;

/// Records of the first stretch; each further one has four times as many.
const STRETCH_RECORDS: u64 = 256;
/// Most records of a stretch: some hundred blocks.
const STRETCH_RECORDS_MAX: u64 = 16_384;
/// Stretches that the caller's thread reads before it gets help.
const STRETCHES_ALONE: u64 = 3;
/// Stretches that are read, or being read, and not yet merged.
const STRETCHES_AHEAD_MAX: u64 = 4;
/// Threads that help searches; a search without one is as good, but slower.
const HELPERS_MAX: usize = 2;
/// The commits of the broker go first.
const HELPER_NICENESS: i32 = 5;

/// How many threads help.
static HELPERS: AtomicUsize = AtomicUsize::new(0);

/// Takes what a search finds, in the order of the search.
pub(super) trait Sink: Send + Sized + 'static {
    /// An empty one of the same kind.
    fn empty(&self) -> Self;
    /// Takes all records of a block that all match, if their summary suffices.
    fn push_block(&mut self, records: u64, summary: &BlockSummary) -> bool;
    /// Takes a record.
    fn push(&mut self, number: u64, header: &RecordHeader, bytes: &[u8]);
    /// Whether it takes no more.
    fn is_full(&self) -> bool;
    /// Takes what was found after it; returns the number of the first record that has no place.
    fn append(&mut self, later: Self) -> Option<u64>;
}

/// A search that is being carried out.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) reader: JournalReader,
    pub(super) query: RecordQuery,
    pub(super) limit: PageLimit,
    /// Whether another thread may read, too.
    may_be_helped: bool,
    /// Nobody waits for it any more.
    is_over: AtomicBool,
}

impl Search {
    /// A search of `reader`, which a second thread may help.
    pub(super) fn new(
        reader: &JournalReader,
        query: &RecordQuery,
        limit: PageLimit,
        may_be_helped: bool,
    ) -> Self {
        let (reader, query, is_over) = (reader.clone(), query.clone(), AtomicBool::new(false));
        Self { reader, query, limit, may_be_helped, is_over }
    }

    /// Searches `numbers`, and puts what is found into `sink`.
    pub(super) fn run<S: Sink>(
        self,
        numbers: RangeInclusive<u64>,
        sink: S,
    ) -> Result<SearchPage<S>, JournalError> {
        let search = Arc::new(self);
        let work = Arc::new(Workload::new(&search, numbers, sink.empty()));
        let _end = EndOnDrop(&search, &work);
        let mut merged = MergedStretches::new(&search.query, work.origin(), sink);
        let mut stretch_reader = StretchReader::new(&search, true);
        let mut is_helped = !search.may_be_helped;
        loop {
            let mut is_over = search.query.stop.load(Ordering::Relaxed) && merged.count() > 0;
            while !is_over && let Some(result) = work.take_result(merged.count()) {
                is_over = merged.push(result?, &search.limit);
            }
            if is_over {
                merged.page.next = merged.page.next.or_else(|| work.first_of(merged.count()));
                return Ok(merged.page);
            }
            let Some((index, stretch)) = work.take_stretch(merged.count()) else {
                if work.wait_for_result(merged.count()) {
                    continue;
                }
                return Ok(merged.page);
            };
            if index == STRETCHES_ALONE && !is_helped {
                is_helped = true;
                start_helper(&search, &work);
            }
            let mut unread = GiveBack { work: &work, index, stretch: Some(stretch) };
            let result = stretch_reader.read(&stretch, work.empty_sink());
            unread.stretch = None;
            work.put_result(index, result);
        }
    }

    /// Whether reading is in vain, or no longer wanted.
    fn is_stopped(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) || self.query.stop.load(Ordering::Relaxed)
    }
}

type StretchResult<S> = Result<SearchPage<S>, JournalError>;

/// The stretches of a search: to be read, being read, read.
struct Workload<S> {
    state: Mutex<WorkState<S>>,
    changed: Condvar,
    is_newest_first: bool,
    origin: u64,
}

struct WorkState<S> {
    /// An empty one, to be copied.
    sink: S,
    /// The numbers that are in no stretch yet.
    rest: Option<(u64, u64)>,
    next_index: u64,
    /// Begun, but not finished: their thread panicked.
    abandoned: BTreeMap<u64, Stretch>,
    /// Being read, or read and not merged.
    begun: BTreeMap<u64, Stretch>,
    read: BTreeMap<u64, StretchResult<S>>,
    merged: u64,
    is_over: bool,
}

impl<S: Sink> Workload<S> {
    fn new(search: &Search, numbers: RangeInclusive<u64>, sink: S) -> Self {
        let (first, last) = numbers.into_inner();
        let is_newest_first = search.query.is_newest_first;
        let state = WorkState {
            sink,
            rest: (first <= last).then_some((first, last)),
            next_index: 0,
            abandoned: BTreeMap::new(),
            begun: BTreeMap::new(),
            read: BTreeMap::new(),
            merged: 0,
            is_over: false,
        };
        let origin = if is_newest_first { last.saturating_add(1) } else { first.saturating_sub(1) };
        Self { state: Mutex::new(state), changed: Condvar::new(), is_newest_first, origin }
    }

    /// The number before the first one.
    fn origin(&self) -> u64 {
        self.origin
    }

    fn empty_sink(&self) -> S {
        self.lock().sink.empty()
    }

    /// The next stretch and its index; `None` if there is none, or enough is ahead of `merged`.
    fn take_stretch(&self, merged: u64) -> Option<(u64, Stretch)> {
        let mut state = self.lock();
        if state.is_over {
            return None;
        }
        if let Some(found) = state.abandoned.pop_first() {
            return Some(found);
        }
        let index = state.next_index;
        if index >= merged + STRETCHES_AHEAD_MAX {
            return None;
        }
        let (first, last) = state.rest?;
        let records = STRETCH_RECORDS.saturating_mul(1 << (2 * index).min(32));
        let records = records.min(STRETCH_RECORDS_MAX);
        let (stretch, rest) = if self.is_newest_first {
            let from = first.max(last.saturating_sub(records - 1));
            (Stretch { first: from, last }, (first, from.saturating_sub(1)))
        } else {
            let through = last.min(first.saturating_add(records - 1));
            (Stretch { first, last: through }, (through.saturating_add(1), last))
        };
        let is_last = stretch.first == first && stretch.last == last;
        state.rest = (!is_last).then_some(rest);
        state.next_index += 1;
        state.begun.insert(index, stretch);
        Some((index, stretch))
    }

    fn put_result(&self, index: u64, result: StretchResult<S>) {
        self.lock().read.insert(index, result);
        self.changed.notify_all();
    }

    /// The result of the stretch that follows the merged ones, if it is there.
    fn take_result(&self, merged: u64) -> Option<StretchResult<S>> {
        let mut state = self.lock();
        let result = state.read.remove(&merged)?;
        state.begun.remove(&merged);
        state.merged = merged + 1;
        drop(state);
        self.changed.notify_all();
        Some(result)
    }

    /// Waits for that result, or for a stretch that was given back; `false` if nobody reads it.
    fn wait_for_result(&self, merged: u64) -> bool {
        let is_waiting = |state: &mut WorkState<S>| {
            state.abandoned.is_empty()
                && state.begun.contains_key(&merged)
                && !state.read.contains_key(&merged)
        };
        let waited = self.changed.wait_while(self.lock(), is_waiting);
        let state = waited.unwrap_or_else(PoisonError::into_inner);
        !state.abandoned.is_empty() || state.read.contains_key(&merged)
    }

    /// Waits until there may be another stretch for a helper; `false` at the end.
    fn wait_for_stretch(&self) -> bool {
        let waited = self.changed.wait_while(self.lock(), |state| {
            !state.is_over
                && state.rest.is_some()
                && state.next_index >= state.merged + STRETCHES_AHEAD_MAX
        });
        let state = waited.unwrap_or_else(PoisonError::into_inner);
        !state.is_over && state.rest.is_some()
    }

    /// Where the stretch of that index begins; `None` if there is none.
    fn first_of(&self, index: u64) -> Option<u64> {
        let state = self.lock();
        let begun = state.begun.get(&index).map(|it| (it.first, it.last));
        let (first, last) = begun.or(state.rest)?;
        Some(if self.is_newest_first { last } else { first })
    }

    fn lock(&self) -> MutexGuard<'_, WorkState<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives a stretch back if its thread panics.
struct GiveBack<'a, S: Sink> {
    work: &'a Workload<S>,
    index: u64,
    stretch: Option<Stretch>,
}

impl<S: Sink> Drop for GiveBack<'_, S> {
    fn drop(&mut self) {
        if let Some(stretch) = self.stretch.take() {
            self.work.lock().abandoned.insert(self.index, stretch);
            self.work.changed.notify_all();
        }
    }
}

/// Ends the helper with the search.
struct EndOnDrop<'a, S: Sink>(&'a Search, &'a Workload<S>);

impl<S: Sink> Drop for EndOnDrop<'_, S> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
        self.1.lock().is_over = true;
        self.1.changed.notify_all();
    }
}

/// One of [`HELPERS_MAX`].
struct HelperPermit;

impl HelperPermit {
    fn take() -> Option<Self> {
        let more = |count: usize| (count < HELPERS_MAX).then_some(count + 1);
        HELPERS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for HelperPermit {
    fn drop(&mut self) {
        HELPERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Starts a thread that reads stretches; without one the search goes on alone.
fn start_helper<S: Sink>(search: &Arc<Search>, work: &Arc<Workload<S>>) {
    let Some(permit) = HelperPermit::take() else { return };
    let (search, work) = (Arc::clone(search), Arc::clone(work));
    let started = tasks::spawn_thread("search", move || {
        let _permit = permit;
        // Where the system refuses, it competes like any other thread.
        let _ = rustix::process::setpriority_process(None, HELPER_NICENESS);
        let mut reader = StretchReader::new(&search, false);
        while work.wait_for_stretch() {
            let merged = work.lock().merged;
            let Some((index, stretch)) = work.take_stretch(merged) else { continue };
            let mut unread = GiveBack { work: &work, index, stretch: Some(stretch) };
            let result = reader.read(&stretch, work.empty_sink());
            unread.stretch = None;
            work.put_result(index, result);
        }
    });
    drop(started);
}
