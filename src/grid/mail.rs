//! What is a message? A mail to one recipient about one or more notices, owed by value.
//!
//! Guarantees that a message says all a mail is made of, so that nothing has to be looked up when it
//! is sent, days later perhaps. Knows no SMTP and no time zone.

use std::collections::BTreeMap;

use super::effect::Effect;
use super::event::Severity;
use super::name::RecordNumber;
use super::time::Timestamp;

/// Most notices in one message; more are counted.
pub const NOTICES_MAX: usize = 32;

/// Most bytes of a server's reply, or of why there was none, that are kept.
pub const REPLY_BYTES_MAX: usize = 500;

/// Numbers messages, from 1 upwards; never given twice on one journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageNumber(pub u64);

/// A mail that is owed to one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number.
    pub number: MessageNumber,
    /// To whom: a mail address.
    pub recipient: Box<str>,
    /// Since when it is owed.
    pub owed_since: Timestamp,
    /// What it tells of, oldest first, 1 to [`NOTICES_MAX`].
    pub notices: Vec<Notice>,
    /// How many more there were.
    pub more: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// How it stands.
    pub standing: Standing,
    /// Waiting: when it is tried. Failed: when it is forgotten.
    pub due: Timestamp,
    /// What came of the last attempt; empty: there was none.
    pub last_reply: Box<str>,
}

/// How a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is tried when it is due.
    Waiting,
    /// The courier has it.
    UnderWay,
    /// It is not tried any more, unless an administrator says so.
    Failed,
}

impl Standing {
    /// Its word, as users read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::UnderWay => "under_way",
            Self::Failed => "failed",
        }
    }
}

/// One thing a message tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it is about: an appliance's name; empty: the broker itself.
    pub about: Box<str>,
    /// The matter, as a word such as `start_failed` or an alert's key: mails on one matter of one
    /// appliance are one thread.
    pub matter: Box<str>,
    /// How grave.
    pub severity: Severity,
    /// When it happened.
    pub at: Timestamp,
    /// What happened, as a sentence; may hold hostile text.
    pub text: Box<str>,
    /// The record that says so.
    pub record: RecordNumber,
    /// It is over.
    pub is_resolved: bool,
}

/// What came of an attempt to deliver a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The server took it, with these words.
    Sent(Box<str>),
    /// Not for now: to be tried again. Why, by the server's words or ours.
    Deferred(Box<str>),
    /// Never: the server refuses for good. Why, by its words.
    Refused(Box<str>),
}

impl Delivery {
    /// What was said, cut to [`REPLY_BYTES_MAX`].
    pub fn reply(&self) -> &str {
        let (Self::Sent(reply) | Self::Deferred(reply) | Self::Refused(reply)) = self;
        &reply[..reply.floor_char_boundary(REPLY_BYTES_MAX)]
    }
}

/// What an administrator may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailOrder {
    /// To be tried now.
    Retry,
    /// To be owed no more.
    Drop,
}

/// A change of the outbox.
#[derive(Clone, Debug, PartialEq)]
pub enum MailEffect {
    /// A mail is owed, and stands so; its notices are told one by one.
    Stands {
        /// The message, its notices empty.
        message: Box<Message>,
    },
    /// A notice of a mail that is owed.
    Notice {
        /// The message.
        number: MessageNumber,
        /// Its place among the notices, from 0.
        at: usize,
        /// The notice.
        notice: Notice,
    },
    /// A mail is owed no more.
    Gone {
        /// The message.
        number: MessageNumber,
        /// Whose it was.
        recipient: Box<str>,
    },
    /// The budget of a recipient is full again at that moment.
    RecipientSpent {
        /// The recipient.
        recipient: Box<str>,
        /// When.
        full_at: Timestamp,
    },
    /// Checkpoints only: the last number of a message.
    LastNumber {
        /// The number.
        number: MessageNumber,
    },
}

/// The mails that are owed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outbox {
    /// By number, which is by age.
    pub messages: BTreeMap<MessageNumber, Message>,
    /// The last number given.
    pub last: MessageNumber,
    /// When the budget of each recipient that got mail is full again.
    pub spent: BTreeMap<Box<str>, Timestamp>,
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

    /// The message to that recipient which was never tried: further notices join it.
    pub fn gathering(&self, recipient: &str) -> Option<&Message> {
        // It is the newest of that recipient.
        let newest = self.messages.values().rev().find(|it| *it.recipient == *recipient);
        newest.filter(|it| it.attempts == 0 && it.standing == Standing::Waiting)
    }

    /// The outbox as effects: applied to an empty one they give an equal one.
    pub(super) fn to_effects(&self, effects: &mut Vec<Effect>) {
        for message in self.messages.values() {
            let head = Message { notices: Vec::new(), ..message.clone() };
            effects.push(Effect::Mail(MailEffect::Stands { message: Box::new(head) }));
            for (at, notice) in message.notices.iter().enumerate() {
                let (number, notice) = (message.number, notice.clone());
                effects.push(Effect::Mail(MailEffect::Notice { number, at, notice }));
            }
        }
        effects.extend(self.spent.iter().map(|(recipient, full_at)| {
            let (recipient, full_at) = (recipient.clone(), *full_at);
            Effect::Mail(MailEffect::RecipientSpent { recipient, full_at })
        }));
        effects.push(Effect::Mail(MailEffect::LastNumber { number: self.last }));
    }

    /// Takes a change in.
    pub(super) fn take(&mut self, effect: &MailEffect) {
        match effect {
            MailEffect::Stands { message } => self.put(message),
            MailEffect::Notice { number, at, notice } => self.put_notice(*number, *at, notice),
            MailEffect::Gone { number, .. } => drop(self.messages.remove(number)),
            MailEffect::RecipientSpent { recipient, full_at } => {
                self.spent.insert(recipient.clone(), *full_at);
            }
            MailEffect::LastNumber { number } => self.last = self.last.max(*number),
        }
    }

    /// Takes in how a message stands; its notices stay.
    fn put(&mut self, head: &Message) {
        self.last = self.last.max(head.number);
        match self.messages.get_mut(&head.number) {
            Some(known) => {
                let notices = std::mem::take(&mut known.notices);
                *known = Message { notices, ..head.clone() };
            }
            None => drop(self.messages.insert(head.number, head.clone())),
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
