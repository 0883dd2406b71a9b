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

use super::EventLoop;
use crate::clock::monotonic_now;
use crate::grid::values::id::{ApplianceIndex, SessionId};
use crate::grid::values::time::Timestamp;

/// How often to check a session that has something to submit.
const RECHECK_INTERVAL: Duration = Duration::from_millis(10);

/// No event waits.
const NOTHING_WAITS: u64 = u64::MAX;

/// Since when something waits in one session; all clones share it. By the monotonic clock, since broker
/// time may be shifted meanwhile.
#[derive(Clone, Debug)]
pub struct Backlog(Arc<OldestReceived>);

#[derive(Debug)]
struct OldestReceived {
    session_started_at: Instant,
    /// Microseconds from `session_started_at` to the receipt of the oldest message.
    received_us: AtomicU64,
}

impl Default for Backlog {
    fn default() -> Self {
        let (session_began, received) = (monotonic_now(), AtomicU64::new(NOTHING_WAITS));
        Self(Arc::new(OldestReceived { session_started_at: session_began, received_us: received }))
    }
}

impl Backlog {
    /// Sets when the oldest waiting message was received; `None`: nothing waits.
    pub fn set_oldest(&self, oldest: Option<Instant>) {
        self.0
            .received_us
            .store(oldest.map_or(NOTHING_WAITS, |at| self.0.micros_at(at)), Ordering::Release);
    }

    /// Notes that a message was received now, and returns the time. Messages already waiting are older.
    pub fn note_received(&self) -> Instant {
        let now = monotonic_now();
        self.note_received_at(now);
        now
    }

    fn note_received_at(&self, at: Instant) {
        self.0.received_us.fetch_min(self.0.micros_at(at), Ordering::AcqRel);
    }

    /// Whether something waits that was received by then.
    fn has_received_by(&self, until: Instant) -> bool {
        self.0.received_us.load(Ordering::Acquire) <= self.0.micros_at(until)
    }
}

impl OldestReceived {
    fn micros_at(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.session_started_at).as_micros();
        u64::try_from(since).unwrap_or(NOTHING_WAITS - 1)
    }
}

/// The sessions of all appliances, and the deadlines that are due.
#[derive(Debug, Default)]
pub(super) struct PendingDeadlines {
    sessions: HashMap<ApplianceIndex, Vec<(SessionId, Backlog)>>,
    due: VecDeque<DueDeadline>,
    /// The appliances in `due`.
    due_appliances: HashSet<ApplianceIndex>,
}

/// A deadline that is due and not decided yet.
#[derive(Clone, Copy, Debug)]
struct DueDeadline {
    appliance: ApplianceIndex,
    /// Everything received by then must be decided first.
    received_until: Instant,
    /// The sessions have submitted everything they had received by then.
    is_caught_up: bool,
}

impl PendingDeadlines {
    pub(super) fn session_opened(
        &mut self,
        appliance: ApplianceIndex,
        session: SessionId,
        backlog: Backlog,
    ) {
        let sessions = self.sessions.entry(appliance).or_default();
        // A session that ended by a panic does not report its end.
        sessions.retain(|(_, backlog)| Arc::strong_count(&backlog.0) > 1);
        sessions.push((session, backlog));
    }

    pub(super) fn session_closed(&mut self, appliance: ApplianceIndex, session: SessionId) {
        if let Some(sessions) = self.sessions.get_mut(&appliance) {
            sessions.retain(|(id, _)| *id != session);
            if sessions.is_empty() {
                self.sessions.remove(&appliance);
            }
        }
    }

    /// Adds deadlines that were due by then, and checks which sessions have submitted everything. Call
    /// after [`Self::take_ready`], so that the queue is emptied between the two.
    pub(super) fn add_due(&mut self, rows: Vec<ApplianceIndex>, until: Instant) {
        for appliance in rows {
            if self.due_appliances.insert(appliance) {
                self.due.push_back(DueDeadline {
                    appliance,
                    received_until: until,
                    is_caught_up: false,
                });
            }
        }
        for due in self.due.iter_mut().filter(|due| !due.is_caught_up) {
            let sessions = self.sessions.get(&due.appliance).into_iter().flatten();
            let is_alive = |backlog: &Backlog| Arc::strong_count(&backlog.0) > 1;
            let mut waiting =
                sessions.filter(|(_, it)| is_alive(it) && it.has_received_by(due.received_until));
            due.is_caught_up = waiting.next().is_none();
        }
    }

    /// Takes the appliances to decide, at most `at_most`, once all that was queued by then is decided.
    pub(super) fn take_ready(&mut self, until: Instant, at_most: usize) -> Vec<ApplianceIndex> {
        let mut judged = Vec::new();
        self.due.retain(|due| {
            let is_now = due.is_caught_up && due.received_until <= until && judged.len() < at_most;
            if is_now {
                judged.push(due.appliance);
            }
            !is_now
        });
        for row in &judged {
            self.due_appliances.remove(row);
        }
        judged
    }

    /// When to check again; `None`: nothing waits.
    pub(super) fn next_check_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.due.iter().any(|due| due.is_caught_up) {
            return Some(now);
        }
        (!self.due.is_empty()).then(|| now.after(RECHECK_INTERVAL))
    }
}

impl EventLoop {
    /// A past broker time on the monotonic clock.
    pub(super) fn to_instant(&self, past: Timestamp) -> Instant {
        let now = monotonic_now();
        now.checked_sub(self.clock.now().since(past)).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APPLIANCE: ApplianceIndex = ApplianceIndex(1);

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
    fn a_deadline_waits_for_earlier_events_and_for_the_queue() {
        let (mut deadlines, backlog) = (PendingDeadlines::default(), Backlog::default());
        let time = Time(monotonic_now());
        deadlines.session_opened(APPLIANCE, SessionId(1), backlog.clone());
        backlog.note_received_at(time.at(3));
        backlog.note_received_at(time.at(4));
        deadlines.add_due(vec![APPLIANCE], time.at(5));
        assert!(deadlines.take_ready(time.at(6), 9).is_empty(), "something waits since 3 s");
        assert!(deadlines.next_check_at(now()) > Some(now()), "it is not checked at once");
        // What is received after the deadline does not delay it.
        backlog.set_oldest(Some(time.at(6)));
        deadlines.add_due(Vec::new(), time.at(7));
        assert_eq!(deadlines.next_check_at(now()), Some(now()));
        assert!(
            deadlines.take_ready(time.at(4), 9).is_empty(),
            "the queue still has older requests"
        );
        assert_eq!(deadlines.take_ready(time.at(7), 9), [APPLIANCE]);
        assert_eq!(deadlines.next_check_at(now()), None);
    }

    #[test]
    fn a_closed_or_dropped_session_delays_nothing() {
        for closes in [true, false] {
            let (mut deadlines, backlog) = (PendingDeadlines::default(), Backlog::default());
            let time = Time(monotonic_now());
            deadlines.session_opened(APPLIANCE, SessionId(1), backlog.clone());
            backlog.note_received_at(time.at(3));
            if closes {
                deadlines.session_closed(APPLIANCE, SessionId(1));
            } else {
                drop(backlog);
            }
            deadlines.add_due(vec![APPLIANCE, APPLIANCE], time.at(5));
            assert_eq!(deadlines.take_ready(time.at(5), 9), [APPLIANCE], "once");
        }
    }

    #[test]
    fn appliances_without_sessions_are_decided_next_iteration_and_in_bounded_numbers() {
        let (mut deadlines, time) = (PendingDeadlines::default(), Time(monotonic_now()));
        let rows: Vec<_> = (1..=5).map(ApplianceIndex).collect();
        deadlines.add_due(rows.clone(), time.at(5));
        assert_eq!(deadlines.take_ready(time.at(5), 3), rows[..3]);
        assert_eq!(deadlines.take_ready(time.at(5), 3), rows[3..]);
    }
}
