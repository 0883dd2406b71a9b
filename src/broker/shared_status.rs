//! Shares the loop's status with its handles through atomics, past the queue.
//!
//! Guarantees that reading it never waits. Decides nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::BrokerHandle;
use crate::broker::query::CommitTimer;

/// Status shared by the loop and its handles.
#[derive(Debug, Default)]
pub(super) struct SharedStatus {
    /// The disk is nearly full: requests that need room are rejected before the queue.
    pub(super) disk_is_low: AtomicBool,
    /// A commit waits for a descriptor or memory.
    pub(super) is_starved: AtomicBool,
    /// The broker is stopping: commits no longer wait for room on a full disk.
    pub(super) is_stopping: AtomicBool,
    /// Incremented by each iteration, and each check for room on a full disk.
    pub(super) heartbeat: AtomicU64,
    /// How long commits take.
    pub(super) commit_timer: CommitTimer,
}

impl BrokerHandle {
    /// Grows as long as the loop works, even while it waits for room on a full disk.
    pub fn heartbeat(&self) -> u64 {
        self.status.heartbeat.load(Ordering::Relaxed)
    }

    /// Whether a commit waits for descriptors or memory.
    pub fn is_starved(&self) -> bool {
        self.status.is_starved.load(Ordering::Acquire)
    }

    /// Whether nothing new is accepted because the disk is nearly full.
    pub fn disk_is_low(&self) -> bool {
        self.status.disk_is_low.load(Ordering::Acquire)
    }

    /// How many requests wait, and how many bytes of events there is room for.
    pub fn queue_usage(&self) -> (usize, usize) {
        (
            self.queue.max_capacity() - self.queue.capacity(),
            self.byte_permits.available_permits() << 10,
        )
    }
}
