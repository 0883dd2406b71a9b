//! When is what was absorbed told of, and whoever said it answered?
//!
//! Guarantees at most one round of tallies a second while the broker works, but for events about starts,
//! which do not wait behind what their own session said before them; and that nobody hears what became
//! of an absorbed event before its tally is durable. Decides nothing.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::oneshot;

use super::queue::{Brought, EventAnswer, Reply};
use super::{BYTES_PER_COMMIT, Loop};
use crate::grid::name::ApplianceNumber;
use crate::grid::record::SessionId;
use crate::grid::time::{Offset, Timestamp};

/// At most one tally so often.
const TALLY_EVERY: Duration = Duration::from_secs(1);

/// What was heard without a record of its own, and waits for the tally that counts it.
#[derive(Default)]
pub(super) struct Tallies {
    /// Answers to hold until then: of chunks, and of reports that are under way.
    held: Vec<Reply>,
    /// The sessions of those chunks.
    sessions: HashSet<SessionId>,
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

    /// The same for a chunk. One that is held says so at once, so that its session brings what comes
    /// behind; what `overtakes` (an event about the start) takes the tally with it.
    pub(super) fn answer_chunk(
        &mut self,
        session: SessionId,
        reply: oneshot::Sender<Brought>,
        answers: Vec<EventAnswer>,
        overtakes: bool,
    ) {
        if std::mem::take(&mut self.tallies.awaited) {
            let (to, answered) = oneshot::channel();
            // A session that has gone does not mind.
            drop(reply.send(Brought::Held(answered)));
            self.tallies.held.push(Reply::Held(to, answers));
            self.tallies.sessions.insert(session);
        } else {
            self.commit.replies.push(Reply::Chunk(reply, answers));
        }
        self.tallies.is_asked_for |= overtakes && self.tallies.sessions.contains(&session);
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
        self.tallies.sessions.clear();
    }

    /// When the next tally is due; `None`: nothing is to be tallied.
    pub(super) fn tally_due(&self) -> Option<Timestamp> {
        let owed = self.grid.owes_tally() || !self.tallies.held.is_empty();
        owed.then(|| self.tallies.told_at.after(TALLY_EVERY))
    }
}
