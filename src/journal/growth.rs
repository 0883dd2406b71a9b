//! Measures how fast the journal grows, and says how long the disk lasts at that rate.
//!
//! Sampled once a minute of the time that the broker lives through: a wall clock that is set changes
//! nothing. Only what the archive gains counts; what retention takes away is no negative growth. Knows
//! neither disk nor clock.

use std::collections::VecDeque;
use std::time::Duration;

/// One sample each; whoever samples keeps to it.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(60);

/// Samples that are kept: those of a day.
const SAMPLES_MAX: usize = 24 * 60;

/// With fewer samples the rate would be chance.
const SAMPLES_MIN: usize = 10;

/// What a journal grew by, minute by minute.
#[derive(Debug, Default)]
pub(super) struct Growth {
    /// What the archive took at the last sample, in bytes.
    last: Option<u64>,
    gained: VecDeque<u64>,
}

/// How fast a journal grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In bytes.
    pub bytes_per_day: u64,
    /// Measured over so long a time; a day at most.
    pub measured: Duration,
}

impl Growth {
    /// Adds what the archive takes now, in bytes.
    pub(super) fn sample(&mut self, archive_bytes: u64) {
        if let Some(last) = self.last.replace(archive_bytes) {
            if self.gained.len() == SAMPLES_MAX {
                self.gained.pop_front();
            }
            self.gained.push_back(archive_bytes.saturating_sub(last));
        }
    }

    /// The rate; `None` until there are enough samples.
    pub(super) fn rate(&self) -> Option<Rate> {
        let samples = self.gained.len();
        if samples < SAMPLES_MIN {
            return None;
        }
        let gained: u64 = self.gained.iter().sum();
        let bytes_per_day = gained.saturating_mul(SAMPLES_MAX as u64) / samples as u64;
        let minutes = u32::try_from(samples).unwrap_or(u32::MAX);
        Some(Rate { bytes_per_day, measured: SAMPLE_EVERY * minutes })
    }
}

/// What the journal may still take.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// What the journal takes, in bytes.
    pub journal_bytes: u64,
    /// What the file system still has for us, in bytes.
    pub free_bytes: u64,
    /// With less free than this, in bytes, nothing new is taken.
    pub low_water: u64,
    /// Retention lets the journal grow to so many bytes.
    pub retention_bytes: u64,
}

impl Rate {
    /// How long it takes until nothing new is taken; `None`: that does not come, because the journal
    /// does not grow, or retention stops it before.
    pub fn disk_lasts(&self, room: Room) -> Option<Duration> {
        let free = room.free_bytes.saturating_sub(room.low_water);
        let until_retention = room.retention_bytes.saturating_sub(room.journal_bytes);
        if self.bytes_per_day == 0 || until_retention <= free {
            return None;
        }
        let seconds = u128::from(free) * 86_400 / u128::from(self.bytes_per_day);
        Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_steady_journal_has_the_rate_of_its_minutes_once_ten_are_measured() {
        let mut growth = Growth::default();
        for minute in 0..=9 {
            assert_eq!(growth.rate(), None, "after {minute} minutes");
            growth.sample(5_000 + minute * 1_000);
        }
        growth.sample(15_000);
        let rate = growth.rate().expect("ten minutes");
        assert_eq!((rate.bytes_per_day, rate.measured), (1_440_000, Duration::from_secs(600)));
    }

    #[test]
    fn what_retention_takes_away_is_no_negative_growth_and_only_a_day_counts() {
        let mut growth = Growth::default();
        growth.sample(GIB);
        for minute in 1..=2 * SAMPLES_MAX as u64 {
            // Each hour a span is trimmed.
            let trimmed = if minute % 60 == 0 { 64 << 10 } else { 0 };
            growth.sample(GIB + minute % 60 * 1_024 - trimmed);
        }
        assert_eq!(growth.gained.len(), SAMPLES_MAX);
        let rate = growth.rate().expect("a day");
        assert_eq!(rate.measured, DAY);
        assert!(rate.bytes_per_day >= 24 * 59 * 1_024, "{rate:?}");
    }

    #[test]
    fn the_disk_lasts_as_long_as_there_is_room_above_the_mark_unless_retention_stops_the_journal() {
        let rate = Rate { bytes_per_day: GIB, measured: DAY };
        let room = Room {
            journal_bytes: 2 * GIB,
            free_bytes: 5 * GIB,
            low_water: GIB,
            retention_bytes: 100 * GIB,
        };
        assert_eq!(rate.disk_lasts(room), Some(4 * DAY));
        // Up to 6 GiB are allowed, and there is room for 4 more.
        assert_eq!(rate.disk_lasts(Room { retention_bytes: 6 * GIB, ..room }), None);
        assert_eq!(rate.disk_lasts(Room { free_bytes: GIB / 2, ..room }), Some(Duration::ZERO));
        let quiet = Rate { bytes_per_day: 0, ..rate };
        assert_eq!(quiet.disk_lasts(room), None);
    }
}
