//! Selects the entries to evict when the spool is full.
//!
//! Guarantees that the oldest logs are evicted first, then the oldest progress reports, then the
//! oldest alerts, and never the outcome of a start. An attempted event is evicted only if no other
//! can be, since it is unknown whether it is lost. Does not know files.

use super::format::EntryState;
use crate::contract;
use crate::contract::proto::EventKind;

/// The limits of a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolLimits {
    /// Most events.
    pub events: usize,
    /// Most bytes of their frames.
    pub bytes: usize,
}

/// As many as the broker's rate limit for replays accepts at once.
pub const DEFAULT_EVENTS_MAX: usize = 10_000;

/// For 10,000 events of some 200 bytes.
pub const DEFAULT_BYTES_MAX: usize = 2 << 20;

impl Default for SpoolLimits {
    fn default() -> Self {
        Self { events: DEFAULT_EVENTS_MAX, bytes: DEFAULT_BYTES_MAX }
    }
}

/// The properties of an entry that decide its eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) kind: EventKind,
    pub(super) state: EntryState,
    pub(super) bytes: usize,
}

/// The order in which kinds are evicted; `None`: never.
fn eviction_rank(kind: EventKind) -> Option<u8> {
    contract::decode_event_kind(kind)?.eviction_rank()
}

/// The indices of the entries (oldest first) to evict for one more of `needed` bytes; `None`:
/// eviction cannot make enough room.
pub(super) fn evict(
    entries: &[Candidate],
    needed: usize,
    limits: SpoolLimits,
) -> Option<Vec<usize>> {
    let mut events = entries.len();
    let mut bytes: usize = entries.iter().map(|candidate| candidate.bytes).sum();
    let mut evicted: Vec<usize> = Vec::new();
    let has_room =
        |events: usize, bytes: usize| events < limits.events && bytes + needed <= limits.bytes;
    let mut order: Vec<(bool, u8, usize)> = entries
        .iter()
        .enumerate()
        .filter_map(|(at, candidate)| {
            Some((candidate.state == EntryState::Attempted, eviction_rank(candidate.kind)?, at))
        })
        .collect();
    order.sort_unstable();
    for (_, _, at) in order {
        if has_room(events, bytes) {
            break;
        }
        events -= 1;
        bytes -= entries[at].bytes;
        evicted.push(at);
    }
    evicted.sort_unstable();
    has_room(events, bytes).then_some(evicted)
}

#[cfg(test)]
mod tests {
    use EventKind::{Alert, Log, Maintenance, StartFailed, StartedOk};
    use proptest::prelude::*;

    use super::*;

    fn candidate(kind: EventKind) -> Candidate {
        Candidate { kind, state: EntryState::Waiting, bytes: 10 }
    }

    fn candidates(kinds: &[EventKind]) -> Vec<Candidate> {
        kinds.iter().copied().map(candidate).collect()
    }

    fn event_limit(events: usize) -> SpoolLimits {
        SpoolLimits { events, bytes: usize::MAX / 2 }
    }

    #[test]
    fn nothing_is_evicted_while_there_is_room() {
        assert_eq!(evict(&candidates(&[Log, Log]), 10, event_limit(3)), Some(vec![]));
        assert_eq!(evict(&[], 10, event_limit(1)), Some(vec![]));
    }

    #[test]
    fn the_oldest_logs_are_evicted_first_then_reports_then_alerts() {
        let there = candidates(&[StartedOk, Alert, Maintenance, Log, Log]);
        assert_eq!(evict(&there, 1, event_limit(5)), Some(vec![3]));
        assert_eq!(evict(&there, 1, event_limit(4)), Some(vec![3, 4]));
        assert_eq!(evict(&there, 1, event_limit(3)), Some(vec![2, 3, 4]));
        assert_eq!(evict(&there, 1, event_limit(2)), Some(vec![1, 2, 3, 4]));
        assert_eq!(evict(&there, 1, event_limit(1)), None, "outcomes of starts are never evicted");
    }

    #[test]
    fn attempted_events_are_evicted_last() {
        let mut there = candidates(&[Log, Alert]);
        there[0].state = EntryState::Attempted;
        assert_eq!(evict(&there, 1, event_limit(2)), Some(vec![1]));
        assert_eq!(evict(&there, 1, event_limit(1)), Some(vec![0, 1]));
    }

    #[test]
    fn bytes_are_limited_separately() {
        let limits = SpoolLimits { events: 100, bytes: 40 };
        assert_eq!(evict(&candidates(&[Log, Log, Log]), 10, limits), Some(vec![]));
        assert_eq!(evict(&candidates(&[Log, Log, Log]), 25, limits), Some(vec![0, 1]));
        assert_eq!(evict(&candidates(&[Log]), 41, limits), None, "it would not even fit alone");
    }

    proptest! {
        #[test]
        fn room_is_made_by_no_more_than_is_needed_and_never_by_ends_of_starts(
            kinds in prop::collection::vec(prop::sample::select(vec![
                StartedOk, StartFailed, Maintenance, Log, Alert,
            ]), 0..40),
            events in 1usize..40,
        ) {
            let there = candidates(&kinds);
            match evict(&there, 10, event_limit(events)) {
                Some(going) => {
                    prop_assert!(there.len() - going.len() < events);
                    prop_assert!(going.iter().all(|at| eviction_rank(there[*at].kind).is_some()));
                    prop_assert!(going.is_empty() || there.len() - going.len() + 1 == events);
                }
                None => {
                    let stay = kinds.iter().filter(|kind| eviction_rank(**kind).is_none()).count();
                    prop_assert!(stay >= events);
                }
            }
        }
    }
}
