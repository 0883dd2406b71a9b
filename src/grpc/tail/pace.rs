//! Limits the CPU time that all tails together take.
//!
//! Guarantees that tails get a small share while events wait to be decided, and at most half of a CPU's
//! time otherwise: what they have not read waits on disk. Estimates what sending costs, since that
//! is done elsewhere. Does not know what is read.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::broker::BrokerHandle;
use crate::clock::monotonic_now;

/// Events are said to wait from so many KiB on: more than the loop decides in a millisecond.
const WAITING_KIB: usize = 128;

/// They come and go with each commit, so that what was seen counts for a while.
const WAITING_SEEN_FOR: Duration = Duration::from_millis(300);

/// Work of the follower between two rests.
const ROUND_MAX: Duration = Duration::from_millis(10);

/// The same while events wait.
const ROUND_MAX_UNDER_LOAD: Duration = Duration::from_millis(4);

/// The rest after work, as a multiple of it, while events wait: 1/25 of a CPU.
const REST_UNDER_LOAD: u32 = 24;

/// The same for live tails otherwise: 1/9 of a CPU, and some milliseconds until a record is seen.
const REST_OTHERWISE: u32 = 8;

/// The same while tails are behind, so that they catch up: half of a CPU.
const REST_BEHIND: u32 = 1;

/// The shortest rest: commits in it are read at once, and wake nobody.
const REST_MIN: Duration = Duration::from_millis(2);

/// The longest rest.
const REST_MAX: Duration = Duration::from_millis(500);

/// What it costs to send a batch to one client: a wake-up, a frame, a write.
const SEND_COST: Duration = Duration::from_micros(12);

/// And for so many bytes of it again.
const SEND_COST_BYTES: usize = 12 << 10;

/// Tails that read the store by themselves at one time; more wait.
const CATCH_UP_READERS: usize = 2;

/// The pace of all tails.
#[derive(Debug)]
pub(super) struct Pace {
    broker: BrokerHandle,
    waiting_seen_at: Mutex<Option<Instant>>,
    readers: Semaphore,
}

impl Pace {
    pub(super) fn new(broker: BrokerHandle) -> Self {
        let readers = Semaphore::new(CATCH_UP_READERS);
        Self { broker, waiting_seen_at: Mutex::default(), readers }
    }

    /// Whether events waited to be decided a moment ago.
    pub(super) fn is_under_load(&self) -> bool {
        let now = monotonic_now();
        let mut seen_at = self.waiting_seen_at.lock().unwrap_or_else(PoisonError::into_inner);
        if self.broker.queued_kib() >= WAITING_KIB {
            *seen_at = Some(now);
        }
        seen_at.is_some_and(|seen_at| now.duration_since(seen_at) < WAITING_SEEN_FOR)
    }

    /// How much work may be done before a rest.
    pub(super) fn round_max(&self) -> Duration {
        if self.is_under_load() { ROUND_MAX_UNDER_LOAD } else { ROUND_MAX }
    }

    /// The rest after so much work; `is_behind`: more can be read already.
    pub(super) fn rest_after(&self, work: Duration, is_behind: bool) -> Duration {
        let times = match (self.is_under_load(), is_behind) {
            (true, _) => REST_UNDER_LOAD,
            (false, true) => REST_BEHIND,
            (false, false) => REST_OTHERWISE,
        };
        work.saturating_mul(times).clamp(REST_MIN, REST_MAX)
    }

    /// The turn to read the store; to be released after [`Self::rest`].
    pub(super) async fn reader_turn(&self) -> Option<SemaphorePermit<'_>> {
        self.readers.acquire().await.ok()
    }

    /// Rests after a read by a tail itself.
    pub(super) async fn rest(&self, work: Duration) {
        if self.is_under_load() {
            tokio::time::sleep(self.rest_after(work, true)).await;
        }
    }
}

/// The work of one round.
pub(super) struct RoundWork {
    began_at: Instant,
    work_max: Duration,
    /// Estimated for what others do.
    sending: Duration,
    records: u32,
    is_over: bool,
}

impl RoundWork {
    /// Decoded records between two looks at the clock.
    const RECORDS_PER_LOOK: u32 = 32;

    pub(super) fn begin(work_max: Duration) -> Self {
        let sending = Duration::ZERO;
        Self { began_at: monotonic_now(), work_max, sending, records: 0, is_over: false }
    }

    /// Counts a batch of `bytes` that is sent to one client.
    pub(super) fn count_sending(&mut self, bytes: usize) {
        let times = u32::try_from(1 + bytes / SEND_COST_BYTES).unwrap_or(u32::MAX);
        self.sending += SEND_COST.saturating_mul(times);
        self.is_over |= self.sending >= self.work_max;
    }

    /// Counts a record that was decoded; returns whether the round is over.
    pub(super) fn count_record(&mut self) -> bool {
        self.records += 1;
        if self.records.is_multiple_of(Self::RECORDS_PER_LOOK) { self.look() } else { self.is_over }
    }

    /// Returns whether the round is over by now.
    pub(super) fn look(&mut self) -> bool {
        self.is_over |= self.total() >= self.work_max;
        self.is_over
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// All work so far.
    pub(super) fn total(&self) -> Duration {
        self.began_at.elapsed() + self.sending
    }
}
