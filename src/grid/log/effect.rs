//! What can a record change? One entity each, as an absolute value.
//!
//! Guarantees that an effect needs nothing but itself to be applied: neither settings nor a clock,
//! nor what was there before. Decides nothing.

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
    /// There is such an appliance.
    Appliance {
        /// Its row.
        number: ApplianceIndex,
        /// Its name.
        name: ApplianceName,
        /// Its UUID.
        uuid: Uuid,
        /// Its class.
        class: Box<str>,
        /// What is its own.
        overrides: Overrides,
    },
    /// The appliance is gone, and all that was open about it.
    Removed {
        /// Its row.
        number: ApplianceIndex,
    },
    /// The appliance's boot is this one.
    Boot {
        /// Its row.
        number: ApplianceIndex,
        /// The boot.
        boot: Boot,
    },
    /// The start stands so.
    Lifecycle {
        /// The appliance's row.
        number: ApplianceIndex,
        /// How it stands.
        lifecycle: Lifecycle,
        /// Since when it is in that state.
        since: Timestamp,
    },
    /// These starts failed lately, oldest first.
    FailedStarts {
        /// The appliance's row.
        number: ApplianceIndex,
        /// When, at most [`crate::grid::model::settings::FLAPPING_FAILURES`].
        at: Vec<Timestamp>,
    },
    /// A matter is open.
    AlertRaised {
        /// The appliance it is about; `None`: the broker.
        number: Option<ApplianceIndex>,
        /// Which matter.
        kind: AlertKind,
        /// The alert.
        alert: Alert,
    },
    /// A matter is no longer open.
    AlertCleared {
        /// The appliance it is about; `None`: the broker.
        number: Option<ApplianceIndex>,
        /// Which matter.
        kind: AlertKind,
    },
    /// Every deadline lies later by this, and none before that.
    DeadlinesMoved {
        /// By how much.
        by: Duration,
        /// No deadline lies before this.
        not_before: Timestamp,
    },
    /// Told time is moved, and with it whatever is pending.
    TimeShifted(TimeShift),
    /// Checkpoints only: for how long brokers were at work on this journal.
    LivedTime {
        /// For so long.
        lived: Duration,
    },
    /// A budget of an appliance is full again at that moment.
    RateLimitState {
        /// The appliance's row.
        number: ApplianceIndex,
        /// Which budget.
        limit: RateLimitKind,
        /// When.
        refilled_at: Timestamp,
    },
    /// All budgets of an appliance are full.
    RateLimitsReset {
        /// The appliance's row.
        number: ApplianceIndex,
    },
    /// An alert key of an appliance stands so.
    AlertGroup {
        /// The appliance's row.
        number: ApplianceIndex,
        /// The key.
        group: AlertGroup,
    },
    /// An alert key is forgotten.
    AlertGroupForgotten {
        /// The appliance's row.
        number: ApplianceIndex,
        /// Its fingerprint.
        id: Uuid,
    },
    /// A run of repeats is told of.
    RepeatsReported {
        /// The appliance's row.
        number: ApplianceIndex,
        /// The key, as it stood before.
        group: AlertGroup,
    },
    /// A suppression stands so.
    Suppression {
        /// The appliance's row.
        number: ApplianceIndex,
        /// What is told of it.
        phase: SuppressionPhase,
        /// How it stands.
        suppression: Suppression,
    },
    /// Tallies only: what was heard of an appliance stands so.
    Counters {
        /// The appliance's row.
        number: ApplianceIndex,
        /// Sequences heard, most recently used first.
        windows: Vec<SequenceWindow>,
        /// When it was last heard.
        last_event_at: Timestamp,
        /// How many events had which outcome.
        counts: OutcomeCounts,
    },
    /// The alerts of an appliance that were suppressed and are in no mail.
    SuppressedAlerts {
        /// The appliance's row.
        number: ApplianceIndex,
        /// They.
        unmailed: UnmailedAlerts,
    },
    /// The outbox changes.
    Mail(MailEffect),
    /// Checkpoints only: what the appliance said before, which records give by their inputs.
    History {
        /// The appliance's row.
        number: ApplianceIndex,
        /// The memory.
        history: ApplianceHistory,
    },
    /// Checkpoints only: the name of a row whose appliance is gone.
    Tombstone {
        /// The row.
        number: ApplianceIndex,
        /// The name it had.
        name: ApplianceName,
    },
}

/// What is told of a suppression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuppressionPhase {
    /// It begins.
    Begins,
    /// It counts on; nothing is told.
    Counts,
    /// It is summed up, and goes on.
    Summarised,
    /// It ends.
    Ends,
}

/// One start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Its id; `None`: an orchestrator said that it begins, and the appliance has not spoken.
    pub id: Option<BootId>,
    /// When it began: at power-on, if the appliance told its uptime.
    pub began_at: Timestamp,
    /// It did not begin before that, whichever of the clock's moves since then were pauses.
    pub earliest_began_at: Timestamp,
    /// Whether a session of it was seen that is meant to last, so that lost contact means something.
    pub has_agent: bool,
    /// Its start was not witnessed and is only assumed to be over: the appliance may say otherwise.
    pub is_assumed_running: bool,
    /// The newest word about this start that was taken: what was said before it changes nothing.
    pub newest_event: Option<EventOrder>,
}

/// What an appliance said before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplianceHistory {
    /// Its boots before the present one, newest first.
    pub past_boots: Vec<BootId>,
    /// The sequences heard, most recently used spool first.
    pub windows: Vec<SequenceWindow>,
    /// When it last left a record.
    pub last_event_at: Option<Timestamp>,
    /// The last record about it.
    pub last_record: RecordNumber,
    /// How much it says.
    pub usage: Usage,
}

/// What can be open about an appliance, or about the broker itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertKind {
    /// Its start failed.
    StartFailed,
    /// Its progress does not move.
    Stuck,
    /// Its session is gone.
    NoContact,
    /// Two machines speak under its name.
    NameConflict,
    /// It failed to start again and again.
    Flapping,
    /// The broker's own: acknowledged records can't be read any more.
    RecordsMissing,
    /// The broker's own: its disk is nearly full.
    DiskLow,
    /// The broker's own: mail is not delivered.
    MailFails,
    /// The broker's own: the wall clock and told time differ.
    ClockDiffers,
    /// The broker's own: the system grants no more descriptors, threads or memory.
    ResourcesShort,
}

impl AlertKind {
    /// The first one, in their order.
    pub const FIRST: Self = Self::StartFailed;

    /// Its word, as users read it.
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

/// An open matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// How grave.
    pub severity: Severity,
    /// Since when.
    pub since: Timestamp,
    /// What it is, as a sentence; may hold hostile text.
    pub text: Box<str>,
}
