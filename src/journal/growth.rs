//! Measures how fast the journal grows, and estimates how long the disk lasts at that rate.
//!
//! Sampled once a minute of run time: a step of the wall clock changes nothing. Only growth of the
//! archive counts; a trim is not negative growth. Does not know disk or clock.

use std::collections::VecDeque;
use std::time::Duration;

/// The interval of samples; the caller must sample at it.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(60);

/// Samples that are stored: those of a day.
const SAMPLES_MAX: usize = 24 * 60;

/// With fewer samples the rate would be random.
const SAMPLES_MIN: usize = 10;

/// The growth of a journal, minute by minute.
#[derive(Debug, Default)]
pub(super) struct Growth {
    /// Size of the archive at the last sample, in bytes.
    last: Option<u64>,
    gained: VecDeque<u64>,
}

/// The growth rate of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrowthRate {
    /// In bytes.
    pub bytes_per_day: u64,
    /// The time over which it was measured; a day at most.
    pub measured: Duration,
}

impl Growth {
    /// Adds the present size of the archive, in bytes.
    pub(super) fn sample(&mut self, archive_bytes: u64) {
        if let Some(last) = self.last.replace(archive_bytes) {
            if self.gained.len() == SAMPLES_MAX {
                self.gained.pop_front();
            }
            self.gained.push_back(archive_bytes.saturating_sub(last));
        }
    }

    /// The rate; `None` until there are enough samples.
    pub(super) fn rate(&self) -> Option<GrowthRate> {
        let samples = self.gained.len();
        if samples < SAMPLES_MIN {
            return None;
        }
        let gained: u64 = self.gained.iter().sum();
        let bytes_per_day = gained.saturating_mul(SAMPLES_MAX as u64) / samples as u64;
        let minutes = u32::try_from(samples).unwrap_or(u32::MAX);
        Some(GrowthRate { bytes_per_day, measured: SAMPLE_EVERY * minutes })
    }
}

/// Sizes and limits from which the remaining time is estimated.
#[derive(Clone, Copy, Debug)]
pub struct DiskUsage {
    /// Size of the journal, in bytes.
    pub journal_bytes: u64,
    /// Bytes that are available to us on the file system.
    pub free_bytes: u64,
    /// No new event is accepted while less than this is free, in bytes.
    pub low_water: u64,
    /// Bytes that retention allows for the journal.
    pub retention_bytes: u64,
}

impl GrowthRate {
    /// The time until no new event is accepted; `None`: never, because the journal
    /// does not grow, or retention limits it before.
    pub fn time_until_full(&self, usage: DiskUsage) -> Option<Duration> {
        let free = usage.free_bytes.saturating_sub(usage.low_water);
        let until_retention = usage.retention_bytes.saturating_sub(usage.journal_bytes);
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
    fn trimming_is_not_negative_growth_and_only_a_day_counts() {
        let mut growth = Growth::default();
        growth.sample(GIB);
        for minute in 1..=2 * SAMPLES_MAX as u64 {
            // Each hour a segment is trimmed.
            let trimmed = if minute % 60 == 0 { 64 << 10 } else { 0 };
            growth.sample(GIB + minute % 60 * 1_024 - trimmed);
        }
        assert_eq!(growth.gained.len(), SAMPLES_MAX);
        let rate = growth.rate().expect("a day");
        assert_eq!(rate.measured, DAY);
        assert!(rate.bytes_per_day >= 24 * 59 * 1_024, "{rate:?}");
    }

    #[test]
    fn the_disk_is_full_at_the_low_water_mark_unless_retention_stops_the_journal() {
        let rate = GrowthRate { bytes_per_day: GIB, measured: DAY };
        let usage = DiskUsage {
            journal_bytes: 2 * GIB,
            free_bytes: 5 * GIB,
            low_water: GIB,
            retention_bytes: 100 * GIB,
        };
        assert_eq!(rate.time_until_full(usage), Some(4 * DAY));
        // Up to 6 GiB are allowed, and there is space for 4 more.
        assert_eq!(rate.time_until_full(DiskUsage { retention_bytes: 6 * GIB, ..usage }), None);
        assert_eq!(
            rate.time_until_full(DiskUsage { free_bytes: GIB / 2, ..usage }),
            Some(Duration::ZERO)
        );
        let quiet = GrowthRate { bytes_per_day: 0, ..rate };
        assert_eq!(quiet.time_until_full(usage), None);
    }
}
