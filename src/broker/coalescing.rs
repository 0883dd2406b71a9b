//! Batches the counters of events without a record of their own into tallies, and answers sessions.
//!
//! Guarantees at most one round of tallies a second while the broker works, but for events about starts,
//! which do not wait behind the earlier events of their own session. Decides nothing: which reply waits for a
//! tally is part of the decision.

use tokio::sync::oneshot;

use super::queue::{BatchExceptions, BatchReply, reply_with};
use super::{BYTES_PER_COMMIT, EventLoop};
use crate::codec::RecordBytes;
use crate::grid::decide::Release;
use crate::grid::values::id::{ApplianceIndex, SessionId};
use crate::grid::values::time::Timestamp;

impl EventLoop {
    pub(super) fn suppressed_until(&self, number: ApplianceIndex) -> Option<Timestamp> {
        let appliance = self.driver.grid().state().appliance(number)?;
        Some(appliance.usage.suppression.as_ref()?.ends_at())
    }

    /// Replies to a batch. If the reply waits for the tally, the session is notified at once, so that it
    /// can submit its next batch.
    pub(super) fn reply_or_defer_batch(
        &mut self,
        session: SessionId,
        reply: oneshot::Sender<BatchReply>,
        exceptions: BatchExceptions,
        overtakes: bool,
        release: Release,
    ) {
        let reply = match release {
            Release::WithCommit => reply_with(reply, BatchReply::Complete(exceptions)),
            Release::WithTally => {
                let (to, answered) = oneshot::channel();
                // A session that has gone does not mind.
                drop(reply.send(BatchReply::Deferred(answered)));
                reply_with(to, exceptions)
            }
        };
        self.driver.reply_to_session(session, overtakes, release, reply);
    }

    /// Makes tallies if they are due, as far as the commit has room for them.
    pub(super) fn flush_if_due(&mut self) {
        let (now, mut tallies) = (self.clock.now(), Vec::new());
        let mut room = BYTES_PER_COMMIT.saturating_sub(self.commit.batch.byte_count());
        self.driver.flush_if_due(now, |record| {
            room = room.saturating_sub(RecordBytes::new(&record).len());
            tallies.push(record);
            room > 0
        });
        tallies.iter().for_each(|record| self.stage_record(record));
    }

    /// Makes all tallies, however many there are.
    pub(super) fn flush_all(&mut self) {
        let (now, mut tallies) = (self.clock.now(), Vec::new());
        self.driver.flush(now, |record| {
            tallies.push(record);
            true
        });
        tallies.iter().for_each(|record| self.stage_record(record));
    }
}
