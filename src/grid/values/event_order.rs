//! Orders the lifecycle events of one boot by the time at which they were sent.
//!
//! Guarantees an order that a wrong clock disturbs only for an event without uptime from another
//! spool. Does not know the content of events.

use std::time::Duration;

use super::time::Timestamp;
use crate::grid::values::id::{Sequence, SpoolId};

/// The position of an event within its boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventOrder {
    /// The uptime of the boot.
    pub uptime: Option<Duration>,
    /// Its sequence, and the spool that gave it.
    pub sequence: Option<(SpoolId, Sequence)>,
    /// By the appliance's clock; else when it was spooled, else when it was received.
    pub time: Timestamp,
}

impl EventOrder {
    /// Whether it was sent before another event of its boot: by uptime, which no clock moves; else
    /// by sequence, if one spool gave both; else by the appliance's clock.
    pub fn precedes(&self, other: &Self) -> bool {
        if let (Some(own), Some(others)) = (self.uptime, other.uptime)
            && own != others
        {
            return own < others;
        }
        match (self.sequence, other.sequence) {
            (Some((own, number)), Some((others, other))) if own == others => number < other,
            (_, _) => self.time < other.time,
        }
    }

    /// Whether it was sent before a time of the broker's, in a boot that began at `began_at`. Both
    /// the uptime and the appliance's clock must agree: neither is certain.
    pub fn precedes_time(&self, moment: Timestamp, began_at: Timestamp) -> bool {
        let by_uptime = self.uptime.is_none_or(|uptime| began_at.after(uptime) < moment);
        by_uptime && self.time < moment
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    fn order(uptime: u64, numbered: Option<(u64, u64)>, time: u64) -> EventOrder {
        let at = |seconds| Timestamp::EPOCH.after(Duration::from_secs(seconds));
        let number = |it| NonZeroU64::new(it).expect("tests number from 1");
        EventOrder {
            uptime: (uptime > 0).then(|| Duration::from_secs(uptime)),
            sequence: numbered.map(|(spool, sequence)| (SpoolId(number(spool)), number(sequence))),
            time: at(time),
        }
    }

    #[test]
    fn uptime_decides_before_sequence_and_sequence_before_the_clock() {
        assert!(order(1, Some((1, 9)), 9).precedes(&order(2, Some((1, 1)), 1)));
        assert!(order(0, Some((1, 1)), 9).precedes(&order(2, Some((1, 2)), 1)));
        assert!(order(2, Some((1, 1)), 9).precedes(&order(2, Some((1, 2)), 1)));
        assert!(!order(0, Some((1, 9)), 9).precedes(&order(2, Some((2, 1)), 1)));
        assert!(order(0, Some((1, 9)), 1).precedes(&order(2, Some((2, 1)), 9)));
        assert!(order(0, None, 1).precedes(&order(0, None, 9)));
        let same = order(2, Some((1, 2)), 3);
        assert!(!same.precedes(&same));
    }
}
