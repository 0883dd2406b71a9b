//! What is a message? A mail to one recipient about one or more notices, owed by value.
//!
//! Guarantees that a message says all a mail is made of, so that nothing has to be looked up when it
//! is sent, days later perhaps. Knows no SMTP and no time zone.

use std::time::Duration;

use crate::grid::log::effect::Effect;
use crate::grid::values::event::Severity;
use crate::grid::values::id::RecordNumber;
use crate::grid::values::time::Timestamp;

/// Most notices in one message; more are counted.
pub const NOTICES_MAX: usize = 32;

/// Most notices beyond those that are kept as one line each; more are only counted.
pub const BRIEFS_MAX: usize = 256;

/// Most mails of which it is known which record says what became of them; older ones are forgotten.
pub const FINISHED_MAX: usize = 8_192;

/// The matter of a notice that counts alerts which were suppressed.
pub const SUPPRESSED: &str = "suppressed";

/// Most appliances that a summary counts by name.
pub const DIGEST_APPLIANCES_MAX: usize = 64;

/// Most bytes of a server's reply, or of why there was none, that are kept.
pub const REPLY_BYTES_MAX: usize = 500;

pub use crate::grid::model::outbox::{Outbox, OutboxStats, finished_message};

/// Numbers messages, from 1 upwards; never given twice on one journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageNumber(pub u64);

/// A mail that is owed to one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailMessage {
    /// Its number.
    pub number: MessageNumber,
    /// To whom: a mail address.
    pub recipient: Box<str>,
    /// Since when it is owed.
    pub queued_at: Timestamp,
    /// What it tells of, oldest first, 1 to [`NOTICES_MAX`]: the gravest, if there are more.
    pub notices: Vec<Notice>,
    /// How many more there were.
    pub omitted: u64,
    /// What those tell of, as far as it is kept: at most [`BRIEFS_MAX`].
    pub briefs: Vec<BriefNotice>,
    /// How often it was tried.
    pub attempts: u32,
    /// How it stands.
    pub state: DeliveryState,
    /// Waiting: when it is tried. Failed: when it is forgotten.
    pub due_at: Timestamp,
    /// When an administrator had it tried anew; `None`: nobody did.
    pub retried_at: Option<Timestamp>,
    /// What came of the last attempt; empty: there was none.
    pub last_reply: Box<str>,
    /// It is a summary of alerts that appliances had spooled; `None`: it tells of what is live.
    pub digest: Option<Box<BacklogDigest>>,
    /// For how long nobody was there to try it, since it is owed.
    pub downtime: Duration,
}

/// What a summary counts: all its alerts, whether they are among its notices or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BacklogDigest {
    /// When the first of them happened.
    pub first_at: Timestamp,
    /// When the last of them happened.
    pub last_at: Timestamp,
    /// How many are how grave, in the order of [`Severity::ALL`].
    pub severity_counts: [u64; Severity::ALL.len()],
    /// How many are of which appliance, by name, in the order in which they came; at most
    /// [`DIGEST_APPLIANCES_MAX`].
    pub appliances: Vec<(Box<str>, u64)>,
}

impl BacklogDigest {
    /// Of nothing yet, at that moment.
    pub(crate) fn new(at: Timestamp) -> Self {
        let severities = [0; Severity::ALL.len()];
        Self { first_at: at, last_at: at, severity_counts: severities, appliances: Vec::new() }
    }

    /// All its alerts.
    pub fn total(&self) -> u64 {
        self.severity_counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Its alerts of appliances that are not counted by name.
    pub fn others(&self) -> u64 {
        let named = self.appliances.iter().fold(0_u64, |sum, it| sum.saturating_add(it.1));
        self.total().saturating_sub(named)
    }

    /// One more; gives its appliance's count, if that is counted by name.
    pub(crate) fn add(&mut self, notice: &Notice) -> Option<u64> {
        self.first_at = self.first_at.min(notice.at);
        self.last_at = self.last_at.max(notice.at);
        let severity = &mut self.severity_counts[notice.severity as usize];
        *severity = severity.saturating_add(1);
        let known = self.appliances.iter().find(|it| it.0 == notice.subject).map_or(0, |it| it.1);
        let has_room = known > 0 || self.appliances.len() < DIGEST_APPLIANCES_MAX;
        has_room.then(|| {
            self.set_count(&notice.subject, known.saturating_add(1));
            known.saturating_add(1)
        })
    }

    /// So many are of that appliance.
    pub(in crate::grid) fn set_count(&mut self, about: &str, count: u64) {
        match self.appliances.iter_mut().find(|it| *it.0 == *about) {
            Some(known) => known.1 = count,
            None => self.appliances.push((about.into(), count)),
        }
    }
}

impl MailMessage {
    /// Whether it waits for another attempt.
    pub fn is_retry(&self) -> bool {
        self.attempts > 0 && self.digest.is_none() && self.state == DeliveryState::Waiting
    }

    /// How urgent it is: as its gravest news.
    pub fn urgency(&self) -> Urgency {
        let news = self.notices.iter().map(Notice::urgency);
        news.max().unwrap_or_default()
    }

    /// The whole message as effects.
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

    /// That it stands so, without its notices and the appliances of a summary.
    pub(in crate::grid) fn header(&self) -> MailEffect {
        let mut head = Self { notices: Vec::new(), briefs: Vec::new(), ..self.clone() };
        if let Some(late) = &mut head.digest {
            late.appliances.clear();
        }
        MailEffect::Header { message: Box::new(head) }
    }
}

/// How a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is tried when it is due.
    Waiting,
    /// The courier has it.
    InFlight,
    /// It is not tried any more, unless an administrator says so.
    Failed,
}

impl DeliveryState {
    /// Its word, as users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::InFlight => "under_way",
            Self::Failed => "failed",
        }
    }
}

/// One thing a message tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it is about: an appliance's name; empty: the broker itself.
    pub subject: Box<str>,
    /// The matter, as a word such as `start_failed` or an alert's key: mails on one matter of one
    /// appliance are one thread.
    pub topic: Box<str>,
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
    /// How often it was said since the last mail on it, this one included; 0: it is news.
    pub occurrences: u64,
}

impl Notice {
    /// What it goes by if not all can be told in full: the higher, the rather. A count of what was
    /// suppressed stands for many.
    pub(in crate::grid) fn priority(&self) -> (Urgency, Severity, bool) {
        (self.urgency(), self.severity, &*self.topic == SUPPRESSED)
    }

    /// How urgent it is.
    pub fn urgency(&self) -> Urgency {
        if self.occurrences == 0 { Urgency::New(self.severity) } else { Urgency::Repeat }
    }
}

/// A notice as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BriefNotice {
    /// What it is about: an appliance's name; empty: the broker itself.
    pub subject: Box<str>,
    /// The matter, as in [`Notice::topic`].
    pub topic: Box<str>,
    /// How grave.
    pub severity: Severity,
    /// It is over.
    pub is_resolved: bool,
}

impl From<&Notice> for BriefNotice {
    fn from(notice: &Notice) -> Self {
        let Notice { subject: about, topic: matter, severity, is_resolved, .. } = notice;
        let (about, matter) = (about.clone(), matter.clone());
        Self { subject: about, topic: matter, severity: *severity, is_resolved: *is_resolved }
    }
}

/// How urgent a mail is: what it shares a budget with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// All of it was mailed before and goes on.
    #[default]
    Repeat,
    /// Something of that severity is news.
    New(Severity),
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
pub enum OutboxCommand {
    /// To be tried now.
    Retry,
    /// To be owed no more.
    Drop,
}

/// A change of the outbox.
#[derive(Clone, Debug, PartialEq)]
pub enum MailEffect {
    /// A mail is owed, and stands so; its notices are told one by one, and so are the appliances of a
    /// summary.
    Header {
        /// The message, notices and appliances empty.
        message: Box<MailMessage>,
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
    /// A notice of a mail that is kept as one line.
    Brief {
        /// The message.
        number: MessageNumber,
        /// Its place among them, from 0.
        at: usize,
        /// The notice.
        brief: BriefNotice,
    },
    /// A summary tells of so many alerts of an appliance.
    DigestCount {
        /// The message.
        number: MessageNumber,
        /// The appliance's name.
        subject: Box<str>,
        /// How many.
        count: u64,
    },
    /// A mail is owed no more.
    Removed {
        /// The message.
        number: MessageNumber,
        /// Whose it was.
        recipient: Box<str>,
        /// The record that holds what it said; `None`: none does.
        record: Option<RecordNumber>,
    },
    /// Checkpoints only: which record holds what a mail said that is owed no more.
    Finished {
        /// The message.
        number: MessageNumber,
        /// The record.
        record: RecordNumber,
    },
    /// A budget of a recipient is full again at that moment.
    RecipientLimit {
        /// The recipient.
        recipient: Box<str>,
        /// Of mails so urgent.
        urgency: Urgency,
        /// When.
        refilled_at: Timestamp,
    },
    /// Checkpoints only: the last number of a message.
    LastNumber {
        /// The number.
        number: MessageNumber,
    },
}
