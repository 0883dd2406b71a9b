//! The in-flight window of a session, and the detection of poison events.
//!
//! Guarantees that no more than the window is in flight, that each event gets one reply, and that
//! an ack for events that were never sent is an error. Does not know streams: it is synchronous.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use grid_broker::contract::proto::{Ack, AckException, Outcome};
use grid_broker::spool::EventKey;

/// How much may be in flight, as the broker advises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SendWindow {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

/// An event that was sent and has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct InFlightEvent {
    key: EventKey,
    bytes: usize,
    /// It was never sent before.
    is_first: bool,
    /// It belongs to the boot of the session.
    is_of_this_boot: bool,
}

/// The reply to one event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AckedEvent {
    pub(crate) key: EventKey,
    /// `None`: stored.
    pub(crate) exception: Option<AckException>,
    /// The broker knows the number although the event was never sent: another event has it.
    pub(crate) is_number_taken: bool,
    /// It belongs to the boot of the session.
    is_of_this_boot: bool,
}

impl AckedEvent {
    /// Whether the broker knows the number from now on, as a number of this boot.
    pub(crate) fn advances_ack(&self) -> bool {
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
pub(crate) struct AckError {
    through: u64,
    sent: u64,
}

/// The events in flight in one session.
#[derive(Debug)]
pub(crate) struct InFlightWindow {
    window: SendWindow,
    sent_count: u64,
    in_flight: VecDeque<InFlightEvent>,
    keys: BTreeSet<EventKey>,
    bytes: usize,
}

impl InFlightWindow {
    pub(crate) fn new(window: SendWindow) -> Self {
        let (under_way, keys) = (VecDeque::new(), BTreeSet::new());
        Self { window, sent_count: 0, in_flight: under_way, keys, bytes: 0 }
    }

    /// Whether an event of this size may be sent now. If none is in flight, one always may.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.in_flight.is_empty()
            || self.in_flight.len() < self.window.events && self.bytes + bytes <= self.window.bytes
    }

    /// Whether nothing is in flight.
    pub(crate) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Whether the event is in flight.
    pub(crate) fn contains(&self, key: EventKey) -> bool {
        self.keys.contains(&key)
    }

    /// The oldest event without a reply.
    pub(crate) fn oldest(&self) -> Option<EventKey> {
        self.in_flight.front().map(|flight| flight.key)
    }

    /// Adds an event that is sent.
    pub(crate) fn push(
        &mut self,
        key: EventKey,
        bytes: usize,
        is_first: bool,
        is_of_this_boot: bool,
    ) {
        self.sent_count += 1;
        self.bytes += bytes;
        self.keys.insert(key);
        self.in_flight.push_back(InFlightEvent { key, bytes, is_first, is_of_this_boot });
    }

    /// Applies an ack.
    pub(crate) fn apply_ack(&mut self, ack: &Ack) -> Result<Vec<AckedEvent>, AckError> {
        let first = self.sent_count - u64::try_from(self.in_flight.len()).unwrap_or(0) + 1;
        if ack.through > self.sent_count {
            return Err(AckError { through: ack.through, sent: self.sent_count });
        }
        let mut exceptions: BTreeMap<u64, &AckException> =
            ack.exceptions.iter().map(|exception| (exception.position, exception)).collect();
        let mut answered = Vec::new();
        for position in first..=ack.through {
            let Some(flight) = self.in_flight.pop_front() else { break };
            self.keys.remove(&flight.key);
            self.bytes -= flight.bytes;
            let exception = exceptions.remove(&position).cloned();
            let is_duplicate =
                exception.as_ref().is_some_and(|it| it.outcome() == Outcome::Duplicate);
            let is_taken = is_duplicate && flight.is_first;
            let is_of_this_boot = flight.is_of_this_boot;
            answered.push(AckedEvent {
                key: flight.key,
                exception,
                is_number_taken: is_taken,
                is_of_this_boot,
            });
        }
        Ok(answered)
    }
}

/// Counts the sessions that ended with the same oldest event unacknowledged.
#[derive(Debug, Default)]
pub(crate) struct PoisonDetector {
    suspect: Option<EventKey>,
    /// How many sessions ended while this event was the oldest.
    count: u32,
    /// Events quarantined since the last reply.
    quarantined: u32,
    /// Replies still to come until none is left of the events that were in flight when a session
    /// ended: any of them may be the cause.
    suspect_count: usize,
}

impl PoisonDetector {
    /// Whether events are sent one by one.
    pub(crate) fn is_probing(&self) -> bool {
        self.suspect_count > 0
    }

    /// The broker closed a session with the events of `flow` unacknowledged. Returns the oldest if
    /// this is the second time. A broker that closes every session is not the events' fault: each
    /// quarantined event without a reply in between doubles the number of sessions that the next
    /// one takes.
    pub(crate) fn session_ended(&mut self, flow: &InFlightWindow) -> Option<EventKey> {
        let oldest = flow.oldest()?;
        self.suspect_count = self.suspect_count.max(flow.in_flight.len());
        self.count = if self.suspect == Some(oldest) { self.count + 1 } else { 1 };
        self.suspect = Some(oldest);
        if self.count < 2_u32.saturating_pow(self.quarantined + 1) {
            return None;
        }
        self.quarantined += 1;
        self.suspect_count -= 1;
        (self.suspect, self.count) = (None, 0);
        Some(oldest)
    }

    /// An event got its reply.
    pub(crate) fn event_acked(&mut self, key: EventKey) {
        self.suspect_count = self.suspect_count.saturating_sub(1);
        self.quarantined = 0;
        if self.suspect == Some(key) {
            self.suspect = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(sequence: u64) -> EventKey {
        EventKey { spool_id: 9, sequence }
    }

    fn flow(events: usize) -> InFlightWindow {
        InFlightWindow::new(SendWindow { events, bytes: 1_000 })
    }

    fn exception(position: u64, outcome: Outcome) -> AckException {
        AckException { position, outcome: outcome.into(), ..AckException::default() }
    }

    #[test]
    fn the_window_limits_events_and_bytes_but_one_event_always_fits() {
        let mut flow = flow(2);
        assert!(flow.has_room(5_000));
        flow.push(key(1), 5_000, true, true);
        assert!(!flow.has_room(1));
        flow.apply_ack(&Ack { through: 1, exceptions: Vec::new() }).unwrap();
        flow.push(key(2), 400, true, true);
        assert!(flow.has_room(600) && !flow.has_room(601));
        flow.push(key(3), 1, true, true);
        assert!(!flow.has_room(1));
        assert_eq!(
            (flow.oldest(), flow.contains(key(3)), flow.contains(key(1))),
            (Some(key(2)), true, false)
        );
    }

    #[test]
    fn acks_are_cumulative_and_name_exceptions_by_position() {
        let mut flow = flow(10);
        for sequence in 1..=4 {
            flow.push(key(sequence), 1, true, true);
        }
        let first = flow.apply_ack(&Ack { through: 1, exceptions: Vec::new() }).unwrap();
        assert_eq!(
            first,
            [AckedEvent {
                key: key(1),
                exception: None,
                is_number_taken: false,
                is_of_this_boot: true
            }]
        );
        let exceptions = vec![exception(3, Outcome::Refused)];
        let more = flow.apply_ack(&Ack { through: 3, exceptions }).unwrap();
        let outcomes: Vec<_> =
            more.iter().map(|it| it.exception.as_ref().map(AckException::outcome)).collect();
        assert_eq!(outcomes, [None, Some(Outcome::Refused)]);
        assert_eq!(flow.apply_ack(&Ack { through: 3, exceptions: Vec::new() }), Ok(Vec::new()));
        let breach = flow.apply_ack(&Ack { through: 5, exceptions: Vec::new() }).unwrap_err();
        assert_eq!(breach.to_string(), "the broker acknowledged 5 events, but only 4 were sent");
    }

    #[test]
    fn a_duplicate_first_attempt_means_the_number_is_taken() {
        let mut flow = flow(10);
        flow.push(key(1), 1, true, true);
        flow.push(key(2), 1, false, true);
        let exceptions = vec![exception(1, Outcome::Duplicate), exception(2, Outcome::Duplicate)];
        let answered = flow.apply_ack(&Ack { through: 2, exceptions }).unwrap();
        assert!(answered[0].is_number_taken && !answered[1].is_number_taken);
    }

    fn window_of(sequences: std::ops::RangeInclusive<u64>) -> InFlightWindow {
        let mut flow = flow(100);
        sequences.for_each(|sequence| flow.push(key(sequence), 1, true, true));
        flow
    }

    #[test]
    fn an_event_is_quarantined_after_two_sessions() {
        let mut strikes = PoisonDetector::default();
        assert_eq!(strikes.session_ended(&window_of(1..=1)), None);
        assert!(strikes.is_probing());
        assert_eq!(strikes.session_ended(&window_of(1..=1)), Some(key(1)));
        assert!(!strikes.is_probing());

        assert_eq!(strikes.session_ended(&window_of(2..=2)), None);
        strikes.event_acked(key(2));
        assert_eq!(strikes.session_ended(&window_of(3..=3)), None, "the first of another event");
        assert_eq!(strikes.session_ended(&flow(1)), None, "a session without events blames none");
        assert_eq!(strikes.session_ended(&window_of(3..=3)), Some(key(3)));
    }

    #[test]
    fn a_broker_that_ends_every_session_quarantines_few_events() {
        let mut strikes = PoisonDetector::default();
        let mut quarantined = 0;
        let mut next = 1;
        for _ in 0..1_000 {
            if strikes.session_ended(&window_of(next..=next)).is_some() {
                (quarantined, next) = (quarantined + 1, next + 1);
            }
        }
        assert_eq!(quarantined, 8, "after 2, 4, 8 ... sessions");
        strikes.event_acked(key(next));
        assert_eq!(strikes.session_ended(&window_of(99..=99)), None);
        assert_eq!(strikes.session_ended(&window_of(99..=99)), Some(key(99)), "as at first");
    }

    #[test]
    fn events_are_probed_one_by_one_until_all_suspects_are_acked() {
        let mut strikes = PoisonDetector::default();
        assert_eq!(strikes.session_ended(&window_of(1..=9)), None);
        for sequence in 1..=4 {
            strikes.event_acked(key(sequence));
        }
        assert!(strikes.is_probing());
        assert_eq!(strikes.session_ended(&window_of(5..=5)), None);
        assert_eq!(strikes.session_ended(&window_of(5..=5)), Some(key(5)));
        assert!(strikes.is_probing());
        (6..=9).for_each(|sequence| strikes.event_acked(key(sequence)));
        assert!(!strikes.is_probing());
    }
}
