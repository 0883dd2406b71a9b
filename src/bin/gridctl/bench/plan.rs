//! What a load test sends: how many events of which kinds, how fast, and as whom.
//!
//! Guarantees that the number of events is not exceeded by all senders together, and that the senders of a
//! paced load are spread evenly. Sends nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use grid_broker::contract::proto::Hello;

use super::payload::LoadKind;
use super::session;

/// The parts of a mix.
const PARTS: usize = 100;

/// The kinds of a load, in per cent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoadMix {
    /// The kind of each of a hundred events that follow each other.
    parts: Vec<LoadKind>,
}

/// Logs alone.
impl Default for LoadMix {
    fn default() -> Self {
        Self { parts: vec![LoadKind::Log; PARTS] }
    }
}

/// The mix is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a mix is kinds with their share in per cent, 100 in sum: log=90,alert=5,maintenance=5")]
pub(crate) struct InvalidMix;

impl LoadMix {
    /// Parses `log=90,alert=5,maintenance=5`, or the name of one kind.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidMix> {
        let mut shares = Vec::new();
        for item in text.split(',') {
            let (name, share) = item.split_once('=').unwrap_or((item, "100"));
            let kind = match name.trim() {
                "log" => LoadKind::Log,
                "alert" => LoadKind::Alert,
                "maintenance" => LoadKind::Maintenance,
                _ => return Err(InvalidMix),
            };
            let share: usize = share.trim().parse().map_err(|_| InvalidMix)?;
            shares.push((kind, share));
        }
        if shares.iter().map(|(_, share)| share).sum::<usize>() != PARTS {
            return Err(InvalidMix);
        }
        // Spread: 37 and 100 have no common divisor, so every part is visited once.
        let mut parts = vec![LoadKind::Log; PARTS];
        let filled = shares.iter().flat_map(|(kind, share)| std::iter::repeat_n(*kind, *share));
        for (at, kind) in filled.enumerate() {
            parts[at * 37 % PARTS] = kind;
        }
        Ok(Self { parts })
    }

    /// The kind of the event of that sequence.
    pub(crate) fn kind(&self, sequence: u64) -> LoadKind {
        self.parts[usize::try_from(sequence % PARTS as u64).unwrap_or(0)]
    }

    /// Whether there are events of that kind.
    pub(crate) fn has(&self, kind: LoadKind) -> bool {
        self.parts.contains(&kind)
    }

    /// Whether there are progress reports, which an appliance sends only while it starts.
    pub(crate) fn has_maintenance(&self) -> bool {
        self.has(LoadKind::Maintenance)
    }
}

/// What is sent.
#[derive(Debug)]
pub(crate) struct LoadPlan {
    /// The kinds.
    pub(crate) mix: LoadMix,
    /// The length of texts.
    pub(crate) text_bytes: usize,
    /// Events of one sender that may wait for their acknowledgement.
    pub(crate) outstanding: u64,
    /// The time between two events of one sender; `None`: as fast as possible.
    pub(crate) interval: Option<Duration>,
    /// How many senders there are.
    pub(crate) senders: u64,
    /// What all may still send; `None`: without an end.
    pub(crate) left: Option<AtomicU64>,
    /// What the names of appliances begin with.
    pub(crate) prefix: String,
}

impl LoadPlan {
    /// The name of an appliance, from 1.
    pub(crate) fn name(&self, number: u64) -> String {
        format!("{}{number}", self.prefix)
    }

    /// The Hello of a session.
    pub(crate) fn hello(&self) -> Hello {
        session::hello()
    }

    /// Takes as many of these events as may still be sent.
    pub(crate) fn claim(&self, wanted: u64) -> u64 {
        let Some(left) = &self.left else { return wanted };
        let take = |left: u64| Some(left - left.min(wanted));
        let before = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        before.unwrap_or_default().min(wanted)
    }

    /// Whether all events were sent.
    pub(crate) fn is_used_up(&self) -> bool {
        self.left.as_ref().is_some_and(|left| left.load(Ordering::Relaxed) == 0)
    }

    /// How many events of a sender are due so long after the start.
    pub(crate) fn due(&self, sender: u64, elapsed: Duration) -> u64 {
        let Some(interval) = self.interval else { return u64::MAX };
        let Some(since_first) = elapsed.checked_sub(self.offset(sender)) else { return 0 };
        let due = since_first.as_nanos() / interval.as_nanos().max(1) + 1;
        u64::try_from(due).unwrap_or(u64::MAX)
    }

    /// When a sender's event with that index is due, after the start.
    pub(crate) fn due_at(&self, sender: u64, index: u64) -> Duration {
        let nanos = self.interval.unwrap_or_default().as_nanos() * u128::from(index);
        self.offset(sender) + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Senders do not send at the same moment.
    fn offset(&self, sender: u64) -> Duration {
        let part = u128::from(sender % self.senders.max(1));
        let nanos = self.interval.unwrap_or_default().as_nanos() * part;
        Duration::from_nanos(u64::try_from(nanos / u128::from(self.senders.max(1))).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(interval: Option<Duration>, left: Option<u64>) -> LoadPlan {
        LoadPlan {
            mix: LoadMix::parse("log").unwrap(),
            text_bytes: 150,
            outstanding: 1,
            interval,
            senders: 4,
            left: left.map(AtomicU64::new),
            prefix: "bench:main.a".to_owned(),
        }
    }

    #[test]
    fn a_mix_has_its_shares_and_spreads_them() {
        let mix = LoadMix::parse("log=90,alert=6,maintenance=4").unwrap();
        let count = |kind| (0..200).filter(|sequence| mix.kind(*sequence) == kind).count();
        assert_eq!(count(LoadKind::Log), 180);
        assert_eq!(count(LoadKind::Alert), 12);
        assert_eq!(count(LoadKind::Maintenance), 8);
        assert!(mix.has_maintenance() && !LoadMix::parse("alert").unwrap().has_maintenance());
        let in_first_half = (0..50).filter(|it| mix.kind(*it) != LoadKind::Log).count();
        assert!((3..=7).contains(&in_first_half), "{in_first_half}");
        for wrong in ["", "log=50", "log=100,alert=1", "start=100", "log=x", "log=99,alert=-1"] {
            assert_eq!(LoadMix::parse(wrong), Err(InvalidMix), "{wrong}");
        }
    }

    #[test]
    fn senders_of_a_paced_load_are_spread_and_keep_their_rate() {
        let plan = plan(Some(Duration::from_millis(40)), None);
        let due = |sender, ms| plan.due(sender, Duration::from_millis(ms));
        assert_eq!([due(0, 0), due(1, 9), due(1, 10), due(3, 29), due(3, 30)], [1, 0, 1, 0, 1]);
        assert_eq!([due(0, 39), due(0, 40), due(0, 400)], [1, 2, 11]);
        assert_eq!(plan.due_at(1, 10), Duration::from_millis(410));
    }

    #[test]
    fn all_senders_together_send_no_more_than_is_left() {
        let limited = plan(None, Some(5));
        assert_eq!([limited.claim(3), limited.claim(3), limited.claim(3)], [3, 2, 0]);
        assert!(limited.is_used_up());
        assert_eq!(plan(None, None).claim(7), 7);
        assert!(!plan(None, None).is_used_up());
    }
}
