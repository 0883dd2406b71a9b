//! Selects the mails to send next.
//!
//! Guarantees an upper bound of mails in flight, and only one retry per recipient at a time. Sends
//! nothing.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::{Grid, MAILS_IN_FLIGHT_MAX};
use crate::grid::model::mail_message::{DeliveryState, MailMessage, MessageNumber};
use crate::grid::values::time::Timestamp;

impl Grid {
    /// The mail to send next at `now`: the most urgent first, then the oldest. Without mail in the
    /// settings no mail is sent, though some may be queued.
    pub(super) fn due_mail(&self, now: Timestamp) -> Option<MessageNumber> {
        if self.mail_due_at.is_none_or(|due| due > now) {
            return None;
        }
        if self.mails_in_flight() >= MAILS_IN_FLIGHT_MAX {
            return None;
        }
        let due = self.sendable_mails().filter(|it| it.due_at <= now);
        due.min_by_key(|it| (Reverse(it.urgency()), it.number)).map(|it| it.number)
    }

    /// The mails that may be tried when they are due, with one retry per recipient at a time. If
    /// that arrives, the others follow at once.
    fn sendable_mails(&self) -> impl Iterator<Item = &MailMessage> {
        let messages = || self.state.outbox().messages.values();
        let (waiting, under_way): (Vec<_>, Vec<_>) =
            messages().partition(|it| it.state != DeliveryState::InFlight);
        let tried: BTreeSet<_> = under_way.iter().map(|it| &it.recipient).collect();
        let is_free = move |it: &&MailMessage| !it.is_retry() || !tried.contains(&it.recipient);
        waiting.into_iter().filter(is_free)
    }

    fn mails_in_flight(&self) -> usize {
        let messages = self.state.outbox().messages.values();
        let under_way = messages.filter(|it| it.state == DeliveryState::InFlight).count();
        under_way.min(MAILS_IN_FLIGHT_MAX)
    }

    pub(in crate::grid) fn schedule_mail(&mut self) {
        let waiting = self.sendable_mails().map(|it| it.due_at);
        let has_room =
            self.settings.mail().is_some() && self.mails_in_flight() < MAILS_IN_FLIGHT_MAX;
        let next = waiting.min().filter(|_| has_room);
        self.mail_due_at = next;
    }
}
