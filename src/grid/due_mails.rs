//! Selects the mails to send next.
//!
//! Guarantees an upper bound of mails in flight, and only one retry per recipient at a time; and that a
//! change of one mail costs the same however many are queued. Sends nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Grid, MAILS_IN_FLIGHT_MAX};
use crate::grid::log::effect::{Effect, MailEffect};
use crate::grid::log::record::Record;
use crate::grid::model::mail_message::{DeliveryState, MailMessage, MessageNumber, Urgency};
use crate::grid::state::outbox::Outbox;
use crate::grid::values::event::Severity;
use crate::grid::values::time::Timestamp;

/// The order in which mails that are due are tried: the most urgent first, then the oldest.
type SendOrder = (Reverse<Urgency>, MessageNumber);

/// The queued mails in the orders in which they are needed. Made of the outbox, not part of the state.
#[derive(Clone, Debug, Default)]
pub(super) struct MailQueue {
    /// What each mail is listed as.
    listed: BTreeMap<MessageNumber, ListedMail>,
    /// Those that may be tried when they are due, whatever else is in flight.
    free: WaitingMails,
    /// Those that were tried before, by recipient: one at a time.
    retries: BTreeMap<Arc<str>, WaitingMails>,
    /// How many are in flight to each recipient.
    in_flight: BTreeMap<Arc<str>, usize>,
    in_flight_count: usize,
}

/// How a mail is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ListedMail {
    Free(WaitingMail),
    Retry(Arc<str>, WaitingMail),
    InFlight(Arc<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WaitingMail {
    due_at: Timestamp,
    order: SendOrder,
}

/// Mails that wait, by when they are due, and those that were found to be due in the order of sending.
#[derive(Clone, Debug)]
struct WaitingMails {
    by_time: BTreeSet<(Timestamp, SendOrder)>,
    /// Those due until `found_until`.
    due: BTreeSet<(SendOrder, Timestamp)>,
    found_until: Timestamp,
}

impl Default for WaitingMails {
    fn default() -> Self {
        let (by_time, due) = (BTreeSet::new(), BTreeSet::new());
        Self { by_time, due, found_until: Timestamp::MIN }
    }
}

impl WaitingMails {
    fn insert(&mut self, it: WaitingMail) {
        self.by_time.insert((it.due_at, it.order));
        if it.due_at <= self.found_until {
            self.due.insert((it.order, it.due_at));
        }
    }

    fn remove(&mut self, it: WaitingMail) {
        self.by_time.remove(&(it.due_at, it.order));
        self.due.remove(&(it.order, it.due_at));
    }

    fn is_empty(&self) -> bool {
        self.by_time.is_empty()
    }

    /// When the first of them is due.
    fn first_due_at(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(due_at, _)| *due_at)
    }

    /// The first in the order of sending of those that are due at `now`.
    fn first_at(&mut self, now: Timestamp) -> Option<SendOrder> {
        if now > self.found_until {
            let least = (Reverse(Urgency::New(Severity::Fatal)), MessageNumber(0));
            let found = self.by_time.range((self.found_until, least)..);
            let found = found.take_while(|(due_at, _)| *due_at <= now);
            self.due.extend(found.map(|(due_at, order)| (*order, *due_at)));
            self.found_until = now;
        }
        // All of them are, unless `now` is before that of an earlier call.
        self.due.iter().find(|(_, due_at)| *due_at <= now).map(|(order, _)| *order)
    }
}

impl MailQueue {
    /// The queue of all mails in the outbox.
    pub(super) fn new(outbox: &Outbox) -> Self {
        let mut queue = Self::default();
        outbox.mails().for_each(|message| queue.list(message));
        queue
    }

    /// Follows the changes of a record.
    fn follow(&mut self, record: &Record, outbox: &Outbox) {
        for effect in &record.effects {
            let Effect::Mail(change) = effect else { continue };
            let number = match change {
                MailEffect::Header { message } => message.number,
                MailEffect::Notice { number, .. }
                | MailEffect::Brief { number, .. }
                | MailEffect::DigestCount { number, .. }
                | MailEffect::Removed { number, .. } => *number,
                MailEffect::Finished { .. }
                | MailEffect::RecipientLimit { .. }
                | MailEffect::LastNumber { .. } => continue,
            };
            self.unlist(number);
            outbox.message(number).into_iter().for_each(|message| self.list(message));
        }
    }

    fn list(&mut self, message: &MailMessage) {
        let recipient = || Arc::from(&*message.recipient);
        let order = (Reverse(message.urgency()), message.number);
        let waiting = WaitingMail { due_at: message.due_at, order };
        let listed = match message.state {
            DeliveryState::InFlight => {
                *self.in_flight.entry(recipient()).or_default() += 1;
                self.in_flight_count += 1;
                ListedMail::InFlight(recipient())
            }
            DeliveryState::Waiting if message.is_retry() => {
                self.retries.entry(recipient()).or_default().insert(waiting);
                ListedMail::Retry(recipient(), waiting)
            }
            DeliveryState::Waiting | DeliveryState::Failed => {
                self.free.insert(waiting);
                ListedMail::Free(waiting)
            }
        };
        self.listed.insert(message.number, listed);
    }

    fn unlist(&mut self, number: MessageNumber) {
        match self.listed.remove(&number) {
            None => {}
            Some(ListedMail::Free(it)) => self.free.remove(it),
            Some(ListedMail::Retry(recipient, it)) => {
                if let Some(its) = self.retries.get_mut(&recipient) {
                    its.remove(it);
                    if its.is_empty() {
                        self.retries.remove(&recipient);
                    }
                }
            }
            Some(ListedMail::InFlight(recipient)) => {
                self.in_flight_count -= 1;
                if let Some(count) = self.in_flight.get_mut(&recipient) {
                    *count -= 1;
                    if *count == 0 {
                        self.in_flight.remove(&recipient);
                    }
                }
            }
        }
    }

    fn has_room(&self) -> bool {
        self.in_flight_count < MAILS_IN_FLIGHT_MAX
    }

    /// When the next mail is due of those that may be tried then, with one retry per recipient at a
    /// time. If that arrives, the others follow at once.
    pub(super) fn next_due_at(&self) -> Option<Timestamp> {
        let untried = self.retries.iter().filter(|(to, _)| !self.in_flight.contains_key(*to));
        let retries = untried.filter_map(|(_, waiting)| waiting.first_due_at());
        retries.chain(self.free.first_due_at()).min()
    }

    /// The mail to send next at `now`: the most urgent first, then the oldest.
    fn next_at(&mut self, now: Timestamp) -> Option<MessageNumber> {
        let Self { free, retries, in_flight, .. } = self;
        let untried = retries.iter_mut().filter(|(to, _)| !in_flight.contains_key(*to));
        let first_retry = untried.filter_map(|(_, waiting)| waiting.first_at(now)).min();
        let next = first_retry.into_iter().chain(free.first_at(now)).min()?;
        Some(next.1)
    }
}

impl Grid {
    /// The mail to send next at `now`. Without mail in the settings no mail is sent, though some may be
    /// queued.
    pub(super) fn due_mail(&mut self, now: Timestamp) -> Option<MessageNumber> {
        if self.mail_due_at.is_none_or(|due| due > now) || !self.mail_queue.has_room() {
            return None;
        }
        self.mail_queue.next_at(now)
    }

    /// Follows the changes of mails by a record that was applied.
    pub(super) fn follow_mails(&mut self, record: &Record) {
        self.mail_queue.follow(record, self.state.outbox());
        self.schedule_mail();
    }

    /// Lists all mails anew, after a shift of time.
    pub(super) fn list_all_mails(&mut self) {
        self.mail_queue = MailQueue::new(self.state.outbox());
        self.schedule_mail();
    }

    pub(in crate::grid) fn schedule_mail(&mut self) {
        let has_room = self.settings.mail().is_some() && self.mail_queue.has_room();
        self.mail_due_at = self.mail_queue.next_due_at().filter(|_| has_room);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::grid::log::input::Input;
    use crate::grid::model::mail_message::Notice;
    use crate::grid::state::State;
    use crate::grid::values::outcome::Outcome;
    use crate::grid::values::record_flags::RecordFlags;

    fn at(second: u64) -> Timestamp {
        Timestamp::EPOCH.after(Duration::from_secs(second))
    }

    fn mail(number: u64, recipient: u8, attempts: u32, due: u64, severity: usize) -> MailMessage {
        let notice = Notice {
            subject: "db1".into(),
            topic: "disk".into(),
            severity: Severity::ALL[severity],
            at: at(0),
            text: "a line".into(),
            record: 1,
            is_resolved: false,
            occurrences: 0,
            alert: None,
            class: "".into(),
            since: None,
            count: 0,
            acknowledged: false,
        };
        MailMessage {
            number: MessageNumber(number),
            recipient: format!("{recipient}@example.org").into(),
            queued_at: at(0),
            notices: vec![notice],
            omitted: 0,
            briefs: Vec::new(),
            attempts,
            state: DeliveryState::Waiting,
            due_at: at(due),
            retried_at: None,
            last_reply: Box::default(),
            digest: None,
            downtime: Duration::ZERO,
            is_unreachable: false,
        }
    }

    fn record(state: &State, effects: Vec<MailEffect>) -> Record {
        Record {
            number: state.last() + 1,
            at: at(0),
            input: Input::Tally,
            outcome: Outcome::Stored,
            flags: RecordFlags::NONE,
            effects: effects.into_iter().map(Effect::Mail).collect(),
        }
    }

    /// By a search through the whole outbox.
    fn sendable(outbox: &Outbox) -> Vec<&MailMessage> {
        let is_in_flight = |it: &MailMessage| it.state == DeliveryState::InFlight;
        let tried: BTreeSet<_> =
            outbox.mails().filter(|it| is_in_flight(it)).map(|it| &it.recipient).collect();
        let free = |it: &&MailMessage| !it.is_retry() || !tried.contains(&it.recipient);
        outbox.mails().filter(|it| !is_in_flight(it)).filter(free).collect()
    }

    proptest! {
        #[test]
        fn the_queue_finds_what_a_search_of_the_outbox_finds(
            acts in prop::collection::vec(
                (0u64..25, 0u8..3, 0u32..3, 0u64..60, 0usize..5, 0u8..5, 0u64..60), 1..120,
            ),
        ) {
            let mut state = State::default();
            let mut queue = MailQueue::new(state.outbox());
            for (number, recipient, attempts, due, severity, change, now) in acts {
                let mut new = mail(number, recipient, attempts, due, severity);
                new.state = match change {
                    0 | 1 => DeliveryState::Waiting,
                    2 => DeliveryState::InFlight,
                    _ => DeliveryState::Failed,
                };
                let mut effects = Vec::new();
                if change == 4 {
                    let recipient = new.recipient;
                    let number = MessageNumber(number);
                    effects.push(MailEffect::Removed { number, recipient, record: None });
                } else if state.outbox().message(new.number).is_none_or(|it| it.recipient == new.recipient) {
                    let number = new.number;
                    let notice = new.notices.remove(0);
                    effects.push(MailEffect::Header { message: Box::new(new) });
                    effects.push(MailEffect::Notice { number, at: 0, notice });
                }
                let record = record(&state, effects);
                state.replay(&record);
                queue.follow(&record, state.outbox());

                let expected = sendable(state.outbox());
                let due = expected.iter().filter(|it| it.due_at <= at(now));
                let first = due.min_by_key(|it| (Reverse(it.urgency()), it.number));
                prop_assert_eq!(queue.next_at(at(now)), first.map(|it| it.number));
                prop_assert_eq!(queue.next_due_at(), expected.iter().map(|it| it.due_at).min());
                let in_flight = state.outbox().mails().filter(|it| it.state == DeliveryState::InFlight);
                prop_assert_eq!(queue.in_flight_count, in_flight.count());
                let failed = |it: &MailMessage| it.state == DeliveryState::Failed && it.number.0 != 3;
                prop_assert_eq!(
                    state.outbox().has_other_failed(MessageNumber(3)),
                    state.outbox().mails().any(failed)
                );
                for recipient in ["0@example.org", "1@example.org", "2@example.org"] {
                    let newest = state.outbox().mails().filter(|it| {
                        &*it.recipient == recipient && it.state == DeliveryState::Waiting
                    }).last();
                    let is_open = |it: &&MailMessage| it.attempts == 0;
                    prop_assert_eq!(
                        state.outbox().open_batch(recipient, false, at(0)),
                        newest.filter(is_open)
                    );
                }
            }
            let listed = queue.listed.len();
            prop_assert_eq!(listed, state.outbox().mails().len());
        }
    }
}
