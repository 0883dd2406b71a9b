//! What sessions have received and not yet brought to the loop, and the deadlines that wait for it.
//!
//! Guarantees that no deadline is judged while something waits that was received before it, be it in a
//! session or in the queue: first the sessions of the row are seen to have brought all of that, then the
//! queue is emptied once more, then the deadline is judged. Knows no event.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::grid::name::ApplianceNumber;
use crate::grid::record::SessionId;
use crate::grid::time::Timestamp;

/// A session that has something to bring is looked at again after so long.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Nothing waits.
const NONE: i64 = i64::MAX;

/// Since when something waits in one session; its clones are one.
#[derive(Clone, Debug)]
pub struct Backlog(Arc<AtomicI64>);

impl Default for Backlog {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(NONE)))
    }
}

impl Backlog {
    /// The oldest of what waits was received then; `None`: nothing waits.
    pub fn set(&self, oldest: Option<Timestamp>) {
        self.0.store(oldest.map_or(NONE, Timestamp::as_micros), Ordering::Release);
    }

    /// Something was received; what was there before it is older.
    pub fn add(&self, at: Timestamp) {
        self.0.fetch_min(at.as_micros(), Ordering::AcqRel);
    }

    /// Whether something waits that was received until then.
    fn waits(&self, until: Timestamp) -> bool {
        self.0.load(Ordering::Acquire) <= until.as_micros()
    }
}

/// The sessions of all rows, and the deadlines that came.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    sessions: HashMap<ApplianceNumber, Vec<(SessionId, Backlog)>>,
    due: VecDeque<Due>,
    /// The rows in `due`.
    rows: HashSet<ApplianceNumber>,
}

/// A deadline that came and is not judged yet.
#[derive(Clone, Copy, Debug)]
struct Due {
    appliance: ApplianceNumber,
    /// Up to when all must have been decided.
    until: Timestamp,
    /// The sessions have brought all that they had received until then.
    is_brought: bool,
}

impl Deadlines {
    pub(super) fn opened(
        &mut self,
        appliance: ApplianceNumber,
        session: SessionId,
        backlog: Backlog,
    ) {
        let sessions = self.sessions.entry(appliance).or_default();
        // A session that ended of a bug of ours can't say so.
        sessions.retain(|(_, backlog)| Arc::strong_count(&backlog.0) > 1);
        sessions.push((session, backlog));
    }

    pub(super) fn closed(&mut self, appliance: ApplianceNumber, session: SessionId) {
        if let Some(sessions) = self.sessions.get_mut(&appliance) {
            sessions.retain(|(id, _)| *id != session);
            if sessions.is_empty() {
                self.sessions.remove(&appliance);
            }
        }
    }

    /// Takes in deadlines that came until then, and sees which sessions have brought all. To be asked
    /// behind [`Self::judged`], so that the queue is looked into between the two.
    pub(super) fn came(&mut self, rows: Vec<ApplianceNumber>, until: Timestamp) {
        for appliance in rows {
            if self.rows.insert(appliance) {
                self.due.push_back(Due { appliance, until, is_brought: false });
            }
        }
        for due in self.due.iter_mut().filter(|due| !due.is_brought) {
            let sessions = self.sessions.get(&due.appliance).into_iter().flatten();
            let is_alive = |backlog: &Backlog| Arc::strong_count(&backlog.0) > 1;
            let mut waiting = sessions.filter(|(_, it)| is_alive(it) && it.waits(due.until));
            due.is_brought = waiting.next().is_none();
        }
    }

    /// The rows to be judged, at most so many, when all that was queued until then is decided.
    pub(super) fn judged(&mut self, until: Timestamp, at_most: usize) -> Vec<ApplianceNumber> {
        let mut judged = Vec::new();
        self.due.retain(|due| {
            let is_now = due.is_brought && due.until <= until && judged.len() < at_most;
            if is_now {
                judged.push(due.appliance);
            }
            !is_now
        });
        for row in &judged {
            self.rows.remove(row);
        }
        judged
    }

    /// When to look again; `None`: nothing waits.
    pub(super) fn look_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.due.iter().any(|due| due.is_brought) {
            return Some(now);
        }
        (!self.due.is_empty()).then(|| now.after(LOOK_EVERY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: ApplianceNumber = ApplianceNumber(1);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_deadline_waits_for_what_was_received_before_it_and_for_the_queue() {
        let (mut deadlines, backlog) = (Deadlines::default(), Backlog::default());
        deadlines.opened(ROW, SessionId(1), backlog.clone());
        backlog.add(at(3));
        backlog.add(at(4));
        deadlines.came(vec![ROW], at(5));
        assert!(deadlines.judged(at(6), 9).is_empty(), "something waits since 3 s");
        assert!(deadlines.look_at(at(6)) > Some(at(6)), "it is not asked for at once");
        // What comes behind the deadline does not hold it up for ever.
        backlog.set(Some(at(6)));
        deadlines.came(Vec::new(), at(7));
        assert_eq!(deadlines.look_at(at(7)), Some(at(7)));
        assert!(deadlines.judged(at(4), 9).is_empty(), "the queue still has older things");
        assert_eq!(deadlines.judged(at(7), 9), [ROW]);
        assert_eq!(deadlines.look_at(at(7)), None);
    }

    #[test]
    fn a_session_that_closed_or_is_gone_holds_nothing_up() {
        for closes in [true, false] {
            let (mut deadlines, backlog) = (Deadlines::default(), Backlog::default());
            deadlines.opened(ROW, SessionId(1), backlog.clone());
            backlog.add(at(3));
            if closes {
                deadlines.closed(ROW, SessionId(1));
            } else {
                drop(backlog);
            }
            deadlines.came(vec![ROW, ROW], at(5));
            assert_eq!(deadlines.judged(at(5), 9), [ROW], "once");
        }
    }

    #[test]
    fn a_row_without_sessions_is_judged_at_the_next_turn_and_not_too_many_at_once() {
        let mut deadlines = Deadlines::default();
        let rows: Vec<_> = (1..=5).map(ApplianceNumber).collect();
        deadlines.came(rows.clone(), at(5));
        assert_eq!(deadlines.judged(at(5), 3), rows[..3]);
        assert_eq!(deadlines.judged(at(5), 3), rows[3..]);
    }
}
