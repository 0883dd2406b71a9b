//! Writes checkpoints of the state, so that a start need not read every record.
//!
//! Guarantees that a checkpoint contains the effects of durable records, and nothing else.

use std::time::Duration;

use super::EventLoop;
use crate::clock::monotonic_now;
use crate::codec;
use crate::journal::JournalError;

/// Longest time between checkpoints; the settings limit the records between them.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(600);

impl EventLoop {
    pub(super) fn checkpoint_if_due(&mut self) -> Result<(), JournalError> {
        let last = self.driver.grid().state().last();
        let many = last >= self.checkpoint_number + self.checkpoint_records;
        let long =
            last > self.checkpoint_number && self.checkpointed_at.elapsed() >= CHECKPOINT_INTERVAL;
        if many || long {
            // A checkpoint holds what records say, and nothing besides.
            self.flush_all();
            self.commit_and_reply()?;
            self.write_checkpoint();
        }
        Ok(())
    }

    pub(super) fn write_checkpoint(&mut self) {
        let last = self.driver.grid().state().last();
        let state = codec::encode_state(self.driver.grid().state());
        tracing::debug!(record = last, bytes = state.len(), "writing a checkpoint");
        // While another one is being written, this one is skipped.
        let _ = self.journal.checkpoint(last, state);
        self.checkpoint_number = last;
        self.checkpointed_at = monotonic_now();
    }
}
