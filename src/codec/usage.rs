//! Encodes and decodes the usage of an appliance: rate limits, alert groups, suppressions, counts.
//!
//! Guarantees that an unknown value is an error. Does not know events.

use super::appliance::encode_window;
use super::event::decode_event_kind;
use super::values::severity_number;
use super::values::{decode_severity, decode_uuid};
use super::{DecodeError, proto};
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::model::alert_group::AlertGroup;
use crate::grid::model::sequence_window::SequenceWindow;
use crate::grid::model::unmailed_alerts::UnmailedAlerts;
use crate::grid::model::usage::{
    OutcomeCounts, OutcomeKind, RareUsage, RateLimitKind, RateLimitState, SuppressedEvents,
    Suppression, SuppressionPhase, Usage,
};
use crate::grid::values::event::Severity;
use crate::grid::values::id::{AlertId, ApplianceIndex};
use crate::grid::values::time::Timestamp;

pub(super) fn encode_rate_limit_state(
    number: ApplianceIndex,
    name: RateLimitKind,
    full_at: Timestamp,
) -> proto::RateLimitState {
    let (number, full_at_us) = (number.0, full_at.as_micros());
    proto::RateLimitState {
        number,
        rate_limit: encode_rate_limit_kind(name).into(),
        refilled_at_us: full_at_us,
    }
}

pub(super) fn decode_rate_limit_state(it: &proto::RateLimitState) -> Result<Effect, DecodeError> {
    Ok(ApplianceEffect::RateLimitState {
        limit: decode_rate_limit_kind(it.rate_limit)?,
        refilled_at: Timestamp::from_micros(it.refilled_at_us),
    }
    .of(ApplianceIndex(it.number)))
}

pub(super) fn encode_alert_group(key: &AlertGroup) -> proto::AlertGroup {
    proto::AlertGroup {
        id: key.id.as_bytes().to_vec(),
        label: key.label.to_string(),
        refilled_at_us: key.refilled_at.as_micros(),
        content_hash: key.content_hash.as_bytes().to_vec(),
        record: key.record,
        run_began_at_us: key.run_began_at.as_micros(),
        last_seen_at_us: key.last_seen_at.as_micros(),
        repeats: key.repeats,
        first_repeat_at_us: key.first_repeat_at.as_micros(),
        alert: key.alert.map_or(0, |id| id.0),
    }
}

fn encode_unmailed(it: &UnmailedAlerts) -> proto::UnmailedAlerts {
    let kind = |(label, severity, count): &(Box<str>, Severity, u64)| proto::UnmailedKind {
        label: label.to_string(),
        severity: severity_number(*severity),
        count: *count,
    };
    proto::UnmailedAlerts {
        kinds: it.groups.iter().map(kind).collect(),
        others: it.others,
        others_severity: it.others_severity.map_or(0, severity_number),
        first_at_us: it.first_at.as_micros(),
        last_at_us: it.last_at.as_micros(),
        sample: it.sample.to_string(),
        mailed_at_us: it.mailed_at.map(Timestamp::as_micros),
        times: it.mail_count,
    }
}

fn decode_unmailed(it: proto::UnmailedAlerts) -> Result<UnmailedAlerts, DecodeError> {
    let kind =
        |it: proto::UnmailedKind| Ok((it.label.into(), decode_severity(it.severity)?, it.count));
    Ok(UnmailedAlerts {
        groups: it.kinds.into_iter().map(kind).collect::<Result<_, DecodeError>>()?,
        others: it.others,
        others_severity: match it.others_severity {
            0 => None,
            grave => Some(decode_severity(grave)?),
        },
        first_at: Timestamp::from_micros(it.first_at_us),
        last_at: Timestamp::from_micros(it.last_at_us),
        sample: it.sample.into(),
        mailed_at: it.mailed_at_us.map(Timestamp::from_micros),
        mail_count: it.times,
    })
}

pub(super) fn encode_unmailed_effect(
    number: ApplianceIndex,
    it: &UnmailedAlerts,
) -> proto::UnmailedState {
    proto::UnmailedState { number: number.0, unmailed: Some(encode_unmailed(it)) }
}

pub(super) fn decode_unmailed_effect(it: proto::UnmailedState) -> Result<Effect, DecodeError> {
    let unmailed = decode_unmailed(it.unmailed.unwrap_or_default())?;
    Ok(ApplianceEffect::SuppressedAlerts { unmailed }.of(ApplianceIndex(it.number)))
}

pub(super) fn decode_alert_group(
    key: Option<proto::AlertGroup>,
) -> Result<AlertGroup, DecodeError> {
    let key = key.ok_or(DecodeError::Impossible { what: "an alert group" })?;
    Ok(AlertGroup {
        id: decode_uuid(&key.id)?,
        label: key.label.into(),
        refilled_at: Timestamp::from_micros(key.refilled_at_us),
        content_hash: decode_uuid(&key.content_hash)?,
        record: key.record,
        run_began_at: Timestamp::from_micros(key.run_began_at_us),
        last_seen_at: Timestamp::from_micros(key.last_seen_at_us),
        repeats: key.repeats,
        first_repeat_at: Timestamp::from_micros(key.first_repeat_at_us),
        alert: Some(key.alert).filter(|id| *id > 0).map(AlertId),
    })
}

pub(super) fn encode_suppression_effect(
    number: ApplianceIndex,
    phase: SuppressionPhase,
    it: &Suppression,
) -> proto::SuppressionState {
    let phase = match phase {
        SuppressionPhase::Begins => proto::SuppressionPhase::Begins,
        SuppressionPhase::Counts => proto::SuppressionPhase::Counts,
        SuppressionPhase::Summarised => proto::SuppressionPhase::Summarised,
        SuppressionPhase::Ends => proto::SuppressionPhase::Ends,
    };
    let suppression = Some(encode_suppression(it));
    proto::SuppressionState { number: number.0, phase: phase.into(), suppression }
}

pub(super) fn decode_suppression_effect(
    it: proto::SuppressionState,
) -> Result<Effect, DecodeError> {
    use proto::SuppressionPhase as P;
    let phase = match P::try_from(it.phase) {
        Ok(P::Begins) => SuppressionPhase::Begins,
        Ok(P::Counts) => SuppressionPhase::Counts,
        Ok(P::Summarised) => SuppressionPhase::Summarised,
        Ok(P::Ends) => SuppressionPhase::Ends,
        Ok(P::Unspecified) | Err(_) => {
            return Err(DecodeError::Newer { what: "the phase of a suppression" });
        }
    };
    let suppression = it.suppression.ok_or(DecodeError::Impossible { what: "a suppression" })?;
    let suppression = decode_suppression(suppression)?;
    Ok(ApplianceEffect::Suppression { phase, suppression }.of(ApplianceIndex(it.number)))
}

fn encode_suppression(it: &Suppression) -> proto::Suppression {
    let written = proto::Suppression {
        since_us: it.since.as_micros(),
        rate_limit: encode_rate_limit_kind(it.limit).into(),
        last_exceeded_at_us: it.last_exceeded_at.as_micros(),
        summaries: it.summaries,
        ..proto::Suppression::default()
    };
    let Some(held) = &it.events else { return written };
    proto::Suppression {
        counts: held.counts.to_vec(),
        first_at_us: held.first_at.as_micros(),
        last_at_us: held.last_at.as_micros(),
        kind: held.last_kind.number().into(),
        sample: held.sample.to_string(),
        ..written
    }
}

fn decode_suppression(it: proto::Suppression) -> Result<Suppression, DecodeError> {
    let held = match it.counts.as_slice() {
        [] => None,
        counts => Some(SuppressedEvents {
            counts: counts
                .try_into()
                .map_err(|_| DecodeError::Newer { what: "the counts of a suppression" })?,
            first_at: Timestamp::from_micros(it.first_at_us),
            last_at: Timestamp::from_micros(it.last_at_us),
            last_kind: decode_event_kind(it.kind)?,
            sample: it.sample.into(),
        }),
    };
    Ok(Suppression {
        since: Timestamp::from_micros(it.since_us),
        limit: decode_rate_limit_kind(it.rate_limit)?,
        last_exceeded_at: Timestamp::from_micros(it.last_exceeded_at_us),
        summaries: it.summaries,
        events: held,
    })
}

pub(super) fn encode_counters(
    number: ApplianceIndex,
    windows: &[SequenceWindow],
    last_event_at: Timestamp,
    received: &OutcomeCounts,
) -> proto::Counters {
    proto::Counters {
        number: number.0,
        windows: windows.iter().map(encode_window).collect(),
        last_event_at_us: last_event_at.as_micros(),
        counts: encode_outcome_counts(received),
    }
}

pub(super) fn decode_counters(it: &proto::Counters) -> Result<Effect, DecodeError> {
    Ok(ApplianceEffect::Counters {
        windows: it
            .windows
            .iter()
            .map(super::appliance::decode_window)
            .collect::<Result<_, _>>()?,
        last_event_at: Timestamp::from_micros(it.last_event_at_us),
        counts: decode_outcome_counts(&it.counts)?,
    }
    .of(ApplianceIndex(it.number)))
}

/// Encodes the usage of an appliance into its history.
pub(super) fn encode_usage(
    number: ApplianceIndex,
    it: &Usage,
    memory: &mut proto::ApplianceHistory,
) {
    let touched =
        RateLimitKind::ALL.into_iter().map(|name| (name, it.rate_limits.refilled_at(name)));
    let touched = touched.filter(|(_, full_at)| *full_at != Timestamp::EPOCH);
    memory.rate_limits =
        touched.map(|(name, full_at)| encode_rate_limit_state(number, name, full_at)).collect();
    memory.alert_groups = it.alert_groups.iter().map(encode_alert_group).collect();
    memory.suppression = it.suppression.as_deref().map(encode_suppression);
    memory.counts = encode_outcome_counts(&it.counts);
    memory.progress_at_us = it.progress_stored_at.as_micros();
    memory.unmailed = it.unmailed.as_deref().map(encode_unmailed);
}

/// Decodes the usage of an appliance from its history.
pub(super) fn decode_usage(memory: &mut proto::ApplianceHistory) -> Result<Usage, DecodeError> {
    let mut spent = RateLimitState::default();
    for it in &memory.rate_limits {
        spent
            .set(decode_rate_limit_kind(it.rate_limit)?, Timestamp::from_micros(it.refilled_at_us));
    }
    let keys = std::mem::take(&mut memory.alert_groups).into_iter();
    let rare = RareUsage {
        alert_groups: keys.map(|key| decode_alert_group(Some(key))).collect::<Result<_, _>>()?,
        suppression: match memory.suppression.take() {
            None => None,
            Some(it) => Some(Box::new(decode_suppression(it)?)),
        },
        progress_stored_at: Timestamp::from_micros(memory.progress_at_us),
        unmailed: memory.unmailed.take().map(decode_unmailed).transpose()?.map(Box::new),
    };
    Ok(Usage::new(spent, decode_outcome_counts(&memory.counts)?, rare))
}

fn encode_outcome_counts(counts: &OutcomeCounts) -> Vec<proto::Count> {
    let written = counts.iter().map(|(kind, outcome, count)| proto::Count {
        kind: kind.number().into(),
        outcome: match outcome {
            OutcomeKind::Stored => 1,
            OutcomeKind::Repeated => 2,
            OutcomeKind::Coalesced => 3,
            OutcomeKind::Suppressed => 4,
            OutcomeKind::Refused => 5,
            OutcomeKind::Backfilled => 6,
            OutcomeKind::BelowThreshold => 7,
        },
        count,
    });
    written.collect()
}

fn decode_outcome_counts(written: &[proto::Count]) -> Result<OutcomeCounts, DecodeError> {
    let mut counts = OutcomeCounts::default();
    for it in written {
        let outcome = match it.outcome {
            1 => OutcomeKind::Stored,
            2 => OutcomeKind::Repeated,
            3 => OutcomeKind::Coalesced,
            4 => OutcomeKind::Suppressed,
            5 => OutcomeKind::Refused,
            6 => OutcomeKind::Backfilled,
            7 => OutcomeKind::BelowThreshold,
            _ => return Err(DecodeError::Newer { what: "an outcome" }),
        };
        counts.set(decode_event_kind(it.kind)?, outcome, it.count);
    }
    Ok(counts)
}

fn encode_rate_limit_kind(budget: RateLimitKind) -> proto::RateLimitKind {
    match budget {
        RateLimitKind::Lifecycle => proto::RateLimitKind::Lifecycle,
        RateLimitKind::Boots => proto::RateLimitKind::Boots,
        RateLimitKind::Log => proto::RateLimitKind::Log,
        RateLimitKind::AlertGroup => proto::RateLimitKind::AlertGroup,
        RateLimitKind::Alert => proto::RateLimitKind::Alert,
        RateLimitKind::Counter => proto::RateLimitKind::Counter,
        RateLimitKind::Replay => proto::RateLimitKind::Replay,
        RateLimitKind::Fatal => proto::RateLimitKind::Fatal,
        RateLimitKind::Escalated => proto::RateLimitKind::Graver,
    }
}

fn decode_rate_limit_kind(budget: i32) -> Result<RateLimitKind, DecodeError> {
    use proto::RateLimitKind as B;
    Ok(match B::try_from(budget) {
        Ok(B::Lifecycle) => RateLimitKind::Lifecycle,
        Ok(B::Boots) => RateLimitKind::Boots,
        Ok(B::Log) => RateLimitKind::Log,
        Ok(B::AlertGroup) => RateLimitKind::AlertGroup,
        Ok(B::Alert) => RateLimitKind::Alert,
        Ok(B::Counter) => RateLimitKind::Counter,
        Ok(B::Replay) => RateLimitKind::Replay,
        Ok(B::Fatal) => RateLimitKind::Fatal,
        Ok(B::Graver) => RateLimitKind::Escalated,
        Ok(B::Unspecified) | Err(_) => return Err(DecodeError::Newer { what: "a rate limit" }),
    })
}
