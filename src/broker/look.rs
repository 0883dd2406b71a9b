//! Answers queries with a time limit and measures commits, for reports that must not wait.
//!
//! Guarantees that nothing here waits for the loop beyond a limit, and that no runtime is needed: its
//! workers may all be blocked. Decides nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;

use super::Broker;
use super::queue::{Item, Work};
use crate::clock::monotonic_now;
use crate::grid::Grid;
use crate::grid::time::Timestamp;

/// Why a query has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Its queue is full.
    #[error("the broker loop's queue is full")]
    QueueFull,
    /// It is busy.
    #[error("the broker loop did not answer within {} ms", .0.as_millis())]
    NotInTime(Duration),
    /// It has ended.
    #[error("the broker loop has ended")]
    Stopped,
}

/// How long commits take, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Commits {
    /// How many since the start.
    pub count: u64,
    /// The last one.
    pub last_us: u64,
    /// The longest one.
    pub longest_us: u64,
    /// All of them together.
    pub total_us: u64,
    /// How long the one in progress has taken; 0: none is.
    pub under_way_us: u64,
}

/// Measures commits; written by the loop.
#[derive(Debug, Default)]
pub(super) struct CommitTimes {
    count: AtomicU64,
    last_us: AtomicU64,
    longest_us: AtomicU64,
    total_us: AtomicU64,
    /// When the one in progress started, since the broker's start; 0: none is.
    began_us: AtomicU64,
}

impl CommitTimes {
    /// Measures a commit.
    pub(super) fn measure<T>(&self, elapsed: Duration, commit: impl FnOnce() -> T) -> T {
        let started = monotonic_now();
        // Not 0, even in the first microsecond.
        let began_us = u64::try_from(elapsed.as_micros()).unwrap_or(0).max(1);
        self.began_us.store(began_us, Ordering::Relaxed);
        let done = commit();
        let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.began_us.store(0, Ordering::Relaxed);
        self.last_us.store(took, Ordering::Relaxed);
        self.longest_us.fetch_max(took, Ordering::Relaxed);
        self.total_us.fetch_add(took, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
        done
    }
}

impl Broker {
    /// Runs a query on the grid and blocks until it is answered, for at most `limit`. `query` should be
    /// quick.
    ///
    /// # Errors
    ///
    /// [`QueryError`] tells why there is no result.
    pub fn ask_within<T: Send + 'static>(
        &self,
        limit: Duration,
        query: impl FnOnce(&Grid, Timestamp) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let (reply, answer) = sync_channel(1);
        let query = Box::new(move |grid: &Grid, now: Timestamp| {
            // A receiver that timed out is fine.
            let _ = reply.send(query(grid, now));
        });
        let item = Item { at: self.clock.stamp(), work: Work::Ask(query), room: None };
        self.queue.try_send(item).map_err(|error| match error {
            TrySendError::Full(_) => NoAnswer::QueueFull,
            TrySendError::Closed(_) => NoAnswer::Stopped,
        })?;
        answer.recv_timeout(limit).map_err(|error| match error {
            RecvTimeoutError::Timeout => NoAnswer::NotInTime(limit),
            RecvTimeoutError::Disconnected => NoAnswer::Stopped,
        })
    }

    /// How many streams watch for changes.
    pub fn watchers(&self) -> usize {
        self.changes.receiver_count()
    }

    /// How long commits take.
    pub fn commits(&self) -> Commits {
        let CommitTimes { count, last_us, longest_us, total_us, began_us } = &self.signs.commits;
        let now_us = u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(0);
        let began_us = began_us.load(Ordering::Relaxed);
        Commits {
            count: count.load(Ordering::Relaxed),
            last_us: last_us.load(Ordering::Relaxed),
            longest_us: longest_us.load(Ordering::Relaxed),
            total_us: total_us.load(Ordering::Relaxed),
            under_way_us: if began_us == 0 { 0 } else { now_us.saturating_sub(began_us) },
        }
    }
}
