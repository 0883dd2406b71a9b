//! What does the grid log consist of? A record: the input as received, and its effects.
//!
//! Guarantees that effects hold absolute values on one entity each, so that applying the records
//! from nothing gives the same state whatever the settings say by then. Knows no encoding.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use uuid::Uuid;

use super::event::{Event, Severity};
use super::lifecycle::{Lifecycle, Refusal};
use super::name::{ApplianceName, ApplianceNumber, BootId, RecordNumber, Sequence, SpoolId};
use super::settings::Overrides;
use super::storage::Storage;
use super::time::Timestamp;
use super::window::Window;

/// One entry of the grid log.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its number.
    pub number: RecordNumber,
    /// When its input was received, never before the record before it.
    pub at: Timestamp,
    /// What was received.
    pub input: Input,
    /// What became of it, if it is an event.
    pub outcome: Outcome,
    /// What was noted.
    pub marks: Marks,
    /// What changed.
    pub effects: Vec<Effect>,
}

/// Whatever may change state.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// An event was heard.
    Event(Heard),
    /// A session began.
    Hello(Hello),
    /// A session ended.
    SessionEnded {
        /// Whose.
        appliance: ApplianceNumber,
        /// Of which boot.
        boot: BootId,
    },
    /// A name that was not known spoke, and is taken in.
    Appeared {
        /// The name.
        name: ApplianceName,
        /// The UUID drawn for it.
        uuid: Uuid,
    },
    /// An administrator or orchestrator asks for something.
    Order {
        /// Who.
        by: Box<str>,
        /// What.
        order: Order,
    },
    /// A deadline of that appliance may have passed.
    Deadline {
        /// Whose.
        appliance: ApplianceNumber,
    },
    /// The broker started.
    BrokerStarted(BrokerStarted),
    /// The broker stops in good order.
    BrokerStopped,
    /// The broker could not hear anybody for so long.
    BrokerStalled {
        /// For how long.
        lasted: Duration,
        /// Why it is thought so.
        cause: Stall,
    },
    /// The wall clock was set back; told time goes on.
    ClockSetBack {
        /// How far it lies behind told time.
        by: Duration,
    },
    /// Something happens to the journal.
    Storage(Storage),
}

impl Input {
    /// The row of the appliance it is about, where it is given by number.
    pub fn appliance(&self) -> Option<ApplianceNumber> {
        match self {
            Self::Event(heard) => Some(heard.appliance),
            Self::Hello(hello) => Some(hello.appliance),
            Self::SessionEnded { appliance, .. } | Self::Deadline { appliance } => Some(*appliance),
            Self::Appeared { .. }
            | Self::Order { .. }
            | Self::BrokerStarted(_)
            | Self::BrokerStopped
            | Self::BrokerStalled { .. }
            | Self::ClockSetBack { .. }
            | Self::Storage(_) => None,
        }
    }

    /// The boot it names.
    pub fn boot(&self) -> Option<BootId> {
        match self {
            Self::Event(heard) => heard.boot,
            Self::Hello(hello) => Some(hello.boot),
            Self::SessionEnded { boot, .. } => Some(*boot),
            Self::Appeared { .. }
            | Self::Order { .. }
            | Self::Deadline { .. }
            | Self::BrokerStarted(_)
            | Self::BrokerStopped
            | Self::BrokerStalled { .. }
            | Self::ClockSetBack { .. }
            | Self::Storage(_) => None,
        }
    }

    /// Who speaks, if this is an event said live and outside a session.
    pub fn live_report(&self) -> Option<ApplianceNumber> {
        match self {
            Self::Event(heard) if heard.session.is_none() => {
                heard.event.spooled_at.is_none().then_some(heard.appliance)
            }
            Self::Event(_)
            | Self::Hello(_)
            | Self::SessionEnded { .. }
            | Self::Appeared { .. }
            | Self::Order { .. }
            | Self::Deadline { .. }
            | Self::BrokerStarted(_)
            | Self::BrokerStopped
            | Self::BrokerStalled { .. }
            | Self::ClockSetBack { .. }
            | Self::Storage(_) => None,
        }
    }
}

/// An event with its envelope.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// Who spoke, from the credential.
    pub appliance: ApplianceNumber,
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
pub struct Hello {
    /// Who spoke.
    pub appliance: ApplianceNumber,
    /// Its boot.
    pub boot: BootId,
    /// How long that has been up.
    pub uptime: Option<Duration>,
    /// Whose numbers its events bear.
    pub spool: Option<SpoolId>,
    /// The session.
    pub session: SessionId,
}

/// What administrators and orchestrators may ask for.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
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
        reset: Reset,
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
}

impl Order {
    /// The name of the appliance it is about.
    pub fn name(&self) -> &ApplianceName {
        match self {
            Self::Add { name, .. }
            | Self::Set { name, .. }
            | Self::Remove { name }
            | Self::StartBoot { name }
            | Self::Stop { name }
            | Self::CrashDump { name } => name,
        }
    }
}

/// Which overrides go back to the class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reset {
    /// See [`Overrides::managed`].
    pub managed: bool,
    /// See [`Overrides::boot_timeout`].
    pub boot_timeout: bool,
    /// See [`Overrides::maintenance_silence`].
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
    pub away: Option<Duration>,
    /// How far the wall clock lies behind the last record.
    pub clock_back: Option<Duration>,
    /// What the journal's recovery has to say, a sentence each.
    pub recovery: Vec<Box<str>>,
    /// Records that were acknowledged and are nowhere.
    pub missing: Vec<RangeInclusive<RecordNumber>>,
}

/// Why the broker could not hear anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// Its turn came late: a paused process, a stalled disk.
    LateTurn,
    /// The wall clock went ahead: a machine that slept, or a clock that was set.
    ClockWentAhead,
    /// Its disk was nearly full, so that it took nothing.
    DiskWasLow,
}

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Taken.
    Kept,
    /// Known already; no record.
    Duplicate,
    /// Of an older boot: recorded, no change.
    History,
    /// The rules say no: recorded, no change.
    Refused(Refusal),
}

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

/// One start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Its id; `None`: an orchestrator said that it begins, and the appliance has not spoken.
    pub id: Option<BootId>,
    /// When it began: at power-on, if the appliance told its uptime.
    pub began_at: Timestamp,
    /// Whether a session of it was seen, so that lost contact means something.
    pub has_agent: bool,
    /// Its start was not witnessed and is only assumed to be over: the appliance may say otherwise.
    pub is_assumed: bool,
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

/// What is noted about a record: a set.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks(u32);

impl Marks {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The event's time is far from the broker's.
    pub const TIME_OFF: Self = Self(1);
    /// The text was cut.
    pub const TEXT_CUT: Self = Self(1 << 1);
    /// The event comes out of the appliance's spool.
    pub const REPLAYED: Self = Self(1 << 2);
    /// A tool sent its last report again.
    pub const REPEATED: Self = Self(1 << 3);
    /// Progress lies below what it was.
    pub const PROGRESS_FELL: Self = Self(1 << 4);
    /// The promise was longer than its class allows.
    pub const PROMISE_CUT: Self = Self(1 << 5);
    /// The start completed after its deadline.
    pub const LATE: Self = Self(1 << 6);
    /// A failure is cleared by the appliance's own word.
    pub const RECOVERED: Self = Self(1 << 7);
    /// The boot was under way long before the broker first saw the appliance.
    pub const NOT_WITNESSED: Self = Self(1 << 8);
    /// The appliance is unmanaged: the event changes nothing.
    pub const UNMANAGED: Self = Self(1 << 9);
    /// Neither progress nor text moved for too long.
    pub const STUCK: Self = Self(1 << 10);
    /// A crash dump of an unmanaged appliance may have worked or not.
    pub const OUTCOME_UNKNOWN: Self = Self(1 << 11);
    /// A reboot after a good start, which its class ignores.
    pub const REBOOT_IGNORED: Self = Self(1 << 12);

    const WORDS: [&'static str; 13] = [
        "time_off",
        "text_cut",
        "replayed",
        "repeated",
        "progress_fell",
        "promise_cut",
        "late",
        "recovered",
        "not_witnessed",
        "unmanaged",
        "stuck",
        "outcome_unknown",
        "reboot_ignored",
    ];

    /// From the bits of [`Marks::bits`]; bits that mean nothing are kept.
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The set as bits, for keeping.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `other` is noted.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The words of what is noted, in a fixed order.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Self::WORDS
            .iter()
            .enumerate()
            .filter(move |(bit, _)| self.0 >> bit & 1 == 1)
            .map(|(_, word)| *word)
    }
}

impl std::ops::BitOrAssign for Marks {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.words()).finish()
    }
}
