//! The mails that are owed, and where it is kept what a mail said that is owed no more.
//!
//! Guarantees that it changes by effects alone, and that `Outbox::to_effects` gives it back by value.
//! Decides nothing.

use std::collections::BTreeMap;

use super::{
    BRIEFS_MAX, Brief, MailEffect, Message, MessageNumber, NOTICES_MAX, Notice, Standing,
    TRACES_MAX, Urgency,
};
use crate::grid::effect::Effect;
use crate::grid::name::RecordNumber;
use crate::grid::record::Record;
use crate::grid::time::Timestamp;

/// The mails that are owed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outbox {
    /// By number, which is by age.
    pub messages: BTreeMap<MessageNumber, Message>,
    /// The last number given.
    pub last: MessageNumber,
    /// When the budgets of each recipient that got mail are full again.
    pub spent: BTreeMap<(Box<str>, Urgency), Timestamp>,
    /// Which record holds what a mail said that is owed no more; at most [`TRACES_MAX`].
    pub traces: BTreeMap<MessageNumber, RecordNumber>,
}

/// What a mail said that is owed no more, by the record that says so, and the mail in which it goes on
/// if it does. `None`: the record says nothing of it.
pub fn traced(number: MessageNumber, record: &Record) -> Option<(Message, Option<MessageNumber>)> {
    let mut outbox = Outbox::default();
    let mut gone = Vec::new();
    for effect in &record.effects {
        let Effect::Mail(change) = effect else { continue };
        if let MailEffect::Gone { number, .. } = change {
            gone.push(*number);
        } else {
            outbox.take(change);
        }
    }
    let message = outbox.messages.remove(&number).filter(|_| gone.contains(&number))?;
    // Of those that are not gone only it has notices.
    let goes_on = outbox.messages.values().find(|it| {
        it.recipient == message.recipient && !gone.contains(&it.number) && !it.notices.is_empty()
    });
    Some((message, goes_on.map(|it| it.number)))
}

/// How much is owed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// Mails that wait or are under way.
    pub owed: u64,
    /// Since when the oldest of them is owed.
    pub since: Option<Timestamp>,
    /// Mails that are given up.
    pub failed: u64,
}

impl Outbox {
    /// How much is owed.
    pub fn owed(&self) -> Owed {
        let mut sum = Owed::default();
        for message in self.messages.values() {
            match message.standing {
                Standing::Waiting | Standing::UnderWay => {
                    sum.owed += 1;
                    let since = sum.since.unwrap_or(message.owed_since);
                    sum.since = Some(since.min(message.owed_since));
                }
                Standing::Failed => sum.failed += 1,
            }
        }
        sum
    }

    /// A message that is owed.
    pub fn message(&self, number: MessageNumber) -> Option<&Message> {
        self.messages.get(&number)
    }

    /// The message to that recipient, a summary or not, which was never tried: further notices join
    /// it.
    pub fn gathering(&self, recipient: &str, is_late: bool) -> Option<&Message> {
        // It is the newest of that recipient.
        let is_its = |it: &&Message| *it.recipient == *recipient && it.late.is_some() == is_late;
        let newest = self.messages.values().rev().find(is_its);
        newest.filter(|it| it.attempts == 0 && it.standing == Standing::Waiting)
    }

    /// The outbox as effects: applied to an empty one they give an equal one.
    pub(in crate::grid) fn to_effects(&self, effects: &mut Vec<Effect>) {
        for message in self.messages.values() {
            message.to_effects(effects);
        }
        effects.extend(self.spent.iter().map(|((recipient, urgency), full_at)| {
            let (recipient, urgency, full_at) = (recipient.clone(), *urgency, *full_at);
            Effect::Mail(MailEffect::RecipientSpent { recipient, urgency, full_at })
        }));
        effects.extend(self.traces.iter().map(|(number, record)| {
            let (number, record) = (*number, *record);
            Effect::Mail(MailEffect::Trace { number, record })
        }));
        effects.push(Effect::Mail(MailEffect::LastNumber { number: self.last }));
    }

    /// Takes a change in.
    pub(in crate::grid) fn take(&mut self, effect: &MailEffect) {
        match effect {
            MailEffect::Stands { message } => self.put(message),
            MailEffect::Notice { number, at, notice } => self.put_notice(*number, *at, notice),
            MailEffect::LateOf { number, about, count } => {
                let message = self.messages.get_mut(number);
                if let Some(late) = message.and_then(|it| it.late.as_mut()) {
                    late.set(about, *count);
                }
            }
            MailEffect::Gone { number, record, .. } => {
                self.messages.remove(number);
                if let Some(record) = record {
                    self.trace(*number, *record);
                }
            }
            MailEffect::Trace { number, record } => self.trace(*number, *record),
            MailEffect::Brief { number, at, brief } => self.put_brief(*number, *at, brief),
            MailEffect::RecipientSpent { recipient, urgency, full_at } => {
                self.spent.insert((recipient.clone(), *urgency), *full_at);
            }
            MailEffect::LastNumber { number } => self.last = self.last.max(*number),
        }
    }

    /// Takes in how a message stands; its notices stay, and so do the appliances of a summary.
    fn put(&mut self, head: &Message) {
        self.last = self.last.max(head.number);
        match self.messages.get_mut(&head.number) {
            Some(known) => {
                let notices = std::mem::take(&mut known.notices);
                let briefs = std::mem::take(&mut known.briefs);
                let appliances = known.late.take().map(|it| it.appliances).unwrap_or_default();
                *known = Message { notices, briefs, ..head.clone() };
                if let Some(late) = &mut known.late {
                    late.appliances = appliances;
                }
            }
            None => drop(self.messages.insert(head.number, head.clone())),
        }
    }

    fn trace(&mut self, number: MessageNumber, record: RecordNumber) {
        self.traces.insert(number, record);
        while self.traces.len() > TRACES_MAX {
            self.traces.pop_first();
        }
    }

    /// Takes in one notice of a message as a line.
    fn put_brief(&mut self, number: MessageNumber, at: usize, brief: &Brief) {
        let Some(message) = self.messages.get_mut(&number) else { return };
        if let Some(known) = message.briefs.get_mut(at) {
            known.clone_from(brief);
        } else if message.briefs.len() < BRIEFS_MAX {
            message.briefs.push(brief.clone());
        }
    }

    /// Takes in one notice of a message.
    fn put_notice(&mut self, number: MessageNumber, at: usize, notice: &Notice) {
        let Some(message) = self.messages.get_mut(&number) else { return };
        if let Some(known) = message.notices.get_mut(at) {
            known.clone_from(notice);
        } else if message.notices.len() < NOTICES_MAX {
            message.notices.push(notice.clone());
        }
    }
}
