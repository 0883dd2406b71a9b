//! Defines the mail to one recipient about one or more notices, stored by value.
//!
//! Guarantees that a mail contains all it is made of, so that nothing is looked up when it is sent,
//! perhaps days later. Does not know SMTP or time zones.

use std::time::Duration;

use crate::grid::values::event::Severity;
use crate::grid::values::id::{AlertId, RecordNumber};
use crate::grid::values::time::Timestamp;

/// The most notices in one mail; more are counted.
pub const NOTICES_MAX: usize = 32;

/// The most further notices that are kept as one line each; more are only counted.
pub const BRIEFS_MAX: usize = 256;

/// The most finished mails whose last record is remembered; older ones are forgotten.
pub const FINISHED_MAX: usize = 8_192;

/// How a recipient begins that is a webhook; its name follows. All others are mail addresses.
pub const WEBHOOK_PREFIX: &str = "webhook:";

/// The topic of a notice that counts suppressed alerts.
pub const SUPPRESSED: &str = "suppressed";

/// The topic of the notice that makes a mail the summary of what is open: about the broker, its
/// [`Notice::count`] is the number of all open alerts. The other notices and lines are those alerts.
pub const SUMMARY: &str = "summary";

/// The most appliances that a digest counts by name.
pub const DIGEST_APPLIANCES_MAX: usize = 64;

/// The most bytes kept of a server's reply, or of a local error.
pub const REPLY_BYTES_MAX: usize = 500;

/// The number of a mail, from 1 upwards; never reused in a journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageNumber(pub u64);

/// A queued mail to one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailMessage {
    /// Its number.
    pub number: MessageNumber,
    /// The recipient's mail address.
    pub recipient: Box<str>,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// Its notices, oldest first, 1 to [`NOTICES_MAX`]: the most severe, if there are more.
    pub notices: Vec<Notice>,
    /// How many more there were.
    pub omitted: u64,
    /// The further notices, one line each: at most [`BRIEFS_MAX`].
    pub briefs: Vec<BriefNotice>,
    /// The number of attempts.
    pub attempts: u32,
    /// Its delivery state.
    pub state: DeliveryState,
    /// Waiting: when it is tried. Failed: when it is forgotten.
    pub due_at: Timestamp,
    /// When an administrator retried it; `None`: never.
    pub retried_at: Option<Timestamp>,
    /// The result of the last attempt; empty: there was none.
    pub last_reply: Box<str>,
    /// The counts of a digest of spooled alerts; `None`: a mail on live alerts.
    pub digest: Option<Box<BacklogDigest>>,
    /// For how long no broker was running since it was queued.
    pub downtime: Duration,
    /// The last attempt did not reach the server: nothing says that the mail itself is refused.
    pub is_unreachable: bool,
}

/// The counts of a digest: all its alerts, whether they are among its notices or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BacklogDigest {
    /// When the first of them happened.
    pub first_at: Timestamp,
    /// When the last of them happened.
    pub last_at: Timestamp,
    /// How many alerts per severity, in the order of [`Severity::ALL`].
    pub severity_counts: [u64; Severity::ALL.len()],
    /// How many alerts per appliance, by name, in the order of arrival; at most
    /// [`DIGEST_APPLIANCES_MAX`].
    pub appliances: Vec<(Box<str>, u64)>,
}

impl BacklogDigest {
    /// Empty counts at that time.
    pub(crate) fn new(at: Timestamp) -> Self {
        let severities = [0; Severity::ALL.len()];
        Self { first_at: at, last_at: at, severity_counts: severities, appliances: Vec::new() }
    }

    /// The number of all alerts.
    pub fn total(&self) -> u64 {
        self.severity_counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The number of alerts of appliances that are not counted by name.
    pub fn others(&self) -> u64 {
        let named = self.appliances.iter().fold(0_u64, |sum, it| sum.saturating_add(it.1));
        self.total().saturating_sub(named)
    }

    /// Adds one; returns the count of its appliance, if that is counted by name.
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

    /// Sets the count of an appliance.
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

    /// Whether it is the summary of what is open.
    pub fn is_summary(&self) -> bool {
        self.notices.iter().any(|it| &*it.topic == SUMMARY)
    }

    /// Its urgency: that of its most urgent notice.
    pub fn urgency(&self) -> Urgency {
        let news = self.notices.iter().map(Notice::urgency);
        news.max().unwrap_or_default()
    }
}

/// The delivery state of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is tried when it is due.
    Waiting,
    /// The mail sender has it.
    InFlight,
    /// It is not tried again, unless an administrator retries it.
    Failed,
}

impl DeliveryState {
    /// Its identifier, as users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::InFlight => "under_way",
            Self::Failed => "failed",
        }
    }
}

/// One notice of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it is about: an appliance's name; empty: the broker.
    pub subject: Box<str>,
    /// Its topic: an identifier such as `start_failed`, or an alert's group key. Mails on one topic
    /// of one appliance form a thread.
    pub topic: Box<str>,
    /// Its severity.
    pub severity: Severity,
    /// When it happened.
    pub at: Timestamp,
    /// What happened, as a sentence; may contain hostile text.
    pub text: Box<str>,
    /// The record that contains it.
    pub record: RecordNumber,
    /// It is resolved.
    pub is_resolved: bool,
    /// How often it occurred since the last mail on it, including this one; 0: it is new.
    pub occurrences: u64,
    /// The alert that it reports; `None`: it reports no alert, or an older broker wrote it.
    pub alert: Option<AlertId>,
    /// The class of the appliance; empty: it has none, or the notice is about the broker.
    pub class: Box<str>,
    /// Since when the alert is open; `None`: not known.
    pub since: Option<Timestamp>,
    /// How often the alert was reported in all; 0: not known.
    pub count: u64,
    /// An administrator acknowledged the alert.
    pub acknowledged: bool,
}

impl Notice {
    /// Its priority if not all notices fit, highest first. A summary is one by its own notice; a count
    /// of suppressed alerts stands for many.
    pub(in crate::grid) fn priority(&self) -> (bool, Urgency, Severity, bool) {
        let is = |topic: &str| *self.topic == *topic;
        (is(SUMMARY), self.urgency(), self.severity, is(SUPPRESSED))
    }

    /// Its urgency.
    pub fn urgency(&self) -> Urgency {
        if self.occurrences == 0 { Urgency::New(self.severity) } else { Urgency::Repeat }
    }
}

/// A notice as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BriefNotice {
    /// What it is about: an appliance's name; empty: the broker.
    pub subject: Box<str>,
    /// Its topic, as in [`Notice::topic`].
    pub topic: Box<str>,
    /// Its severity.
    pub severity: Severity,
    /// It is resolved.
    pub is_resolved: bool,
    /// The alert that it reports, as in [`Notice::alert`].
    pub alert: Option<AlertId>,
    /// The class of the appliance, as in [`Notice::class`].
    pub class: Box<str>,
}

impl From<&Notice> for BriefNotice {
    fn from(notice: &Notice) -> Self {
        let Notice { subject, topic, severity, is_resolved, alert, class, .. } = notice;
        Self {
            subject: subject.clone(),
            topic: topic.clone(),
            severity: *severity,
            is_resolved: *is_resolved,
            alert: *alert,
            class: class.clone(),
        }
    }
}

/// The urgency of a mail, which selects its rate limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// All of it was mailed before and continues.
    #[default]
    Repeat,
    /// A notice of that severity is new.
    New(Severity),
}

/// The result of an attempt to deliver a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The server accepted it, with this reply.
    Sent(Box<str>),
    /// Deferred: to be tried again. The reason, from the server or our own.
    Deferred(Box<str>),
    /// The server was not reached, so that it said nothing of this mail: to be tried again soon.
    Unreachable(Box<str>),
    /// Refused permanently by the server, with this reply.
    Refused(Box<str>),
}

impl Delivery {
    /// The reply, truncated to [`REPLY_BYTES_MAX`].
    pub fn reply(&self) -> &str {
        let (Self::Sent(reply)
        | Self::Deferred(reply)
        | Self::Unreachable(reply)
        | Self::Refused(reply)) = self;
        &reply[..reply.floor_char_boundary(REPLY_BYTES_MAX)]
    }
}

/// What an administrator can do with a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboxCommand {
    /// Try it now.
    Retry,
    /// Remove it from the queue.
    Drop,
}
