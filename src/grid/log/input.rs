//! Defines inputs: everything that may change the state, as it was received.
//!
//! Guarantees that each input tells which appliance and boot it is about, and whether it moves time.
//! Decides nothing.

use std::ops::RangeInclusive;
use std::time::Duration;

use uuid::Uuid;

use crate::grid::log::alert_input::AlertInput;
use crate::grid::log::applied_settings::AppliedSettings;
use crate::grid::log::command::AdminCommand;
use crate::grid::log::crash_dump::DumpReport;
use crate::grid::log::identity::{IdentityCommand, SecurityIncident};
use crate::grid::log::journal_incident::JournalIncident;
use crate::grid::log::silence_input::SilenceInput;
use crate::grid::log::time_shift::TimeShift;
use crate::grid::log::timer::Timer;
use crate::grid::log::wall_clock_change::WallClockChange;
use crate::grid::model::mail_message::{Delivery, MessageNumber, OutboxCommand};
use crate::grid::values::event::Event;
use crate::grid::values::event_order::EventOrder;
use crate::grid::values::id::{
    ApplianceIndex, ApplianceName, BootId, RecordNumber, Sequence, SessionId, SpoolId,
};
use crate::grid::values::time::Timestamp;

impl Input {
    /// The number of the appliance it is about, if the input has one.
    pub fn appliance(&self) -> Option<ApplianceIndex> {
        match self {
            Self::Event(received) => Some(received.appliance),
            Self::Hello(hello) => Some(hello.appliance),
            Self::SessionEnded { appliance, .. }
            | Self::Deadline { appliance, .. }
            | Self::RepeatsEnded { appliance, .. }
            | Self::CrashDump(DumpReport { appliance, .. }) => Some(*appliance),
            Self::Registered { .. }
            | Self::Command { .. }
            | Self::BrokerStarted(_)
            | Self::BrokerStopped
            | Self::BrokerPaused { .. }
            | Self::ClockSetBack { .. }
            | Self::WallClock(_)
            | Self::Journal(_)
            | Self::Tally
            | Self::MailDue { .. }
            | Self::MailDelivery { .. }
            | Self::MailCommand { .. }
            | Self::Settings(_)
            | Self::Identity { .. }
            | Self::Security(_)
            | Self::Alert(_)
            | Self::Silence(_) => None,
        }
    }

    /// The boot it contains.
    pub fn boot(&self) -> Option<BootId> {
        match self {
            Self::Event(received) => received.boot,
            Self::Hello(hello) => Some(hello.boot),
            Self::SessionEnded { boot, .. } => Some(*boot),
            Self::Registered { .. }
            | Self::Command { .. }
            | Self::Deadline { .. }
            | Self::BrokerStarted(_)
            | Self::BrokerStopped
            | Self::BrokerPaused { .. }
            | Self::ClockSetBack { .. }
            | Self::WallClock(_)
            | Self::Journal(_)
            | Self::RepeatsEnded { .. }
            | Self::Tally
            | Self::MailDue { .. }
            | Self::MailDelivery { .. }
            | Self::MailCommand { .. }
            | Self::Settings(_)
            | Self::Identity { .. }
            | Self::Security(_)
            | Self::CrashDump(_)
            | Self::Alert(_)
            | Self::Silence(_) => None,
        }
    }

    /// Whether it may move broker time, perhaps back.
    pub fn moves_time(&self) -> bool {
        matches!(self, Self::BrokerStarted(_) | Self::WallClock(WallClockChange::Followed { .. }))
    }

    /// The sender, if this is a live event outside a session.
    pub fn live_reporter(&self) -> Option<ApplianceIndex> {
        match self {
            Self::Event(received) if received.session.is_none() => {
                received.event.spooled_at.is_none().then_some(received.appliance)
            }
            Self::Event(_)
            | Self::Hello(_)
            | Self::SessionEnded { .. }
            | Self::Registered { .. }
            | Self::Command { .. }
            | Self::Deadline { .. }
            | Self::BrokerStarted(_)
            | Self::BrokerStopped
            | Self::BrokerPaused { .. }
            | Self::ClockSetBack { .. }
            | Self::WallClock(_)
            | Self::Journal(_)
            | Self::RepeatsEnded { .. }
            | Self::Tally
            | Self::MailDue { .. }
            | Self::MailDelivery { .. }
            | Self::MailCommand { .. }
            | Self::Settings(_)
            | Self::Identity { .. }
            | Self::Security(_)
            | Self::CrashDump(_)
            | Self::Alert(_)
            | Self::Silence(_) => None,
        }
    }
}

/// Everything that may change the state.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// An event was received.
    Event(Box<ReceivedEvent>),
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
    /// A command on credentials.
    Identity {
        /// Who sent it.
        by: Box<str>,
        /// The command.
        command: IdentityCommand,
    },
    /// A security incident.
    Security(SecurityIncident),
    /// The driver of a crash dump is done.
    CrashDump(DumpReport),
    /// An alert is due, or an administrator sent a command about it.
    Alert(AlertInput),
    /// A silence is due, or an administrator sent a command about it.
    Silence(SilenceInput),
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

impl ReceivedEvent {
    /// Its position within its boot; it was received at `now`.
    pub fn order(&self, now: Timestamp) -> EventOrder {
        let event = &self.event;
        EventOrder {
            // Limited to the journal's microseconds, so that it reads back equal.
            uptime: event.uptime.map(|it| it.min(Duration::from_micros(u64::MAX))),
            sequence: self.spool.zip(self.sequence),
            time: event.event_time.or(event.spooled_at).unwrap_or(now),
        }
    }
}
