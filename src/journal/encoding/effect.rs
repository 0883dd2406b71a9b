//! The reading half for effects: `grid.journal.v1` to domain.

use std::num::NonZeroU64;
use std::time::Duration;

use super::DecodeError;
use super::input::{boot, name, overrides, progress, severity, uuid};
use super::{admission, clock, event, mail, proto};
use crate::grid::effect::{Alert, Boot, Effect, Matter, Memory};
use crate::grid::lifecycle::{Failed, Failure, LastWord, Lifecycle, Maintenance};
use crate::grid::name::{ApplianceNumber, SpoolId};
use crate::grid::time::Timestamp;
use crate::grid::window::Window;

pub(super) fn read(effect: proto::Effect) -> Result<Effect, DecodeError> {
    use proto::effect::Change as P;
    Ok(match effect.change.ok_or(DecodeError::Newer { what: "an effect" })? {
        P::Appliance(it) => Effect::Appliance {
            number: ApplianceNumber(it.number),
            name: name(&it.name)?,
            uuid: uuid(&it.uuid)?,
            class: it.class.into(),
            overrides: overrides(it.overrides.as_ref()),
        },
        P::Removed(it) => Effect::Removed { number: ApplianceNumber(it.number) },
        P::Boot(it) => Effect::Boot { number: ApplianceNumber(it.number), boot: boot_is(&it)? },
        P::Lifecycle(it) => Effect::Lifecycle {
            number: ApplianceNumber(it.number),
            lifecycle: lifecycle(it.state)?,
            since: Timestamp::from_micros(it.since_us),
        },
        P::FailedStarts(it) => Effect::FailedStarts {
            number: ApplianceNumber(it.number),
            at: it.at_us.into_iter().map(Timestamp::from_micros).collect(),
        },
        P::AlertRaised(it) => Effect::AlertRaised {
            number: appliance_or_broker(it.number),
            matter: matter(it.matter)?,
            alert: Alert {
                severity: severity(it.severity)?,
                since: Timestamp::from_micros(it.since_us),
                text: it.text.into(),
            },
        },
        P::AlertCleared(it) => Effect::AlertCleared {
            number: appliance_or_broker(it.number),
            matter: matter(it.matter)?,
        },
        P::DeadlinesMoved(it) => Effect::DeadlinesMoved {
            by: Duration::from_micros(it.by_us),
            not_before: Timestamp::from_micros(it.not_before_us),
        },
        P::TimeShifted(it) => Effect::TimeShifted(clock::read_shift(it)),
        P::Lived(it) => Effect::Lived { lived: Duration::from_micros(it.lived_us) },
        P::Spent(it) => admission::read_spent(&it)?,
        P::BudgetsFilled(it) => Effect::BudgetsFilled { number: ApplianceNumber(it.number) },
        P::AlertKey(it) => Effect::AlertKey {
            number: ApplianceNumber(it.number),
            key: admission::read_alert_key(it.key)?,
        },
        P::AlertKeyForgotten(it) => {
            Effect::AlertKeyForgotten { number: ApplianceNumber(it.number), id: uuid(&it.id)? }
        }
        P::RunTold(it) => Effect::RunTold {
            number: ApplianceNumber(it.number),
            key: admission::read_alert_key(it.key)?,
        },
        P::Suppression(it) => admission::read_suppression_is(it)?,
        P::HeardOf(it) => admission::read_heard_of(&it)?,
        P::Unmailed(it) => admission::read_unmailed_is(it)?,
        P::Mail(it) => Effect::Mail(mail::read_change(it)?),
        P::Memory(it) => Effect::Memory { number: ApplianceNumber(it.number), memory: memory(it)? },
        P::Tombstone(it) => {
            Effect::Tombstone { number: ApplianceNumber(it.number), name: name(&it.name)? }
        }
    })
}

fn boot_is(it: &proto::BootIs) -> Result<Boot, DecodeError> {
    let id = match it.id.as_slice() {
        [] => None,
        bytes => Some(boot(bytes)?),
    };
    let began_at = Timestamp::from_micros(it.began_at_us);
    let not_before = it.not_before_us.map_or(began_at, Timestamp::from_micros);
    let (has_agent, is_assumed) = (it.has_agent, it.is_assumed);
    let newest_word = it.newest_word.as_ref().map(event::read_word);
    Ok(Boot { id, began_at, not_before, has_agent, is_assumed, newest_word })
}

fn lifecycle(state: Option<proto::lifecycle_is::State>) -> Result<Lifecycle, DecodeError> {
    use proto::lifecycle_is::State as P;
    Ok(match state.ok_or(DecodeError::Newer { what: "a state of an appliance" })? {
        P::Idle(proto::Idle {}) => Lifecycle::Idle,
        P::Starting(it) => {
            Lifecycle::Starting { deadline: it.deadline_us.map(Timestamp::from_micros) }
        }
        P::Maintenance(it) => Lifecycle::Maintenance(Box::new(Maintenance {
            progress: progress(it.progress)?,
            best: progress(it.best)?,
            text: it.text.into(),
            reported_at: Timestamp::from_micros(it.reported_at_us),
            promise: Timestamp::from_micros(it.promise_us),
            moved_at: Timestamp::from_micros(it.moved_at_us),
            stuck_at: it.stuck_at_us.map(Timestamp::from_micros),
            boot_deadline: it.boot_deadline_us.map(Timestamp::from_micros),
        })),
        P::Running(proto::Running {}) => Lifecycle::Running,
        P::Failed(it) => Lifecycle::Failed(Box::new(failed(it)?)),
        P::Dumping(it) => Lifecycle::Dumping { deadline: Timestamp::from_micros(it.deadline_us) },
    })
}

fn failed(failed: proto::Failed) -> Result<Failed, DecodeError> {
    use proto::FailureKind as K;
    let limit = Duration::from_micros(failed.limit_us);
    let failure = match K::try_from(failed.kind) {
        Ok(K::Reported) => Failure::Reported,
        Ok(K::BootTimeout) => Failure::BootTimeout { limit },
        Ok(K::Hung) => Failure::Hung { promise: limit },
        Ok(K::NoProgress) => Failure::NoProgress { still_for: limit },
        Ok(K::DumpTimeout) => Failure::DumpTimeout,
        Ok(K::Unspecified) | Err(_) => return Err(DecodeError::Newer { what: "a failure" }),
    };
    let last_word = match failed.last_word {
        None => None,
        Some(word) => Some(LastWord {
            text: word.text.into(),
            progress: progress(word.progress)?,
            at: Timestamp::from_micros(word.at_us),
        }),
    };
    Ok(Failed { failure, reason: failed.reason.into(), last_word })
}

fn memory(mut it: proto::Memory) -> Result<Memory, DecodeError> {
    Ok(Memory {
        past_boots: it.past_boots.iter().map(|id| boot(id)).collect::<Result<_, _>>()?,
        windows: it.windows.iter().map(window).collect::<Result<_, _>>()?,
        last_heard_at: it.last_heard_at_us.map(Timestamp::from_micros),
        last_record: it.last_record,
        admission: admission::recall(&mut it)?,
    })
}

pub(super) fn window(it: &proto::Window) -> Result<Window, DecodeError> {
    let spool = NonZeroU64::new(it.spool).map(SpoolId);
    Ok(Window {
        boot: boot(&it.boot)?,
        spool: spool.ok_or(DecodeError::Impossible { what: "a spool id" })?,
        highest: it.highest,
        seen: u128::from(it.seen_high) << 64 | u128::from(it.seen_low),
    })
}

fn matter(matter: i32) -> Result<Matter, DecodeError> {
    Ok(match proto::Matter::try_from(matter) {
        Ok(proto::Matter::StartFailed) => Matter::StartFailed,
        Ok(proto::Matter::Stuck) => Matter::Stuck,
        Ok(proto::Matter::NoContact) => Matter::NoContact,
        Ok(proto::Matter::TwoMachines) => Matter::TwoMachines,
        Ok(proto::Matter::Flapping) => Matter::Flapping,
        Ok(proto::Matter::RecordsMissing) => Matter::RecordsMissing,
        Ok(proto::Matter::DiskLow) => Matter::DiskLow,
        Ok(proto::Matter::MailFails) => Matter::MailFails,
        Ok(proto::Matter::ClockDiffers) => Matter::ClockDiffers,
        Ok(proto::Matter::ResourcesShort) => Matter::ResourcesShort,
        Ok(proto::Matter::Unspecified) | Err(_) => {
            return Err(DecodeError::Newer { what: "a matter" });
        }
    })
}

fn appliance_or_broker(number: u32) -> Option<ApplianceNumber> {
    (number != 0).then_some(ApplianceNumber(number))
}
