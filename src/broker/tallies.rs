//! When is what was absorbed told of, and whoever said it answered?
//!
//! Guarantees at most one round of tallies a second while the broker works, and that nobody hears
//! what became of an absorbed event before its tally is durable. Decides nothing.

use std::time::Duration;

use super::queue::Reply;
use super::{BYTES_PER_COMMIT, Loop};
use crate::grid::name::ApplianceNumber;
use crate::grid::time::{Offset, Timestamp};

/// At most one tally so often.
const TALLY_EVERY: Duration = Duration::from_secs(1);

/// What was heard without a record of its own, and waits for the tally that counts it.
#[derive(Default)]
pub(super) struct Tallies {
    /// Answers to hold until then: one a session, and one a report that is under way.
    held: Vec<Reply>,
    /// Something of the item at hand was absorbed.
    pub(super) awaited: bool,
    /// Somebody asks for what is durable, and so for the tally.
    pub(super) is_asked_for: bool,
    /// When a tally was last made.
    told_at: Timestamp,
}

impl Tallies {
    /// Told time was moved.
    pub(super) fn shift(&mut self, by: Offset) {
        self.told_at = self.told_at.moved(by);
    }
}

impl Loop {
    pub(super) fn suppressed_until(&self, number: ApplianceNumber) -> Option<Timestamp> {
        let appliance = self.grid.state().appliance(number)?;
        Some(appliance.admission.suppression.as_ref()?.until())
    }

    /// What was absorbed is answered with its tally, all else with this commit.
    pub(super) fn answer(&mut self, reply: Reply) {
        if std::mem::take(&mut self.tallies.awaited) {
            self.tallies.held.push(reply);
        } else {
            self.commit.replies.push(reply);
        }
    }

    /// Tallies what was absorbed, at most once a second.
    pub(super) fn tally_if_due(&mut self) {
        let is_asked_for = std::mem::take(&mut self.tallies.is_asked_for);
        if is_asked_for || self.tally_due().is_some_and(|due| due <= self.clock.now()) {
            self.tally(BYTES_PER_COMMIT);
        }
    }

    /// Tallies what is pending, as far as a commit of so many bytes goes; nobody is answered
    /// before all of it is.
    pub(super) fn tally(&mut self, bytes: usize) {
        let now = self.clock.now();
        while let Some(record) = self.grid.tally(now) {
            self.keep(&record);
            if self.commit.bytes >= bytes && self.grid.owes_tally() {
                return;
            }
        }
        self.tallies.told_at = now;
        self.commit.replies.append(&mut self.tallies.held);
    }

    /// When the next tally is due; `None`: nothing is to be tallied.
    pub(super) fn tally_due(&self) -> Option<Timestamp> {
        let owed = self.grid.owes_tally() || !self.tallies.held.is_empty();
        owed.then(|| self.tallies.told_at.after(TALLY_EVERY))
    }
}
