//! Counts latencies in a histogram, and reads percentiles from it.
//!
//! Guarantees percentiles within 1.6 % of the measured value, in constant memory. Does not know what was
//! measured.

use std::time::Duration;

/// Buckets of each power of two.
pub(super) const STEPS: usize = 64;

/// Powers of two of a microsecond above the first buckets; the last ends beyond an hour.
pub(super) const POWERS: usize = 27;

/// How often each latency was measured.
#[derive(Clone, Debug)]
pub(crate) struct LatencyHistogram {
    counts: Vec<u64>,
    total: u64,
    max: Duration,
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self { counts: vec![0; STEPS * (POWERS + 1)], total: 0, max: Duration::ZERO }
    }
}

impl LatencyHistogram {
    /// Counts a latency so many times.
    pub(crate) fn record(&mut self, latency: Duration, times: u64) {
        self.counts[bucket(latency)] += times;
        self.total += times;
        self.max = self.max.max(latency);
    }

    /// Adds the counts of another histogram.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (own, others) in self.counts.iter_mut().zip(&other.counts) {
            *own += others;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// The latency that this part of all, between 0 and 1, does not exceed; `None` without any.
    pub(crate) fn percentile(&self, part: f64) -> Option<Duration> {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts of a run are far below 2^52"
        )]
        let rank = ((self.total as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(upper_end(at).min(self.max))
    }

    /// The longest.
    pub(crate) fn max(&self) -> Duration {
        self.max
    }
}

/// Whole microseconds below 64 have a bucket each; above, each power of two has 64.
pub(super) fn bucket(latency: Duration) -> usize {
    let micros = usize::try_from(latency.as_micros()).unwrap_or(usize::MAX);
    let power = (micros / STEPS).checked_ilog2().map_or(0, |power| power as usize + 1);
    if power == 0 {
        return micros;
    }
    let step = (micros >> (power - 1)) - STEPS;
    (power * STEPS + step).min(STEPS * (POWERS + 1) - 1)
}

/// The longest latency of a bucket.
pub(super) fn upper_end(bucket: usize) -> Duration {
    let (power, step) = (bucket / STEPS, bucket % STEPS);
    let micros = if power == 0 { step } else { ((STEPS + step + 1) << (power - 1)) - 1 };
    Duration::from_micros(micros as u64)
}
