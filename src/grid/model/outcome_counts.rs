//! Counts the events of one appliance by kind and outcome.
//!
//! Guarantees exact counts in 12 bytes each. Decides nothing.

use crate::grid::model::rate_limit_state::insert;
use crate::grid::values::event::EventKind;
use crate::grid::values::outcome::Outcome;

/// The outcome of an event, without the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutcomeKind {
    /// Stored as a record.
    Stored,
    /// The same alert again.
    Repeated,
    /// A progress report right after another.
    Coalesced,
    /// Over a rate limit.
    Suppressed,
    /// Stored, but rejected by the rules.
    Refused,
    /// Of another boot, or older than what is known.
    Backfilled,
    /// Below the class's lowest severity.
    BelowThreshold,
}

impl OutcomeKind {
    /// `None` for a duplicate: it was counted when it was first received.
    pub fn new(outcome: Outcome) -> Option<Self> {
        Some(match outcome {
            Outcome::Stored => Self::Stored,
            Outcome::Repeated => Self::Repeated,
            Outcome::Coalesced => Self::Coalesced,
            Outcome::Suppressed => Self::Suppressed,
            Outcome::Rejected(_) => Self::Refused,
            Outcome::OlderBoot | Outcome::StaleEvent => Self::Backfilled,
            Outcome::BelowThreshold => Self::BelowThreshold,
            Outcome::Duplicate => return None,
        })
    }
}

/// How many events had which outcome, since the appliance is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutcomeCounts(Box<[OutcomeCount]>);

/// One count: 12 bytes, since each appliance has some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OutcomeCount {
    kind: EventKind,
    outcome: OutcomeKind,
    low: u32,
    high: u32,
}

impl OutcomeCount {
    fn new(kind: EventKind, outcome: OutcomeKind, count: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = count.to_le_bytes();
        let (low, high) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        Self { kind, outcome, low, high }
    }

    fn count(self) -> u64 {
        u64::from(self.high) << 32 | u64::from(self.low)
    }
}

impl OutcomeCounts {
    /// Adds one.
    pub fn increment(&mut self, kind: EventKind, outcome: OutcomeKind) {
        self.set(kind, outcome, self.get(kind, outcome) + 1);
    }

    /// Sets a count.
    pub fn set(&mut self, kind: EventKind, outcome: OutcomeKind, count: u64) {
        let new = OutcomeCount::new(kind, outcome, count);
        match self.0.binary_search_by_key(&(kind, outcome), |it| (it.kind, it.outcome)) {
            Ok(at) => self.0[at] = new,
            Err(at) => insert(&mut self.0, at, new),
        }
    }

    /// The count.
    pub fn get(&self, kind: EventKind, outcome: OutcomeKind) -> u64 {
        let found = self.iter().find(|it| (it.0, it.1) == (kind, outcome));
        found.map_or(0, |(_, _, count)| count)
    }

    /// All counts that are not zero, by kind and outcome.
    pub fn iter(&self) -> impl Iterator<Item = (EventKind, OutcomeKind, u64)> {
        self.0.iter().map(|it| (it.kind, it.outcome, it.count()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_count_of_any_size_is_kept(first: u64, second: u64) {
            let mut counts = OutcomeCounts::default();
            counts.set(EventKind::Log, OutcomeKind::Stored, first);
            counts.set(EventKind::Alert, OutcomeKind::Repeated, second);
            prop_assert_eq!(counts.get(EventKind::Log, OutcomeKind::Stored), first);
            prop_assert_eq!(counts.get(EventKind::Alert, OutcomeKind::Repeated), second);
        }
    }
}
