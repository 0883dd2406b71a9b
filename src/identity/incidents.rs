//! Passes security incidents to the broker: each refusal, sensitive read, and use of a token.
//!
//! Guarantees that nobody who is refused can fill the grid log: refusals have a rate limit by address
//! and one in all, those of reused tokens by appliance, and what has no record is counted in the next one that has. Never waits. Writes no
//! record itself.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::grid::log::identity::{Refusal, SecurityIncident};
use crate::grid::model::settings::RateLimit;
use crate::grid::values::id::ApplianceName;
use crate::grid::values::time::Timestamp;
use crate::identity::limits::{KeyedLimit, network_of};

/// Incidents that wait for the broker.
const INCIDENTS_QUEUED_MAX: usize = 256;

/// Records of refusals of one address: these at once ...
const ADDRESS_BURST: NonZeroU32 = NonZeroU32::new(10).unwrap();
/// ... then one per interval.
const ADDRESS_INTERVAL: Duration = Duration::from_secs(60);

/// Records of refusals of all addresses: these at once ...
const TOTAL_BURST: NonZeroU32 = NonZeroU32::new(100).unwrap();
/// ... then one per interval.
const TOTAL_INTERVAL: Duration = Duration::from_secs(5);

/// Records of tokens that were used with two keys, of one appliance: these at once ...
const REUSE_BURST: NonZeroU32 = NonZeroU32::new(3).unwrap();
/// ... then one per interval, whatever else that address was refused.
const REUSE_INTERVAL: Duration = Duration::from_secs(60);

/// The text of each part of a refusal is cut to this, in bytes: it may be the refused party's.
const TEXT_BYTES_MAX: usize = 200;

/// Takes incidents. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Incidents {
    queue: mpsc::Sender<SecurityIncident>,
    limits: Arc<Mutex<RefusalLimits>>,
}

#[derive(Debug)]
struct RefusalLimits {
    by_address: KeyedLimit<IpAddr>,
    total: KeyedLimit<()>,
    /// Of tokens that were used with two keys, by appliance.
    reuse: KeyedLimit<ApplianceName>,
    omitted: u64,
}

impl Incidents {
    /// The sender, and the receiver whose incidents the broker records.
    pub fn new() -> (Self, mpsc::Receiver<SecurityIncident>) {
        let (queue, incidents) = mpsc::channel(INCIDENTS_QUEUED_MAX);
        let limit = |burst, interval| RateLimit { burst, interval };
        let limits = RefusalLimits {
            by_address: KeyedLimit::new(limit(ADDRESS_BURST, ADDRESS_INTERVAL)),
            total: KeyedLimit::new(limit(TOTAL_BURST, TOTAL_INTERVAL)),
            reuse: KeyedLimit::new(limit(REUSE_BURST, REUSE_INTERVAL)),
            omitted: 0,
        };
        (Self { queue, limits: Arc::new(Mutex::new(limits)) }, incidents)
    }

    /// Records a refusal of `address`, if the limits allow it.
    pub fn refused(&self, address: IpAddr, refusal: Refusal, now: Timestamp) {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        // That a token was used twice has a limit of its own: other refusals do not hide it.
        let is_allowed = match &refusal.reused_token_of {
            Some(appliance) => limits.reuse.try_acquire(appliance.clone(), now),
            None => {
                limits.by_address.try_acquire(network_of(address), now)
                    && limits.total.try_acquire((), now)
            }
        };
        if !is_allowed {
            limits.omitted = limits.omitted.saturating_add(1);
            return;
        }
        let omitted = limits.omitted;
        let Refusal { who, from, what, why, reused_token_of, omitted: _ } = refusal;
        let refusal = Refusal {
            who: cut(who),
            from,
            what: cut(what),
            why: cut(why),
            omitted,
            reused_token_of,
        };
        if self.queue.try_send(SecurityIncident::Refused(refusal)).is_ok() {
            limits.omitted = 0;
        } else {
            limits.omitted = limits.omitted.saturating_add(1);
        }
    }

    /// Records an incident that no stranger can cause. Returns whether there was room.
    pub fn record(&self, incident: SecurityIncident) -> bool {
        self.queue.try_send(incident).is_ok()
    }
}

fn cut(text: Box<str>) -> Box<str> {
    let end = text.floor_char_boundary(TEXT_BYTES_MAX);
    if end == text.len() { text } else { format!("{}...", &text[..end]).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(reused: bool) -> Refusal {
        Refusal {
            who: "x".repeat(500).into(),
            from: "192.0.2.1".into(),
            what: "a call".into(),
            why: "no".into(),
            omitted: 0,
            reused_token_of: reused.then(|| ApplianceName::new("db1").expect("a name")),
        }
    }

    #[test]
    fn refusals_of_one_address_are_limited_and_the_rest_is_counted() {
        let (incidents, mut queue) = Incidents::new();
        let now = Timestamp::EPOCH.after(Duration::from_secs(1_000_000));
        let address = "192.0.2.1".parse().expect("an address");
        for _ in 0..50 {
            incidents.refused(address, refusal(false), now);
        }
        incidents.refused(address, refusal(true), now);
        let other = "192.0.2.2".parse().expect("an address");
        incidents.refused(other, refusal(false), now);
        let mut records = Vec::new();
        while let Ok(SecurityIncident::Refused(refusal)) = queue.try_recv() {
            records.push(refusal);
        }
        let omitted: Vec<_> = records.iter().map(|it| it.omitted).collect();
        assert_eq!(omitted, [[0; 10].as_slice(), &[40, 0]].concat());
        assert_eq!(records[0].who.len(), TEXT_BYTES_MAX + 3);
    }

    #[test]
    fn who_has_a_used_token_can_not_fill_the_log_with_it() {
        let (incidents, mut queue) = Incidents::new();
        let now = Timestamp::EPOCH.after(Duration::from_secs(1_000_000));
        for last in 0..200_u8 {
            incidents.refused([192, 0, 2, last].into(), refusal(true), now);
        }
        let mut count = 0;
        while queue.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, REUSE_BURST.get());
    }

    #[test]
    fn a_full_queue_omits_and_never_waits() {
        let (incidents, mut queue) = Incidents::new();
        let now = Timestamp::EPOCH.after(Duration::from_secs(1_000_000));
        let reused = SecurityIncident::TokenUsed {
            id: crate::grid::values::identity::TokenId::new("aaaaaaaa").expect("an id"),
        };
        while incidents.record(reused.clone()) {}
        incidents.refused("192.0.2.1".parse().expect("an address"), refusal(false), now);
        assert!(queue.try_recv().is_ok());
        incidents.refused("192.0.2.1".parse().expect("an address"), refusal(false), now);
        let mut last = None;
        while let Ok(incident) = queue.try_recv() {
            last = Some(incident);
        }
        assert!(matches!(last, Some(SecurityIncident::Refused(it)) if it.omitted == 1));
    }
}
