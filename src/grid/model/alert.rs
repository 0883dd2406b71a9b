//! Defines alerts: problems that administrators see, acknowledge, silence and resolve.
//!
//! Guarantees a bounded size for each alert, and that the history of an alert tells who changed it,
//! when and why. Plain values; decides nothing. Knows neither mails nor recipients.

use std::time::Duration;

use uuid::Uuid;

use crate::grid::model::finding::FindingKind;
use crate::grid::model::notification::NotificationReason;
use crate::grid::values::event::Severity;
use crate::grid::values::id::{AlertId, ApplianceIndex, RecordNumber, SilenceId};
use crate::grid::values::time::Timestamp;

/// The most steps of an alert's history that are kept; the oldest but the first go.
pub const ALERT_STEPS_MAX: usize = 24;

/// The most bytes kept of an alert's text. Its record has the whole.
pub const ALERT_TEXT_BYTES_MAX: usize = 512;

/// The most bytes of the reason that an administrator gives.
pub const ALERT_NOTE_BYTES_MAX: usize = 255;

/// An alert that is reported again this soon after its end is the same one: it flaps. Six hours:
/// a problem that comes back within one shift.
pub const REOPEN_WITHIN: Duration = Duration::from_secs(6 * 3_600);

/// What an alert is about. With the appliance it identifies an open alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertSource {
    /// Alert events of one group key: its hash.
    Event(Uuid),
    /// A finding of the broker.
    Finding(FindingKind),
    /// A counter beyond its threshold: the hash of its name.
    Counter(Uuid),
    /// A rate limit suppresses its events, and that goes on.
    Suppression,
    /// The appliance lost events before it could send them.
    EventsLost,
}

/// The kinds of alerts, as users read and match them.
pub const ALERT_KINDS: [&str; 20] = [
    "event",
    "crash_dump",
    "counter",
    "suppression",
    "events_lost",
    "start_failed",
    "boot_timeout",
    "hung",
    "stuck",
    "no_contact",
    "two_machines",
    "flapping",
    "certificate_ending",
    "token_reused",
    "records_missing",
    "disk_low",
    "mail_fails",
    "clock_differs",
    "resources_short",
    "server_certificate",
];

/// The kind of that name; `None`: there is none.
pub fn kind_named(name: &str) -> Option<&'static str> {
    ALERT_KINDS.into_iter().find(|kind| *kind == name)
}

/// A problem of an appliance or of the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its number.
    pub id: AlertId,
    /// The appliance; `None`: the broker.
    pub appliance: Option<ApplianceIndex>,
    /// What it is about.
    pub source: AlertSource,
    /// Its kind, of [`ALERT_KINDS`].
    pub kind: &'static str,
    /// Its group key, as shown; that of a finding is its kind.
    pub key: Box<str>,
    /// The class of its appliance and the beginning of its name: with its family, what has one cause.
    /// Empty: the broker's.
    pub group: Box<str>,
    /// The severity that was reported last.
    pub severity: Severity,
    /// The text that was reported last, truncated to [`ALERT_TEXT_BYTES_MAX`]; hostile.
    pub text: Box<str>,
    /// The record of that report.
    pub record: RecordNumber,
    /// When it was opened, or opened again.
    pub opened_at: Timestamp,
    /// When it was reported last.
    pub last_seen_at: Timestamp,
    /// How often it was reported.
    pub count: u64,
    /// How often it was opened again since it was quiet for [`REOPEN_WITHIN`].
    pub reopenings: u32,
    /// How it ended; `None`: it is open.
    pub end: Option<AlertEnd>,
    /// Who takes care of it.
    pub acknowledgement: Option<Acknowledgement>,
    /// The last notification; `None`: there was none.
    pub notified: Option<Notified>,
    /// Why the last decision was as it was, and the silence that muted it.
    pub decision: Option<(NotificationReason, Option<SilenceId>)>,
    /// When a notification is decided on again; `None`: when it changes.
    pub next_at: Option<Timestamp>,
    /// When it ends because it was quiet; `None`: it does not.
    pub closes_at: Option<Timestamp>,
    /// What happened to it, oldest first.
    pub steps: Vec<AlertStep>,
}

/// The end of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertEnd {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub cause: EndCause,
}

/// Why an alert ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// The appliance reported that it is over.
    Appliance,
    /// The broker observes that it is over.
    Condition,
    /// An administrator resolved it.
    Administrator,
    /// It was not reported for long.
    Quiet,
    /// The appliance has too many open alerts.
    Displaced,
}

impl EndCause {
    /// Its identifier, as users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Appliance => "appliance",
            Self::Condition => "condition",
            Self::Administrator => "administrator",
            Self::Quiet => "quiet",
            Self::Displaced => "displaced",
        }
    }
}

/// Who takes care of an alert. It holds while the alert flaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Who.
    pub by: Box<str>,
    /// When.
    pub at: Timestamp,
    /// Until when; `None`: until the alert ends for good.
    pub until: Option<Timestamp>,
    /// Why; may be empty.
    pub note: Box<str>,
}

/// The last notification of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notified {
    /// When it was decided.
    pub at: Timestamp,
    /// The gravest severity of all notifications since the alert was new.
    pub severity: Severity,
    /// It said that the alert is over.
    pub is_end: bool,
    /// How many notifications there were since the alert was new, after the first.
    pub repeats: u32,
    /// How often the alert had been reported by then.
    pub count: u64,
}

/// A step of an alert's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertStep {
    /// When.
    pub at: Timestamp,
    /// The record that contains it.
    pub record: RecordNumber,
    /// What happened.
    pub kind: AlertStepKind,
    /// The administrator; empty: none.
    pub by: Box<str>,
    /// The reason that was given; may be empty.
    pub note: Box<str>,
}

/// What happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertStepKind {
    /// It was opened.
    Opened,
    /// It was opened again.
    Reopened,
    /// It became more severe.
    Escalated(Severity),
    /// It ended.
    Ended(EndCause),
    /// Somebody acknowledged it.
    Acknowledged,
    /// The acknowledgement was withdrawn.
    Unacknowledged,
    /// The acknowledgement had an end, which is reached.
    AcknowledgementEnded,
    /// A notification was decided on.
    Decided(NotificationReason),
}

impl Alert {
    /// Whether it is open, acknowledged or not.
    pub fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// Its state: `open`, `acknowledged`, `silenced` or `resolved`.
    pub fn state(&self) -> &'static str {
        let is_silenced = matches!(self.decision, Some((NotificationReason::Silenced, _)));
        match (&self.end, &self.acknowledgement) {
            (Some(_), _) => "resolved",
            (None, Some(_)) => "acknowledged",
            (None, None) if is_silenced => "silenced",
            (None, None) => "open",
        }
    }

    /// What triggers mails about it, of
    /// [`MAIL_TRIGGERS`](crate::grid::model::settings::MAIL_TRIGGERS).
    pub fn trigger(&self) -> &'static str {
        if self.kind == "event" { "alert" } else { self.kind }
    }

    /// What alerts of one cause have in common besides their group: the key of an event, or the kind of
    /// a finding; all that is about starts is one.
    pub fn family(&self) -> &str {
        match self.kind {
            "event" | "crash_dump" | "counter" => &self.key,
            "start_failed" | "boot_timeout" | "hung" | "flapping" => "start",
            kind => kind,
        }
    }

    /// Whether the last notification does not say what holds now.
    pub fn differs_from_notified(&self) -> bool {
        match &self.notified {
            None => self.is_open(),
            Some(notified) => {
                notified.is_end == self.is_open()
                    || self.is_open() && self.severity > notified.severity
            }
        }
    }

    /// When something is to be decided about it, though nothing is reported.
    pub fn due_at(&self) -> Option<Timestamp> {
        let acknowledged = self.acknowledgement.as_ref().filter(|_| self.is_open());
        let until = acknowledged.and_then(|it| it.until);
        self.next_at.into_iter().chain(self.closes_at).chain(until).min()
    }

    /// Adds a step to the history.
    pub(in crate::grid) fn push_step(&mut self, step: AlertStep) {
        if let AlertStepKind::Decided(reason) = step.kind
            && let Some(last) = self.steps.last()
            && last.kind == AlertStepKind::Decided(reason)
            && !reason.notifies()
        {
            return;
        }
        if self.steps.len() >= ALERT_STEPS_MAX {
            self.steps.remove(1);
        }
        self.steps.push(step);
    }
}

/// The group of an appliance: its class, and its name up to the number at its end.
pub(in crate::grid) fn group_of(class: &str, name: &str) -> Box<str> {
    let prefix = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '-' | '_'));
    format!("{class} {prefix}").into()
}

/// The beginning of a text, of at most that many bytes.
pub(in crate::grid) fn excerpt(text: &str, bytes_max: usize) -> Box<str> {
    text[..text.floor_char_boundary(bytes_max)].into()
}
