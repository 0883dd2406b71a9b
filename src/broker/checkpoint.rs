//! Writes checkpoints of the state, so that a start need not read every record.
//!
//! Guarantees that a checkpoint contains the effects of durable records, and nothing else, and that the
//! loop does not encode it: it passes a snapshot of the state to the thread that writes it.

use std::time::Duration;

use super::EventLoop;
use crate::clock::monotonic_now;
use crate::codec::EncodedState;
use crate::journal::{CheckpointContent, JournalError};

/// Longest time between checkpoints; the settings limit the records between them.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(600);

impl EventLoop {
    pub(super) fn checkpoint_if_due(&mut self) -> Result<(), JournalError> {
        let last = self.driver.grid().state().last();
        // What a checkpoint costs grows with the appliances, and so does what a start reads anyway.
        let rows = u64::from(self.driver.grid().state().next_number().0);
        let many = last >= self.checkpoint_number + self.checkpoint_records.max(rows);
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
        let snapshot = self.driver.grid().state().snapshot();
        let content = CheckpointContent::new(EncodedState::new(snapshot));
        // While another one is being written, this one is skipped.
        let _ = self.journal.checkpoint(last, content);
        tracing::debug!(record = last, "writing a checkpoint");
        self.checkpoint_number = last;
        self.checkpointed_at = monotonic_now();
    }
}
