//! Classifies records: their kind, how severe they are, and which appliance they are about.
//!
//! Guarantees the same class for a record live and after it was read back. The numbers of kinds and
//! severities are those of the contract and of the journal's index. Knows no wire format.

use super::effect::Effect;
use super::record::Record;
use crate::grid::log::alert_input::AlertInput;
use crate::grid::log::command::AdminCommand;
use crate::grid::log::crash_dump::DumpResult;
use crate::grid::log::effect::ApplianceEffect;
use crate::grid::log::identity::{IdentityEffect, SecurityIncident};
use crate::grid::log::input::{Input, LastRun};
use crate::grid::log::silence_input::SilenceInput;
use crate::grid::log::wall_clock_change::WallClockChange;
use crate::grid::model::identity::appliance_of;
use crate::grid::values::event::{EventKind, Severity};
use crate::grid::values::id::{ApplianceIndex, ApplianceName};
use crate::grid::values::record_flags::RecordFlags;

/// What a record is about. The numbers are stored, in the masks of the journal's index too, and
/// are those of the contract: they never change. At most 31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// An event; it has the number of its kind.
    Event(EventKind),
    /// A session began a boot, or contact was found again.
    Session,
    /// A timer of an appliance ended.
    Deadline,
    /// An administrator or orchestrator did something.
    Administrator,
    /// The broker started, stopped, or reports on itself.
    Broker,
    /// A run of repeats or a suppression is summed up, or ended.
    Suppression,
    /// Events without a record of their own were counted.
    Tally,
    /// A mail was handed over, sent, deferred, failed, retried or dropped.
    Mail,
    /// Credentials changed, or somebody was refused.
    Security,
    /// The driver of a crash dump is done.
    CrashDump,
}

impl RecordKind {
    /// The number of the kind.
    pub fn number(self) -> u8 {
        match self {
            Self::Event(kind) => kind.number(),
            Self::Session => 6,
            Self::Deadline => 7,
            Self::Administrator => 8,
            Self::Broker => 9,
            Self::Suppression => 10,
            Self::Tally => 11,
            Self::Mail => 12,
            Self::Security => 13,
            Self::CrashDump => 14,
        }
    }
}

impl Record {
    /// What it is about.
    pub fn kind(&self) -> RecordKind {
        match &self.input {
            Input::Event(received) => RecordKind::Event(received.event.body.kind()),
            Input::Hello(_) | Input::SessionEnded { .. } | Input::Registered { .. } => {
                RecordKind::Session
            }
            Input::Deadline { timer, .. } if timer.is_of_admission() => RecordKind::Suppression,
            Input::Deadline { .. }
            | Input::Alert(AlertInput::Due { .. })
            | Input::Silence(SilenceInput::Due { .. }) => RecordKind::Deadline,
            Input::RepeatsEnded { .. } => RecordKind::Suppression,
            Input::Tally => RecordKind::Tally,
            Input::MailDue { .. } | Input::MailDelivery { .. } | Input::MailCommand { .. } => {
                RecordKind::Mail
            }
            Input::Command { .. }
            | Input::Alert(AlertInput::Command { .. })
            | Input::Silence(_) => RecordKind::Administrator,
            Input::Identity { .. } | Input::Security(_) => RecordKind::Security,
            Input::CrashDump(_) => RecordKind::CrashDump,
            Input::BrokerStarted(_)
            | Input::BrokerStopped
            | Input::BrokerPaused { .. }
            | Input::ClockSetBack { .. }
            | Input::WallClock(_)
            | Input::Journal(_)
            | Input::Settings(_) => RecordKind::Broker,
        }
    }

    /// How severe it is: its own severity, or that of an alert which it raises.
    pub fn severity(&self) -> Severity {
        let raised = self.effects.iter().filter_map(|effect| {
            if let Effect::FindingRaised { finding, .. } = effect {
                Some(finding.severity)
            } else {
                matches!(effect.of_appliance(), Some(ApplianceEffect::Suppression { .. }))
                    .then_some(Severity::Warn)
            }
        });
        let own = match &self.input {
            // A loss is at least a warning, however mild the event that reports it.
            Input::Event(received) if received.event.dropped_before.is_empty() => {
                received.event.severity
            }
            Input::Event(received) => received.event.severity.max(Severity::Warn),
            Input::BrokerStarted(started)
                if !started.recovery.is_empty()
                    || started.clock_back.is_some()
                    || started.last_run == LastRun::Interrupted =>
            {
                Severity::Warn
            }
            Input::WallClock(WallClockChange::Agrees | WallClockChange::Trusted) => Severity::Info,
            Input::BrokerPaused { .. } | Input::ClockSetBack { .. } | Input::WallClock(_) => {
                Severity::Warn
            }
            Input::Settings(settings) if !settings.warnings.is_empty() => Severity::Warn,
            Input::Security(SecurityIncident::Refused(_)) => Severity::Warn,
            Input::Security(SecurityIncident::TokenUsed { .. }) => Severity::Debug,
            Input::CrashDump(report) if report.result != DumpResult::Done => Severity::Warn,
            Input::Command { command: AdminCommand::CrashDump { .. }, .. } => Severity::Warn,
            Input::Deadline { .. } if self.flags.contains(RecordFlags::DUMP_NO_EFFECT) => {
                Severity::Warn
            }
            Input::Tally => return Severity::Debug,
            Input::MailDue { .. } | Input::Alert(AlertInput::Due { .. }) => Severity::Debug,
            Input::MailDelivery { .. } | Input::MailCommand { .. } => Severity::Info,
            Input::Hello(_)
            | Input::SessionEnded { .. }
            | Input::Registered { .. }
            | Input::Command { .. }
            | Input::Deadline { .. }
            | Input::BrokerStarted(_)
            | Input::BrokerStopped
            | Input::RepeatsEnded { .. }
            | Input::Journal(_)
            | Input::Settings(_)
            | Input::Identity { .. }
            | Input::CrashDump(_)
            | Input::Alert(AlertInput::Command { .. })
            | Input::Silence(_)
            | Input::Security(
                SecurityIncident::Accessed { .. } | SecurityIncident::ServerCertificate { .. },
            ) => Severity::Info,
        };
        raised.fold(own, Severity::max)
    }

    /// The appliance it is about; `None`: the broker itself.
    pub fn subject(&self) -> Option<ApplianceIndex> {
        self.input.appliance().or_else(|| {
            self.effects.iter().find_map(|effect| {
                let Effect::Appliance { number, change } = effect else { return None };
                let names_subject = matches!(
                    change,
                    ApplianceEffect::Registered { .. }
                        | ApplianceEffect::Removed
                        | ApplianceEffect::Boot { .. }
                        | ApplianceEffect::Lifecycle { .. }
                        | ApplianceEffect::Suppression { .. }
                );
                names_subject.then_some(*number)
            })
        })
    }
}

impl Record {
    /// The appliance that it names, if [`Self::subject`] knows none by its number.
    pub fn named_appliance(&self) -> Option<&ApplianceName> {
        if let Input::Command { command, .. } = &self.input {
            Some(command.appliance_name())
        } else if let Input::Security(SecurityIncident::Refused(refusal)) = &self.input {
            refusal.reused_token_of.as_ref()
        } else {
            self.effects.iter().find_map(credential_owner)
        }
    }
}

/// The appliance whose credential changed.
fn credential_owner(effect: &Effect) -> Option<&ApplianceName> {
    let Effect::Identity(change) = effect else { return None };
    let owner = match change {
        IdentityEffect::Key { subject, .. } | IdentityEffect::KeyRemoved { subject } => subject,
        IdentityEffect::Token { token } => token.purpose.owner()?,
        IdentityEffect::ApplianceRevoked { name, .. } => return Some(name),
        IdentityEffect::TokenRemoved { .. }
        | IdentityEffect::KeyRevoked { .. }
        | IdentityEffect::Administrator { .. }
        | IdentityEffect::AdministratorRemoved { .. } => return None,
    };
    appliance_of(owner)
}

impl Severity {
    /// Its number in the journal's index and in the contract: 1 to 5.
    pub fn number(self) -> u8 {
        match self {
            Self::Debug => 1,
            Self::Info => 2,
            Self::Warn => 3,
            Self::Error => 4,
            Self::Fatal => 5,
        }
    }
}
