//! Appends the records of a commit, and waits while the disk is full or resources are short.
//!
//! Guarantees that a full disk loses nothing: an append is retried until there is room, and nothing is
//! acknowledged before. Other disk failures are not handled: they end the loop.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::EventLoop;
use crate::clock::monotonic_now;
use crate::journal::{CommitBatch, JournalError};

/// How long a commit without room waits before its next try.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(250);

impl EventLoop {
    /// Makes records durable, and measures how long that takes.
    pub(super) fn append(&mut self, batch: &mut CommitBatch) -> Result<(), JournalError> {
        let began = monotonic_now();
        let status = Arc::clone(&self.disk_guard.status);
        status
            .commit_timer
            .measure(self.clock.elapsed(), || self.append_or_wait_for_room(batch))?;
        self.metrics.commit(batch.len(), began.elapsed());
        Ok(())
    }

    fn append_or_wait_for_room(&mut self, batch: &mut CommitBatch) -> Result<(), JournalError> {
        let mut is_logged = false;
        loop {
            let error = match self.journal.append_batch(batch) {
                Err(error) if error.note_shortage() => {
                    self.wait_for_resources(error, &mut is_logged)?;
                    continue;
                }
                Err(error) if error.is_out_of_space() => error,
                done => {
                    self.disk_guard.status.is_starved.store(false, Ordering::Release);
                    return done;
                }
            };
            self.disk_guard.status.disk_is_low.store(true, Ordering::Release);
            self.disk_guard.checked_at = None;
            if self.journal.release_ballast() {
                tracing::error!("the disk is full: the ballast is released");
                continue;
            }
            if self.disk_guard.status.is_stopping.load(Ordering::Acquire) {
                return Err(error);
            }
            if !is_logged {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the disk is full: accepted requests wait for room");
                is_logged = true;
            }
            std::thread::sleep(RETRY_PAUSE);
            self.beat();
        }
    }

    /// Waits until the system grants a descriptor or memory, or the broker is stopping.
    fn wait_for_resources(
        &self,
        error: JournalError,
        is_logged: &mut bool,
    ) -> Result<(), JournalError> {
        self.disk_guard.status.is_starved.store(true, Ordering::Release);
        if self.disk_guard.status.is_stopping.load(Ordering::Acquire) {
            return Err(error);
        }
        if !std::mem::replace(is_logged, true) {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "the journal lacks resources: accepted requests wait");
        }
        std::thread::sleep(RETRY_PAUSE);
        self.beat();
        Ok(())
    }
}
