//! Defines the effects of a record: changes of one entity each, as absolute values.
//!
//! Guarantees that an effect can be applied without settings, a clock or the value before. Decides
//! nothing.

use std::time::Duration;

use uuid::Uuid;

use crate::grid::log::time_shift::TimeShift;
use crate::grid::model::alert_group::AlertGroup;
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::model::mail_message::MailEffect;
use crate::grid::model::sequence_window::SequenceWindow;
use crate::grid::model::settings::Overrides;
use crate::grid::model::unmailed_alerts::UnmailedAlerts;
use crate::grid::model::usage::{OutcomeCounts, RateLimitKind, Suppression, Usage};
use crate::grid::values::event::Severity;
use crate::grid::values::event_order::EventOrder;
use crate::grid::values::id::{ApplianceIndex, ApplianceName, BootId, RecordNumber};
use crate::grid::values::time::Timestamp;

/// A change of one entity, as an absolute value.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The appliance exists.
    Appliance {
        /// Its number.
        number: ApplianceIndex,
        /// Its name.
        name: ApplianceName,
        /// Its UUID.
        uuid: Uuid,
        /// Its class.
        class: Box<str>,
        /// Its own settings.
        overrides: Overrides,
    },
    /// The appliance is removed, with all its open alerts.
    Removed {
        /// Its number.
        number: ApplianceIndex,
    },
    /// The current boot of an appliance.
    Boot {
        /// Its number.
        number: ApplianceIndex,
        /// The boot.
        boot: Boot,
    },
    /// The state of an appliance's start.
    Lifecycle {
        /// The appliance's number.
        number: ApplianceIndex,
        /// The state.
        lifecycle: Lifecycle,
        /// Since when it is in that state.
        since: Timestamp,
    },
    /// Recent failed starts, oldest first.
    FailedStarts {
        /// The appliance's number.
        number: ApplianceIndex,
        /// When, at most [`crate::grid::model::settings::FLAPPING_FAILURES`].
        at: Vec<Timestamp>,
    },
    /// An alert is opened.
    AlertRaised {
        /// The appliance it is about; `None`: the broker.
        number: Option<ApplianceIndex>,
        /// The alert kind.
        kind: AlertKind,
        /// The alert.
        alert: Alert,
    },
    /// An alert is resolved.
    AlertCleared {
        /// The appliance it is about; `None`: the broker.
        number: Option<ApplianceIndex>,
        /// The alert kind.
        kind: AlertKind,
    },
    /// All deadlines are moved.
    DeadlinesMoved {
        /// By how much.
        by: Duration,
        /// No deadline is earlier than this.
        not_before: Timestamp,
    },
    /// Broker time is shifted, with all pending times.
    TimeShifted(TimeShift),
    /// Checkpoints only: for how long brokers ran on this journal.
    LivedTime {
        /// How long.
        lived: Duration,
    },
    /// A rate limit of an appliance was used.
    RateLimitState {
        /// The appliance's number.
        number: ApplianceIndex,
        /// Which rate limit.
        limit: RateLimitKind,
        /// When it is refilled.
        refilled_at: Timestamp,
    },
    /// All rate limits of an appliance are reset.
    RateLimitsReset {
        /// The appliance's number.
        number: ApplianceIndex,
    },
    /// An alert group of an appliance changed.
    AlertGroup {
        /// The appliance's number.
        number: ApplianceIndex,
        /// The group.
        group: AlertGroup,
    },
    /// An alert group is removed.
    AlertGroupForgotten {
        /// The appliance's number.
        number: ApplianceIndex,
        /// The hash of its key.
        id: Uuid,
    },
    /// A run of repeats is recorded.
    RepeatsReported {
        /// The appliance's number.
        number: ApplianceIndex,
        /// The group, as it was before.
        group: AlertGroup,
    },
    /// A suppression changed.
    Suppression {
        /// The appliance's number.
        number: ApplianceIndex,
        /// Its phase.
        phase: SuppressionPhase,
        /// Its new value.
        suppression: Suppression,
    },
    /// Tallies only: the sequence windows and counts of an appliance.
    Counters {
        /// The appliance's number.
        number: ApplianceIndex,
        /// The sequences received, most recently used first.
        windows: Vec<SequenceWindow>,
        /// When its last event arrived.
        last_event_at: Timestamp,
        /// How many events had which outcome.
        counts: OutcomeCounts,
    },
    /// The suppressed alerts of an appliance that no mail contains yet.
    SuppressedAlerts {
        /// The appliance's number.
        number: ApplianceIndex,
        /// The alerts.
        unmailed: UnmailedAlerts,
    },
    /// The outbox changed.
    Mail(MailEffect),
    /// Checkpoints only: the history that records contain in their inputs.
    History {
        /// The appliance's number.
        number: ApplianceIndex,
        /// The history.
        history: ApplianceHistory,
    },
    /// Checkpoints only: the name of a removed appliance.
    Tombstone {
        /// Its number.
        number: ApplianceIndex,
        /// Its name.
        name: ApplianceName,
    },
}

/// The phase of a suppression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuppressionPhase {
    /// It begins.
    Begins,
    /// It counts; no text is recorded.
    Counts,
    /// A summary is recorded, and it continues.
    Summarised,
    /// It ends.
    Ends,
}

/// One boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Its id; `None`: an orchestrator announced it, and the appliance has not reported yet.
    pub id: Option<BootId>,
    /// When it began: at power-on, if the appliance sent its uptime.
    pub began_at: Timestamp,
    /// It did not begin before that, whichever shifts of the clock since then were pauses.
    pub earliest_began_at: Timestamp,
    /// Whether it had a lasting session, so that lost contact means something.
    pub has_agent: bool,
    /// Its start was not observed and is assumed to be over, until the appliance reports otherwise.
    pub is_assumed_running: bool,
    /// The newest lifecycle event that was applied: an older one changes nothing.
    pub newest_event: Option<EventOrder>,
}

/// The history of an appliance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplianceHistory {
    /// Its earlier boots, newest first.
    pub past_boots: Vec<BootId>,
    /// The sequences received, most recently used spool first.
    pub windows: Vec<SequenceWindow>,
    /// When its last event arrived.
    pub last_event_at: Option<Timestamp>,
    /// The last record about it.
    pub last_record: RecordNumber,
    /// Its usage of rate limits, and its counts.
    pub usage: Usage,
}

/// The kinds of alerts, of appliances and of the broker itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertKind {
    /// Its start failed.
    StartFailed,
    /// Its progress does not change.
    Stuck,
    /// It has lost contact.
    NoContact,
    /// Two machines use its name.
    NameConflict,
    /// It failed to start several times in a row.
    Flapping,
    /// Of the broker: acknowledged records can't be read.
    RecordsMissing,
    /// Of the broker: its disk is nearly full.
    DiskLow,
    /// Of the broker: mail is not delivered.
    MailFails,
    /// Of the broker: the wall clock and broker time differ.
    ClockDiffers,
    /// Of the broker: the system is out of descriptors, threads or memory.
    ResourcesShort,
}

impl AlertKind {
    /// The first one, in their order.
    pub const FIRST: Self = Self::StartFailed;

    /// Its identifier, as users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StartFailed => "start_failed",
            Self::Stuck => "stuck",
            Self::NoContact => "no_contact",
            Self::NameConflict => "two_machines",
            Self::Flapping => "flapping",
            Self::RecordsMissing => "records_missing",
            Self::DiskLow => "disk_low",
            Self::MailFails => "mail_fails",
            Self::ClockDiffers => "clock_differs",
            Self::ResourcesShort => "resources_short",
        }
    }
}

/// An open alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its severity.
    pub severity: Severity,
    /// When it was opened.
    pub since: Timestamp,
    /// Its text, a sentence; may contain hostile text.
    pub text: Box<str>,
}
