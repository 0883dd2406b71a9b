//! Encodes records and appliances as messages of the contract.
//!
//! Guarantees the same term for the same thing on every surface. Decides nothing and escapes nothing:
//! texts are sent as received, and whatever displays them escapes them.

pub mod alert;
pub mod crash_dump;
mod event;
pub mod identity;
pub mod mail;

use std::time::Duration;

use jiff::SignedDuration;
use jiff::civil::DateTime;

use super::proto;
use super::{encode_timestamp, encode_uuid};
use crate::grid::log::alert_input::AlertInput;
use crate::grid::log::applied_settings::{AppliedSetting, AppliedSettings};
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::identity::SecurityIncident;
use crate::grid::log::input::Input;
use crate::grid::log::record::Record;
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::model::usage::{OutcomeKind, Suppression, SuppressionPhase};
use crate::grid::state::appliance::Appliance;
use crate::grid::values::event::{EventKind, Severity};
use crate::grid::values::id::{ApplianceIndex, BootId};
use crate::grid::values::outcome::Outcome;
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::sentence::Sentence;
use crate::grid::values::time::Timestamp;
use crate::grid::{Grid, explain};

/// Encodes a record; `name` returns the name of an appliance.
pub fn record(record: &Record, name: impl Fn(ApplianceIndex) -> String) -> proto::Record {
    let (reason, _) = explain::describe_outcome(record.outcome);
    let received = if let Input::Event(received) = &record.input { Some(received) } else { None };
    let RecordTexts { appliance, text, text_times, explanation, explanation_times } =
        texts(record, name);
    proto::Record {
        number: record.number,
        received_at: Some(encode_timestamp(record.at)),
        kind: i32::from(record.kind().number()),
        severity: encode_severity(record.severity()).into(),
        appliance,
        boot_id: boot_id(record),
        text,
        state: new_state(record).map_or(proto::ApplianceState::Unspecified, state).into(),
        outcome: received.map_or(proto::Outcome::Unspecified, |_| outcome(record.outcome)).into(),
        reason: reason.to_owned(),
        explanation,
        event: received.map(|it| event::event(it)),
        administrator: sender(&record.input).unwrap_or_default().to_owned(),
        flags: record.flags.labels().map(str::to_owned).collect(),
        settings: if let Input::Settings(it) = &record.input {
            Some(applied_settings(it))
        } else {
            None
        },
        text_times,
        explanation_times,
    }
}

/// What a record tells people.
#[derive(Debug)]
pub struct RecordTexts {
    /// The appliance that it is about; empty: the broker itself.
    pub appliance: String,
    /// The event's text, or the broker's.
    pub text: String,
    /// The times in it.
    pub text_times: Vec<proto::TimeInText>,
    /// Why it is so.
    pub explanation: String,
    /// The times in it.
    pub explanation_times: Vec<proto::TimeInText>,
}

/// The texts of a record; `name` returns the name of an appliance.
pub fn texts(record: &Record, name: impl Fn(ApplianceIndex) -> String) -> RecordTexts {
    let (_, explanation) = explain::describe_outcome(record.outcome);
    let explanation = rate_limit_explanation(record).unwrap_or_else(|| explanation.to_owned());
    let appliance = record.subject().map_or_else(|| named(record), &name);
    let received = if let Input::Event(received) = &record.input { Some(received) } else { None };
    let occurred =
        received.and_then(|received| explain::occurred_at(&received.event, record.flags));
    let lost = received.into_iter().flat_map(|received| &received.event.dropped_before);
    let lost = lost.map(|lost| explain::dropped(&appliance, lost));
    let boot = explain::crash_dump::boot_of_event(record).map(Sentence::from);
    let explanation =
        [Sentence::from(explanation)].into_iter().chain(boot).chain(occurred).chain(lost);
    let (explanation, explanation_times) = encode_sentence(&Sentence::join(explanation, "; "));
    let broker_text = || encode_sentence(&explain::describe_record(record));
    let (text, text_times) =
        received.map_or_else(broker_text, |received| (event::text(&received.event), Vec::new()));
    RecordTexts { appliance, text, text_times, explanation, explanation_times }
}

/// The boot of a record in text form; empty: none.
pub fn boot_id(record: &Record) -> String {
    boot_of(record).map_or_else(String::new, |boot| encode_uuid(boot.0))
}

/// Which budget an event is over, if it has a record since a suppression begins with it.
fn rate_limit_explanation(record: &Record) -> Option<String> {
    let begun = record.effects.iter().find_map(|effect| {
        if let Some(ApplianceEffect::Suppression {
            phase: SuppressionPhase::Begins,
            suppression,
            ..
        }) = effect.of_appliance()
        {
            Some(explain::rate_limited(suppression.limit))
        } else {
            None
        }
    });
    begun.filter(|_| record.outcome == Outcome::Suppressed)
}

/// An appliance as `grid` sees it at `now`.
pub fn appliance(grid: &Grid, appliance: &Appliance, now: Timestamp) -> proto::Appliance {
    let rules = grid.settings().rules(&appliance.class, &appliance.overrides);
    let own = &appliance.overrides;
    let overrides = [
        (own.managed.is_some(), "managed"),
        (own.boot_timeout.is_some(), "boot_timeout"),
        (own.report_deadline.is_some(), "maintenance_silence"),
    ];
    let (progress, text, failure) = match &appliance.lifecycle {
        Lifecycle::Maintenance(known) => {
            (known.progress.map_or(0, |it| u32::from(it.percent())), known.text.to_string(), "")
        }
        Lifecycle::Failed(failed) => (0, failed.reason.to_string(), failed.failure.as_str()),
        Lifecycle::Idle
        | Lifecycle::Starting { .. }
        | Lifecycle::Running
        | Lifecycle::Dumping { .. } => (0, String::new(), ""),
    };
    let sessions = grid.sessions().session_count(appliance.number);
    let (explanation, explanation_times) =
        self::encode_sentence(&explain::describe_state(appliance, now));
    proto::Appliance {
        name: appliance.name.to_string(),
        uuid: encode_uuid(appliance.uuid),
        class: appliance.class.to_string(),
        managed: rules.managed,
        boot_timeout_ms: rules.boot_timeout.map_or(0, millis),
        maintenance_silence_ms: millis(rules.report_deadline),
        overrides: overrides.iter().filter(|it| it.0).map(|it| it.1.to_owned()).collect(),
        state: state(&appliance.lifecycle).into(),
        state_since: (appliance.since > Timestamp::EPOCH)
            .then(|| encode_timestamp(appliance.since)),
        explanation,
        boot_id: appliance.boot_id().map_or_else(String::new, |boot| encode_uuid(boot.0)),
        boot_began_at: appliance.boot.map(|boot| encode_timestamp(boot.began_at)),
        deadline: appliance.lifecycle.deadline().map(encode_timestamp),
        progress,
        text,
        failure: failure.to_owned(),
        last_event_at: appliance.last_event_at.map(encode_timestamp),
        sessions: u32::try_from(sessions).unwrap_or(u32::MAX),
        open_alerts: open_alert_texts(grid, appliance.number),
        last_record: appliance.last_record,
        suppression: appliance.usage.suppression.as_deref().map(suppression),
        counts: appliance.usage.counts.iter().map(event_count).collect(),
        explanation_times,
        lock: appliance.lock.as_deref().map(crash_dump::lock),
    }
}

/// The texts of the open alerts of an appliance, gravest first, then in the order of their numbers.
fn open_alert_texts(grid: &Grid, number: ApplianceIndex) -> Vec<String> {
    let its = grid.state().alerts().of(Some(number)).filter(|alert| alert.is_open());
    let mut open: Vec<_> = its.collect();
    open.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.id));
    open.iter().map(|alert| alert.text.to_string()).collect()
}

fn suppression(suppression: &Suppression) -> proto::Suppression {
    let held = suppression.events.as_ref();
    let counts = held.into_iter().flat_map(|held| EventKind::ALL.into_iter().zip(held.counts));
    let outcome = OutcomeKind::Suppressed;
    let counts = counts.filter(|(_, count)| *count > 0);
    proto::Suppression {
        since: Some(encode_timestamp(suppression.since)),
        until: Some(encode_timestamp(suppression.ends_at())),
        budget: suppression.limit.as_str().to_owned(),
        explanation: explain::rate_limited(suppression.limit),
        not_stored: counts.map(|(kind, count)| event_count((kind, outcome, count))).collect(),
        first_at: held.map(|held| encode_timestamp(held.first_at)),
        last_at: held.map(|held| encode_timestamp(held.last_at)),
        sample: held.map(|held| held.sample.to_string()).unwrap_or_default(),
    }
}

fn event_count((kind, outcome, count): (EventKind, OutcomeKind, u64)) -> proto::EventCount {
    let outcome = match outcome {
        OutcomeKind::Stored => proto::Outcome::Kept,
        OutcomeKind::Repeated => proto::Outcome::Repeated,
        OutcomeKind::Coalesced => proto::Outcome::Folded,
        OutcomeKind::Suppressed => proto::Outcome::Suppressed,
        OutcomeKind::Refused => proto::Outcome::Refused,
        OutcomeKind::Backfilled => proto::Outcome::History,
        OutcomeKind::BelowThreshold => proto::Outcome::NotKept,
    };
    proto::EventCount { kind: i32::from(kind.number()), outcome: outcome.into(), count }
}

/// Encodes a state.
pub fn state(lifecycle: &Lifecycle) -> proto::ApplianceState {
    match lifecycle {
        Lifecycle::Idle => proto::ApplianceState::Idle,
        Lifecycle::Starting { .. } => proto::ApplianceState::Starting,
        Lifecycle::Maintenance(_) => proto::ApplianceState::Maintenance,
        Lifecycle::Running => proto::ApplianceState::Running,
        Lifecycle::Failed(_) => proto::ApplianceState::Failed,
        Lifecycle::Dumping { .. } => proto::ApplianceState::Dumping,
    }
}

/// Encodes an outcome.
pub fn outcome(outcome: Outcome) -> proto::Outcome {
    match outcome {
        Outcome::Stored => proto::Outcome::Kept,
        Outcome::Repeated => proto::Outcome::Repeated,
        Outcome::Coalesced => proto::Outcome::Folded,
        Outcome::Suppressed => proto::Outcome::Suppressed,
        Outcome::BelowThreshold => proto::Outcome::NotKept,
        Outcome::Duplicate => proto::Outcome::Duplicate,
        Outcome::OlderBoot | Outcome::StaleEvent => proto::Outcome::History,
        Outcome::Rejected(_) => proto::Outcome::Refused,
    }
}

/// Encodes a severity.
pub fn encode_severity(severity: Severity) -> proto::Severity {
    match severity {
        Severity::Debug => proto::Severity::Debug,
        Severity::Info => proto::Severity::Info,
        Severity::Warn => proto::Severity::Warn,
        Severity::Error => proto::Severity::Error,
        Severity::Fatal => proto::Severity::Fatal,
    }
}

/// Encodes a sentence as text, with the positions of its times.
fn encode_sentence(sentence: &Sentence) -> (String, Vec<proto::TimeInText>) {
    let (text, ranges) = sentence.render_with_spans(rfc3339);
    let number = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let times = ranges.into_iter().map(|(range, at)| proto::TimeInText {
        first: number(range.start),
        length: number(range.len()),
        time: Some(encode_timestamp(at)),
    });
    (text, times.collect())
}

/// A time in UTC, to the second. Computed as a date: jiff's timestamps end before the contract's.
fn rfc3339(moment: Timestamp) -> String {
    let since_epoch = SignedDuration::from_secs(moment.as_micros().div_euclid(1_000_000));
    let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    epoch.checked_add(since_epoch).map_or_else(|_| String::new(), |at| format!("{at}Z"))
}

/// Who sent a command, or read something.
fn sender(input: &Input) -> Option<&str> {
    if let Input::Command { by, .. }
    | Input::MailCommand { by, .. }
    | Input::Identity { by, .. }
    | Input::Alert(AlertInput::Command { by, .. })
    | Input::Security(SecurityIncident::Accessed { by, .. }) = input
    {
        Some(by)
    } else {
        None
    }
}

/// The name of the appliance that the record is about without its number.
fn named(record: &Record) -> String {
    record.named_appliance().map_or_else(String::new, ToString::to_string)
}

fn boot_of(record: &Record) -> Option<BootId> {
    let begun = |effect: &Effect| {
        if let Some(ApplianceEffect::Boot { boot }) = effect.of_appliance() {
            boot.id
        } else {
            None
        }
    };
    record.input.boot().or_else(|| record.effects.iter().find_map(begun))
}

/// The state an appliance entered with a record; `None`: no change.
fn new_state(record: &Record) -> Option<&Lifecycle> {
    let last = record.effects.iter().rev().find_map(|effect| {
        if let Some(ApplianceEffect::Lifecycle { lifecycle, since, .. }) = effect.of_appliance() {
            Some((lifecycle, since))
        } else {
            None
        }
    });
    // It is as it was before a crash dump, since then.
    let is_restored = record.flags.contains(RecordFlags::DUMP_NO_EFFECT)
        || matches!(record.input, Input::CrashDump(_));
    last.filter(|(_, since)| is_restored || **since == record.at).map(|(lifecycle, _)| lifecycle)
}

fn applied_settings(it: &AppliedSettings) -> proto::AppliedSettings {
    let AppliedSettings { is_startup, settings, pending_restart, warnings, omitted } = it;
    let one = |AppliedSetting { key, value, origin, previous: before }: &AppliedSetting| {
        proto::AppliedSetting {
            key: key.to_string(),
            value: value.as_ref().map(ToString::to_string),
            origin: origin.to_string(),
            before: before.as_ref().map(ToString::to_string),
        }
    };
    proto::AppliedSettings {
        at_start: *is_startup,
        settings: settings.iter().map(one).collect(),
        waiting: pending_restart.iter().map(one).collect(),
        warnings: warnings.iter().map(ToString::to_string).collect(),
        left_out: *omitted,
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
