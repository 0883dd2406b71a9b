//! Formats alerts, and decisions about notifications, as rows, as lines, and as objects.
//!
//! Guarantees the contract's keys in the objects, always all of them. Does not know how alerts are
//! fetched.

use grid_broker::contract::proto::{
    AlertAcknowledgement, AlertDecision, AlertHistoryStep, AlertNotification, AlertState,
    ExplainedDecision, NotificationMessage, OpenAlert,
};
use grid_broker::show::labels;

use crate::appliance_view::pair_lines;
use crate::fields::{Fields, ObjectValue, OutputObject};
use crate::output::{ItemView, OutputOptions};
use crate::table::{CellStyle, Column, TableCell};
use crate::{record_view, subject};

/// How alerts are shown.
pub(crate) fn view() -> ItemView<OpenAlert> {
    ItemView { columns: COLUMNS, cells, to_object: object }
}

const COLUMNS: &[Column] = &[
    Column { title: "id", width_min: 2, is_right_aligned: true, drop_priority: 0 },
    Column { title: "severity", width_min: 8, is_right_aligned: false, drop_priority: 1 },
    Column { title: "state", width_min: 12, is_right_aligned: false, drop_priority: 2 },
    Column { title: "appliance", width_min: 12, is_right_aligned: false, drop_priority: 0 },
    Column { title: "kind", width_min: 12, is_right_aligned: false, drop_priority: 0 },
    Column { title: "since {zone}", width_min: 14, is_right_aligned: false, drop_priority: 3 },
    Column { title: "count", width_min: 5, is_right_aligned: true, drop_priority: 4 },
    Column { title: "what", width_min: 0, is_right_aligned: false, drop_priority: 0 },
];

fn cells(alert: &OpenAlert, look: &OutputOptions) -> Vec<TableCell> {
    let severity = labels::severity(alert.severity).unwrap_or_default();
    vec![
        TableCell::new(&alert.id.to_string()),
        TableCell::styled(&severity, severity_style(alert)),
        TableCell::new(&labels::alert_state(alert.state).unwrap_or_default()),
        TableCell::new(subject::format(&alert.appliance)),
        TableCell::new(&labels::alert_kind(alert.kind).unwrap_or_default()),
        TableCell::new(&look.format_column_time(&alert.since)),
        TableCell::new(&alert.count.to_string()),
        TableCell::new(&alert.text),
    ]
}

/// What somebody takes care of, and what is over, has no colour.
fn severity_style(alert: &OpenAlert) -> CellStyle {
    match alert.state() {
        AlertState::Open | AlertState::Unspecified => record_view::severity_style(alert.severity),
        AlertState::Acknowledged | AlertState::Silenced | AlertState::Resolved => CellStyle::None,
    }
}

/// An alert as `key: value` lines; unset values have no line.
pub(crate) fn detail_lines(alert: &OpenAlert, look: &OutputOptions) -> Vec<String> {
    let time = |time| look.format_time(time);
    let unless_zero = |number: u64| if number > 0 { number.to_string() } else { String::new() };
    let acknowledgement = alert.acknowledgement.as_ref();
    let decision = alert.decision.as_ref();
    let notified = alert.notified.as_ref().map(|it| {
        let is_end = if it.resolved { ", that it is over" } else { "" };
        format!("{}{is_end}", time(&it.at))
    });
    let mut pairs = vec![
        ("alert", alert.id.to_string()),
        ("appliance", subject::format(&alert.appliance).to_owned()),
        ("what", alert.text.clone()),
        ("kind", labels::alert_kind(alert.kind).unwrap_or_default()),
        ("key", alert.key.clone()),
        ("class", alert.class.clone()),
        ("severity", labels::severity(alert.severity).unwrap_or_default()),
        ("state", labels::alert_state(alert.state).unwrap_or_default()),
        ("since", time(&alert.since)),
        ("last seen", time(&alert.last_seen)),
        ("count", alert.count.to_string()),
        ("opened again", unless_zero(alert.reopenings.into())),
        ("acknowledged", acknowledgement.map_or_else(String::new, |it| describe_by(it, look))),
        ("resolved", describe_end(alert, look)),
        ("notified", notified.unwrap_or_default()),
        ("decision", decision.map_or_else(String::new, describe_decision)),
        ("decided next", time(&alert.next_decision_at)),
        ("ends if quiet", time(&alert.closes_at)),
        ("record", unless_zero(alert.record_number)),
    ];
    pairs.extend(alert.steps.iter().map(|step| ("history", step_line(step, look))));
    let light = severity_style(alert);
    pair_lines(&pairs, |key| if key == "what" { light } else { CellStyle::None }, look)
}

/// `ann until T: why`.
fn describe_by(it: &AlertAcknowledgement, look: &OutputOptions) -> String {
    let AlertAcknowledgement { by, at, until, note } = it;
    let until = match until {
        Some(_) => format!(", until {}", look.format_time(until)),
        None => String::new(),
    };
    let note = if note.is_empty() { String::new() } else { format!(": {note}") };
    format!("by {by} at {}{until}{note}", look.format_time(at))
}

/// Why and when it ended.
fn describe_end(alert: &OpenAlert, look: &OutputOptions) -> String {
    let why = match alert.end_cause.as_str() {
        "" => return String::new(),
        "appliance" => "the appliance reported it",
        "condition" => "the condition is over",
        "administrator" => "an administrator resolved it",
        "quiet" => "it was not reported any more",
        "displaced" => "the appliance has too many newer alerts",
        other => other,
    };
    format!("{}: {why}", look.format_time(&alert.ended_at))
}

/// The decision in words, with its silence.
fn describe_decision(decision: &AlertDecision) -> String {
    match decision.silence_id {
        0 => decision.explanation.clone(),
        id => format!("{} (silence {id})", decision.explanation),
    }
}

/// `2026-11-20 14:02:10Z acknowledged by ann: why (record 12)`.
pub(crate) fn step_line(step: &AlertHistoryStep, look: &OutputOptions) -> String {
    let AlertHistoryStep { at, record_number, kind: _, explanation, by, note } = step;
    let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
    let note = if note.is_empty() { String::new() } else { format!(": {note}") };
    format!("{} {explanation}{by}{note} (record {record_number})", look.format_time(at))
}

/// A decision as lines: what was decided, and below it each message.
pub(crate) fn decision_lines(decision: &ExplainedDecision, look: &OutputOptions) -> Vec<String> {
    let words = decision.decision.as_ref().map_or_else(String::new, describe_decision);
    let at = look.format_time(&decision.at);
    let mut lines = vec![format!("{at} {words} (record {})", decision.record_number)];
    let told = |receiver: &&String| !decision.messages.iter().any(|it| it.receiver == **receiver);
    lines.extend(decision.messages.iter().map(|message| message_line(message, look)));
    lines.extend(
        decision.receivers.iter().filter(told).map(|receiver| format!("    to {receiver}")),
    );
    lines
}

fn message_line(message: &NotificationMessage, look: &OutputOptions) -> String {
    let NotificationMessage { number, receiver, state, last_reply, due, ended_at } = message;
    let state = labels::mail_state(*state);
    let mut line = format!("    mail {number} to {receiver}: ");
    line.push_str(state.as_deref().unwrap_or("not known any more"));
    for (word, time) in [(" at", ended_at), (", tried next at", due)] {
        if time.is_some() {
            line.push_str(&format!("{word} {}", look.format_time(time)));
        }
    }
    if !last_reply.is_empty() {
        line.push_str(&format!(", last reply: {last_reply}"));
    }
    line
}

/// An alert as an object.
pub(crate) fn object(alert: &OpenAlert) -> OutputObject {
    OutputObject { kind: "alert", name: alert.id.to_string(), fields: fields(alert) }
}

/// The fields of an alert, those of older releases first.
pub(crate) fn fields(alert: &OpenAlert) -> Fields {
    let OpenAlert {
        appliance,
        kind,
        severity,
        since,
        text,
        id,
        state,
        key,
        last_seen,
        count,
        reopenings,
        acknowledgement,
        ended_at,
        end_cause,
        notified,
        decision,
        closes_at,
        class,
        record_number,
        steps,
        next_decision_at,
    } = alert;
    vec![
        ("appliance", appliance.into()),
        ("kind", labels::alert_kind(*kind).into()),
        ("severity", labels::severity(*severity).into()),
        ("since", since.into()),
        ("text", text.into()),
        ("id", (*id).into()),
        ("state", labels::alert_state(*state).into()),
        ("key", key.into()),
        ("last_seen", last_seen.into()),
        ("count", (*count).into()),
        ("reopenings", (*reopenings).into()),
        ("acknowledgement", ObjectValue::Object(acknowledgement.as_ref().map(by_fields))),
        ("ended_at", ended_at.into()),
        ("end_cause", end_cause.into()),
        ("notified", ObjectValue::Object(notified.as_ref().map(notified_fields))),
        ("decision", ObjectValue::Object(decision.as_ref().map(decision_fields))),
        ("closes_at", closes_at.into()),
        ("class", class.into()),
        ("record_number", (*record_number).into()),
        ("steps", ObjectValue::List(steps.iter().map(step_object).collect())),
        ("next_decision_at", next_decision_at.into()),
    ]
}

fn by_fields(it: &AlertAcknowledgement) -> Fields {
    let AlertAcknowledgement { by, at, until, note } = it;
    vec![("by", by.into()), ("at", at.into()), ("until", until.into()), ("note", note.into())]
}

fn notified_fields(it: &AlertNotification) -> Fields {
    let AlertNotification { at, severity, resolved, repeats } = it;
    vec![
        ("at", at.into()),
        ("severity", labels::severity(*severity).into()),
        ("resolved", (*resolved).into()),
        ("repeats", (*repeats).into()),
    ]
}

fn decision_fields(it: &AlertDecision) -> Fields {
    let AlertDecision { reason, explanation, notifies, silence_id } = it;
    vec![
        ("reason", reason.into()),
        ("explanation", explanation.into()),
        ("notifies", (*notifies).into()),
        ("silence_id", (*silence_id).into()),
    ]
}

fn step_object(it: &AlertHistoryStep) -> ObjectValue {
    let AlertHistoryStep { at, record_number, kind, explanation, by, note } = it;
    ObjectValue::Object(Some(vec![
        ("at", at.into()),
        ("record_number", (*record_number).into()),
        ("kind", kind.into()),
        ("explanation", explanation.into()),
        ("by", by.into()),
        ("note", note.into()),
    ]))
}

/// A decision as the value of a field.
pub(crate) fn explained_object(it: &ExplainedDecision) -> ObjectValue {
    let ExplainedDecision {
        record_number,
        at,
        alert_id,
        decision,
        receivers,
        messages,
        appliance,
        key,
    } = it;
    let message = |it: &NotificationMessage| {
        let NotificationMessage { number, receiver, state, last_reply, due, ended_at } = it;
        ObjectValue::Object(Some(vec![
            ("number", (*number).into()),
            ("receiver", receiver.into()),
            ("state", labels::mail_state(*state).into()),
            ("last_reply", last_reply.into()),
            ("due", due.into()),
            ("ended_at", ended_at.into()),
        ]))
    };
    ObjectValue::Object(Some(vec![
        ("record_number", (*record_number).into()),
        ("at", at.into()),
        ("alert_id", (*alert_id).into()),
        ("decision", ObjectValue::Object(decision.as_ref().map(decision_fields))),
        ("receivers", receivers.into()),
        ("messages", ObjectValue::List(messages.iter().map(message).collect())),
        ("appliance", appliance.into()),
        ("key", key.into()),
    ]))
}
