//! Tracks what sessions received and have not submitted yet, and the deadlines that wait for it.
//!
//! Guarantees that no deadline is decided while something received before it waits in a session or in
//! the queue: first the appliance's sessions must have submitted all of it, then the queue is emptied
//! once more, then the deadline is decided. Does not know events.

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

/// How often to check a session that has something to submit.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// No event waits.
const NONE: u64 = u64::MAX;

/// Since when something waits in one session; all clones share it. By the monotonic clock, since broker
/// time may be shifted meanwhile.
#[derive(Clone, Debug)]
pub struct Backlog(Arc<Oldest>);

#[derive(Debug)]
struct Oldest {
    session_began: Instant,
    /// Microseconds from `session_started_at` to the receipt of the oldest message.
    received: AtomicU64,
}

impl Default for Backlog {
    fn default() -> Self {
        let (session_began, received) = (monotonic_now(), AtomicU64::new(NONE));
        Self(Arc::new(Oldest { session_began, received }))
    }
}

impl Backlog {
    /// Sets when the oldest waiting message was received; `None`: nothing waits.
    pub fn set(&self, oldest: Option<Instant>) {
        self.0.received.store(oldest.map_or(NONE, |at| self.0.micros(at)), Ordering::Release);
    }

    /// Notes that a message was received now, and returns the time. Messages already waiting are older.
    pub fn add(&self) -> Instant {
        let now = monotonic_now();
        self.add_at(now);
        now
    }

    fn add_at(&self, at: Instant) {
        self.0.received.fetch_min(self.0.micros(at), Ordering::AcqRel);
    }

    /// Whether something waits that was received by then.
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

/// The sessions of all appliances, and the deadlines that are due.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    sessions: HashMap<ApplianceNumber, Vec<(SessionId, Backlog)>>,
    due: VecDeque<Due>,
    /// The appliances in `due`.
    rows: HashSet<ApplianceNumber>,
}

/// A deadline that is due and not decided yet.
#[derive(Clone, Copy, Debug)]
struct Due {
    appliance: ApplianceNumber,
    /// Everything received by then must be decided first.
    until: Instant,
    /// The sessions have submitted everything they had received by then.
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
        // A session that ended by a panic does not report its end.
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

    /// Adds deadlines that were due by then, and checks which sessions have submitted everything. Call
    /// after [`Self::take_ready`], so that the queue is emptied between the two.
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

    /// Takes the appliances to decide, at most `at_most`, once all that was queued by then is decided.
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

    /// When to check again; `None`: nothing waits.
    pub(super) fn look_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.due.iter().any(|due| due.is_brought) {
            return Some(now);
        }
        (!self.due.is_empty()).then(|| now.after(LOOK_EVERY))
    }
}

impl Loop {
    /// A past broker time on the monotonic clock.
    pub(super) fn moment(&self, past: Timestamp) -> Instant {
        let now = monotonic_now();
        now.checked_sub(self.clock.now().since(past)).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: ApplianceNumber = ApplianceNumber(1);

    /// Times in seconds after the start of the test.
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
        assert!(deadlines.look_at(now()) > Some(now()), "it is not checked at once");
        // What is received after the deadline does not delay it.
        backlog.set(Some(time.at(6)));
        deadlines.came(Vec::new(), time.at(7));
        assert_eq!(deadlines.look_at(now()), Some(now()));
        assert!(deadlines.judged(time.at(4), 9).is_empty(), "the queue still has older requests");
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
