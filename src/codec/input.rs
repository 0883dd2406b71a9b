//! Decodes inputs: `grid.journal.v1` to domain.
//!
//! Guarantees that an unknown value is an error. Does not know effects.

use std::num::NonZeroU64;
use std::time::Duration;

use uuid::Uuid;

use super::DecodeError;
use super::proto;
use super::{clock, event, mail, timer};
use crate::codec::{applied_settings, journal_incident};
use crate::grid::log::command::{AdminCommand, OverrideReset};
use crate::grid::log::effect::Effect;
use crate::grid::log::input::{BrokerPause, BrokerStarted, Input, SessionHello};
use crate::grid::log::journal_incident::JournalIncident;
use crate::grid::model::mail_message::MessageNumber;
use crate::grid::model::settings::Overrides;
use crate::grid::values::event::{Progress, Severity};
use crate::grid::values::id::{ApplianceIndex, ApplianceName, BootId, SessionId, SpoolId};
use crate::grid::values::outcome::EventRejection;

/// The input of a record that has these effects.
pub(super) fn decode(
    input: Option<proto::record::Input>,
    effects: &[Effect],
) -> Result<Input, DecodeError> {
    use proto::record::Input as P;
    Ok(match input.ok_or(DecodeError::Newer { what: "an input" })? {
        P::Event(it) => Input::Event(event::decode_event(it)?),
        P::Hello(hello) => Input::Hello(SessionHello {
            appliance: ApplianceIndex(hello.appliance),
            boot: decode_boot(&hello.boot)?,
            uptime: hello.uptime_us.map(Duration::from_micros),
            spool: NonZeroU64::new(hello.spool).map(SpoolId),
            session: SessionId(hello.session),
            acked_through: hello.acked_through,
            is_transient: hello.transient,
        }),
        P::SessionEnded(ended) => Input::SessionEnded {
            appliance: ApplianceIndex(ended.appliance),
            boot: decode_boot(&ended.boot)?,
        },
        P::Registered(appeared) => Input::Registered {
            name: decode_name(&appeared.name)?,
            uuid: decode_uuid(&appeared.uuid)?,
        },
        P::AdminCommand(ordered) => {
            Input::Command { by: ordered.by.as_str().into(), command: decode_command(ordered)? }
        }
        P::Deadline(deadline) => Input::Deadline {
            appliance: ApplianceIndex(deadline.appliance),
            timer: timer::read(deadline.timer, effects)?,
        },
        P::BrokerStarted(started) => Input::BrokerStarted(BrokerStarted {
            term: started.term,
            version: started.version.into(),
            downtime: started.away_us.map(Duration::from_micros),
            clock_back: started.clock_back_us.map(Duration::from_micros),
            rebuilt_from: (started.rebuilt_from > 0).then_some(started.rebuilt_from),
            recovery: started.recovery.into_iter().map(Into::into).collect(),
            missing_records: journal_incident::decode_ranges(&started.missing),
            shift: started.shift.map(clock::decode_shift),
            last_run: clock::decode_last_run(started.last_run),
        }),
        P::BrokerStopped(proto::BrokerStopped {}) => Input::BrokerStopped,
        P::BrokerPaused(stalled) => Input::BrokerPaused {
            lasted: Duration::from_micros(stalled.lasted_us),
            cause: match (stalled.clock_went_ahead, stalled.disk_was_low) {
                (false, false) => BrokerPause::ProcessPaused,
                (true, _) => BrokerPause::ClockJumpedAhead,
                (false, true) => BrokerPause::DiskLow,
            },
        },
        P::Trimmed(it) => {
            Input::Journal(JournalIncident::Trimmed(journal_incident::decode_trimmed(it)?))
        }
        P::RecordsMissing(it) => Input::Journal(JournalIncident::Missing {
            ranges: journal_incident::decode_ranges(&it.ranges),
        }),
        P::DiskSpace(it) => Input::Journal(journal_incident::decode_disk_space(it)),
        P::Resources(it) => Input::Journal(journal_incident::decode_resources(it)),
        P::Settings(it) => Input::Settings(applied_settings::decode(it)),
        P::Tally(proto::Tally {}) => Input::Tally,
        P::MailDue(due) => Input::MailDue { message: MessageNumber(due.message) },
        P::MailDelivery(it) => mail::decode_delivery(it)?,
        P::MailCommand(it) => mail::decode_command(it)?,
        P::RepeatsEnded(over) => Input::RepeatsEnded {
            appliance: ApplianceIndex(over.appliance),
            group: decode_uuid(&over.key)?,
        },
        P::WallClock(it) => Input::WallClock(clock::decode_wall_clock(it)?),
        P::ClockSetBack(set) => Input::ClockSetBack { by: Duration::from_micros(set.by_us) },
    })
}

fn decode_command(ordered: proto::AdminCommand) -> Result<AdminCommand, DecodeError> {
    use proto::CommandKind as K;
    let kind = K::try_from(ordered.kind)
        .map_err(|_| DecodeError::Newer { what: "an administrator's command" })?;
    let name = decode_name(&ordered.name)?;
    let class = ordered.class.map(Into::into);
    let overrides = decode_overrides(ordered.overrides.as_ref());
    Ok(match kind {
        K::Unspecified => return Err(DecodeError::Newer { what: "an administrator's command" }),
        K::Add => AdminCommand::Add { name, uuid: decode_uuid(&ordered.uuid)?, class, overrides },
        K::Set => AdminCommand::Set {
            name,
            class,
            overrides,
            reset: OverrideReset {
                managed: ordered.reset_managed,
                boot_timeout: ordered.reset_boot_timeout,
                maintenance_silence: ordered.reset_maintenance_silence,
            },
        },
        K::Remove => AdminCommand::Remove { name },
        K::StartBoot => AdminCommand::StartBoot { name },
        K::Stop => AdminCommand::Stop { name },
        K::CrashDump => AdminCommand::CrashDump { name },
        K::Unsuppress => AdminCommand::Unsuppress { name },
    })
}

pub(super) fn decode_overrides(own: Option<&proto::Overrides>) -> Overrides {
    let Some(own) = own else { return Overrides::default() };
    Overrides {
        managed: own.managed,
        boot_timeout: own.boot_timeout_us.map(Duration::from_micros),
        report_deadline: own.maintenance_silence_us.map(Duration::from_micros),
    }
}

pub(super) fn decode_rejection(refusal: i32) -> Result<EventRejection, DecodeError> {
    Ok(match proto::EventRejection::try_from(refusal) {
        Ok(proto::EventRejection::Stopped) => EventRejection::Stopped,
        Ok(proto::EventRejection::AlreadyRunning) => EventRejection::AlreadyRunning,
        Ok(proto::EventRejection::FailedPermanently) => EventRejection::FailedPermanently,
        Ok(proto::EventRejection::Dumping) => EventRejection::Dumping,
        Ok(proto::EventRejection::Removed) => EventRejection::Removed,
        Ok(proto::EventRejection::Unspecified) | Err(_) => {
            return Err(DecodeError::Newer { what: "a rejection reason" });
        }
    })
}

pub(super) fn decode_severity(severity: u32) -> Result<Severity, DecodeError> {
    Ok(match severity {
        1 => Severity::Debug,
        2 => Severity::Info,
        3 => Severity::Warn,
        4 => Severity::Error,
        5 => Severity::Fatal,
        _ => return Err(DecodeError::Newer { what: "a severity" }),
    })
}

pub(super) fn decode_progress(percent: u32) -> Result<Option<Progress>, DecodeError> {
    match percent {
        0 => Ok(None),
        percent => match Progress::new(percent) {
            Some(progress) => Ok(Some(progress)),
            None => Err(DecodeError::Impossible { what: "a progress" }),
        },
    }
}

pub(super) fn decode_name(name: &str) -> Result<ApplianceName, DecodeError> {
    ApplianceName::from_stored(name)
        .map_err(|_| DecodeError::Impossible { what: "an appliance's name" })
}

pub(super) fn decode_uuid(bytes: &[u8]) -> Result<Uuid, DecodeError> {
    Uuid::from_slice(bytes).map_err(|_| DecodeError::Impossible { what: "a UUID" })
}

pub(super) fn decode_boot(bytes: &[u8]) -> Result<BootId, DecodeError> {
    decode_uuid(bytes).map(BootId)
}
