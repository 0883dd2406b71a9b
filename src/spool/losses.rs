//! Sums up losses: how many events of which kind, from when to when, and why.
//!
//! Guarantees that the sum is complete, in no more entries than an event may carry. Does not know
//! where the events were lost.

use prost_types::Timestamp;

use crate::contract::proto::{EventKind, LostEvents, LostReason};

/// Most entries of an event, by the contract.
const ENTRIES_MAX: usize = 16;

/// The loss of one event.
pub(super) fn single_loss(
    kind: EventKind,
    at: Option<Timestamp>,
    reason: LostReason,
) -> LostEvents {
    counted_loss(kind, 1, at, reason)
}

/// The loss of several events of a kind.
pub(super) fn counted_loss(
    kind: EventKind,
    count: u64,
    at: Option<Timestamp>,
    reason: LostReason,
) -> LostEvents {
    LostEvents { kind: kind.into(), count, first_at: at, last_at: at, reason: reason.into() }
}

/// Merges losses into one entry for each kind and reason. If these are still too many, the last
/// entry is for all kinds that do not fit.
pub fn sum_losses(losses: impl IntoIterator<Item = LostEvents>) -> Vec<LostEvents> {
    let mut sums: Vec<LostEvents> = Vec::new();
    for loss in losses {
        match sums.iter_mut().find(|sum| (sum.kind, sum.reason) == (loss.kind, loss.reason)) {
            Some(sum) => add_to_sum(sum, &loss),
            None => sums.push(loss),
        }
    }
    while sums.len() > ENTRIES_MAX {
        let Some(last) = sums.pop() else { break };
        if let Some(sum) = sums.last_mut() {
            sum.kind = EventKind::Unspecified.into();
            if sum.reason != last.reason {
                sum.reason = LostReason::Unspecified.into();
            }
            add_to_sum(sum, &last);
        }
    }
    sums
}

fn add_to_sum(sum: &mut LostEvents, loss: &LostEvents) {
    let key = |at: &Timestamp| (at.seconds, at.nanos);
    sum.count = sum.count.saturating_add(loss.count);
    let firsts = [sum.first_at, loss.first_at].into_iter().flatten();
    let lasts = [sum.last_at, loss.last_at].into_iter().flatten();
    (sum.first_at, sum.last_at) = (firsts.min_by_key(key), lasts.max_by_key(key));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 0 })
    }

    #[test]
    fn losses_of_one_kind_and_reason_are_one_entry() {
        let full = LostReason::SpoolFull;
        let losses = [
            single_loss(EventKind::Log, at(20), full),
            single_loss(EventKind::Alert, at(30), full),
            single_loss(EventKind::Log, at(10), full),
            single_loss(EventKind::Log, None, LostReason::SpoolDamaged),
        ];
        let sums = sum_losses(losses);
        assert_eq!(sums.len(), 3);
        assert_eq!((sums[0].count, sums[0].first_at, sums[0].last_at), (2, at(10), at(20)));
        assert_eq!((sums[2].count, sums[2].first_at), (1, None));
    }

    #[test]
    fn excess_entries_are_merged_without_their_kind() {
        let losses = (0..20).map(|number| LostEvents {
            kind: number,
            count: 2,
            reason: LostReason::SpoolFull.into(),
            ..LostEvents::default()
        });
        let sums = sum_losses(losses);
        assert_eq!(sums.len(), ENTRIES_MAX);
        assert_eq!(sums.iter().map(|sum| sum.count).sum::<u64>(), 40);
        assert_eq!(sums[ENTRIES_MAX - 1].kind(), EventKind::Unspecified);
        assert_eq!(sums[ENTRIES_MAX - 1].reason(), LostReason::SpoolFull);
    }
}
