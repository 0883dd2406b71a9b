//! The reading half for inputs: `grid.journal.v1` to domain.

use std::num::NonZeroU64;
use std::time::Duration;

use uuid::Uuid;

use super::DecodeError;
use super::proto;
use super::{clock, event, mail, settings, storage, timer};
use crate::grid::effect::Effect;
use crate::grid::event::{Progress, Severity};
use crate::grid::lifecycle::Refusal;
use crate::grid::mail::MessageNumber;
use crate::grid::name::{ApplianceName, ApplianceNumber, BootId, SpoolId};
use crate::grid::record::{BrokerStarted, Hello, Input, Order, Reset, SessionId, Stall};
use crate::grid::settings::Overrides;
use crate::grid::storage::Storage;

/// The input of a record that has these effects.
pub(super) fn read(
    input: Option<proto::record::Input>,
    effects: &[Effect],
) -> Result<Input, DecodeError> {
    use proto::record::Input as P;
    Ok(match input.ok_or(DecodeError::Newer { what: "an input" })? {
        P::Event(it) => Input::Event(event::read_heard(it)?),
        P::Hello(hello) => Input::Hello(Hello {
            appliance: ApplianceNumber(hello.appliance),
            boot: boot(&hello.boot)?,
            uptime: hello.uptime_us.map(Duration::from_micros),
            spool: NonZeroU64::new(hello.spool).map(SpoolId),
            session: SessionId(hello.session),
            acked_through: hello.acked_through,
            is_transient: hello.transient,
        }),
        P::SessionEnded(ended) => Input::SessionEnded {
            appliance: ApplianceNumber(ended.appliance),
            boot: boot(&ended.boot)?,
        },
        P::Appeared(appeared) => {
            Input::Appeared { name: name(&appeared.name)?, uuid: uuid(&appeared.uuid)? }
        }
        P::Ordered(ordered) => {
            Input::Order { by: ordered.by.as_str().into(), order: order(ordered)? }
        }
        P::Deadline(deadline) => Input::Deadline {
            appliance: ApplianceNumber(deadline.appliance),
            timer: timer::read(deadline.timer, effects)?,
        },
        P::BrokerStarted(started) => Input::BrokerStarted(BrokerStarted {
            term: started.term,
            version: started.version.into(),
            away: started.away_us.map(Duration::from_micros),
            clock_back: started.clock_back_us.map(Duration::from_micros),
            rebuilt_from: (started.rebuilt_from > 0).then_some(started.rebuilt_from),
            recovery: started.recovery.into_iter().map(Into::into).collect(),
            missing: storage::ranges(&started.missing),
            shift: started.shift.map(clock::read_shift),
            last_run: clock::read_last_run(started.last_run),
        }),
        P::BrokerStopped(proto::BrokerStopped {}) => Input::BrokerStopped,
        P::BrokerStalled(stalled) => Input::BrokerStalled {
            lasted: Duration::from_micros(stalled.lasted_us),
            cause: match (stalled.clock_went_ahead, stalled.disk_was_low) {
                (false, false) => Stall::LateTurn,
                (true, _) => Stall::ClockWentAhead,
                (false, true) => Stall::DiskWasLow,
            },
        },
        P::Trimmed(it) => Input::Storage(Storage::Trimmed(storage::trimmed(it)?)),
        P::RecordsMissing(it) => {
            Input::Storage(Storage::Missing { ranges: storage::ranges(&it.ranges) })
        }
        P::DiskSpace(it) => Input::Storage(storage::disk_space(it)),
        P::Resources(it) => Input::Storage(storage::resources(it)),
        P::Settings(it) => Input::Settings(settings::read(it)),
        P::Tally(proto::Tally {}) => Input::Tally,
        P::MailDue(due) => Input::MailDue { message: MessageNumber(due.message) },
        P::MailAnswered(it) => mail::read_answered(it)?,
        P::MailOrdered(it) => mail::read_ordered(it)?,
        P::RunOver(over) => {
            Input::RunOver { appliance: ApplianceNumber(over.appliance), key: uuid(&over.key)? }
        }
        P::WallClock(it) => Input::WallClock(clock::read_wall_clock(it)?),
        P::ClockSetBack(set) => Input::ClockSetBack { by: Duration::from_micros(set.by_us) },
    })
}

fn order(ordered: proto::Ordered) -> Result<Order, DecodeError> {
    use proto::OrderKind as K;
    let kind = K::try_from(ordered.kind).map_err(|_| DecodeError::Newer { what: "an order" })?;
    let name = name(&ordered.name)?;
    let class = ordered.class.map(Into::into);
    let own = overrides(ordered.overrides.as_ref());
    Ok(match kind {
        K::Unspecified => return Err(DecodeError::Newer { what: "an order" }),
        K::Add => Order::Add { name, uuid: uuid(&ordered.uuid)?, class, overrides: own },
        K::Set => Order::Set {
            name,
            class,
            overrides: own,
            reset: Reset {
                managed: ordered.reset_managed,
                boot_timeout: ordered.reset_boot_timeout,
                maintenance_silence: ordered.reset_maintenance_silence,
            },
        },
        K::Remove => Order::Remove { name },
        K::StartBoot => Order::StartBoot { name },
        K::Stop => Order::Stop { name },
        K::CrashDump => Order::CrashDump { name },
        K::Unsuppress => Order::Unsuppress { name },
    })
}

pub(super) fn overrides(own: Option<&proto::Overrides>) -> Overrides {
    let Some(own) = own else { return Overrides::default() };
    Overrides {
        managed: own.managed,
        boot_timeout: own.boot_timeout_us.map(Duration::from_micros),
        maintenance_silence: own.maintenance_silence_us.map(Duration::from_micros),
    }
}

pub(super) fn refusal(refusal: i32) -> Result<Refusal, DecodeError> {
    Ok(match proto::Refusal::try_from(refusal) {
        Ok(proto::Refusal::Stopped) => Refusal::Stopped,
        Ok(proto::Refusal::AlreadyRunning) => Refusal::AlreadyRunning,
        Ok(proto::Refusal::FailedForGood) => Refusal::FailedForGood,
        Ok(proto::Refusal::Dumping) => Refusal::Dumping,
        Ok(proto::Refusal::Removed) => Refusal::Removed,
        Ok(proto::Refusal::Unspecified) | Err(_) => {
            return Err(DecodeError::Newer { what: "a refusal" });
        }
    })
}

pub(super) fn severity(severity: u32) -> Result<Severity, DecodeError> {
    Ok(match severity {
        1 => Severity::Debug,
        2 => Severity::Info,
        3 => Severity::Warn,
        4 => Severity::Error,
        5 => Severity::Fatal,
        _ => return Err(DecodeError::Newer { what: "a severity" }),
    })
}

pub(super) fn progress(percent: u32) -> Result<Option<Progress>, DecodeError> {
    match percent {
        0 => Ok(None),
        percent => match Progress::new(percent) {
            Some(progress) => Ok(Some(progress)),
            None => Err(DecodeError::Impossible { what: "a progress" }),
        },
    }
}

pub(super) fn name(name: &str) -> Result<ApplianceName, DecodeError> {
    ApplianceName::kept(name).map_err(|_| DecodeError::Impossible { what: "an appliance's name" })
}

pub(super) fn uuid(bytes: &[u8]) -> Result<Uuid, DecodeError> {
    Uuid::from_slice(bytes).map_err(|_| DecodeError::Impossible { what: "a UUID" })
}

pub(super) fn boot(bytes: &[u8]) -> Result<BootId, DecodeError> {
    uuid(bytes).map(BootId)
}
