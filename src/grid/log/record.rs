//! Defines the record of the grid log: the input as received, and its effects.
//!
//! Guarantees that effects are absolute values of one entity each, so that applying all records to
//! an empty state gives the same state under any settings. Does not know the encoding.

use std::ops::RangeInclusive;
use std::time::Duration;

use uuid::Uuid;

use super::effect::Effect;
use super::timer::Timer;
use crate::grid::log::applied_settings::AppliedSettings;
use crate::grid::log::journal_incident::JournalIncident;
use crate::grid::log::time_shift::TimeShift;
use crate::grid::log::wall_clock_change::WallClockChange;
use crate::grid::model::lifecycle::EventRejection;
use crate::grid::model::mail_message::{Delivery, MessageNumber, OutboxCommand};
use crate::grid::model::settings::Overrides;
use crate::grid::values::event::Event;
use crate::grid::values::id::{
    ApplianceIndex, ApplianceName, BootId, RecordNumber, Sequence, SpoolId,
};
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;

/// One entry of the grid log.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its number.
    pub number: RecordNumber,
    /// When its input was received. Never before the record before it, unless broker time is moved.
    pub at: Timestamp,
    /// The input.
    pub input: Input,
    /// The outcome, if it is an event.
    pub outcome: Outcome,
    /// Its flags.
    pub flags: RecordFlags,
    /// What changed.
    pub effects: Vec<Effect>,
}

/// Everything that may change the state.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// An event was received.
    Event(ReceivedEvent),
    /// A session began.
    Hello(SessionHello),
    /// A session ended.
    SessionEnded {
        /// Of which appliance.
        appliance: ApplianceIndex,
        /// Of which boot.
        boot: BootId,
    },
    /// An unknown name connected, and is registered.
    Registered {
        /// The name.
        name: ApplianceName,
        /// Its random UUID.
        uuid: Uuid,
    },
    /// A command of an administrator or orchestrator.
    Command {
        /// Who sent it.
        by: Box<str>,
        /// The command.
        command: AdminCommand,
    },
    /// A deadline of that appliance passed.
    Deadline {
        /// Of which appliance.
        appliance: ApplianceIndex,
        /// What it was set for.
        timer: Timer,
    },
    /// The broker started.
    BrokerStarted(BrokerStarted),
    /// The broker stopped cleanly.
    BrokerStopped,
    /// The broker was paused and received nothing.
    BrokerPaused {
        /// For how long.
        lasted: Duration,
        /// The assumed cause.
        cause: BrokerPause,
    },
    /// A comparison of the wall clock with broker time has consequences.
    WallClock(WallClockChange),
    /// Of earlier releases: the wall clock was set back, and broker time continued.
    ClockSetBack {
        /// How far it is behind broker time.
        by: Duration,
    },
    /// An incident of the journal.
    Journal(JournalIncident),
    /// Settings were applied.
    Settings(AppliedSettings),
    /// Another alert of the same group arrives: the run of repeats before it ends.
    RepeatsEnded {
        /// Of which appliance.
        appliance: ApplianceIndex,
        /// The hash of the group key.
        group: Uuid,
    },
    /// The counts of events without a record of their own, of a second or more.
    Tally,
    /// A mail is due.
    MailDue {
        /// Which mail.
        message: MessageNumber,
    },
    /// The mail sender tried to deliver a mail.
    MailDelivery {
        /// Which mail.
        message: MessageNumber,
        /// Which attempt.
        attempt: u32,
        /// The result.
        delivery: Delivery,
    },
    /// A command of an administrator about a mail.
    MailCommand {
        /// Who sent it.
        by: Box<str>,
        /// Which mail.
        message: MessageNumber,
        /// The command.
        command: OutboxCommand,
    },
}

/// An event with its envelope.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedEvent {
    /// The sender, from its credential.
    pub appliance: ApplianceIndex,
    /// The boot it belongs to.
    pub boot: Option<BootId>,
    /// The spool that numbered it.
    pub spool: Option<SpoolId>,
    /// Its sequence.
    pub sequence: Option<Sequence>,
    /// Its session; `None`: a `Report`.
    pub session: Option<SessionId>,
    /// The event.
    pub event: Event,
}

/// Identifies a session within one run of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// The start of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionHello {
    /// The sender.
    pub appliance: ApplianceIndex,
    /// Its boot.
    pub boot: BootId,
    /// The uptime of the boot.
    pub uptime: Option<Duration>,
    /// The spool that numbers its events.
    pub spool: Option<SpoolId>,
    /// The last sequence with an acknowledgement; 0: none.
    pub acked_through: u64,
    /// A short session: its end is no loss of contact.
    pub is_transient: bool,
    /// The session.
    pub session: SessionId,
}

/// The commands of administrators and orchestrators.
#[derive(Clone, Debug, PartialEq)]
pub enum AdminCommand {
    /// Add an appliance.
    Add {
        /// Its name.
        name: ApplianceName,
        /// Its random UUID.
        uuid: Uuid,
        /// Its class; `None`: the default class.
        class: Option<Box<str>>,
        /// Its own settings.
        overrides: Overrides,
    },
    /// Change an appliance.
    Set {
        /// Its name.
        name: ApplianceName,
        /// Its class; `None`: unchanged.
        class: Option<Box<str>>,
        /// Its own settings; `None` in it: unchanged.
        overrides: Overrides,
        /// Which settings are reset to the class.
        reset: OverrideReset,
    },
    /// Remove an appliance.
    Remove {
        /// Its name.
        name: ApplianceName,
    },
    /// A boot begins now.
    StartBoot {
        /// The appliance's name.
        name: ApplianceName,
    },
    /// The appliance is stopped on purpose.
    Stop {
        /// The appliance's name.
        name: ApplianceName,
    },
    /// A crash dump of the appliance was triggered.
    CrashDump {
        /// The appliance's name.
        name: ApplianceName,
    },
    /// The suppression of the appliance ends, and its rate limits are reset.
    Unsuppress {
        /// The appliance's name.
        name: ApplianceName,
    },
}

impl AdminCommand {
    /// The name of the appliance it is about.
    pub fn appliance_name(&self) -> &ApplianceName {
        match self {
            Self::Add { name, .. }
            | Self::Set { name, .. }
            | Self::Remove { name }
            | Self::StartBoot { name }
            | Self::Stop { name }
            | Self::CrashDump { name }
            | Self::Unsuppress { name } => name,
        }
    }
}

/// Which overrides are reset to the class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OverrideReset {
    /// See [`Overrides::managed`].
    pub managed: bool,
    /// See [`Overrides::boot_timeout`].
    pub boot_timeout: bool,
    /// See [`Overrides::report_deadline`].
    pub maintenance_silence: bool,
}

/// The start of the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerStarted {
    /// The number of starts on this journal.
    pub term: u64,
    /// The broker's version.
    pub version: Box<str>,
    /// How long no broker was running; `None`: the first start.
    pub downtime: Option<Duration>,
    /// How broker time is shifted from the end of the run before; `None`: the first start.
    pub shift: Option<TimeShift>,
    /// How far the wall clock is behind the last record.
    pub clock_back: Option<Duration>,
    /// How the run before ended.
    pub last_run: LastRun,
    /// The findings of the journal's recovery, a sentence each.
    pub recovery: Vec<Box<str>>,
    /// Acknowledged records that do not exist.
    pub missing_records: Vec<RangeInclusive<RecordNumber>>,
    /// From this record on the archive is rebuilt after the start, which is normal.
    pub rebuilt_from: Option<RecordNumber>,
}

/// How the run before a start ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastRun {
    /// Unknown, or there was none.
    #[default]
    Unknown,
    /// It was stopped cleanly.
    Stopped,
    /// It was interrupted: killed, or the power failed.
    Interrupted,
}

/// Why the broker received nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerPause {
    /// Its loop was late: a paused process, a stalled disk.
    ProcessPaused,
    /// The wall clock jumped ahead: a suspended machine, or a clock that was set.
    ClockJumpedAhead,
    /// Its disk was nearly full, so that it accepted nothing.
    DiskLow,
}

/// The outcome of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Stored.
    Stored,
    /// The same alert again: counted, no record of its own.
    Repeated,
    /// A progress report right after another: its progress counts, no record of its own.
    Coalesced,
    /// Over a rate limit. The first of many has a record, the others are counted.
    Suppressed,
    /// A log below the lowest severity of its class: counted, no record of its own.
    BelowThreshold,
    /// A duplicate; no record.
    Duplicate,
    /// Of an older boot: recorded, no change.
    OlderBoot,
    /// About the current start, but older than what is known of it: recorded, no change.
    StaleEvent,
    /// Rejected by the rules: recorded, no change.
    Rejected(EventRejection),
}
