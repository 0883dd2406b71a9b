//! Selects the entries to evict when the spool is full.
//!
//! Guarantees that the oldest logs are evicted first, then the oldest progress reports, then the
//! oldest alerts, and never the outcome of a start. An attempted event is evicted only if no other
//! can be, since it is unknown whether it is lost. Does not know files.

use crate::wire::proto::EventKind;

use super::format::State;

/// The limits of a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most events.
    pub events: usize,
    /// Most bytes of their frames.
    pub bytes: usize,
}

/// As many as the broker's rate limit for replays accepts at once.
pub const EVENTS_MAX: usize = 10_000;

/// For 10,000 events of some 200 bytes.
pub const BYTES_MAX: usize = 2 << 20;

impl Default for Limits {
    fn default() -> Self {
        Self { events: EVENTS_MAX, bytes: BYTES_MAX }
    }
}

/// The properties of an entry that decide its eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: EventKind,
    pub(super) state: State,
    pub(super) bytes: usize,
}

/// The order in which kinds are evicted; `None`: never.
fn rank(kind: EventKind) -> Option<u8> {
    match kind {
        EventKind::Log => Some(0),
        EventKind::Maintenance => Some(1),
        EventKind::Alert => Some(2),
        EventKind::StartedOk | EventKind::StartFailed | EventKind::Unspecified => None,
    }
}

/// The indices of the entries (oldest first) to evict for one more of `wanted` bytes; `None`:
/// eviction cannot make enough room.
pub(super) fn make(there: &[Place], wanted: usize, limits: Limits) -> Option<Vec<usize>> {
    let mut events = there.len();
    let mut bytes: usize = there.iter().map(|place| place.bytes).sum();
    let mut going: Vec<usize> = Vec::new();
    let has_room =
        |events: usize, bytes: usize| events < limits.events && bytes + wanted <= limits.bytes;
    let mut order: Vec<(bool, u8, usize)> = there
        .iter()
        .enumerate()
        .filter_map(|(at, place)| Some((place.state == State::Attempted, rank(place.kind)?, at)))
        .collect();
    order.sort_unstable();
    for (_, _, at) in order {
        if has_room(events, bytes) {
            break;
        }
        events -= 1;
        bytes -= there[at].bytes;
        going.push(at);
    }
    going.sort_unstable();
    has_room(events, bytes).then_some(going)
}

#[cfg(test)]
mod tests {
    use EventKind::{Alert, Log, Maintenance, StartFailed, StartedOk};
    use proptest::prelude::*;

    use super::*;

    fn place(kind: EventKind) -> Place {
        Place { kind, state: State::Waiting, bytes: 10 }
    }

    fn places(kinds: &[EventKind]) -> Vec<Place> {
        kinds.iter().copied().map(place).collect()
    }

    fn of_events(events: usize) -> Limits {
        Limits { events, bytes: usize::MAX / 2 }
    }

    #[test]
    fn nothing_goes_while_there_is_room() {
        assert_eq!(make(&places(&[Log, Log]), 10, of_events(3)), Some(vec![]));
        assert_eq!(make(&[], 10, of_events(1)), Some(vec![]));
    }

    #[test]
    fn the_oldest_log_goes_first_then_reports_then_alerts() {
        let there = places(&[StartedOk, Alert, Maintenance, Log, Log]);
        assert_eq!(make(&there, 1, of_events(5)), Some(vec![3]));
        assert_eq!(make(&there, 1, of_events(4)), Some(vec![3, 4]));
        assert_eq!(make(&there, 1, of_events(3)), Some(vec![2, 3, 4]));
        assert_eq!(make(&there, 1, of_events(2)), Some(vec![1, 2, 3, 4]));
        assert_eq!(make(&there, 1, of_events(1)), None, "outcomes of starts are never evicted");
    }

    #[test]
    fn what_may_be_on_its_way_goes_last() {
        let mut there = places(&[Log, Alert]);
        there[0].state = State::Attempted;
        assert_eq!(make(&there, 1, of_events(2)), Some(vec![1]));
        assert_eq!(make(&there, 1, of_events(1)), Some(vec![0, 1]));
    }

    #[test]
    fn bytes_are_a_bound_of_their_own() {
        let limits = Limits { events: 100, bytes: 40 };
        assert_eq!(make(&places(&[Log, Log, Log]), 10, limits), Some(vec![]));
        assert_eq!(make(&places(&[Log, Log, Log]), 25, limits), Some(vec![0, 1]));
        assert_eq!(make(&places(&[Log]), 41, limits), None, "it would not even fit alone");
    }

    proptest! {
        #[test]
        fn room_is_made_by_no_more_than_is_needed_and_never_by_ends_of_starts(
            kinds in prop::collection::vec(prop::sample::select(vec![
                StartedOk, StartFailed, Maintenance, Log, Alert,
            ]), 0..40),
            events in 1usize..40,
        ) {
            let there = places(&kinds);
            match make(&there, 10, of_events(events)) {
                Some(going) => {
                    prop_assert!(there.len() - going.len() < events);
                    prop_assert!(going.iter().all(|at| rank(there[*at].kind).is_some()));
                    prop_assert!(going.is_empty() || there.len() - going.len() + 1 == events);
                }
                None => {
                    let stay = kinds.iter().filter(|kind| rank(**kind).is_none()).count();
                    prop_assert!(stay >= events);
                }
            }
        }
    }
}
