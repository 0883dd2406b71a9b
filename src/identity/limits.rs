//! Limits attempts by key: failed logins by address and token, records of refusals by address.
//!
//! Guarantees a bound on memory whatever the keys are: with too many of them, new ones share one limit.
//! A limit never concerns a name: nobody can lock an administrator out by failing in their name. Told
//! the time.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};

use crate::grid::model::settings::RateLimit;
use crate::grid::values::time::Timestamp;

/// Most keys that have a limit of their own.
const LIMITED_KEYS_MAX: usize = 4_096;

/// Rate limits by key.
#[derive(Debug)]
pub struct KeyedLimit<K> {
    limit: RateLimit,
    refilled_at: HashMap<K, Timestamp>,
    /// The limit of all keys that have none of their own.
    others: Timestamp,
}

impl<K: Hash + Eq> KeyedLimit<K> {
    /// Full limits for all keys.
    pub fn new(limit: RateLimit) -> Self {
        Self { limit, refilled_at: HashMap::new(), others: Timestamp::EPOCH }
    }

    /// Acquires one, if the limit of `key` allows it.
    pub fn try_acquire(&mut self, key: K, now: Timestamp) -> bool {
        if !self.refilled_at.contains_key(&key) && self.refilled_at.len() >= LIMITED_KEYS_MAX {
            // A full limit is as good as none.
            self.refilled_at.retain(|_, refilled_at| *refilled_at > now);
        }
        let has_room = self.refilled_at.len() < LIMITED_KEYS_MAX;
        let refilled_at = match self.refilled_at.entry(key) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) if has_room => {
                new.insert(Timestamp::EPOCH)
            }
            std::collections::hash_map::Entry::Vacant(_) => &mut self.others,
        };
        match self.limit.try_acquire(credible(self.limit, *refilled_at, now), now) {
            Some(next) => {
                *refilled_at = next;
                true
            }
            None => false,
        }
    }

    /// Whether the limit of `key` would allow one; acquires nothing. A key without a limit of its own is
    /// allowed: whoever fills the table must not keep all others out.
    pub fn allows(&self, key: &K, now: Timestamp) -> bool {
        let own = self.refilled_at.get(key);
        own.is_none_or(|refilled_at| {
            let refilled_at = credible(self.limit, *refilled_at, now);
            self.limit.try_acquire(refilled_at, now).is_some()
        })
    }
}

/// When a limit is full again. No limit takes longer than its whole burst: a time beyond that is of a
/// clock that was set back since, and must not lock anybody out.
fn credible(limit: RateLimit, refilled_at: Timestamp, now: Timestamp) -> Timestamp {
    let latest = now.after(limit.interval.saturating_mul(limit.burst.get()));
    if refilled_at > latest { Timestamp::EPOCH } else { refilled_at }
}

/// The part of an address that one party has: all of an IPv4 address, a /64 of IPv6.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;

    fn limit() -> RateLimit {
        RateLimit {
            burst: NonZeroU32::new(3).expect("not zero"),
            interval: Duration::from_secs(60),
        }
    }

    #[test]
    fn each_key_has_a_burst_and_then_one_per_interval() {
        let mut limits = KeyedLimit::new(limit());
        let start = Timestamp::EPOCH.after(Duration::from_secs(1_000_000));
        for _ in 0..3 {
            assert!(limits.allows(&1, start));
            assert!(limits.try_acquire(1, start));
        }
        assert!(!limits.allows(&1, start));
        assert!(!limits.try_acquire(1, start));
        assert!(limits.try_acquire(2, start), "another key has a limit of its own");
        let later = start.after(Duration::from_secs(61));
        assert!(limits.try_acquire(1, later));
        assert!(!limits.try_acquire(1, later));
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let mut limits = KeyedLimit::new(limit());
        let wrong = Timestamp::EPOCH.after(Duration::from_secs(2_000_000));
        (0..3).for_each(|_| assert!(limits.try_acquire(1, wrong)));
        assert!(!limits.allows(&1, wrong));
        let right = Timestamp::EPOCH.after(Duration::from_secs(1_000_000));
        assert!(limits.allows(&1, right));
        (0..3).for_each(|_| assert!(limits.try_acquire(1, right)));
        assert!(!limits.allows(&1, right), "it limits by the right clock as well");
    }

    #[test]
    fn too_many_keys_share_one_limit_until_others_are_full_again() {
        let mut limits = KeyedLimit::new(limit());
        let start = Timestamp::EPOCH.after(Duration::from_secs(1_000_000));
        for key in 0..LIMITED_KEYS_MAX {
            assert!(limits.try_acquire(key, start));
        }
        for key in 0..3 {
            assert!(limits.try_acquire(1_000_000 + key, start));
        }
        assert!(!limits.try_acquire(2_000_000, start), "the shared limit is exhausted");
        assert!(limits.try_acquire(7, start), "known keys keep theirs");
        assert_eq!(limits.refilled_at.len(), LIMITED_KEYS_MAX);
        let later = start.after(Duration::from_secs(3_600));
        assert!(limits.try_acquire(2_000_000, later));
        assert_eq!(limits.refilled_at.len(), 1, "full limits are forgotten");
    }

    #[test]
    fn a_network_of_version_6_is_one_party() {
        let of = |text: &str| network_of(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
