//! Answers queries with a time limit and measures commits, for reports that must not wait.
//!
//! Guarantees that nothing here waits for the loop beyond a limit, and that no runtime is needed: its
//! workers may all be blocked. Decides nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;

use super::BrokerHandle;
use super::queue::{BrokerRequest, QueuedRequest};
use crate::clock::monotonic_now;
use crate::grid::Grid;
use crate::grid::values::time::Timestamp;

/// Why a query has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Its queue is full.
    #[error("the broker loop's queue is full")]
    QueueFull,
    /// It is busy.
    #[error("the broker loop did not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// It has ended.
    #[error("the broker loop has ended")]
    Stopped,
}

/// How long commits take, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct CommitLatency {
    /// How many since the start.
    pub count: u64,
    /// The last one.
    pub last_us: u64,
    /// The longest one.
    pub max_us: u64,
    /// All of them together.
    pub total_us: u64,
    /// How long the one in progress has taken; 0: none is.
    pub in_progress_us: u64,
}

/// Measures commits; written by the loop.
#[derive(Debug, Default)]
pub(super) struct CommitTimer {
    count: AtomicU64,
    last_us: AtomicU64,
    max_us: AtomicU64,
    total_us: AtomicU64,
    /// When the one in progress started, since the broker's start; 0: none is.
    started_us: AtomicU64,
}

impl CommitTimer {
    /// Measures a commit.
    pub(super) fn measure<T>(&self, elapsed: Duration, commit: impl FnOnce() -> T) -> T {
        let started = monotonic_now();
        // Not 0, even in the first microsecond.
        let began_us = u64::try_from(elapsed.as_micros()).unwrap_or(0).max(1);
        self.started_us.store(began_us, Ordering::Relaxed);
        let done = commit();
        let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.started_us.store(0, Ordering::Relaxed);
        self.last_us.store(took, Ordering::Relaxed);
        self.max_us.fetch_max(took, Ordering::Relaxed);
        self.total_us.fetch_add(took, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
        done
    }
}

impl BrokerHandle {
    /// Runs a query on the grid and blocks until it is answered, for at most `limit`. `query` should be
    /// quick.
    ///
    /// # Errors
    ///
    /// [`QueryError`] tells why there is no result.
    pub fn query_blocking<T: Send + 'static>(
        &self,
        limit: Duration,
        query: impl FnOnce(&Grid, Timestamp) -> T + Send + 'static,
    ) -> Result<T, QueryError> {
        let (reply, answer) = sync_channel(1);
        let query = Box::new(move |grid: &Grid, now: Timestamp| {
            // A receiver that timed out is fine.
            let _ = reply.send(query(grid, now));
        });
        let item = QueuedRequest {
            received_at: self.clock.stamp(),
            request: BrokerRequest::Query(query),
            permits: None,
        };
        self.queue.try_send(item).map_err(|error| match error {
            TrySendError::Full(_) => QueryError::QueueFull,
            TrySendError::Closed(_) => QueryError::Stopped,
        })?;
        answer.recv_timeout(limit).map_err(|error| match error {
            RecvTimeoutError::Timeout => QueryError::TimedOut(limit),
            RecvTimeoutError::Disconnected => QueryError::Stopped,
        })
    }

    /// How many streams watch for changes.
    pub fn watcher_count(&self) -> usize {
        self.changes.receiver_count()
    }

    /// How long commits take.
    pub fn commit_latency(&self) -> CommitLatency {
        let CommitTimer { count, last_us, max_us, total_us, started_us } =
            &self.status.commit_timer;
        let now_us = u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(0);
        let began_us = started_us.load(Ordering::Relaxed);
        CommitLatency {
            count: count.load(Ordering::Relaxed),
            last_us: last_us.load(Ordering::Relaxed),
            max_us: max_us.load(Ordering::Relaxed),
            total_us: total_us.load(Ordering::Relaxed),
            in_progress_us: if began_us == 0 { 0 } else { now_us.saturating_sub(began_us) },
        }
    }
}
