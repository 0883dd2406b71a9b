//! Holds when each rate limit of one appliance is refilled.
//!
//! Guarantees that limits that are not used take no room. Decides nothing.

use crate::grid::model::usage::RateLimitKind;
use crate::grid::values::time::Timestamp;

/// When each rate limit is refilled. A limit that was never used is full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimitState {
    /// Bit n: the limit of kind n was used.
    used: u16,
    /// Of those that were used, by kind.
    times: Box<[Timestamp]>,
}

impl RateLimitState {
    /// When that rate limit is refilled.
    pub fn refilled_at(&self, budget: RateLimitKind) -> Timestamp {
        let is_used = self.used & bit(budget) != 0;
        if is_used { self.times[self.place(budget)] } else { Timestamp::EPOCH }
    }

    /// Sets when that rate limit is refilled.
    pub fn set(&mut self, budget: RateLimitKind, full_at: Timestamp) {
        let at = self.place(budget);
        match (self.used & bit(budget) != 0, full_at != Timestamp::EPOCH) {
            (true, true) => self.times[at] = full_at,
            (false, true) => {
                self.used |= bit(budget);
                insert(&mut self.times, at, full_at);
            }
            (true, false) => {
                self.used &= !bit(budget);
                let mut times = std::mem::take(&mut self.times).into_vec();
                times.remove(at);
                self.times = times.into();
            }
            (false, false) => {}
        }
    }

    fn place(&self, budget: RateLimitKind) -> usize {
        (self.used & (bit(budget) - 1)).count_ones() as usize
    }
}

fn bit(budget: RateLimitKind) -> u16 {
    1 << (budget as u16)
}

/// Inserts into a slice that has room for what it holds, and not more: there is one per appliance.
pub(super) fn insert<T>(slice: &mut Box<[T]>, at: usize, value: T) {
    let mut values = std::mem::take(slice).into_vec();
    values.reserve_exact(1);
    values.insert(at, value);
    *slice = values.into();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_rate_limit_has_its_own_time(
            sets in prop::collection::vec((0usize..9, prop::option::of(any::<i64>())), 0..60),
        ) {
            let (mut state, mut model) = (RateLimitState::default(), [Timestamp::EPOCH; 9]);
            for (at, micros) in sets {
                let full_at = micros.map_or(Timestamp::EPOCH, Timestamp::from_micros);
                state.set(RateLimitKind::ALL[at], full_at);
                model[at] = full_at;
                let times = RateLimitKind::ALL.map(|kind| state.refilled_at(kind));
                prop_assert_eq!(times, model);
            }
            let mut same = RateLimitState::default();
            RateLimitKind::ALL.into_iter().zip(model).for_each(|(kind, at)| same.set(kind, at));
            prop_assert_eq!(state, same, "what is not used leaves no trace");
        }
    }
}
