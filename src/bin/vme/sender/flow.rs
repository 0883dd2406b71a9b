//! The in-flight window of a session, and the detection of poison events.
//!
//! Guarantees that no more than the window is in flight, that each event gets one reply, and that
//! an ack for events that were never sent is an error. Does not know streams: it is synchronous.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use grid_broker::spool::Key;
use grid_broker::wire::proto::{Ack, AckException, Outcome};

/// How much may be in flight, as the broker advises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

/// An event that was sent and has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flight {
    key: Key,
    bytes: usize,
    /// It was never sent before.
    is_first: bool,
    /// It belongs to the boot of the session.
    is_of_this_boot: bool,
}

/// The reply to one event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answered {
    pub(crate) key: Key,
    /// `None`: stored.
    pub(crate) exception: Option<AckException>,
    /// The broker knows the number although the event was never sent: another event has it.
    pub(crate) is_taken: bool,
    /// It belongs to the boot of the session.
    is_of_this_boot: bool,
}

impl Answered {
    /// Whether the broker knows the number from now on, as a number of this boot.
    pub(crate) fn is_known(&self) -> bool {
        let outcome = self.exception.as_ref().map(AckException::outcome);
        self.is_of_this_boot
            && !matches!(
                outcome,
                Some(
                    Outcome::Invalid
                        | Outcome::Unsupported
                        | Outcome::Duplicate
                        | Outcome::Unspecified
                )
            )
    }
}

/// An ack for events that were not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the broker acknowledged {through} events, but only {sent} were sent")]
pub(crate) struct Breach {
    through: u64,
    sent: u64,
}

/// The events in flight in one session.
#[derive(Debug)]
pub(crate) struct Flow {
    window: Window,
    sent: u64,
    under_way: VecDeque<Flight>,
    keys: BTreeSet<Key>,
    bytes: usize,
}

impl Flow {
    pub(crate) fn new(window: Window) -> Self {
        let (under_way, keys) = (VecDeque::new(), BTreeSet::new());
        Self { window, sent: 0, under_way, keys, bytes: 0 }
    }

    /// Whether an event of this size may be sent now. If none is in flight, one always may.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.under_way.is_empty()
            || self.under_way.len() < self.window.events && self.bytes + bytes <= self.window.bytes
    }

    /// Whether nothing is in flight.
    pub(crate) fn is_quiet(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Whether the event is in flight.
    pub(crate) fn has(&self, key: Key) -> bool {
        self.keys.contains(&key)
    }

    /// The oldest event without a reply.
    pub(crate) fn oldest(&self) -> Option<Key> {
        self.under_way.front().map(|flight| flight.key)
    }

    /// Adds an event that is sent.
    pub(crate) fn sent(&mut self, key: Key, bytes: usize, is_first: bool, is_of_this_boot: bool) {
        self.sent += 1;
        self.bytes += bytes;
        self.keys.insert(key);
        self.under_way.push_back(Flight { key, bytes, is_first, is_of_this_boot });
    }

    /// Applies an ack.
    pub(crate) fn acked(&mut self, ack: &Ack) -> Result<Vec<Answered>, Breach> {
        let first = self.sent - u64::try_from(self.under_way.len()).unwrap_or(0) + 1;
        if ack.through > self.sent {
            return Err(Breach { through: ack.through, sent: self.sent });
        }
        let mut exceptions: BTreeMap<u64, &AckException> =
            ack.exceptions.iter().map(|exception| (exception.position, exception)).collect();
        let mut answered = Vec::new();
        for position in first..=ack.through {
            let Some(flight) = self.under_way.pop_front() else { break };
            self.keys.remove(&flight.key);
            self.bytes -= flight.bytes;
            let exception = exceptions.remove(&position).cloned();
            let is_duplicate =
                exception.as_ref().is_some_and(|it| it.outcome() == Outcome::Duplicate);
            let is_taken = is_duplicate && flight.is_first;
            let is_of_this_boot = flight.is_of_this_boot;
            answered.push(Answered { key: flight.key, exception, is_taken, is_of_this_boot });
        }
        Ok(answered)
    }
}

/// Counts the sessions that ended with the same oldest event unacknowledged.
#[derive(Debug, Default)]
pub(crate) struct Strikes {
    of: Option<Key>,
    /// How many sessions ended while this event was the oldest.
    count: u32,
    /// Events quarantined since the last reply.
    given_up: u32,
    /// Replies still to come until none is left of the events that were in flight when a session
    /// ended: any of them may be the cause.
    suspects: usize,
}

impl Strikes {
    /// Whether events are sent one by one.
    pub(crate) fn is_careful(&self) -> bool {
        self.suspects > 0
    }

    /// The broker closed a session with the events of `flow` unacknowledged. Returns the oldest if
    /// this is the second time. A broker that closes every session is not the events' fault: each
    /// quarantined event without a reply in between doubles the number of sessions that the next
    /// one takes.
    pub(crate) fn session_ended(&mut self, flow: &Flow) -> Option<Key> {
        let oldest = flow.oldest()?;
        self.suspects = self.suspects.max(flow.under_way.len());
        self.count = if self.of == Some(oldest) { self.count + 1 } else { 1 };
        self.of = Some(oldest);
        if self.count < 2_u32.saturating_pow(self.given_up + 1) {
            return None;
        }
        self.given_up += 1;
        self.suspects -= 1;
        (self.of, self.count) = (None, 0);
        Some(oldest)
    }

    /// An event got its reply.
    pub(crate) fn answered(&mut self, key: Key) {
        self.suspects = self.suspects.saturating_sub(1);
        self.given_up = 0;
        if self.of == Some(key) {
            self.of = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(sequence: u64) -> Key {
        Key { spool_id: 9, sequence }
    }

    fn flow(events: usize) -> Flow {
        Flow::new(Window { events, bytes: 1_000 })
    }

    fn exception(position: u64, outcome: Outcome) -> AckException {
        AckException { position, outcome: outcome.into(), ..AckException::default() }
    }

    #[test]
    fn the_window_is_kept_in_events_and_bytes_but_one_event_always_goes() {
        let mut flow = flow(2);
        assert!(flow.has_room(5_000));
        flow.sent(key(1), 5_000, true, true);
        assert!(!flow.has_room(1));
        flow.acked(&Ack { through: 1, exceptions: Vec::new() }).unwrap();
        flow.sent(key(2), 400, true, true);
        assert!(flow.has_room(600) && !flow.has_room(601));
        flow.sent(key(3), 1, true, true);
        assert!(!flow.has_room(1));
        assert_eq!(
            (flow.oldest(), flow.has(key(3)), flow.has(key(1))),
            (Some(key(2)), true, false)
        );
    }

    #[test]
    fn acks_are_cumulative_and_name_exceptions_by_position() {
        let mut flow = flow(10);
        for sequence in 1..=4 {
            flow.sent(key(sequence), 1, true, true);
        }
        let first = flow.acked(&Ack { through: 1, exceptions: Vec::new() }).unwrap();
        assert_eq!(
            first,
            [Answered { key: key(1), exception: None, is_taken: false, is_of_this_boot: true }]
        );
        let exceptions = vec![exception(3, Outcome::Refused)];
        let more = flow.acked(&Ack { through: 3, exceptions }).unwrap();
        let outcomes: Vec<_> =
            more.iter().map(|it| it.exception.as_ref().map(AckException::outcome)).collect();
        assert_eq!(outcomes, [None, Some(Outcome::Refused)]);
        assert_eq!(flow.acked(&Ack { through: 3, exceptions: Vec::new() }), Ok(Vec::new()));
        let breach = flow.acked(&Ack { through: 5, exceptions: Vec::new() }).unwrap_err();
        assert_eq!(breach.to_string(), "the broker acknowledged 5 events, but only 4 were sent");
    }

    #[test]
    fn a_number_is_taken_if_a_first_attempt_is_a_duplicate() {
        let mut flow = flow(10);
        flow.sent(key(1), 1, true, true);
        flow.sent(key(2), 1, false, true);
        let exceptions = vec![exception(1, Outcome::Duplicate), exception(2, Outcome::Duplicate)];
        let answered = flow.acked(&Ack { through: 2, exceptions }).unwrap();
        assert!(answered[0].is_taken && !answered[1].is_taken);
    }

    fn with(sequences: std::ops::RangeInclusive<u64>) -> Flow {
        let mut flow = flow(100);
        sequences.for_each(|sequence| flow.sent(key(sequence), 1, true, true));
        flow
    }

    #[test]
    fn the_second_session_that_an_event_ends_is_the_last() {
        let mut strikes = Strikes::default();
        assert_eq!(strikes.session_ended(&with(1..=1)), None);
        assert!(strikes.is_careful());
        assert_eq!(strikes.session_ended(&with(1..=1)), Some(key(1)));
        assert!(!strikes.is_careful());

        assert_eq!(strikes.session_ended(&with(2..=2)), None);
        strikes.answered(key(2));
        assert_eq!(strikes.session_ended(&with(3..=3)), None, "the first of another event");
        assert_eq!(strikes.session_ended(&flow(1)), None, "a session without events blames none");
        assert_eq!(strikes.session_ended(&with(3..=3)), Some(key(3)));
    }

    #[test]
    fn a_broker_that_ends_every_session_takes_few_events_with_it() {
        let mut strikes = Strikes::default();
        let mut quarantined = 0;
        let mut next = 1;
        for _ in 0..1_000 {
            if strikes.session_ended(&with(next..=next)).is_some() {
                (quarantined, next) = (quarantined + 1, next + 1);
            }
        }
        assert_eq!(quarantined, 8, "after 2, 4, 8 ... sessions");
        strikes.answered(key(next));
        assert_eq!(strikes.session_ended(&with(99..=99)), None);
        assert_eq!(strikes.session_ended(&with(99..=99)), Some(key(99)), "as at first");
    }

    #[test]
    fn events_go_one_by_one_until_all_are_answered_that_a_session_may_have_ended_over() {
        let mut strikes = Strikes::default();
        assert_eq!(strikes.session_ended(&with(1..=9)), None);
        for sequence in 1..=4 {
            strikes.answered(key(sequence));
        }
        assert!(strikes.is_careful());
        assert_eq!(strikes.session_ended(&with(5..=5)), None);
        assert_eq!(strikes.session_ended(&with(5..=5)), Some(key(5)));
        assert!(strikes.is_careful());
        (6..=9).for_each(|sequence| strikes.answered(key(sequence)));
        assert!(!strikes.is_careful());
    }
}
