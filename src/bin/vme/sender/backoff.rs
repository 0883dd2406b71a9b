//! The exponential backoff with jitter between attempts to reach the broker.
//!
//! Guarantees that delays double up to the longest, that no two appliances retry in step for long
//! (jitter), and that the delay that the broker requests is observed. Does not know when to give
//! up.

use std::time::Duration;

/// Delays between attempts: from the first, doubling, to the longest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// Starts again with the first delay: the broker accepted a session.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// The next delay: between half and all of its length, as `chance` (0 to 1) determines, but no
    /// shorter than the broker requested.
    pub(crate) fn next_delay(&mut self, requested: Duration, chance: f64) -> Duration {
        let pause = self.next;
        self.next = self.longest.min(2 * pause);
        let pause = pause.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        pause.max(requested.min(self.longest))
    }
}

/// A random number from 0 to 1, for jitter.
pub(crate) fn jitter() -> f64 {
    let drawn = uuid::Uuid::new_v4().as_fields().0;
    f64::from(drawn) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn delays_double_to_the_maximum_and_reset() {
        let mut backoff = Backoff::new(seconds(1), seconds(120));
        let delays: Vec<u64> =
            (0..9).map(|_| backoff.next_delay(Duration::ZERO, 1.0).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 120, 120]);
        backoff.reset();
        assert_eq!(backoff.next_delay(Duration::ZERO, 0.0), Duration::from_millis(500));
        assert_eq!(backoff.next_delay(Duration::ZERO, 0.5), Duration::from_millis(1_500));
    }

    #[test]
    fn the_requested_delay_is_kept_up_to_the_maximum() {
        let mut backoff = Backoff::new(seconds(1), seconds(120));
        assert_eq!(backoff.next_delay(seconds(30), 1.0), seconds(30));
        assert_eq!(backoff.next_delay(seconds(9_999), 1.0), seconds(120));
    }

    #[test]
    fn jitter_differs() {
        let drawn: Vec<f64> = (0..20).map(|_| jitter()).collect();
        assert!(drawn.iter().all(|it| (0.0..=1.0).contains(it)));
        assert!(drawn.iter().any(|it| (it - drawn[0]).abs() > 0.01));
    }
}
