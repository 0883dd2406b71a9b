//! Holds the queued mails, and which records contain finished ones.
//!
//! Guarantees that only effects change it, and that `OutboxSnapshot` returns it by
//! value.
//! Decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::grid::log::effect::{Effect, MailEffect};
use crate::grid::log::record::Record;
use crate::grid::model::mail_message::{
    BRIEFS_MAX, BriefNotice, DeliveryState, FINISHED_MAX, MailMessage, MessageNumber, NOTICES_MAX,
    Notice, Urgency,
};
use crate::grid::state::shared_map::SharedMap;
use crate::grid::values::id::RecordNumber;
use crate::grid::values::time::Timestamp;

/// The queued mails.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outbox {
    /// By number, which is by age.
    pub messages: SharedMap<MessageNumber, MailMessage>,
    /// The last number used.
    pub last_number: MessageNumber,
    /// When the rate limits of each recipient are refilled.
    pub recipient_limits: BTreeMap<(Box<str>, Urgency), Timestamp>,
    /// Which record contains a finished mail; at most [`FINISHED_MAX`].
    pub finished: SharedMap<MessageNumber, RecordNumber>,
    /// The mails of each recipient, digests apart.
    by_recipient: BTreeSet<(Arc<str>, bool, MessageNumber)>,
    /// Those that failed.
    failed: BTreeSet<MessageNumber>,
    /// Those that were tried, and wait for the next try.
    tried: BTreeSet<MessageNumber>,
}

/// The outbox as it was at one record.
#[derive(Debug)]
pub(super) struct OutboxSnapshot {
    messages: SharedMap<MessageNumber, MailMessage>,
    last_number: MessageNumber,
    recipient_limits: BTreeMap<(Box<str>, Urgency), Timestamp>,
    finished: SharedMap<MessageNumber, RecordNumber>,
}

/// A finished mail, from the record that contains it, and the mail that continues it, if any.
/// `None`: the record does not contain it.
pub fn finished_message(
    number: MessageNumber,
    record: &Record,
) -> Option<(MailMessage, Option<MessageNumber>)> {
    let mut outbox = Outbox::default();
    let mut gone = Vec::new();
    for effect in &record.effects {
        let Effect::Mail(change) = effect else { continue };
        if let MailEffect::Removed { number, .. } = change {
            gone.push(*number);
        } else {
            outbox.apply_effect(change);
        }
    }
    let message = outbox.remove(number).filter(|_| gone.contains(&number))?;
    // Of the mails that are left only that one has notices.
    let continuation = outbox.messages.values().find(|it| {
        it.recipient == message.recipient && !gone.contains(&it.number) && !it.notices.is_empty()
    });
    let continuation = continuation.map(|it| it.number);
    Some((message, continuation))
}

/// Statistics of the outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxStats {
    /// Mails that wait or are being sent.
    pub queued: u64,
    /// When the oldest of them was queued.
    pub oldest_queued_at: Option<Timestamp>,
    /// Mails that failed permanently.
    pub failed: u64,
}

impl Outbox {
    /// The statistics of the outbox.
    pub fn stats(&self) -> OutboxStats {
        let mut sum = OutboxStats::default();
        for message in self.messages.values() {
            match message.state {
                DeliveryState::Waiting | DeliveryState::InFlight => {
                    sum.queued += 1;
                    let since = sum.oldest_queued_at.unwrap_or(message.queued_at);
                    sum.oldest_queued_at = Some(since.min(message.queued_at));
                }
                DeliveryState::Failed => sum.failed += 1,
            }
        }
        sum
    }

    /// All queued mails, by number.
    pub fn mails(&self) -> impl ExactSizeIterator<Item = &MailMessage> {
        self.messages.values()
    }

    /// A queued mail.
    pub fn message(&self, number: MessageNumber) -> Option<&MailMessage> {
        self.messages.get(&number)
    }

    /// The mail or digest to that recipient that further notices join: one that was never tried, or, if
    /// its server could not be reached, one that was queued since `oldest`.
    pub fn open_batch(
        &self,
        recipient: &str,
        is_late: bool,
        oldest: Timestamp,
    ) -> Option<&MailMessage> {
        let is_open = |it: &&MailMessage| {
            it.attempts == 0 || !is_late && it.is_unreachable && it.queued_at >= oldest
        };
        let mut newest_first = self.mails_to(recipient, is_late).rev();
        newest_first.find(|it| it.state == DeliveryState::Waiting).filter(is_open)
    }

    /// The mails to that recipient, or the digests, by number.
    pub fn mails_to(
        &self,
        recipient: &str,
        is_digest: bool,
    ) -> impl DoubleEndedIterator<Item = &MailMessage> {
        let of = |number| (Arc::from(recipient), is_digest, MessageNumber(number));
        let numbers = self.by_recipient.range(of(0)..=of(u64::MAX));
        numbers.filter_map(|(_, _, number)| self.message(*number))
    }

    /// Whether another mail than `number` has failed.
    pub fn has_other_failed(&self, number: MessageNumber) -> bool {
        self.failed.iter().any(|it| *it != number)
    }

    /// The mails that were tried before, and wait for the next try.
    pub fn tried_mails(&self) -> impl Iterator<Item = &MailMessage> {
        self.tried.iter().filter_map(|number| self.message(*number))
    }

    /// The outbox as it is now.
    pub(super) fn snapshot(&self) -> OutboxSnapshot {
        OutboxSnapshot {
            messages: self.messages.clone(),
            last_number: self.last_number,
            recipient_limits: self.recipient_limits.clone(),
            finished: self.finished.clone(),
        }
    }

    /// Applies an effect.
    pub(in crate::grid) fn apply_effect(&mut self, effect: &MailEffect) {
        match effect {
            MailEffect::Header { message } => self.put_header(message),
            MailEffect::Notice { number, at, notice } => self.put_notice(*number, *at, notice),
            MailEffect::DigestCount { number, subject, count } => {
                let message = self.message_mut(*number);
                if let Some(late) = message.and_then(|it| it.digest.as_mut()) {
                    late.set_count(subject, *count);
                }
            }
            MailEffect::Removed { number, record, .. } => {
                self.remove(*number);
                if let Some(record) = record {
                    self.put_finished(*number, *record);
                }
            }
            MailEffect::Finished { number, record } => self.put_finished(*number, *record),
            MailEffect::Brief { number, at, brief } => self.put_brief(*number, *at, brief),
            MailEffect::RecipientLimit { recipient, urgency, refilled_at } => {
                self.recipient_limits.insert((recipient.clone(), *urgency), *refilled_at);
            }
            MailEffect::LastNumber { number } => self.last_number = self.last_number.max(*number),
        }
    }

    /// Applies the state of a mail; its notices and the appliances of a digest stay.
    fn put_header(&mut self, head: &MailMessage) {
        self.last_number = self.last_number.max(head.number);
        self.unlist(head.number);
        match self.message_mut(head.number) {
            Some(known) => {
                let notices = std::mem::take(&mut known.notices);
                let briefs = std::mem::take(&mut known.briefs);
                let appliances = known.digest.take().map(|it| it.appliances).unwrap_or_default();
                *known = MailMessage { notices, briefs, ..head.clone() };
                if let Some(late) = &mut known.digest {
                    late.appliances = appliances;
                }
            }
            None => self.messages.insert(head.number, head.clone()),
        }
        self.list(head.number);
    }

    fn message_mut(&mut self, number: MessageNumber) -> Option<&mut MailMessage> {
        self.messages.get_mut(&number)
    }

    fn remove(&mut self, number: MessageNumber) -> Option<MailMessage> {
        self.unlist(number);
        self.messages.remove(&number)
    }

    /// Adds a mail to the lists by recipient and state.
    fn list(&mut self, number: MessageNumber) {
        let Some(message) = self.messages.get(&number) else { return };
        self.by_recipient.insert(recipient_key(message));
        match message.state {
            DeliveryState::Failed => drop(self.failed.insert(number)),
            DeliveryState::Waiting if message.attempts > 0 => drop(self.tried.insert(number)),
            DeliveryState::Waiting | DeliveryState::InFlight => {}
        }
    }

    /// Removes a mail from the lists by recipient and state.
    fn unlist(&mut self, number: MessageNumber) {
        let Some(message) = self.messages.get(&number) else { return };
        self.by_recipient.remove(&recipient_key(message));
        self.failed.remove(&number);
        self.tried.remove(&number);
    }

    fn put_finished(&mut self, number: MessageNumber, record: RecordNumber) {
        self.finished.insert(number, record);
        while self.finished.len() > FINISHED_MAX {
            let Some(oldest) = self.finished.iter().next().map(|(number, _)| *number) else {
                break;
            };
            self.finished.remove(&oldest);
        }
    }

    /// Applies one brief notice of a mail.
    fn put_brief(&mut self, number: MessageNumber, at: usize, brief: &BriefNotice) {
        let Some(message) = self.message_mut(number) else { return };
        if let Some(known) = message.briefs.get_mut(at) {
            known.clone_from(brief);
        } else if message.briefs.len() < BRIEFS_MAX {
            message.briefs.push(brief.clone());
        }
    }

    /// Applies one notice of a mail.
    fn put_notice(&mut self, number: MessageNumber, at: usize, notice: &Notice) {
        let Some(message) = self.message_mut(number) else { return };
        if let Some(known) = message.notices.get_mut(at) {
            known.clone_from(notice);
        } else if message.notices.len() < NOTICES_MAX {
            message.notices.push(notice.clone());
        }
    }
}

fn recipient_key(message: &MailMessage) -> (Arc<str>, bool, MessageNumber) {
    (Arc::from(&*message.recipient), message.digest.is_some(), message.number)
}

impl OutboxSnapshot {
    /// The outbox as effects, in batches: applied to an empty one they give an equal one.
    pub(super) fn into_effects(self) -> impl Iterator<Item = Vec<Effect>> + Send {
        let messages = self.messages.into_chunks().map(|chunk| {
            let mut effects = Vec::new();
            chunk.iter().for_each(|(_, message)| message.to_effects(&mut effects));
            effects
        });
        let limits = self.recipient_limits.into_iter().map(|((recipient, urgency), full_at)| {
            let limit = MailEffect::RecipientLimit { recipient, urgency, refilled_at: full_at };
            vec![Effect::Mail(limit)]
        });
        let finished = self.finished.into_chunks().map(|chunk| {
            let of = |(number, record): &(MessageNumber, RecordNumber)| MailEffect::Finished {
                number: *number,
                record: *record,
            };
            chunk.iter().map(of).map(Effect::Mail).collect()
        });
        let last = MailEffect::LastNumber { number: self.last_number };
        messages.chain(limits).chain(finished).chain([vec![Effect::Mail(last)]])
    }
}

impl MailMessage {
    /// The whole mail as effects.
    pub(in crate::grid) fn to_effects(&self, effects: &mut Vec<Effect>) {
        let number = self.number;
        effects.push(Effect::Mail(self.header()));
        let late = self.digest.iter().flat_map(|late| &late.appliances);
        effects.extend(late.map(|(about, count)| {
            let (about, count) = (about.clone(), *count);
            Effect::Mail(MailEffect::DigestCount { number, subject: about, count })
        }));
        for (at, notice) in self.notices.iter().enumerate() {
            let notice = notice.clone();
            effects.push(Effect::Mail(MailEffect::Notice { number, at, notice }));
        }
        for (at, brief) in self.briefs.iter().enumerate() {
            let brief = brief.clone();
            effects.push(Effect::Mail(MailEffect::Brief { number, at, brief }));
        }
    }

    /// The effect with its state, without its notices and the appliances of a digest.
    pub(in crate::grid) fn header(&self) -> MailEffect {
        let mut head = Self { notices: Vec::new(), briefs: Vec::new(), ..self.clone() };
        if let Some(late) = &mut head.digest {
            late.appliances.clear();
        }
        MailEffect::Header { message: Box::new(head) }
    }
}
