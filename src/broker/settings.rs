//! How do new settings come to hold while the broker runs? In their turn, like anything else.
//!
//! Guarantees that everything received before is decided by the old rules and everything after by
//! the new ones, and that the record of the change is durable when whoever brought it hears of it.
//! Does not know where settings are written.

use tokio::sync::oneshot;

use super::queue::{Reply, Work};
use super::{Broker, Loop, Unavailable};
use crate::grid::in_force::SettingsInForce;
use crate::grid::name::RecordNumber;
use crate::grid::occurrence::Occurrence;
use crate::grid::settings::Settings;
use crate::grid::time::Timestamp;
use crate::journal;

/// What is to hold from its turn on.
#[derive(Clone, Debug)]
pub struct Reconfiguration {
    /// The rules of the grid.
    pub grid: Settings,
    /// How much the journal keeps, and how much room it leaves; how it is cut stays as it was.
    pub journal: journal::Settings,
    /// What the grid log says of it.
    pub record: SettingsInForce,
}

impl Broker {
    /// Lets other settings hold; gives the number of the record that says so, once it is durable.
    /// A full disk is no reason to refuse them: they may make room.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker stops before that, or has no room for its own start yet.
    pub async fn reconfigure(&self, new: Reconfiguration) -> Result<RecordNumber, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.put(Work::Settings { new: Box::new(new), reply }, 0).await?;
        answer.await.map_err(|_| self.unanswered())
    }
}

impl Loop {
    pub(super) fn reconfigure(
        &mut self,
        new: Reconfiguration,
        reply: oneshot::Sender<RecordNumber>,
        at: Timestamp,
    ) {
        let Reconfiguration { grid, journal, record } = new;
        self.journal.keep(&journal);
        self.upkeep.set_low_water(journal.low_water);
        self.checkpoint_records = journal.checkpoint_records;
        let (rules, applied) = (Box::new(grid), record.bounded());
        let decision = self.take(Occurrence::Settings { rules, applied }, at);
        let number = decision.record.map_or(0, |record| record.number);
        // What every appliance is shown with may be another limit now.
        self.commit.all_changed = true;
        self.driver.reply(decision.release, Reply::Settings(reply, number));
    }
}
