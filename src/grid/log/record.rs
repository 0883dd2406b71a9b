//! What does the grid log consist of? A record: the input as received, and its effects.
//!
//! Guarantees that effects hold absolute values on one entity each, so that applying the records
//! from nothing gives the same state whatever the settings say by then. Knows no encoding.

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
    /// When its input was received. Not before the record before it, unless told time is moved.
    pub at: Timestamp,
    /// What was received.
    pub input: Input,
    /// What became of it, if it is an event.
    pub outcome: Outcome,
    /// What was noted.
    pub flags: RecordFlags,
    /// What changed.
    pub effects: Vec<Effect>,
}

/// Whatever may change state.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// An event was heard.
    Event(ReceivedEvent),
    /// A session began.
    Hello(SessionHello),
    /// A session ended.
    SessionEnded {
        /// Whose.
        appliance: ApplianceIndex,
        /// Of which boot.
        boot: BootId,
    },
    /// A name that was not known spoke, and is taken in.
    Registered {
        /// The name.
        name: ApplianceName,
        /// The UUID drawn for it.
        uuid: Uuid,
    },
    /// An administrator or orchestrator asks for something.
    Command {
        /// Who.
        by: Box<str>,
        /// What.
        command: AdminCommand,
    },
    /// A deadline of that appliance passed.
    Deadline {
        /// Whose.
        appliance: ApplianceIndex,
        /// What it was set for.
        timer: Timer,
    },
    /// The broker started.
    BrokerStarted(BrokerStarted),
    /// The broker stops in good order.
    BrokerStopped,
    /// The broker could not hear anybody for so long.
    BrokerPaused {
        /// For how long.
        lasted: Duration,
        /// Why it is thought so.
        cause: BrokerPause,
    },
    /// The wall clock and told time were compared, and something follows.
    WallClock(WallClockChange),
    /// Of releases before: the wall clock was set back, and told time went on.
    ClockSetBack {
        /// How far it lies behind told time.
        by: Duration,
    },
    /// Something happens to the journal.
    Journal(JournalIncident),
    /// Settings came to hold.
    Settings(AppliedSettings),
    /// Another alert of the same key comes: the run of repeats of the one before is over.
    RepeatsEnded {
        /// Whose.
        appliance: ApplianceIndex,
        /// The key's fingerprint.
        group: Uuid,
    },
    /// What was heard without a record of its own, within a second or more.
    Tally,
    /// A mail is due.
    MailDue {
        /// Which.
        message: MessageNumber,
    },
    /// The courier tried to deliver a mail.
    MailDelivery {
        /// Which.
        message: MessageNumber,
        /// To which attempt that is the answer.
        attempt: u32,
        /// What came of it.
        delivery: Delivery,
    },
    /// An administrator says what is to become of a mail.
    MailCommand {
        /// Who.
        by: Box<str>,
        /// Which.
        message: MessageNumber,
        /// What.
        command: OutboxCommand,
    },
}

/// An event with its envelope.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedEvent {
    /// Who spoke, from the credential.
    pub appliance: ApplianceIndex,
    /// The boot it belongs to.
    pub boot: Option<BootId>,
    /// Whose number it bears.
    pub spool: Option<SpoolId>,
    /// Its number.
    pub sequence: Option<Sequence>,
    /// The session it came by; `None`: a `Report`.
    pub session: Option<SessionId>,
    /// The event.
    pub event: Event,
}

/// Names a session within one run of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// The beginning of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionHello {
    /// Who spoke.
    pub appliance: ApplianceIndex,
    /// Its boot.
    pub boot: BootId,
    /// How long that has been up.
    pub uptime: Option<Duration>,
    /// Whose numbers its events bear.
    pub spool: Option<SpoolId>,
    /// Up to which of them the appliance had acknowledgements; 0: none.
    pub acked_through: u64,
    /// It comes and goes: that it ends is no loss of contact.
    pub is_transient: bool,
    /// The session.
    pub session: SessionId,
}

/// What administrators and orchestrators may ask for.
#[derive(Clone, Debug, PartialEq)]
pub enum AdminCommand {
    /// Add an appliance.
    Add {
        /// Its name.
        name: ApplianceName,
        /// The UUID drawn for it.
        uuid: Uuid,
        /// Its class; `None`: the default class.
        class: Option<Box<str>>,
        /// What is its own.
        overrides: Overrides,
    },
    /// Change an appliance.
    Set {
        /// Its name.
        name: ApplianceName,
        /// Its class; `None`: stays.
        class: Option<Box<str>>,
        /// What becomes its own; `None` in it: stays.
        overrides: Overrides,
        /// What goes back to the class.
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
    /// What the appliance says is no longer held back, and its budgets are full.
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

/// Which overrides go back to the class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OverrideReset {
    /// See [`Overrides::managed`].
    pub managed: bool,
    /// See [`Overrides::boot_timeout`].
    pub boot_timeout: bool,
    /// See [`Overrides::report_deadline`].
    pub maintenance_silence: bool,
}

/// What a start of the broker found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerStarted {
    /// The start count on this journal.
    pub term: u64,
    /// The broker's version.
    pub version: Box<str>,
    /// How long nobody was there; `None`: the first start.
    pub downtime: Option<Duration>,
    /// How told time is moved from where the run before ended; `None`: the first start.
    pub shift: Option<TimeShift>,
    /// How far the wall clock lies behind the last record.
    pub clock_back: Option<Duration>,
    /// How the run before ended.
    pub last_run: LastRun,
    /// What the journal's recovery has to say, a sentence each.
    pub recovery: Vec<Box<str>>,
    /// Records that were acknowledged and are nowhere.
    pub missing_records: Vec<RangeInclusive<RecordNumber>>,
    /// From this record on the archive is built again behind the start, which is ordinary.
    pub rebuilt_from: Option<RecordNumber>,
}

/// How the run before a start ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastRun {
    /// Nobody knows, or there was none.
    #[default]
    Unknown,
    /// It was stopped in good order.
    Stopped,
    /// It was cut short: killed, or the power failed.
    Interrupted,
}

/// Why the broker could not hear anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerPause {
    /// Its turn came late: a paused process, a stalled disk.
    ProcessPaused,
    /// The wall clock went ahead: a machine that slept, or a clock that was set.
    ClockJumpedAhead,
    /// Its disk was nearly full, so that it took nothing.
    DiskLow,
}

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Taken.
    Stored,
    /// The same alert again: counted, no record of its own.
    Repeated,
    /// A report in maintenance right behind another: its progress counts, no record of its own.
    Coalesced,
    /// Over budget. The first of many has a record, the others are counted.
    Suppressed,
    /// A log below the severity its class keeps: counted, no record of its own.
    BelowThreshold,
    /// Known already; no record.
    Duplicate,
    /// Of an older boot: recorded, no change.
    OlderBoot,
    /// About the present start, but said before what is known of it: recorded, no change.
    StaleEvent,
    /// The rules say no: recorded, no change.
    Rejected(EventRejection),
}
