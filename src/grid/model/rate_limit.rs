//! Implements rate limits by the generic cell rate algorithm (GCRA), with the crate governor.
//!
//! Guarantees that the state of a limit is one time, stored by value where the caller likes: it
//! survives a restart and keeps its meaning under changed settings. Does not know events or clocks.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use super::settings::RateLimit;
use crate::grid::values::time::Timestamp;

/// The last time that limits know, in nanoseconds since the epoch: the year 2500. It leaves room
/// for the largest limit below what governor can count to.
const NANOS_MAX: u64 = 16_725_225_600_000_000_000;

/// The longest time to refill: 10,000 days. A larger burst is reduced to it.
const REFILL_MAX: Duration = Duration::from_secs(10_000 * 86_400);

impl RateLimit {
    /// Acquires one at `now`, if the limit allows it. `full_at` is when the limit is refilled, as
    /// returned by an earlier call; [`Timestamp::EPOCH`]: it is full. `None`: it is exhausted.
    pub fn try_acquire(&self, full_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let most = REFILL_MAX.as_nanos() / self.interval.as_nanos().max(1);
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let burst = self.burst.min(NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN));
        let quota = Quota::with_period(self.interval)?.allow_burst(burst);
        // A later refill time comes from other settings, and is reset.
        let full_at_most = now.after(self.interval.saturating_mul(burst.get()));
        let full_at = if full_at > full_at_most { now } else { full_at };
        // The limiter is created at the epoch, so what it stores is a time since the epoch.
        let slot = SingleStore(Cell::new(nanos(full_at)));
        let limiter: RateLimiter<_, _, _, NoOpMiddleware<Duration>> =
            RateLimiter::new(quota, slot, FixedClock(Cell::new(Duration::ZERO)));
        limiter.clock().0.set(Duration::from_nanos(nanos(now)));
        limiter.check().ok()?;
        let full_at = Duration::from_nanos(limiter.into_state_store().0.get());
        Some(Timestamp::EPOCH.after(full_at))
    }

    /// When the next one is allowed; `full_at` as in [`RateLimit::try_acquire`].
    pub fn next_free_at(&self, full_at: Timestamp) -> Timestamp {
        full_at.before(self.interval.saturating_mul(self.burst.get() - 1))
    }

    /// What it allows, as text: `25 at once, then one per 5 s`.
    pub fn describe(&self) -> String {
        let every = crate::grid::values::time::describe_duration(self.interval);
        format!("{} at once, then one per {every}", self.burst)
    }
}

fn nanos(moment: Timestamp) -> u64 {
    let nanos = moment.since(Timestamp::EPOCH).as_nanos();
    u64::try_from(nanos).unwrap_or(NANOS_MAX).min(NANOS_MAX)
}

/// A clock for governor with a fixed time.
struct FixedClock(Cell<Duration>);

impl Clock for FixedClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.get()
    }
}

/// A store for governor with a single limit.
struct SingleStore(Cell<u64>);

impl StateStore for SingleStore {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (answer, next) = decide(Some(Nanos::new(self.0.get())))?;
        self.0.set(next.as_u64());
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(burst: u32, every: Duration) -> RateLimit {
        RateLimit { burst: NonZeroU32::new(burst).expect("not zero"), interval: every }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::EPOCH.after(Duration::from_millis(1_800_000_000_000 + millis))
    }

    /// How many of these times are admitted.
    fn admitted(budget: RateLimit, moments: impl IntoIterator<Item = u64>) -> usize {
        let mut full_at = Timestamp::EPOCH;
        let spends = moments.into_iter().filter(|moment| {
            let spent = budget.try_acquire(full_at, at(*moment));
            full_at = spent.unwrap_or(full_at);
            spent.is_some()
        });
        spends.count()
    }

    #[test]
    fn a_burst_passes_then_one_each_period() {
        let log = limit(25, Duration::from_secs(5));
        assert_eq!(admitted(log, std::iter::repeat_n(0, 1_000)), 25);
        // One hour of one event per millisecond: the burst, and one per 5 s.
        assert_eq!(admitted(log, 0..3_600_000), 25 + 719);
        assert_eq!(admitted(log, (0..1_000).map(|n| n * 5_000)), 1_000);
    }

    #[test]
    fn times_far_from_the_present_are_harmless() {
        let log = limit(u32::MAX, Duration::from_secs(86_400));
        let far = [Timestamp::MIN, Timestamp::EPOCH, Timestamp::MAX];
        for (full_at, now) in far.into_iter().flat_map(|full| far.map(|now| (full, now))) {
            assert!(log.try_acquire(full_at, now).is_some());
        }
    }

    #[test]
    fn usage_under_other_settings_is_reset() {
        let large = limit(1_000, Duration::from_secs(86_400));
        let mut full_at = Timestamp::EPOCH;
        while let Some(spent) = large.try_acquire(full_at, at(0)) {
            full_at = spent;
        }
        let small = limit(25, Duration::from_secs(5));
        assert!(small.try_acquire(full_at, at(0)).is_some());
        assert_eq!(large.try_acquire(full_at, at(0)), None);
    }

    proptest! {
        /// In any window at most a burst and one per whole interval are admitted.
        #[test]
        fn no_window_holds_more_than_it_should(
            burst in 1u32..20,
            every in 1u64..5_000,
            gaps in prop::collection::vec(0u64..2_000, 1..300),
        ) {
            let limit = limit(burst, Duration::from_millis(every));
            let mut full_at = Timestamp::EPOCH;
            let mut now = 0;
            let mut passed = Vec::new();
            for gap in gaps {
                now += gap;
                if let Some(spent) = limit.try_acquire(full_at, at(now)) {
                    full_at = spent;
                    passed.push(now);
                }
            }
            for (first, from) in passed.iter().enumerate() {
                for (last, until) in passed.iter().enumerate().skip(first) {
                    let allowed = u64::from(burst) + (until - from) / every;
                    prop_assert!(((last - first) as u64) < allowed);
                }
            }
        }
    }
}
