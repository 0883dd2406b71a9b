//! What can a record change? One entity each, as an absolute value.
//!
//! Guarantees that an effect needs nothing but itself to be applied: neither settings nor a clock,
//! nor what was there before. Decides nothing.

use std::time::Duration;

use uuid::Uuid;

use super::admission::{Admission, BudgetName, Counts, Suppression};
use super::alert_key::AlertKey;
use super::event::Severity;
use super::lifecycle::Lifecycle;
use super::mail::MailEffect;
use super::name::{ApplianceName, ApplianceNumber, BootId, RecordNumber};
use super::settings::Overrides;
use super::shift::Shift;
use super::time::Timestamp;
use super::unmailed::Unmailed;
use super::window::Window;
use super::word::Word;

/// A change of one entity, as an absolute value.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// There is such an appliance.
    Appliance {
        /// Its row.
        number: ApplianceNumber,
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
        number: ApplianceNumber,
    },
    /// The appliance's boot is this one.
    Boot {
        /// Its row.
        number: ApplianceNumber,
        /// The boot.
        boot: Boot,
    },
    /// The start stands so.
    Lifecycle {
        /// The appliance's row.
        number: ApplianceNumber,
        /// How it stands.
        lifecycle: Lifecycle,
        /// Since when it is in that state.
        since: Timestamp,
    },
    /// These starts failed lately, oldest first.
    FailedStarts {
        /// The appliance's row.
        number: ApplianceNumber,
        /// When, at most [`super::settings::FLAPPING_FAILURES`].
        at: Vec<Timestamp>,
    },
    /// A matter is open.
    AlertRaised {
        /// The appliance it is about; `None`: the broker.
        number: Option<ApplianceNumber>,
        /// Which matter.
        matter: Matter,
        /// The alert.
        alert: Alert,
    },
    /// A matter is no longer open.
    AlertCleared {
        /// The appliance it is about; `None`: the broker.
        number: Option<ApplianceNumber>,
        /// Which matter.
        matter: Matter,
    },
    /// Every deadline lies later by this, and none before that.
    DeadlinesMoved {
        /// By how much.
        by: Duration,
        /// No deadline lies before this.
        not_before: Timestamp,
    },
    /// Told time is moved, and with it whatever is pending.
    TimeShifted(Shift),
    /// Checkpoints only: for how long brokers were at work on this journal.
    Lived {
        /// For so long.
        lived: Duration,
    },
    /// A budget of an appliance is full again at that moment.
    Spent {
        /// The appliance's row.
        number: ApplianceNumber,
        /// Which budget.
        budget: BudgetName,
        /// When.
        full_at: Timestamp,
    },
    /// All budgets of an appliance are full.
    BudgetsFilled {
        /// The appliance's row.
        number: ApplianceNumber,
    },
    /// An alert key of an appliance stands so.
    AlertKey {
        /// The appliance's row.
        number: ApplianceNumber,
        /// The key.
        key: AlertKey,
    },
    /// An alert key is forgotten.
    AlertKeyForgotten {
        /// The appliance's row.
        number: ApplianceNumber,
        /// Its fingerprint.
        id: Uuid,
    },
    /// A run of repeats is told of.
    RunTold {
        /// The appliance's row.
        number: ApplianceNumber,
        /// The key, as it stood before.
        key: AlertKey,
    },
    /// A suppression stands so.
    Suppression {
        /// The appliance's row.
        number: ApplianceNumber,
        /// What is told of it.
        phase: Phase,
        /// How it stands.
        suppression: Suppression,
    },
    /// Tallies only: what was heard of an appliance stands so.
    Heard {
        /// The appliance's row.
        number: ApplianceNumber,
        /// Sequences heard, most recently used first.
        windows: Vec<Window>,
        /// When it was last heard.
        last_heard_at: Timestamp,
        /// How many events had which outcome.
        counts: Counts,
    },
    /// The alerts of an appliance that were suppressed and are in no mail.
    Unmailed {
        /// The appliance's row.
        number: ApplianceNumber,
        /// They.
        unmailed: Unmailed,
    },
    /// The outbox changes.
    Mail(MailEffect),
    /// Checkpoints only: what the appliance said before, which records give by their inputs.
    Memory {
        /// The appliance's row.
        number: ApplianceNumber,
        /// The memory.
        memory: Memory,
    },
    /// Checkpoints only: the name of a row whose appliance is gone.
    Tombstone {
        /// The row.
        number: ApplianceNumber,
        /// The name it had.
        name: ApplianceName,
    },
}

/// What is told of a suppression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It begins.
    Begins,
    /// It counts on; nothing is told.
    Counts,
    /// It is summed up, and goes on.
    SummedUp,
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
    pub not_before: Timestamp,
    /// Whether a session of it was seen that is meant to last, so that lost contact means something.
    pub has_agent: bool,
    /// Its start was not witnessed and is only assumed to be over: the appliance may say otherwise.
    pub is_assumed: bool,
    /// The newest word about this start that was taken: what was said before it changes nothing.
    pub newest_word: Option<Word>,
}

/// What an appliance said before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Its boots before the present one, newest first.
    pub past_boots: Vec<BootId>,
    /// The sequences heard, most recently used spool first.
    pub windows: Vec<Window>,
    /// When it last left a record.
    pub last_heard_at: Option<Timestamp>,
    /// The last record about it.
    pub last_record: RecordNumber,
    /// How much it says.
    pub admission: Admission,
}

/// What can be open about an appliance, or about the broker itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Matter {
    /// Its start failed.
    StartFailed,
    /// Its progress does not move.
    Stuck,
    /// Its session is gone.
    NoContact,
    /// Two machines speak under its name.
    TwoMachines,
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

impl Matter {
    /// The first one, in their order.
    pub const FIRST: Self = Self::StartFailed;

    /// Its word, as users read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::StartFailed => "start_failed",
            Self::Stuck => "stuck",
            Self::NoContact => "no_contact",
            Self::TwoMachines => "two_machines",
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
