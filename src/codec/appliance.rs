//! Encodes and decodes changes of one appliance.
//!
//! Guarantees that an unknown value is an error. Does not know records.

use std::num::NonZeroU64;
use std::time::Duration;

use super::proto::effect::Change as P;
use crate::codec::values::{
    decode_boot, decode_name, decode_overrides, decode_progress, decode_uuid, encode_boot,
    encode_overrides, micros, percent,
};
use crate::codec::{DecodeError, crash_dump, event, proto, usage};
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::model::boot::{ApplianceHistory, Boot};
use crate::grid::model::lifecycle::{
    Dumping, FailedStart, FailureCause, LastReport, Lifecycle, Maintenance,
};
use crate::grid::model::sequence_window::SequenceWindow;
use crate::grid::values::id::{ApplianceIndex, SpoolId};
use crate::grid::values::time::Timestamp;

pub(super) fn encode(number: ApplianceIndex, change: &ApplianceEffect) -> P {
    match change {
        ApplianceEffect::Registered { name, uuid, class, overrides } => {
            P::Appliance(proto::ApplianceState {
                number: number.0,
                name: name.as_str().to_owned(),
                uuid: uuid.as_bytes().to_vec(),
                class: class.to_string(),
                overrides: Some(encode_overrides(overrides)),
            })
        }
        ApplianceEffect::Removed => P::Removed(proto::Removed { number: number.0 }),
        ApplianceEffect::Boot { boot } => P::Boot(encode_boot_effect(number, boot)),
        ApplianceEffect::Lifecycle { lifecycle: it, since } => {
            P::Lifecycle(proto::LifecycleState {
                number: number.0,
                since_us: since.as_micros(),
                state: Some(encode_lifecycle(it)),
            })
        }
        ApplianceEffect::FailedStarts { at } => P::FailedStarts(proto::FailedStarts {
            number: number.0,
            at_us: at.iter().map(|at| at.as_micros()).collect(),
        }),
        ApplianceEffect::RateLimitState { limit, refilled_at } => {
            P::RateLimit(usage::encode_rate_limit_state(number, *limit, *refilled_at))
        }
        ApplianceEffect::RateLimitsReset => {
            P::RateLimitsReset(proto::RateLimitsReset { number: number.0 })
        }
        ApplianceEffect::AlertGroup { group } => {
            let key = Some(usage::encode_alert_group(group));
            P::AlertGroup(proto::AlertGroupState { number: number.0, group: key })
        }
        ApplianceEffect::AlertGroupForgotten { id } => {
            let id = id.as_bytes().to_vec();
            P::AlertGroupForgotten(proto::AlertGroupForgotten { number: number.0, id })
        }
        ApplianceEffect::RepeatsReported { group } => {
            let key = Some(usage::encode_alert_group(group));
            P::RepeatsReported(proto::RepeatsReported { number: number.0, group: key })
        }
        ApplianceEffect::Suppression { phase, suppression } => {
            P::Suppression(usage::encode_suppression_effect(number, *phase, suppression))
        }
        ApplianceEffect::Counters { windows, last_event_at, counts } => {
            P::Counters(usage::encode_counters(number, windows, *last_event_at, counts))
        }
        ApplianceEffect::SuppressedAlerts { unmailed } => {
            P::Unmailed(usage::encode_unmailed_effect(number, unmailed))
        }
        ApplianceEffect::CrashDump { dump } => P::CrashDump(crash_dump::encode_state(number, dump)),
        ApplianceEffect::Lock { lock } => P::Lock(proto::LockState {
            number: number.0,
            lock: lock.as_deref().map(crash_dump::encode_lock),
        }),
        ApplianceEffect::History { history: it } => P::History(encode_history(number, it)),
        ApplianceEffect::Tombstone { name } => {
            P::Tombstone(proto::Tombstone { number: number.0, name: name.as_str().to_owned() })
        }
    }
}

/// The effect, or the change if it is not of an appliance.
pub(super) fn decode(change: P) -> Result<Result<Effect, P>, DecodeError> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller matches the others")]
    Ok(Ok(match change {
        P::Appliance(it) => ApplianceEffect::Registered {
            name: decode_name(&it.name)?,
            uuid: decode_uuid(&it.uuid)?,
            class: it.class.into(),
            overrides: decode_overrides(it.overrides.as_ref()),
        }
        .of(ApplianceIndex(it.number)),
        P::Removed(it) => ApplianceEffect::Removed.of(ApplianceIndex(it.number)),
        P::Boot(it) => {
            ApplianceEffect::Boot { boot: decode_boot_effect(&it)? }.of(ApplianceIndex(it.number))
        }
        P::Lifecycle(it) => ApplianceEffect::Lifecycle {
            lifecycle: decode_lifecycle(it.state)?,
            since: Timestamp::from_micros(it.since_us),
        }
        .of(ApplianceIndex(it.number)),
        P::FailedStarts(it) => ApplianceEffect::FailedStarts {
            at: it.at_us.into_iter().map(Timestamp::from_micros).collect(),
        }
        .of(ApplianceIndex(it.number)),
        P::RateLimit(it) => usage::decode_rate_limit_state(&it)?,
        P::RateLimitsReset(it) => ApplianceEffect::RateLimitsReset.of(ApplianceIndex(it.number)),
        P::AlertGroup(it) => {
            ApplianceEffect::AlertGroup { group: usage::decode_alert_group(it.group)? }
                .of(ApplianceIndex(it.number))
        }
        P::AlertGroupForgotten(it) => {
            ApplianceEffect::AlertGroupForgotten { id: decode_uuid(&it.id)? }
                .of(ApplianceIndex(it.number))
        }
        P::RepeatsReported(it) => {
            ApplianceEffect::RepeatsReported { group: usage::decode_alert_group(it.group)? }
                .of(ApplianceIndex(it.number))
        }
        P::Suppression(it) => usage::decode_suppression_effect(it)?,
        P::Counters(it) => usage::decode_counters(&it)?,
        P::Unmailed(it) => usage::decode_unmailed_effect(it)?,
        P::CrashDump(it) => {
            let number = ApplianceIndex(it.number);
            ApplianceEffect::CrashDump { dump: Box::new(crash_dump::decode_state(it)?) }.of(number)
        }
        P::Lock(it) => {
            let lock = it.lock.map(|lock| Box::new(crash_dump::decode_lock(lock)));
            ApplianceEffect::Lock { lock }.of(ApplianceIndex(it.number))
        }
        P::History(it) => {
            let number = ApplianceIndex(it.number);
            ApplianceEffect::History { history: decode_history(it)? }.of(number)
        }
        P::Tombstone(it) => ApplianceEffect::Tombstone { name: decode_name(&it.name)? }
            .of(ApplianceIndex(it.number)),
        other => return Ok(Err(other)),
    }))
}

fn encode_boot_effect(number: ApplianceIndex, it: &Boot) -> proto::BootState {
    proto::BootState {
        number: number.0,
        id: it.id.map_or_else(Vec::new, encode_boot),
        began_at_us: it.began_at.as_micros(),
        not_before_us: (it.earliest_began_at != it.began_at)
            .then(|| it.earliest_began_at.as_micros()),
        has_agent: it.has_agent,
        is_assumed: it.is_assumed_running,
        newest_event: it.newest_event.as_ref().map(event::encode_event_order),
    }
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

fn encode_lifecycle(lifecycle: &Lifecycle) -> proto::lifecycle_state::State {
    use proto::lifecycle_state::State as P;
    match lifecycle {
        Lifecycle::Idle => P::Idle(proto::Idle {}),
        Lifecycle::Starting { deadline } => {
            P::Starting(proto::Starting { deadline_us: deadline.map(Timestamp::as_micros) })
        }
        Lifecycle::Maintenance(known) => P::Maintenance(encode_maintenance(known)),
        Lifecycle::Running => P::Running(proto::Running {}),
        Lifecycle::Failed(it) => P::Failed(encode_failed(it)),
        Lifecycle::Dumping(dumping) => P::Dumping(proto::Dumping {
            deadline_us: dumping.deadline.as_micros(),
            failed: dumping.failed.as_ref().map(encode_failed),
            before_since_us: dumping.before_since.as_micros(),
            is_alive: dumping.is_alive,
        }),
    }
}

fn encode_maintenance(known: &Maintenance) -> proto::Maintenance {
    proto::Maintenance {
        progress: percent(known.progress),
        best: percent(known.best_progress),
        text: known.text.to_string(),
        reported_at_us: known.reported_at.as_micros(),
        report_deadline_us: known.report_deadline.as_micros(),
        moved_at_us: known.progressed_at.as_micros(),
        stuck_at_us: known.stuck_at.map(Timestamp::as_micros),
        boot_deadline_us: known.boot_deadline.map(Timestamp::as_micros),
    }
}

fn encode_failed(failed: &FailedStart) -> proto::Failed {
    use proto::FailureKind as K;
    let (kind, limit) = match failed.failure {
        FailureCause::Reported => (K::Reported, Duration::ZERO),
        FailureCause::BootTimeout { limit } => (K::BootTimeout, limit),
        FailureCause::Hung { allowed_silence } => (K::Hung, allowed_silence),
        FailureCause::NoProgress { unchanged_for } => (K::NoProgress, unchanged_for),
        FailureCause::DumpTimeout => (K::DumpTimeout, Duration::ZERO),
    };
    proto::Failed {
        kind: kind.into(),
        limit_us: micros(limit),
        reason: failed.reason.to_string(),
        last_report: failed.last_report.as_ref().map(|report| proto::LastReport {
            text: report.text.to_string(),
            progress: percent(report.progress),
            at_us: report.at.as_micros(),
        }),
    }
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
        P::Dumping(it) => Lifecycle::Dumping(Box::new(Dumping {
            deadline: Timestamp::from_micros(it.deadline_us),
            failed: it.failed.map(decode_failed).transpose()?,
            before_since: Timestamp::from_micros(it.before_since_us),
            is_alive: it.is_alive,
        })),
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
    let last_report = match failed.last_report {
        None => None,
        Some(report) => Some(LastReport {
            text: report.text.into(),
            progress: decode_progress(report.progress)?,
            at: Timestamp::from_micros(report.at_us),
        }),
    };
    Ok(FailedStart { failure, reason: failed.reason.into(), last_report })
}

fn encode_history(number: ApplianceIndex, memory: &ApplianceHistory) -> proto::ApplianceHistory {
    let mut written = proto::ApplianceHistory {
        number: number.0,
        past_boots: memory.past_boots.iter().map(|id| encode_boot(*id)).collect(),
        windows: memory.windows.iter().map(encode_window).collect(),
        last_event_at_us: memory.last_event_at.map(Timestamp::as_micros),
        last_record: memory.last_record,
        ..proto::ApplianceHistory::default()
    };
    usage::encode_usage(number, &memory.usage, &mut written);
    written
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

pub(super) fn encode_window(window: &SequenceWindow) -> proto::SequenceWindow {
    proto::SequenceWindow {
        boot: encode_boot(window.boot),
        spool: window.spool.0.get(),
        highest: window.highest,
        seen_low: u64::try_from(window.seen.bits() & u128::from(u64::MAX)).unwrap_or(0),
        seen_high: u64::try_from(window.seen.bits() >> 64).unwrap_or(0),
    }
}

pub(super) fn decode_window(it: &proto::SequenceWindow) -> Result<SequenceWindow, DecodeError> {
    let spool = NonZeroU64::new(it.spool).map(SpoolId);
    Ok(SequenceWindow {
        boot: decode_boot(&it.boot)?,
        spool: spool.ok_or(DecodeError::Impossible { what: "a spool id" })?,
        highest: it.highest,
        seen: (u128::from(it.seen_high) << 64 | u128::from(it.seen_low)).into(),
    })
}
