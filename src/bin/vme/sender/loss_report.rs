//! Attaches the reports of losses to the events that are sent.
//!
//! Each event that evicted others carries their losses, so that no loss goes unreported. On the way
//! to the broker they are summed up: the first event carries the losses of all that wait, so that
//! one record reports "lost 812 log events" instead of 812 records one each. Guarantees that within
//! one process no loss is reported twice or omitted. Does not know the spool.

use std::collections::{BTreeSet, VecDeque};

use grid_broker::contract::proto::{Event, LostEvents};
use grid_broker::spool::{EventKey, WaitingEvent, sum_losses};
use prost::Message;

/// Which event carries which losses.
#[derive(Debug, Default)]
pub(super) struct LossReport {
    /// The event that carries the losses of others, and all losses that it carries.
    carrier: Option<(EventKey, Vec<LostEvents>)>,
    /// The other events.
    covered: BTreeSet<EventKey>,
}

impl LossReport {
    /// The event as it is sent, ahead of those in `queue`.
    pub(super) fn attach(
        &mut self,
        key: EventKey,
        event: Event,
        queue: &VecDeque<WaitingEvent>,
    ) -> Event {
        let lost_before = match &self.carrier {
            Some((carrier, losses)) if *carrier == key => losses.clone(),
            Some(_) | None if self.covered.contains(&key) => Vec::new(),
            Some(_) | None if event.lost_before.is_empty() => Vec::new(),
            Some(_) | None => self.start(key, event.lost_before, queue),
        };
        Event { lost_before, ..event }
    }

    fn start(
        &mut self,
        key: EventKey,
        own: Vec<LostEvents>,
        queue: &VecDeque<WaitingEvent>,
    ) -> Vec<LostEvents> {
        let mut losses = own;
        for waiting in queue.iter().filter(|it| it.key.spool_id == key.spool_id) {
            let event = Event::decode(waiting.event.clone()).unwrap_or_default();
            if !event.lost_before.is_empty() && self.covered.insert(waiting.key) {
                losses.extend(event.lost_before);
            }
        }
        let losses = sum_losses(losses);
        self.carrier = Some((key, losses.clone()));
        losses
    }

    /// The event got its reply.
    pub(super) fn event_acked(&mut self, key: EventKey) {
        self.covered.remove(&key);
        if self.carrier.as_ref().is_some_and(|(carrier, _)| *carrier == key) {
            self.carrier = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use grid_broker::contract::proto::{EventKind, LostReason};
    use grid_broker::spool::EntryState;

    use super::*;

    fn event(count: u64) -> Event {
        let lost = LostEvents {
            kind: EventKind::Log.into(),
            count,
            reason: LostReason::SpoolFull.into(),
            ..LostEvents::default()
        };
        let lost_before = if count > 0 { vec![lost] } else { Vec::new() };
        Event { lost_before, ..Event::default() }
    }

    fn key(sequence: u64) -> EventKey {
        EventKey { spool_id: 9, sequence }
    }

    fn waiting(sequence: u64, count: u64) -> WaitingEvent {
        WaitingEvent {
            key: key(sequence),
            state: EntryState::Waiting,
            kind: EventKind::Log,
            appliance: "db1".to_owned(),
            spooled_at_us: 0,
            event: event(count).encode_to_vec().into(),
        }
    }

    fn count(event: &Event) -> u64 {
        event.lost_before.iter().map(|lost| lost.count).sum()
    }

    #[test]
    fn the_first_event_carries_all_losses_and_the_same_ones_when_resent() {
        let mut report = LossReport::default();
        let queue = VecDeque::from([waiting(3, 5), waiting(4, 0), waiting(5, 7)]);
        assert_eq!(count(&report.attach(key(1), event(0), &queue)), 0);
        for _ in 0..2 {
            let first = report.attach(key(2), event(1), &queue);
            assert_eq!((first.lost_before.len(), count(&first)), (1, 13));
            assert_eq!(count(&report.attach(key(3), event(5), &queue)), 0);
            assert_eq!(count(&report.attach(key(5), event(7), &queue)), 0);
        }
        report.event_acked(key(2));
        assert_eq!(count(&report.attach(key(5), event(7), &queue)), 0, "already reported");
        report.event_acked(key(3));
        report.event_acked(key(5));
        assert_eq!(count(&report.attach(key(6), event(2), &VecDeque::new())), 2, "new losses");
    }
}
