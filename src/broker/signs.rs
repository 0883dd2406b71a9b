//! How is the loop, without asking it? Signs that loop and handles give each other past the queue.
//!
//! Guarantees nothing but that reading them waits for nobody. Decides nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Broker;
use super::look::CommitTimes;

/// What loop and handles tell each other past the queue.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// The disk is nearly full: what would need room is not even put in the queue.
    pub(super) disk_is_low: AtomicBool,
    /// The system has no descriptor or memory for a commit, which waits for it.
    pub(super) is_starved: AtomicBool,
    /// The broker is to stop: a full disk is not waited for any more.
    pub(super) stops: AtomicBool,
    /// How often the loop went round, or looked for room on a full disk.
    pub(super) turns: AtomicU64,
    /// How long commits take.
    pub(super) commits: CommitTimes,
}

impl Broker {
    /// Grows for as long as the loop is at work, even while it waits for room on a full disk.
    pub fn turns(&self) -> u64 {
        self.signs.turns.load(Ordering::Relaxed)
    }

    /// Whether a commit waits for descriptors or memory.
    pub fn is_starved(&self) -> bool {
        self.signs.is_starved.load(Ordering::Acquire)
    }

    /// Whether nothing new is taken because the disk is nearly full.
    pub fn disk_is_low(&self) -> bool {
        self.signs.disk_is_low.load(Ordering::Acquire)
    }

    /// How many items wait, and how many bytes of events there is room for.
    pub fn waiting(&self) -> (usize, usize) {
        (self.queue.max_capacity() - self.queue.capacity(), self.room.available_permits() << 10)
    }
}
