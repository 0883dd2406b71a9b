//! How much may still be said? Budgets of the generic cell rate algorithm, by governor, told the
//! time.
//!
//! Guarantees that what is spent is one moment a budget, kept by value wherever the caller likes: it
//! survives a restart, and means the same under changed settings. Knows no events and no clock.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use super::settings::Budget;
use super::time::Timestamp;

/// The last moment that budgets know, in nanoseconds since the epoch: the year 2500. It leaves room
/// for the largest budget below what governor can count to.
const LAST_NANOS: u64 = 16_725_225_600_000_000_000;

/// The longest that an empty budget takes to be full: 10,000 days. A larger burst is cut to it.
const LONGEST_REFILL: Duration = Duration::from_secs(10_000 * 86_400);

impl Budget {
    /// Spends one at `now`, if there is one left. `full_at` is when the budget is full again, as an
    /// earlier call gave it; [`Timestamp::EPOCH`]: it is. `None`: nothing is left.
    pub fn spend(&self, full_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let most = LONGEST_REFILL.as_nanos() / self.every.as_nanos().max(1);
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let burst = self.burst.min(NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN));
        let quota = Quota::with_period(self.every)?.allow_burst(burst);
        // More than an empty budget owes is a debt of other settings, and forgiven.
        let most_owed = now.after(self.every.saturating_mul(burst.get()));
        let full_at = if full_at > most_owed { now } else { full_at };
        // Made at the epoch, the limiter counts from there: what it stores is a moment.
        let slot = Slot(Cell::new(nanos(full_at)));
        let limiter: RateLimiter<_, _, _, NoOpMiddleware<Duration>> =
            RateLimiter::new(quota, slot, Told(Cell::new(Duration::ZERO)));
        limiter.clock().0.set(Duration::from_nanos(nanos(now)));
        limiter.check().ok()?;
        let full_at = Duration::from_nanos(limiter.into_state_store().0.get());
        Some(Timestamp::EPOCH.after(full_at))
    }

    /// When there is room for one again; `full_at` as in [`Budget::spend`].
    pub fn room_at(&self, full_at: Timestamp) -> Timestamp {
        full_at.before(self.every.saturating_mul(self.burst.get() - 1))
    }

    /// What it allows, in words: `25 at once, then one per 5 s`.
    pub fn in_words(&self) -> String {
        let every = super::time::in_words(self.every);
        format!("{} at once, then one per {every}", self.burst)
    }
}

fn nanos(moment: Timestamp) -> u64 {
    let nanos = moment.since(Timestamp::EPOCH).as_nanos();
    u64::try_from(nanos).unwrap_or(LAST_NANOS).min(LAST_NANOS)
}

/// governor's clock, which says what it is told.
struct Told(Cell<Duration>);

impl Clock for Told {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.get()
    }
}

/// governor's store, for one budget.
struct Slot(Cell<u64>);

impl StateStore for Slot {
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

    fn budget(burst: u32, every: Duration) -> Budget {
        Budget { burst: NonZeroU32::new(burst).expect("not zero"), every }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::EPOCH.after(Duration::from_millis(1_800_000_000_000 + millis))
    }

    /// How many of these moments are let through.
    fn passed(budget: Budget, moments: impl IntoIterator<Item = u64>) -> usize {
        let mut full_at = Timestamp::EPOCH;
        let spends = moments.into_iter().filter(|moment| {
            let spent = budget.spend(full_at, at(*moment));
            full_at = spent.unwrap_or(full_at);
            spent.is_some()
        });
        spends.count()
    }

    #[test]
    fn a_burst_passes_then_one_each_period() {
        let log = budget(25, Duration::from_secs(5));
        assert_eq!(passed(log, std::iter::repeat_n(0, 1_000)), 25);
        // An hour of one a millisecond: the burst, and one for each 5 s.
        assert_eq!(passed(log, 0..3_600_000), 25 + 719);
        assert_eq!(passed(log, (0..1_000).map(|n| n * 5_000)), 1_000);
    }

    #[test]
    fn moments_far_from_the_present_do_no_harm() {
        let log = budget(u32::MAX, Duration::from_secs(86_400));
        let far = [Timestamp::MIN, Timestamp::EPOCH, Timestamp::MAX];
        for (full_at, now) in far.into_iter().flat_map(|full| far.map(|now| (full, now))) {
            assert!(log.spend(full_at, now).is_some());
        }
    }

    #[test]
    fn a_debt_of_other_settings_is_forgiven() {
        let large = budget(1_000, Duration::from_secs(86_400));
        let mut full_at = Timestamp::EPOCH;
        while let Some(spent) = large.spend(full_at, at(0)) {
            full_at = spent;
        }
        let small = budget(25, Duration::from_secs(5));
        assert!(small.spend(full_at, at(0)).is_some());
        assert_eq!(large.spend(full_at, at(0)), None);
    }

    proptest! {
        /// Between any two moments no more passes than a burst and one for each whole period.
        #[test]
        fn no_window_holds_more_than_it_should(
            burst in 1u32..20,
            every in 1u64..5_000,
            gaps in prop::collection::vec(0u64..2_000, 1..300),
        ) {
            let limit = budget(burst, Duration::from_millis(every));
            let mut full_at = Timestamp::EPOCH;
            let mut now = 0;
            let mut passed = Vec::new();
            for gap in gaps {
                now += gap;
                if let Some(spent) = limit.spend(full_at, at(now)) {
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
