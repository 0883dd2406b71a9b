//! Encodes and decodes inputs.
//!
//! Guarantees that an unknown value is an error. Does not know effects.

use std::num::NonZeroU64;
use std::time::Duration;

use super::DecodeError;
use super::proto;
use super::{alert, clock, event, identity, mail, timer};
use crate::codec::values::{
    decode_boot, decode_name, decode_overrides, decode_uuid, encode_boot, encode_overrides, micros,
};
use crate::codec::{applied_settings, crash_dump, journal_incident, silence};
use crate::grid::log::alert_input::AlertInput;
use crate::grid::log::command::{AdminCommand, OverrideReset};
use crate::grid::log::effect::Effect;
use crate::grid::log::input::{BrokerPause, BrokerStarted, Input, SessionHello};
use crate::grid::log::journal_incident::JournalIncident;
use crate::grid::model::mail_message::MessageNumber;
use crate::grid::values::id::{AlertId, ApplianceIndex, SessionId, SpoolId};
use crate::grid::values::outcome::EventRejection;

/// `None` for an event: [`event::write_event`] writes it.
pub(super) fn encode(input: &Input) -> Option<proto::record::Input> {
    use proto::record::Input as P;
    Some(match input {
        Input::Event(_) => return None,
        Input::Hello(hello) => P::Hello(proto::Hello {
            appliance: hello.appliance.0,
            boot: encode_boot(hello.boot),
            uptime_us: hello.uptime.map(micros),
            spool: hello.spool.map_or(0, |spool| spool.0.get()),
            session: hello.session.0,
            acked_through: hello.acked_through,
            transient: hello.is_transient,
        }),
        Input::SessionEnded { appliance, boot: id } => {
            P::SessionEnded(proto::SessionEnded { appliance: appliance.0, boot: encode_boot(*id) })
        }
        Input::Registered { name, uuid } => P::Registered(proto::Registered {
            name: name.as_str().to_owned(),
            uuid: uuid.as_bytes().to_vec(),
        }),
        Input::Command { by, command } => P::AdminCommand(encode_command(by, command)),
        Input::Deadline { appliance, timer } => {
            let timer = timer::write(*timer).into();
            P::Deadline(proto::Deadline { appliance: appliance.0, timer })
        }
        Input::BrokerStarted(started) => P::BrokerStarted(proto::BrokerStarted {
            term: started.term,
            version: started.version.to_string(),
            away_us: started.downtime.map(micros),
            clock_back_us: started.clock_back.map(micros),
            rebuilt_from: started.rebuilt_from.unwrap_or(0),
            recovery: started.recovery.iter().map(ToString::to_string).collect(),
            missing: journal_incident::encode_ranges(&started.missing_records),
            shift: started.shift.map(clock::encode_shift),
            last_run: clock::encode_last_run(started.last_run).into(),
        }),
        Input::BrokerStopped => P::BrokerStopped(proto::BrokerStopped {}),
        Input::BrokerPaused { lasted, cause } => P::BrokerPaused(proto::BrokerPaused {
            lasted_us: micros(*lasted),
            clock_went_ahead: *cause == BrokerPause::ClockJumpedAhead,
            disk_was_low: *cause == BrokerPause::DiskLow,
        }),
        Input::Journal(it) => journal_incident::encode(it),
        Input::Settings(it) => P::Settings(applied_settings::encode(it)),
        Input::Tally => P::Tally(proto::Tally {}),
        Input::MailDue { message } => P::MailDue(proto::MailDue { message: message.0 }),
        Input::MailDelivery { message, attempt, delivery } => {
            P::MailDelivery(mail::encode_delivery(*message, *attempt, delivery))
        }
        Input::MailCommand { by, message, command } => {
            P::MailCommand(mail::encode_command(by, *message, *command))
        }
        Input::RepeatsEnded { appliance, group } => P::RepeatsEnded(proto::RepeatsEnded {
            appliance: appliance.0,
            key: group.as_bytes().to_vec(),
        }),
        Input::Identity { by, command } => {
            P::IdentityCommand(identity::encode_command(by, command))
        }
        Input::Alert(AlertInput::Due { id }) => P::AlertDue(proto::AlertDue { id: id.0 }),
        Input::Alert(AlertInput::Command { by, id, command }) => {
            P::AlertCommand(alert::encode_command(by, *id, command))
        }
        Input::Silence(input) => silence::encode_input(input),
        Input::CrashDump(report) => P::CrashDump(crash_dump::encode_report(report)),
        Input::Security(incident) => P::SecurityIncident(identity::encode_incident(incident)),
        Input::WallClock(found) => P::WallClock(clock::encode_wall_clock(found)),
        Input::ClockSetBack { by } => P::ClockSetBack(proto::ClockSetBack { by_us: micros(*by) }),
    })
}

/// The input of a record that has these effects.
pub(super) fn decode(
    input: Option<proto::record::Input>,
    effects: &[Effect],
) -> Result<Input, DecodeError> {
    use proto::record::Input as P;
    Ok(match input.ok_or(DecodeError::Newer { what: "an input" })? {
        P::Event(it) => Input::Event(event::decode_event(it)?.into()),
        P::Hello(hello) => decode_hello(&hello)?,
        P::AlertDue(it) => Input::Alert(AlertInput::Due { id: AlertId(it.id) }),
        P::AlertCommand(it) => alert::decode_command(it)?,
        P::SilenceDue(it) => silence::due(&it),
        P::SilenceAdded(it) => silence::decode_added(it)?,
        P::SilenceEnded(it) => silence::ended(it),
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
        P::BrokerPaused(paused_for) => Input::BrokerPaused {
            lasted: Duration::from_micros(paused_for.lasted_us),
            cause: match (paused_for.clock_went_ahead, paused_for.disk_was_low) {
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
        P::IdentityCommand(it) => identity::decode_command(it)?,
        P::CrashDump(it) => Input::CrashDump(crash_dump::decode_report(it)?),
        P::SecurityIncident(it) => Input::Security(identity::decode_incident(it)?),
        P::WallClock(it) => Input::WallClock(clock::decode_wall_clock(it)?),
        P::ClockSetBack(set) => Input::ClockSetBack { by: Duration::from_micros(set.by_us) },
    })
}

fn encode_command(by: &str, command: &AdminCommand) -> proto::AdminCommand {
    use proto::CommandKind as K;
    let kind = match command {
        AdminCommand::Add { .. } => K::Add,
        AdminCommand::Set { .. } => K::Set,
        AdminCommand::Remove { .. } => K::Remove,
        AdminCommand::StartBoot { .. } => K::StartBoot,
        AdminCommand::Stop { .. } => K::Stop,
        AdminCommand::CrashDump { .. } => K::CrashDump,
        AdminCommand::Lock { .. } => K::Lock,
        AdminCommand::Unlock { .. } => K::Unlock,
        AdminCommand::Unsuppress { .. } => K::Unsuppress,
    };
    let mut written = proto::AdminCommand {
        by: by.to_owned(),
        kind: kind.into(),
        name: command.appliance_name().as_str().to_owned(),
        ..proto::AdminCommand::default()
    };
    match command {
        AdminCommand::Add { uuid, class, overrides, .. } => {
            written.uuid = uuid.as_bytes().to_vec();
            written.class = class.as_ref().map(ToString::to_string);
            written.overrides = Some(encode_overrides(overrides));
        }
        AdminCommand::Set { class, overrides, reset, .. } => {
            written.class = class.as_ref().map(ToString::to_string);
            written.overrides = Some(encode_overrides(overrides));
            let OverrideReset { managed, boot_timeout, maintenance_silence } = *reset;
            written.reset_managed = managed;
            written.reset_boot_timeout = boot_timeout;
            written.reset_maintenance_silence = maintenance_silence;
        }
        AdminCommand::CrashDump { order, .. } => {
            written.crash_dump = Some(crash_dump::encode_order(order));
        }
        AdminCommand::Lock { reason, is_by_admin, .. } => {
            written.lock_reason = reason.to_string();
            written.by_admin = *is_by_admin;
        }
        AdminCommand::Unlock { is_by_admin, .. } => written.by_admin = *is_by_admin,
        AdminCommand::Remove { .. }
        | AdminCommand::StartBoot { .. }
        | AdminCommand::Stop { .. }
        | AdminCommand::Unsuppress { .. } => {}
    }
    written
}

fn decode_hello(hello: &proto::Hello) -> Result<Input, DecodeError> {
    Ok(Input::Hello(SessionHello {
        appliance: ApplianceIndex(hello.appliance),
        boot: decode_boot(&hello.boot)?,
        uptime: hello.uptime_us.map(Duration::from_micros),
        spool: NonZeroU64::new(hello.spool).map(SpoolId),
        session: SessionId(hello.session),
        acked_through: hello.acked_through,
        is_transient: hello.transient,
    }))
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
        K::CrashDump => {
            AdminCommand::CrashDump { name, order: crash_dump::decode_order(ordered.crash_dump)? }
        }
        K::Lock => AdminCommand::Lock {
            name,
            reason: ordered.lock_reason.into(),
            is_by_admin: ordered.by_admin,
        },
        K::Unlock => AdminCommand::Unlock { name, is_by_admin: ordered.by_admin },
        K::Unsuppress => AdminCommand::Unsuppress { name },
    })
}

pub(super) fn decode_rejection(rejection: i32) -> Result<EventRejection, DecodeError> {
    Ok(match proto::EventRejection::try_from(rejection) {
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
