//! Releases replies in the order in which the records that they depend on become durable.
//!
//! ```text
//! handle, handle_timeout, flush -> records -> append -> released replies
//! ```
//!
//! Guarantees that a reply is released only after the records that it depends on: with the current
//! commit, or with the tally that contains an event without a record of its own. A query is deferred in
//! the same way. The broker and the tests use this one driver. Does not know the disk: the caller makes the
//! records durable before it sends the replies of [`Driver::released`].

use std::collections::HashSet;
use std::time::Duration;

use super::Grid;
use super::decide::{Decision, Release};
use super::occurrence::Occurrence;
use crate::grid::log::record::Record;
use crate::grid::values::id::{ApplianceIndex, SessionId};
use crate::grid::values::time::{Offset, Timestamp};

/// Minimum interval of tallies, unless one is requested.
pub const TALLY_EVERY: Duration = Duration::from_secs(1);

/// A grid with the replies that wait for its records. `R` is the type of a reply.
#[derive(Clone, Debug)]
pub struct Driver<R> {
    grid: Grid,
    /// Replies that are released with the current commit.
    ready: Vec<R>,
    /// Replies that wait for the tally.
    deferred: Vec<R>,
    /// The sessions that some of these belong to.
    sessions: HashSet<SessionId>,
    is_flush_requested: bool,
    flushed_at: Timestamp,
}

impl<R> Driver<R> {
    /// Drives `grid`.
    pub fn new(grid: Grid) -> Self {
        let (ready, deferred, sessions) = (Vec::new(), Vec::new(), HashSet::new());
        let flushed_at = Timestamp::default();
        Self { grid, ready, deferred, sessions, is_flush_requested: false, flushed_at }
    }

    /// The grid, for reading. It may be ahead of what is durable: a reply that depends on its state
    /// uses [`Self::query`].
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// See [`Grid::handle`]. The caller appends the records of the decision, in order.
    pub fn handle(&mut self, occurrence: impl Into<Occurrence>, now: Timestamp) -> Decision {
        self.grid.handle(occurrence, now)
    }

    /// See [`Grid::due`].
    pub fn due(&mut self, now: Timestamp) -> Vec<ApplianceIndex> {
        self.grid.due(now)
    }

    /// See [`Grid::handle_timeout`].
    pub fn handle_timeout(&mut self, appliance: ApplianceIndex, now: Timestamp) -> Vec<Decision> {
        self.grid.handle_timeout(appliance, now)
    }

    /// See [`Grid::handle_mail_timeout`].
    pub fn handle_mail_timeout(&mut self, now: Timestamp) -> Option<Decision> {
        self.grid.handle_mail_timeout(now)
    }

    /// A reply to what was just decided.
    pub fn reply(&mut self, release: Release, reply: R) {
        match release {
            Release::WithCommit => self.ready.push(reply),
            Release::WithTally => self.deferred.push(reply),
        }
    }

    /// A reply to a session. If it `overtakes` (it is about a start), it does not wait for earlier
    /// replies of the session: a tally is requested.
    pub fn reply_to_session(
        &mut self,
        session: SessionId,
        overtakes: bool,
        release: Release,
        reply: R,
    ) {
        if release == Release::WithTally {
            self.sessions.insert(session);
        }
        self.reply(release, reply);
        self.is_flush_requested |= overtakes && self.sessions.contains(&session);
    }

    /// A reply that is computed from the state when it is sent. It waits for the flush even if nothing is
    /// pending: events that the same commit counts after it would be part of the state.
    pub fn query(&mut self, reply: R) {
        self.is_flush_requested = true;
        self.deferred.push(reply);
    }

    /// When tallies are due; `None`: nothing waits for one.
    pub fn flush_due(&self) -> Option<Timestamp> {
        if self.is_flush_requested {
            return Some(self.flushed_at);
        }
        let waits = self.grid.has_pending() || !self.deferred.is_empty();
        waits.then(|| self.flushed_at.after(TALLY_EVERY))
    }

    /// Makes the tallies if they are due or requested; see [`Self::flush`].
    pub fn flush_if_due(&mut self, now: Timestamp, keep: impl FnMut(Record) -> bool) {
        if self.is_flush_requested || self.flush_due().is_some_and(|due| due <= now) {
            self.flush(now, keep);
        }
    }

    /// Records all pending counts. `keep` takes each tally, and returns whether the commit has room for
    /// another. Deferred replies are released when nothing is pending any more.
    pub fn flush(&mut self, now: Timestamp, mut keep: impl FnMut(Record) -> bool) {
        while let Some(record) = self.grid.next_tally(now) {
            let has_room = keep(record);
            if !has_room && self.grid.has_pending() {
                return;
            }
        }
        self.flushed_at = now;
        self.is_flush_requested = false;
        self.ready.append(&mut self.deferred);
        self.sessions.clear();
    }

    /// The replies that may be sent once the records decided so far are durable.
    #[must_use]
    pub fn released(&mut self) -> Vec<R> {
        std::mem::take(&mut self.ready)
    }

    /// Broker time is shifted, and the time of the last tally with it.
    pub fn shift(&mut self, by: Offset) {
        self.flushed_at = self.flushed_at.shifted_by(by);
    }
}
