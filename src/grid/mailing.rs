//! Decides whose mail comes next.
//!
//! Guarantees that so many are under way at most, and of those to one recipient that were tried before
//! one at a time. Sends nothing.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::mail::{Message, MessageNumber, Standing};
use super::time::Timestamp;
use super::{Grid, MAILS_UNDER_WAY};

impl Grid {
    /// The mail that comes next at `now`: the most urgent first, then the oldest. Nobody delivers
    /// mails that were queued under settings with mail, while there is none.
    pub(super) fn due_mail(&self, now: Timestamp) -> Option<MessageNumber> {
        if self.mail_due.is_none_or(|due| due > now) {
            return None;
        }
        if self.mails_under_way() >= MAILS_UNDER_WAY {
            return None;
        }
        let due = self.waiting_mails().filter(|it| it.due <= now);
        due.min_by_key(|it| (Reverse(it.urgency()), it.number)).map(|it| it.number)
    }

    /// Mails that may be tried when they are due: of those to one recipient that were tried before, one
    /// at a time. If it arrives, the others go with the next.
    fn waiting_mails(&self) -> impl Iterator<Item = &Message> {
        let messages = || self.state.outbox().messages.values();
        let (waiting, under_way): (Vec<_>, Vec<_>) =
            messages().partition(|it| it.standing != Standing::UnderWay);
        let tried: BTreeSet<_> = under_way.iter().map(|it| &it.recipient).collect();
        let is_free = move |it: &&Message| !it.is_tried_again() || !tried.contains(&it.recipient);
        waiting.into_iter().filter(is_free)
    }

    fn mails_under_way(&self) -> usize {
        let messages = self.state.outbox().messages.values();
        let under_way = messages.filter(|it| it.standing == Standing::UnderWay).count();
        under_way.min(MAILS_UNDER_WAY)
    }

    pub(in crate::grid) fn arm_mail(&mut self) {
        let waiting = self.waiting_mails().map(|it| it.due);
        let has_room = self.settings.mail().is_some() && self.mails_under_way() < MAILS_UNDER_WAY;
        let next = waiting.min().filter(|_| has_room);
        self.mail_due = next;
    }
}
