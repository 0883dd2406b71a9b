//! Describes inputs about alerts.
//!
//! Guarantees a sentence for each. Decides nothing.

use crate::grid::log::alert_effect::AlertEffect;
use crate::grid::log::alert_input::{AlertCommand, AlertInput};
use crate::grid::log::effect::Effect;
use crate::grid::log::record::Record;
use crate::grid::log::silence_input::SilenceInput;
use crate::grid::model::alert::{Alert, AlertStepKind, EndCause};
use crate::grid::values::id::AlertId;
use crate::grid::values::sentence::Sentence;
use crate::grid::values::time::describe_duration;

/// The text of a record about an alert.
pub(in crate::grid) fn describe_input(record: &Record, input: &AlertInput) -> Sentence {
    let id = input.alert();
    let alert = changed(record, id);
    let name = match alert {
        Some(alert) => format!("alert {} ({})", id.0, alert.key),
        None => format!("alert {}", id.0),
    };
    match input {
        AlertInput::Due { .. } => describe_due(&name, alert).into(),
        AlertInput::Command { command: AlertCommand::Acknowledge { until, note, .. }, .. } => {
            let text = Sentence::from(format!("{name} acknowledged"));
            let text = match until {
                Some(until) => text.text(" until ").time(*until),
                None => text,
            };
            if note.is_empty() { text } else { text.text(&format!(": {note}")) }
        }
        AlertInput::Command { command: AlertCommand::Unacknowledge, .. } => {
            format!("acknowledgement of {name} withdrawn").into()
        }
        AlertInput::Command { command: AlertCommand::Resolve { note }, .. } if note.is_empty() => {
            format!("{name} resolved").into()
        }
        AlertInput::Command { command: AlertCommand::Resolve { note }, .. } => {
            format!("{name} resolved: {note}").into()
        }
    }
}

fn describe_due(name: &str, alert: Option<&Alert>) -> String {
    let Some(alert) = alert else { return format!("{name} forgotten: it ended long ago") };
    let last = alert.steps.iter().rev().find_map(|step| match step.kind {
        AlertStepKind::Ended(cause) if step.record > alert.record => Some(describe_end(cause)),
        AlertStepKind::AcknowledgementEnded => Some("acknowledgement ended"),
        AlertStepKind::Decided(_)
        | AlertStepKind::Opened
        | AlertStepKind::Reopened
        | AlertStepKind::Escalated(_)
        | AlertStepKind::Ended(_)
        | AlertStepKind::Acknowledged
        | AlertStepKind::Unacknowledged => None,
    });
    let decision = alert.decision.map_or("", |(reason, _)| reason.describe());
    match (alert.is_open(), last) {
        (false, Some(end)) => format!("{name} is over, {end}; {decision}"),
        (_, _) => {
            let age = describe_duration(alert.last_seen_at.since(alert.opened_at));
            format!("{name}, reported over {age}; {decision}")
        }
    }
}

/// A step of an alert's history, in words.
pub fn describe_step(kind: AlertStepKind) -> String {
    match kind {
        AlertStepKind::Opened => "opened".to_owned(),
        AlertStepKind::Reopened => "opened again".to_owned(),
        AlertStepKind::Escalated(severity) => format!("became more severe: {}", severity.as_str()),
        AlertStepKind::Ended(cause) => format!("resolved: {}", describe_end(cause)),
        AlertStepKind::Acknowledged => "acknowledged".to_owned(),
        AlertStepKind::Unacknowledged => "acknowledgement withdrawn".to_owned(),
        AlertStepKind::AcknowledgementEnded => "acknowledgement ended".to_owned(),
        AlertStepKind::Decided(reason) => reason.describe().to_owned(),
    }
}

/// Why an alert ended, in words.
pub fn describe_end(cause: EndCause) -> &'static str {
    match cause {
        EndCause::Appliance => "the appliance reported it",
        EndCause::Condition => "the condition is over",
        EndCause::Administrator => "an administrator resolved it",
        EndCause::Quiet => "it was not reported any more",
        EndCause::Displaced => "the appliance has too many newer ones",
    }
}

/// The text of a record about a silence.
pub(in crate::grid) fn describe_silence(record: &Record, input: &SilenceInput) -> Sentence {
    let changed = record.effects.iter().find_map(|effect| {
        let Effect::Alert(AlertEffect::Silence { silence }) = effect else { return None };
        Some(silence)
    });
    match (input, changed) {
        (SilenceInput::Due { id }, None) => {
            format!("silence {} forgotten: it ended a month ago", id.0).into()
        }
        (SilenceInput::Due { id }, Some(silence)) => {
            Sentence::from(format!("silence {} ends at ", id.0)).time(silence.ends_at)
        }
        (SilenceInput::Add { .. }, Some(silence)) => {
            Sentence::from(format!("silence {}: {} from ", silence.id.0, silence.matchers))
                .time(silence.starts_at)
                .text(" to ")
                .time(silence.ends_at)
                .text(&format!(": {}", silence.reason))
        }
        (SilenceInput::End { id, .. }, Some(silence)) => {
            format!("silence {} ended; it held back {} notifications", id.0, silence.muted).into()
        }
        (SilenceInput::Add { .. } | SilenceInput::End { .. }, None) => "silence".into(),
    }
}

fn changed(record: &Record, id: AlertId) -> Option<&Alert> {
    record.effects.iter().find_map(|effect| {
        let Effect::Alert(AlertEffect::Changed { alert }) = effect else { return None };
        (alert.id == id).then_some(&**alert)
    })
}
