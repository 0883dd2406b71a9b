//! Applies new settings while the broker runs, as a request like any other.
//!
//! Guarantees that everything received before is decided by the old rules and everything after by
//! the new ones, and that the record of the change is durable before it is confirmed. Does not know
//! where settings are written.

use tokio::sync::oneshot;

use super::queue::{BrokerRequest, reply_with};
use super::{BrokerHandle, EventLoop, Unavailable};
use crate::grid::log::applied_settings::AppliedSettings;
use crate::grid::model::settings::GridSettings;
use crate::grid::occurrence::Occurrence;
use crate::grid::values::id::RecordNumber;
use crate::grid::values::time::Timestamp;
use crate::journal;

/// The new settings.
#[derive(Clone, Debug)]
pub struct Reconfiguration {
    /// The rules of the grid.
    pub settings: GridSettings,
    /// Retention and disk reserve of the journal; its file sizes stay unchanged.
    pub journal: journal::JournalSettings,
    /// The settings as recorded in the grid log.
    pub applied: AppliedSettings,
}

impl BrokerHandle {
    /// Applies other settings; returns the number of their record, once it is durable. They are accepted
    /// on a full disk too, since they may make room.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker stops before that, or has no room for its start record yet.
    pub async fn reconfigure(&self, new: Reconfiguration) -> Result<RecordNumber, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(BrokerRequest::Reconfigure { new: Box::new(new), reply }, 0).await?;
        answer.await.map_err(|_| self.unavailable_reason())
    }
}

impl EventLoop {
    pub(super) fn reconfigure(
        &mut self,
        new: Reconfiguration,
        reply: oneshot::Sender<RecordNumber>,
        at: Timestamp,
    ) {
        let Reconfiguration { settings, journal, applied: record } = new;
        self.journal.reconfigure(&journal);
        self.disk_guard.set_low_water(journal.low_water);
        self.checkpoint_records = journal.checkpoint_records;
        let (rules, applied) = (Box::new(settings), record.bounded());
        let decision = self.decide(Occurrence::Settings { rules, applied }, at);
        let number = decision.record.map_or(0, |record| record.number);
        // The limits shown with each appliance may have changed.
        self.commit.has_all_changed = true;
        self.driver.reply(decision.release, reply_with(reply, number));
    }
}
