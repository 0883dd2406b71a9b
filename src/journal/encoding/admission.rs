//! Both halves for how much appliances say: budgets, alert keys, suppressions, counts.

use std::time::Duration;

use super::event::{kind_number, plain_kind};
use super::input::{severity, uuid};
use super::to_proto::{micros, severity_number, window};
use super::{DecodeError, effect, proto};
use crate::grid::admission::{
    Admission, BudgetName, Counts, Held, PlainOutcome, Spent, Suppression,
};
use crate::grid::alert_key::AlertKey;
use crate::grid::effect::{Effect, Phase};
use crate::grid::event::Severity;
use crate::grid::name::ApplianceNumber;
use crate::grid::repeating::Repeating;
use crate::grid::time::Timestamp;
use crate::grid::unmailed::Unmailed;
use crate::grid::window::Window;

pub(super) fn spent(number: ApplianceNumber, name: BudgetName, full_at: Timestamp) -> proto::Spent {
    let (number, full_at_us) = (number.0, full_at.as_micros());
    proto::Spent { number, budget: budget(name).into(), full_at_us }
}

pub(super) fn read_spent(it: &proto::Spent) -> Result<Effect, DecodeError> {
    Ok(Effect::Spent {
        number: ApplianceNumber(it.number),
        budget: read_budget(it.budget)?,
        full_at: Timestamp::from_micros(it.full_at_us),
    })
}

pub(super) fn alert_key(key: &AlertKey) -> proto::AlertKey {
    proto::AlertKey {
        id: key.id.as_bytes().to_vec(),
        label: key.label.to_string(),
        full_at_us: key.full_at.as_micros(),
        said: key.said.as_bytes().to_vec(),
        record: key.record,
        began_at_us: key.began_at.as_micros(),
        said_at_us: key.said_at.as_micros(),
        repeats: key.repeats,
        first_repeat_at_us: key.first_repeat_at.as_micros(),
        mailed: key.mailed.as_ref().map(repeating),
    }
}

fn repeating(it: &Repeating) -> proto::Repeating {
    proto::Repeating {
        said: it.said.as_bytes().to_vec(),
        severity: severity_number(it.severity),
        at_us: it.at.as_micros(),
        times: it.times,
        has_told_change: it.has_told_change,
        since: it.since,
        is_changed: it.is_changed,
        said_at_us: it.said_at.as_micros(),
        pause_us: micros(it.pause),
        text: it.text.to_string(),
    }
}

fn read_repeating(it: proto::Repeating) -> Result<Repeating, DecodeError> {
    Ok(Repeating {
        said: uuid(&it.said)?,
        severity: severity(it.severity)?,
        at: Timestamp::from_micros(it.at_us),
        times: it.times,
        has_told_change: it.has_told_change,
        since: it.since,
        is_changed: it.is_changed,
        said_at: Timestamp::from_micros(it.said_at_us),
        pause: Duration::from_micros(it.pause_us),
        text: it.text.into(),
    })
}

fn unmailed(it: &Unmailed) -> proto::Unmailed {
    let kind = |(label, severity, count): &(Box<str>, Severity, u64)| proto::UnmailedKind {
        label: label.to_string(),
        severity: severity_number(*severity),
        count: *count,
    };
    proto::Unmailed {
        kinds: it.kinds.iter().map(kind).collect(),
        others: it.others,
        others_severity: it.others_severity.map_or(0, severity_number),
        first_at_us: it.first_at.as_micros(),
        last_at_us: it.last_at.as_micros(),
        sample: it.sample.to_string(),
        mailed_at_us: it.mailed_at.map(Timestamp::as_micros),
        times: it.times,
    }
}

fn read_unmailed(it: proto::Unmailed) -> Result<Unmailed, DecodeError> {
    let kind = |it: proto::UnmailedKind| Ok((it.label.into(), severity(it.severity)?, it.count));
    Ok(Unmailed {
        kinds: it.kinds.into_iter().map(kind).collect::<Result<_, DecodeError>>()?,
        others: it.others,
        others_severity: match it.others_severity {
            0 => None,
            grave => Some(severity(grave)?),
        },
        first_at: Timestamp::from_micros(it.first_at_us),
        last_at: Timestamp::from_micros(it.last_at_us),
        sample: it.sample.into(),
        mailed_at: it.mailed_at_us.map(Timestamp::from_micros),
        times: it.times,
    })
}

pub(super) fn unmailed_is(number: ApplianceNumber, it: &Unmailed) -> proto::UnmailedIs {
    proto::UnmailedIs { number: number.0, unmailed: Some(unmailed(it)) }
}

pub(super) fn read_unmailed_is(it: proto::UnmailedIs) -> Result<Effect, DecodeError> {
    let unmailed = read_unmailed(it.unmailed.unwrap_or_default())?;
    Ok(Effect::Unmailed { number: ApplianceNumber(it.number), unmailed })
}

pub(super) fn read_alert_key(key: Option<proto::AlertKey>) -> Result<AlertKey, DecodeError> {
    let key = key.ok_or(DecodeError::Impossible { what: "an alert key" })?;
    Ok(AlertKey {
        id: uuid(&key.id)?,
        label: key.label.into(),
        full_at: Timestamp::from_micros(key.full_at_us),
        said: uuid(&key.said)?,
        record: key.record,
        began_at: Timestamp::from_micros(key.began_at_us),
        said_at: Timestamp::from_micros(key.said_at_us),
        repeats: key.repeats,
        first_repeat_at: Timestamp::from_micros(key.first_repeat_at_us),
        mailed: key.mailed.map(read_repeating).transpose()?,
    })
}

pub(super) fn suppression_is(
    number: ApplianceNumber,
    phase: Phase,
    it: &Suppression,
) -> proto::SuppressionIs {
    let phase = match phase {
        Phase::Begins => proto::SuppressionPhase::Begins,
        Phase::Counts => proto::SuppressionPhase::Counts,
        Phase::SummedUp => proto::SuppressionPhase::SummedUp,
        Phase::Ends => proto::SuppressionPhase::Ends,
    };
    let suppression = Some(suppression(it));
    proto::SuppressionIs { number: number.0, phase: phase.into(), suppression }
}

pub(super) fn read_suppression_is(it: proto::SuppressionIs) -> Result<Effect, DecodeError> {
    use proto::SuppressionPhase as P;
    let phase = match P::try_from(it.phase) {
        Ok(P::Begins) => Phase::Begins,
        Ok(P::Counts) => Phase::Counts,
        Ok(P::SummedUp) => Phase::SummedUp,
        Ok(P::Ends) => Phase::Ends,
        Ok(P::Unspecified) | Err(_) => {
            return Err(DecodeError::Newer { what: "what is told of a suppression" });
        }
    };
    let suppression = it.suppression.ok_or(DecodeError::Impossible { what: "a suppression" })?;
    let suppression = read_suppression(suppression)?;
    Ok(Effect::Suppression { number: ApplianceNumber(it.number), phase, suppression })
}

fn suppression(it: &Suppression) -> proto::Suppression {
    let written = proto::Suppression {
        since_us: it.since.as_micros(),
        budget: budget(it.budget).into(),
        over_at_us: it.over_at.as_micros(),
        summed_up: it.summed_up,
        ..proto::Suppression::default()
    };
    let Some(held) = &it.held else { return written };
    proto::Suppression {
        counts: held.counts.to_vec(),
        first_at_us: held.first_at.as_micros(),
        last_at_us: held.last_at.as_micros(),
        kind: kind_number(held.kind),
        sample: held.sample.to_string(),
        ..written
    }
}

fn read_suppression(it: proto::Suppression) -> Result<Suppression, DecodeError> {
    let held = match it.counts.as_slice() {
        [] => None,
        counts => Some(Held {
            counts: counts
                .try_into()
                .map_err(|_| DecodeError::Newer { what: "counts of kinds" })?,
            first_at: Timestamp::from_micros(it.first_at_us),
            last_at: Timestamp::from_micros(it.last_at_us),
            kind: plain_kind(it.kind)?,
            sample: it.sample.into(),
        }),
    };
    Ok(Suppression {
        since: Timestamp::from_micros(it.since_us),
        budget: read_budget(it.budget)?,
        over_at: Timestamp::from_micros(it.over_at_us),
        summed_up: it.summed_up,
        held,
    })
}

pub(super) fn heard_of(
    number: ApplianceNumber,
    windows: &[Window],
    last_heard_at: Timestamp,
    heard: &Counts,
) -> proto::HeardOf {
    proto::HeardOf {
        number: number.0,
        windows: windows.iter().map(window).collect(),
        last_heard_at_us: last_heard_at.as_micros(),
        counts: counts(heard),
    }
}

pub(super) fn read_heard_of(it: &proto::HeardOf) -> Result<Effect, DecodeError> {
    Ok(Effect::Heard {
        number: ApplianceNumber(it.number),
        windows: it.windows.iter().map(effect::window).collect::<Result<_, _>>()?,
        last_heard_at: Timestamp::from_micros(it.last_heard_at_us),
        counts: read_counts(&it.counts)?,
    })
}

/// An appliance's admission into its memory.
pub(super) fn remember(number: ApplianceNumber, it: &Admission, memory: &mut proto::Memory) {
    let touched = BudgetName::ALL.into_iter().map(|name| (name, it.spent.full_at(name)));
    let touched = touched.filter(|(_, full_at)| *full_at != Timestamp::EPOCH);
    memory.spent = touched.map(|(name, full_at)| spent(number, name, full_at)).collect();
    memory.alert_keys = it.keys.iter().map(alert_key).collect();
    memory.suppression = it.suppression.as_deref().map(suppression);
    memory.counts = counts(&it.counts);
    memory.progress_at_us = it.progress_at.as_micros();
    memory.unmailed = it.unmailed.as_deref().map(unmailed);
}

/// An appliance's admission out of its memory.
pub(super) fn recall(memory: &mut proto::Memory) -> Result<Admission, DecodeError> {
    let mut spent = Spent::default();
    for it in &memory.spent {
        spent.set(read_budget(it.budget)?, Timestamp::from_micros(it.full_at_us));
    }
    let keys = std::mem::take(&mut memory.alert_keys).into_iter();
    Ok(Admission {
        spent,
        keys: keys.map(|key| read_alert_key(Some(key))).collect::<Result<_, _>>()?,
        suppression: match memory.suppression.take() {
            None => None,
            Some(it) => Some(Box::new(read_suppression(it)?)),
        },
        counts: read_counts(&memory.counts)?,
        progress_at: Timestamp::from_micros(memory.progress_at_us),
        unmailed: memory.unmailed.take().map(read_unmailed).transpose()?.map(Box::new),
    })
}

fn counts(counts: &Counts) -> Vec<proto::Count> {
    let written = counts.iter().map(|(kind, outcome, count)| proto::Count {
        kind: kind_number(kind),
        outcome: match outcome {
            PlainOutcome::Kept => 1,
            PlainOutcome::Repeated => 2,
            PlainOutcome::Folded => 3,
            PlainOutcome::Suppressed => 4,
            PlainOutcome::Refused => 5,
            PlainOutcome::History => 6,
            PlainOutcome::NotKept => 7,
        },
        count,
    });
    written.collect()
}

fn read_counts(written: &[proto::Count]) -> Result<Counts, DecodeError> {
    let mut counts = Counts::default();
    for it in written {
        let outcome = match it.outcome {
            1 => PlainOutcome::Kept,
            2 => PlainOutcome::Repeated,
            3 => PlainOutcome::Folded,
            4 => PlainOutcome::Suppressed,
            5 => PlainOutcome::Refused,
            6 => PlainOutcome::History,
            7 => PlainOutcome::NotKept,
            _ => return Err(DecodeError::Newer { what: "an outcome" }),
        };
        counts.set(plain_kind(it.kind)?, outcome, it.count);
    }
    Ok(counts)
}

fn budget(budget: BudgetName) -> proto::Budget {
    match budget {
        BudgetName::Lifecycle => proto::Budget::Lifecycle,
        BudgetName::Boots => proto::Budget::Boots,
        BudgetName::Log => proto::Budget::Log,
        BudgetName::AlertKey => proto::Budget::AlertKey,
        BudgetName::Alert => proto::Budget::Alert,
        BudgetName::Counter => proto::Budget::Counter,
        BudgetName::Replay => proto::Budget::Replay,
        BudgetName::Fatal => proto::Budget::Fatal,
        BudgetName::Graver => proto::Budget::Graver,
    }
}

fn read_budget(budget: i32) -> Result<BudgetName, DecodeError> {
    use proto::Budget as B;
    Ok(match B::try_from(budget) {
        Ok(B::Lifecycle) => BudgetName::Lifecycle,
        Ok(B::Boots) => BudgetName::Boots,
        Ok(B::Log) => BudgetName::Log,
        Ok(B::AlertKey) => BudgetName::AlertKey,
        Ok(B::Alert) => BudgetName::Alert,
        Ok(B::Counter) => BudgetName::Counter,
        Ok(B::Replay) => BudgetName::Replay,
        Ok(B::Fatal) => BudgetName::Fatal,
        Ok(B::Graver) => BudgetName::Graver,
        Ok(B::Unspecified) | Err(_) => return Err(DecodeError::Newer { what: "a budget" }),
    })
}
