//! Decodes effects: `grid.journal.v1` to domain.
//!
//! Guarantees that an unknown value is an error. Does not know inputs.

use std::num::NonZeroU64;
use std::time::Duration;

use super::DecodeError;
use super::input::{
    decode_boot, decode_name, decode_overrides, decode_progress, decode_severity, decode_uuid,
};
use super::{clock, event, mail, proto};
use crate::codec::usage;
use crate::grid::log::effect::Effect;
use crate::grid::model::alert::{Alert, AlertKind};
use crate::grid::model::boot::{ApplianceHistory, Boot};
use crate::grid::model::lifecycle::{
    FailedStart, FailureCause, LastReport, Lifecycle, Maintenance,
};
use crate::grid::model::sequence_window::SequenceWindow;
use crate::grid::values::id::{ApplianceIndex, SpoolId};
use crate::grid::values::time::Timestamp;

pub(super) fn decode(effect: proto::Effect) -> Result<Effect, DecodeError> {
    use proto::effect::Change as P;
    Ok(match effect.change.ok_or(DecodeError::Newer { what: "an effect" })? {
        P::Appliance(it) => Effect::Appliance {
            number: ApplianceIndex(it.number),
            name: decode_name(&it.name)?,
            uuid: decode_uuid(&it.uuid)?,
            class: it.class.into(),
            overrides: decode_overrides(it.overrides.as_ref()),
        },
        P::Removed(it) => Effect::Removed { number: ApplianceIndex(it.number) },
        P::Boot(it) => {
            Effect::Boot { number: ApplianceIndex(it.number), boot: decode_boot_effect(&it)? }
        }
        P::Lifecycle(it) => Effect::Lifecycle {
            number: ApplianceIndex(it.number),
            lifecycle: decode_lifecycle(it.state)?,
            since: Timestamp::from_micros(it.since_us),
        },
        P::FailedStarts(it) => Effect::FailedStarts {
            number: ApplianceIndex(it.number),
            at: it.at_us.into_iter().map(Timestamp::from_micros).collect(),
        },
        P::AlertRaised(it) => Effect::AlertRaised {
            number: appliance_or_broker(it.number),
            kind: decode_alert_kind(it.kind)?,
            alert: Alert {
                severity: decode_severity(it.severity)?,
                since: Timestamp::from_micros(it.since_us),
                text: it.text.into(),
            },
        },
        P::AlertCleared(it) => Effect::AlertCleared {
            number: appliance_or_broker(it.number),
            kind: decode_alert_kind(it.kind)?,
        },
        P::DeadlinesMoved(it) => Effect::DeadlinesMoved {
            by: Duration::from_micros(it.by_us),
            not_before: Timestamp::from_micros(it.not_before_us),
        },
        P::TimeShifted(it) => Effect::TimeShifted(clock::decode_shift(it)),
        P::Lived(it) => Effect::LivedTime { lived: Duration::from_micros(it.lived_us) },
        P::RateLimit(it) => usage::decode_rate_limit_state(&it)?,
        P::RateLimitsReset(it) => Effect::RateLimitsReset { number: ApplianceIndex(it.number) },
        P::AlertGroup(it) => Effect::AlertGroup {
            number: ApplianceIndex(it.number),
            group: usage::decode_alert_group(it.group)?,
        },
        P::AlertGroupForgotten(it) => Effect::AlertGroupForgotten {
            number: ApplianceIndex(it.number),
            id: decode_uuid(&it.id)?,
        },
        P::RepeatsReported(it) => Effect::RepeatsReported {
            number: ApplianceIndex(it.number),
            group: usage::decode_alert_group(it.group)?,
        },
        P::Suppression(it) => usage::decode_suppression_effect(it)?,
        P::Counters(it) => usage::decode_counters(&it)?,
        P::Unmailed(it) => usage::decode_unmailed_effect(it)?,
        P::Mail(it) => Effect::Mail(mail::decode_effect(it)?),
        P::History(it) => {
            Effect::History { number: ApplianceIndex(it.number), history: decode_history(it)? }
        }
        P::Tombstone(it) => {
            Effect::Tombstone { number: ApplianceIndex(it.number), name: decode_name(&it.name)? }
        }
    })
}

fn decode_boot_effect(it: &proto::BootState) -> Result<Boot, DecodeError> {
    let id = match it.id.as_slice() {
        [] => None,
        bytes => Some(decode_boot(bytes)?),
    };
    let began_at = Timestamp::from_micros(it.began_at_us);
    let not_before = it.not_before_us.map_or(began_at, Timestamp::from_micros);
    let (has_agent, is_assumed) = (it.has_agent, it.is_assumed);
    let newest_word = it.newest_event.as_ref().map(event::decode_event_order);
    Ok(Boot {
        id,
        began_at,
        earliest_began_at: not_before,
        has_agent,
        is_assumed_running: is_assumed,
        newest_event: newest_word,
    })
}

fn decode_lifecycle(
    state: Option<proto::lifecycle_state::State>,
) -> Result<Lifecycle, DecodeError> {
    use proto::lifecycle_state::State as P;
    Ok(match state.ok_or(DecodeError::Newer { what: "a state of an appliance" })? {
        P::Idle(proto::Idle {}) => Lifecycle::Idle,
        P::Starting(it) => {
            Lifecycle::Starting { deadline: it.deadline_us.map(Timestamp::from_micros) }
        }
        P::Maintenance(it) => Lifecycle::Maintenance(Box::new(Maintenance {
            progress: decode_progress(it.progress)?,
            best_progress: decode_progress(it.best)?,
            text: it.text.into(),
            reported_at: Timestamp::from_micros(it.reported_at_us),
            report_deadline: Timestamp::from_micros(it.report_deadline_us),
            progressed_at: Timestamp::from_micros(it.moved_at_us),
            stuck_at: it.stuck_at_us.map(Timestamp::from_micros),
            boot_deadline: it.boot_deadline_us.map(Timestamp::from_micros),
        })),
        P::Running(proto::Running {}) => Lifecycle::Running,
        P::Failed(it) => Lifecycle::Failed(Box::new(decode_failed(it)?)),
        P::Dumping(it) => Lifecycle::Dumping { deadline: Timestamp::from_micros(it.deadline_us) },
    })
}

fn decode_failed(failed: proto::Failed) -> Result<FailedStart, DecodeError> {
    use proto::FailureKind as K;
    let limit = Duration::from_micros(failed.limit_us);
    let failure = match K::try_from(failed.kind) {
        Ok(K::Reported) => FailureCause::Reported,
        Ok(K::BootTimeout) => FailureCause::BootTimeout { limit },
        Ok(K::Hung) => FailureCause::Hung { allowed_silence: limit },
        Ok(K::NoProgress) => FailureCause::NoProgress { unchanged_for: limit },
        Ok(K::DumpTimeout) => FailureCause::DumpTimeout,
        Ok(K::Unspecified) | Err(_) => return Err(DecodeError::Newer { what: "a failure" }),
    };
    let last_word = match failed.last_report {
        None => None,
        Some(word) => Some(LastReport {
            text: word.text.into(),
            progress: decode_progress(word.progress)?,
            at: Timestamp::from_micros(word.at_us),
        }),
    };
    Ok(FailedStart { failure, reason: failed.reason.into(), last_report: last_word })
}

fn decode_history(mut it: proto::ApplianceHistory) -> Result<ApplianceHistory, DecodeError> {
    Ok(ApplianceHistory {
        past_boots: it.past_boots.iter().map(|id| decode_boot(id)).collect::<Result<_, _>>()?,
        windows: it.windows.iter().map(decode_window).collect::<Result<_, _>>()?,
        last_event_at: it.last_event_at_us.map(Timestamp::from_micros),
        last_record: it.last_record,
        usage: usage::decode_usage(&mut it)?,
    })
}

pub(super) fn decode_window(it: &proto::SequenceWindow) -> Result<SequenceWindow, DecodeError> {
    let spool = NonZeroU64::new(it.spool).map(SpoolId);
    Ok(SequenceWindow {
        boot: decode_boot(&it.boot)?,
        spool: spool.ok_or(DecodeError::Impossible { what: "a spool id" })?,
        highest: it.highest,
        seen: u128::from(it.seen_high) << 64 | u128::from(it.seen_low),
    })
}

fn decode_alert_kind(kind: i32) -> Result<AlertKind, DecodeError> {
    Ok(match proto::AlertKind::try_from(kind) {
        Ok(proto::AlertKind::StartFailed) => AlertKind::StartFailed,
        Ok(proto::AlertKind::Stuck) => AlertKind::Stuck,
        Ok(proto::AlertKind::NoContact) => AlertKind::NoContact,
        Ok(proto::AlertKind::TwoMachines) => AlertKind::NameConflict,
        Ok(proto::AlertKind::Flapping) => AlertKind::Flapping,
        Ok(proto::AlertKind::RecordsMissing) => AlertKind::RecordsMissing,
        Ok(proto::AlertKind::DiskLow) => AlertKind::DiskLow,
        Ok(proto::AlertKind::MailFails) => AlertKind::MailFails,
        Ok(proto::AlertKind::ClockDiffers) => AlertKind::ClockDiffers,
        Ok(proto::AlertKind::ResourcesShort) => AlertKind::ResourcesShort,
        Ok(proto::AlertKind::Unspecified) | Err(_) => {
            return Err(DecodeError::Newer { what: "an alert kind" });
        }
    })
}

fn appliance_or_broker(number: u32) -> Option<ApplianceIndex> {
    (number != 0).then_some(ApplianceIndex(number))
}
