//! What sessions have received and not yet brought to the loop, and the deadlines that wait for it.
//!
//! Guarantees that no deadline is judged while something waits that was received before it, be it in a
//! session or in the queue: first the sessions of the row are seen to have brought all of that, then the
//! queue is emptied once more, then the deadline is judged. Knows no event.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::Loop;
use crate::clock::monotonic_now;
use crate::grid::name::ApplianceNumber;
use crate::grid::record::SessionId;
use crate::grid::time::Timestamp;

/// A session that has something to bring is looked at again after so long.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Nothing waits.
const NONE: u64 = u64::MAX;

/// Since when something waits in one session; its clones are one. By the monotonic clock, since told
/// time may be set meanwhile.
#[derive(Clone, Debug)]
pub struct Backlog(Arc<Oldest>);

#[derive(Debug)]
struct Oldest {
    session_began: Instant,
    /// In microseconds since then.
    received: AtomicU64,
}

impl Default for Backlog {
    fn default() -> Self {
        let (session_began, received) = (monotonic_now(), AtomicU64::new(NONE));
        Self(Arc::new(Oldest { session_began, received }))
    }
}

impl Backlog {
    /// The oldest of what waits was received then; `None`: nothing waits.
    pub fn set(&self, oldest: Option<Instant>) {
        self.0.received.store(oldest.map_or(NONE, |at| self.0.micros(at)), Ordering::Release);
    }

    /// Something was received now, which is given; what was there before it is older.
    pub fn add(&self) -> Instant {
        let now = monotonic_now();
        self.add_at(now);
        now
    }

    fn add_at(&self, at: Instant) {
        self.0.received.fetch_min(self.0.micros(at), Ordering::AcqRel);
    }

    /// Whether something waits that was received until then.
    fn waits(&self, until: Instant) -> bool {
        self.0.received.load(Ordering::Acquire) <= self.0.micros(until)
    }
}

impl Oldest {
    fn micros(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.session_began).as_micros();
        u64::try_from(since).unwrap_or(NONE - 1)
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
    until: Instant,
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
    pub(super) fn came(&mut self, rows: Vec<ApplianceNumber>, until: Instant) {
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
    pub(super) fn judged(&mut self, until: Instant, at_most: usize) -> Vec<ApplianceNumber> {
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

impl Loop {
    /// A moment that is not to come, by the monotonic clock.
    pub(super) fn moment(&self, told: Timestamp) -> Instant {
        let now = monotonic_now();
        now.checked_sub(self.clock.now().since(told)).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: ApplianceNumber = ApplianceNumber(1);

    /// So many seconds behind the beginning of the test.
    struct Time(Instant);

    impl Time {
        fn at(&self, seconds: u64) -> Instant {
            self.0 + Duration::from_secs(seconds)
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_micros(1_000_000)
    }

    #[test]
    fn a_deadline_waits_for_what_was_received_before_it_and_for_the_queue() {
        let (mut deadlines, backlog) = (Deadlines::default(), Backlog::default());
        let time = Time(monotonic_now());
        deadlines.opened(ROW, SessionId(1), backlog.clone());
        backlog.add_at(time.at(3));
        backlog.add_at(time.at(4));
        deadlines.came(vec![ROW], time.at(5));
        assert!(deadlines.judged(time.at(6), 9).is_empty(), "something waits since 3 s");
        assert!(deadlines.look_at(now()) > Some(now()), "it is not asked for at once");
        // What comes behind the deadline does not hold it up for ever.
        backlog.set(Some(time.at(6)));
        deadlines.came(Vec::new(), time.at(7));
        assert_eq!(deadlines.look_at(now()), Some(now()));
        assert!(deadlines.judged(time.at(4), 9).is_empty(), "the queue still has older things");
        assert_eq!(deadlines.judged(time.at(7), 9), [ROW]);
        assert_eq!(deadlines.look_at(now()), None);
    }

    #[test]
    fn a_session_that_closed_or_is_gone_holds_nothing_up() {
        for closes in [true, false] {
            let (mut deadlines, backlog) = (Deadlines::default(), Backlog::default());
            let time = Time(monotonic_now());
            deadlines.opened(ROW, SessionId(1), backlog.clone());
            backlog.add_at(time.at(3));
            if closes {
                deadlines.closed(ROW, SessionId(1));
            } else {
                drop(backlog);
            }
            deadlines.came(vec![ROW, ROW], time.at(5));
            assert_eq!(deadlines.judged(time.at(5), 9), [ROW], "once");
        }
    }

    #[test]
    fn a_row_without_sessions_is_judged_at_the_next_turn_and_not_too_many_at_once() {
        let (mut deadlines, time) = (Deadlines::default(), Time(monotonic_now()));
        let rows: Vec<_> = (1..=5).map(ApplianceNumber).collect();
        deadlines.came(rows.clone(), time.at(5));
        assert_eq!(deadlines.judged(time.at(5), 3), rows[..3]);
        assert_eq!(deadlines.judged(time.at(5), 3), rows[3..]);
    }
}
