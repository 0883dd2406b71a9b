//! Stamps a spooled event for sending: as live, or as a replay.
//!
//! Guarantees that an event of another boot, or one that waited longer than [`LIVE_AGE_MAX`], is
//! sent with the time at which it was spooled, and that a changed wall clock does not matter if the
//! boot's uptime is known. Does not know clocks: the caller passes the time.

use std::time::Duration;

use grid_broker::contract::encode_timestamp;
use grid_broker::contract::proto::Event;
use grid_broker::grid::values::time::Timestamp;
use grid_broker::spool::WaitingEvent;
use prost::Message;

/// Within this time the caller usually still waits for the reply.
const LIVE_AGE_MAX: Duration = Duration::from_secs(10);

/// Boot and time at which an event is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SendContext {
    /// The boot id, as in events.
    pub(crate) boot: String,
    /// The uptime in milliseconds; 0: unknown.
    pub(crate) uptime_ms: u64,
    /// The wall clock.
    pub(crate) wall_time: Timestamp,
}

/// The event as it is sent now; `None` if it cannot be decoded.
pub(crate) fn stamp(waiting: &WaitingEvent, moment: &SendContext) -> Option<Event> {
    let event = Event::decode(waiting.event.clone()).ok()?;
    let spooled_at = Timestamp::from_micros(waiting.spooled_at_us);
    let is_of_this_boot = event.boot_id.is_empty() || event.boot_id == moment.boot;
    let waited = match (event.uptime_ms, moment.uptime_ms) {
        (1.., 1..) if is_of_this_boot => {
            Duration::from_millis(moment.uptime_ms.saturating_sub(event.uptime_ms))
        }
        // A wall clock that was set back gives no age: treat the event as a replay.
        (_, _) if moment.wall_time < spooled_at => Duration::MAX,
        (_, _) => moment.wall_time.since(spooled_at),
    };
    let is_live = is_of_this_boot && waited < LIVE_AGE_MAX;
    let spooled_at = (!is_live).then(|| encode_timestamp(spooled_at));
    Some(Event { spooled_at, ..event })
}

#[cfg(test)]
mod tests {
    use grid_broker::contract::proto::EventKind;
    use grid_broker::spool::{EntryState, EventKey};

    use super::*;

    const SPOOLED: i64 = 1_700_000_000_000_000;

    fn waiting(boot: &str, uptime_ms: u64) -> WaitingEvent {
        let event = Event { boot_id: boot.to_owned(), uptime_ms, ..Event::default() };
        WaitingEvent {
            key: EventKey { spool_id: 1, sequence: 1 },
            state: EntryState::Waiting,
            kind: EventKind::Log,
            appliance: "db1".to_owned(),
            spooled_at_us: SPOOLED,
            event: event.encode_to_vec().into(),
        }
    }

    fn is_live(waiting: &WaitingEvent, uptime_ms: u64, wall_s: i64) -> bool {
        let wall = Timestamp::from_micros(SPOOLED + wall_s * 1_000_000);
        let moment = SendContext { boot: "b".to_owned(), uptime_ms, wall_time: wall };
        stamp(waiting, &moment).unwrap().spooled_at.is_none()
    }

    #[test]
    fn age_is_measured_by_the_boots_own_clock() {
        let event = waiting("b", 5_000);
        assert!(is_live(&event, 14_999, 0));
        assert!(!is_live(&event, 15_000, 0));
        assert!(is_live(&event, 6_000, 3_600 * 24 * 365 * 10), "the wall clock was set");
        assert!(is_live(&event, 6_000, -3_600 * 24 * 365 * 10), "or set back");
    }

    #[test]
    fn without_an_uptime_the_wall_clock_decides_and_doubt_is_a_replay() {
        let event = waiting("b", 0);
        assert!(is_live(&event, 99_000, 9) && !is_live(&event, 99_000, 10));
        assert!(!is_live(&event, 99_000, -1));
        assert!(is_live(&waiting("", 0), 0, 1));
    }

    #[test]
    fn an_event_of_another_boot_is_always_a_replay() {
        assert!(!is_live(&waiting("a", 5_000), 6_000, 1));
        let moment = SendContext {
            boot: "b".to_owned(),
            uptime_ms: 1,
            wall_time: Timestamp::from_micros(SPOOLED),
        };
        let sent = stamp(&waiting("a", 1), &moment).unwrap();
        assert_eq!(sent.spooled_at.unwrap().seconds, 1_700_000_000);
    }
}
