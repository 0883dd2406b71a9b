//! What is a message? A mail to one recipient about one or more notices, owed by value.
//!
//! Guarantees that a message says all a mail is made of, so that nothing has to be looked up when it
//! is sent, days later perhaps. Knows no SMTP and no time zone.

use super::event::Severity;
use super::name::RecordNumber;
use super::time::Timestamp;

/// Most notices in one message; more are counted.
pub const NOTICES_MAX: usize = 32;

/// Most bytes of a server's reply, or of why there was none, that are kept.
pub const REPLY_BYTES_MAX: usize = 500;

/// Numbers messages, from 1 upwards; never given twice on one journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// When it is tried next, or given up.
    pub due: Timestamp,
    /// What came of the last attempt; empty: there was none.
    pub last_reply: Box<str>,
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
