//! Formats a record of the grid log as a row, as lines, and as an object.
//!
//! Guarantees the contract's keys in the object, always all of them. `event` is null or an object:
//! its `kind`, then `progress` if it is a maintenance or `counter` (null, or name and value) if it
//! is an alert, then the other keys of the event. `settings` is null or an object too. Does not
//! know how records are fetched.

use crate::appliance_view::pair_lines;
use crate::crash_dump::{self, found_fields};
use crate::fields::{Fields, ObjectValue, OutputObject};
use crate::output::{ItemView, OutputOptions};
use crate::subject;
use crate::table::{CellStyle, Column, TableCell};
use grid_broker::contract::decode::event_kind;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{
    AppliedSetting, AppliedSettings, Event, LostEvents, Outcome, Record, Severity,
};
use grid_broker::show::labels;

/// How records are shown.
pub(crate) fn view() -> ItemView<Record> {
    ItemView { columns: COLUMNS, cells, to_object: object }
}

const COLUMNS: &[Column] = &[
    Column { title: "number", width_min: 6, is_right_aligned: true, drop_priority: 0 },
    Column { title: "received {zone}", width_min: 14, is_right_aligned: false, drop_priority: 0 },
    Column { title: "appliance", width_min: 9, is_right_aligned: false, drop_priority: 0 },
    Column { title: "kind", width_min: 11, is_right_aligned: false, drop_priority: 2 },
    Column { title: "severity", width_min: 8, is_right_aligned: false, drop_priority: 1 },
    Column { title: "what", width_min: 0, is_right_aligned: false, drop_priority: 0 },
];

fn cells(record: &Record, look: &OutputOptions) -> Vec<TableCell> {
    let severity = labels::severity(record.severity).unwrap_or_default();
    vec![
        TableCell::new(&record.number.to_string()),
        TableCell::new(&look.format_column_time(&record.received_at)),
        TableCell::new(subject::format(&record.appliance)),
        TableCell::new(&labels::record_kind(record.kind).unwrap_or_default()),
        TableCell::styled(&severity, severity_style(record.severity)),
        TableCell::new(&describe_record(&with_local_times(record, look))),
    ]
}

/// The style of a severity.
pub(crate) fn severity_style(severity: i32) -> CellStyle {
    match Severity::try_from(severity) {
        Ok(Severity::Debug) => CellStyle::Dim,
        Ok(Severity::Warn) => CellStyle::Yellow,
        Ok(Severity::Error) => CellStyle::Red,
        Ok(Severity::Fatal) => CellStyle::BoldRed,
        Ok(Severity::Unspecified | Severity::Info) | Err(_) => CellStyle::None,
    }
}

/// The record with the times in its sentences in the reader's zone.
fn with_local_times(record: &Record, look: &OutputOptions) -> Record {
    let mut shown = record.clone();
    shown.text = look.localize(&record.text, &record.text_times);
    shown.explanation = look.localize(&record.explanation, &record.explanation_times);
    shown
}

/// A record in one line: its text, the new state, the outcome with its reason, the administrator,
/// and the flags.
fn describe_record(record: &Record) -> String {
    let mut parts = Vec::new();
    let kind = record.event.as_ref().and_then(|event| event.kind.as_ref());
    if let Some(Kind::Maintenance(maintenance)) = kind {
        parts.extend(maintenance.progress.map(|progress| format!("{progress} %")));
    }
    // An event without a text has its counter as the record's text.
    if let Some(Kind::Alert(alert)) = kind
        && record.event.as_ref().is_some_and(|it| !it.text.is_empty())
    {
        parts.extend(alert.counter.as_ref().map(|it| format!("{} = {}", it.name, it.value)));
    }
    parts.push(record.text.clone());
    parts.extend(labels::state(record.state).map(|state| format!("-> {state}")));
    parts.push(describe_outcome(record));
    if !record.administrator.is_empty() {
        parts.push(format!("by {}", record.administrator));
    }
    if !record.flags.is_empty() {
        parts.push(format!("[{}]", record.flags.join(", ")));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

/// `(refused: the boot is over)`, or only the explanation if the event was stored.
fn describe_outcome(record: &Record) -> String {
    let why = [&record.explanation, &record.reason].into_iter().find(|why| !why.is_empty());
    let why = why.filter(|why| **why != record.text);
    let is_kept = [Outcome::Unspecified as i32, Outcome::Kept as i32].contains(&record.outcome);
    let outcome = labels::outcome(record.outcome).filter(|_| !is_kept);
    match (outcome, why) {
        (Some(outcome), Some(why)) => format!("({outcome}: {why})"),
        (Some(outcome), None) => format!("({outcome})"),
        (None, Some(why)) => format!("({why})"),
        (None, None) => String::new(),
    }
}

/// A record as `key: value` lines; unset values have no line.
pub(crate) fn detail_lines(record: &Record, look: &OutputOptions) -> Vec<String> {
    let text_of = |label: Option<String>| label.unwrap_or_default();
    let record = &with_local_times(record, look);
    let mut pairs = vec![
        ("record", record.number.to_string()),
        ("received", look.format_time(&record.received_at)),
        ("kind", text_of(labels::record_kind(record.kind))),
        ("severity", text_of(labels::severity(record.severity))),
        ("appliance", subject::format(&record.appliance).to_owned()),
        ("text", record.text.clone()),
        ("state", text_of(labels::state(record.state))),
        ("outcome", text_of(labels::outcome(record.outcome))),
        ("reason", record.reason.clone()),
        ("explanation", record.explanation.clone()),
        ("administrator", record.administrator.clone()),
        ("flags", record.flags.join(", ")),
        ("boot", record.boot_id.clone()),
    ];
    if let Some(event) = &record.event {
        pairs.extend(event_lines(event, look));
    }
    if let Some(settings) = &record.settings {
        let shown = |it: &AppliedSetting| {
            let value = it.value.as_deref().unwrap_or("unset");
            format!("{} = {value} ({})", it.key, it.origin)
        };
        pairs.extend(settings.settings.iter().map(|it| ("setting", shown(it))));
        pairs.extend(settings.waiting.iter().map(|it| ("after a restart", shown(it))));
        pairs.extend(settings.warnings.iter().map(|it| ("warning", it.clone())));
    }
    let light = severity_style(record.severity);
    pair_lines(&pairs, |key| if key == "text" { light } else { CellStyle::None }, look)
}

fn event_lines(event: &Event, look: &OutputOptions) -> Vec<(&'static str, String)> {
    let some = |number: u64, unit: &str| match number {
        0 => String::new(),
        number => format!("{number}{unit}"),
    };
    let mut pairs = vec![
        ("sequence", some(event.sequence, "")),
        ("happened", look.format_time(&event.event_time)),
        ("uptime", some(event.uptime_ms / 1000, " s")),
        ("spooled", look.format_time(&event.spooled_at)),
        ("next report within", some(u64::from(event.next_report_within_ms) / 1000, " s")),
    ];
    if let Some(Kind::Maintenance(maintenance)) = &event.kind {
        pairs.extend(maintenance.progress.map(|it| ("progress", format!("{it} %"))));
    }
    if let Some(Kind::Alert(alert)) = &event.kind {
        let counter = alert.counter.as_ref();
        pairs.extend(counter.map(|it| ("counter", format!("{} = {}", it.name, it.value))));
    }
    if let Some(found) = &event.crash_dump {
        pairs.extend(crash_dump::found_lines(found, look));
    }
    pairs.extend(event.lost_before.iter().map(|it| {
        let kind = labels::event_kind(it.kind).unwrap_or_default();
        let why = labels::lost_reason(it.reason).unwrap_or_default();
        ("lost before", format!("{} {kind} ({why})", it.count))
    }));
    pairs
}

fn object(record: &Record) -> OutputObject {
    let Record {
        number,
        received_at,
        kind,
        severity,
        appliance,
        boot_id,
        text,
        state,
        outcome,
        reason,
        explanation,
        event,
        administrator,
        flags,
        settings,
        // The texts contain these as RFC 3339.
        text_times: _,
        explanation_times: _,
    } = record;
    let fields = vec![
        ("number", (*number).into()),
        ("received_at", received_at.into()),
        ("kind", labels::record_kind(*kind).into()),
        ("severity", labels::severity(*severity).into()),
        ("appliance", appliance.into()),
        ("boot_id", boot_id.into()),
        ("text", text.into()),
        ("state", labels::state(*state).into()),
        ("outcome", labels::outcome(*outcome).into()),
        ("reason", reason.into()),
        ("explanation", explanation.into()),
        ("event", ObjectValue::Object(event.as_ref().map(event_fields))),
        ("administrator", administrator.into()),
        ("flags", flags.into()),
        ("settings", ObjectValue::Object(settings.as_ref().map(settings_fields))),
    ];
    OutputObject { kind: "record", name: number.to_string(), fields }
}

fn settings_fields(it: &AppliedSettings) -> Fields {
    let AppliedSettings { at_start, settings, waiting, warnings, left_out } = it;
    let list = |of: &[AppliedSetting]| ObjectValue::List(of.iter().map(setting_value).collect());
    vec![
        ("at_start", (*at_start).into()),
        ("settings", list(settings)),
        ("waiting", list(waiting)),
        ("warnings", warnings.into()),
        ("left_out", (*left_out).into()),
    ]
}

fn setting_value(it: &AppliedSetting) -> ObjectValue {
    let AppliedSetting { key, value, origin, before } = it;
    let text = |text: &Option<String>| text.as_ref().map_or(ObjectValue::Null, ObjectValue::from);
    ObjectValue::Object(Some(vec![
        ("key", key.into()),
        ("value", text(value)),
        ("origin", origin.into()),
        ("before", text(before)),
    ]))
}

fn event_fields(event: &Event) -> Fields {
    let Event {
        kind,
        text,
        severity,
        boot_id,
        sequence,
        event_time,
        uptime_ms,
        spooled_at,
        repeated,
        next_report_within_ms,
        lost_before,
        alert_key,
        crash_dump,
        alert_resolved,
    } = event;
    let mut fields: Fields =
        vec![("kind", kind.as_ref().map(|kind| event_kind(kind).as_str().to_owned()).into())];
    if let Some(Kind::Maintenance(maintenance)) = kind {
        let progress = maintenance.progress.map_or(ObjectValue::Null, ObjectValue::from);
        fields.push(("progress", progress));
    }
    if let Some(Kind::Alert(alert)) = kind {
        let counter = alert.counter.as_ref();
        let counter = counter
            .map(|it| vec![("name", ObjectValue::from(&it.name)), ("value", it.value.into())]);
        fields.push(("counter", ObjectValue::Object(counter)));
    }
    fields.extend([
        ("text", text.into()),
        ("severity", labels::severity(*severity).into()),
        ("boot_id", boot_id.into()),
        ("sequence", (*sequence).into()),
        ("event_time", event_time.into()),
        ("uptime_ms", (*uptime_ms).into()),
        ("spooled_at", spooled_at.into()),
        ("repeated", (*repeated).into()),
        ("next_report_within_ms", (*next_report_within_ms).into()),
        ("lost_before", ObjectValue::List(lost_before.iter().map(lost_events_value).collect())),
        ("alert_key", alert_key.into()),
        ("crash_dump", ObjectValue::Object(crash_dump.as_ref().map(found_fields))),
        ("alert_resolved", (*alert_resolved).into()),
    ]);
    fields
}

fn lost_events_value(lost: &LostEvents) -> ObjectValue {
    let LostEvents { kind, count, first_at, last_at, reason } = lost;
    ObjectValue::Object(Some(vec![
        ("kind", labels::event_kind(*kind).into()),
        ("count", (*count).into()),
        ("first_at", first_at.into()),
        ("last_at", last_at.into()),
        ("reason", labels::lost_reason(*reason).into()),
    ]))
}

#[cfg(test)]
mod tests {
    use grid_broker::contract::proto::{Alert, ApplianceState, Counter, Maintenance, RecordKind};

    use super::*;
    use crate::json;

    fn rejected_record() -> Record {
        Record {
            number: 17,
            received_at: Some(prost_types::Timestamp {
                seconds: 1_795_183_330,
                nanos: 500_000_000,
            }),
            kind: RecordKind::Maintenance as i32,
            severity: Severity::Info as i32,
            appliance: "shop:main.db1".to_owned(),
            boot_id: "b".to_owned(),
            text: "checking".to_owned(),
            outcome: Outcome::Refused as i32,
            reason: "ALREADY_RUNNING".to_owned(),
            explanation: "it is running already".to_owned(),
            event: Some(Event {
                kind: Some(Kind::Maintenance(Maintenance { progress: Some(34) })),
                text: "checking".to_owned(),
                sequence: u64::MAX,
                lost_before: vec![LostEvents { count: 2, reason: 1, ..LostEvents::default() }],
                ..Event::default()
            }),
            flags: vec!["replayed".to_owned()],
            ..Record::default()
        }
    }

    #[test]
    fn the_json_of_a_record_is_exactly_this() {
        assert_eq!(
            json::object(&object(&rejected_record())).unwrap(),
            concat!(
                r#"{"number":17,"received_at":"2026-11-20T14:02:10.5Z","kind":"maintenance","#,
                r#""severity":"info","appliance":"shop:main.db1","boot_id":"b","text":"checking","#,
                r#""state":null,"outcome":"refused","reason":"ALREADY_RUNNING","#,
                r#""explanation":"it is running already","event":{"kind":"maintenance","#,
                r#""progress":34,"text":"checking","severity":null,"boot_id":"","#,
                r#""sequence":18446744073709551615,"event_time":null,"uptime_ms":0,"#,
                r#""spooled_at":null,"repeated":false,"next_report_within_ms":0,"#,
                r#""lost_before":[{"kind":null,"count":2,"first_at":null,"last_at":null,"reason":"spool_full"}],"alert_key":"","crash_dump":null,"alert_resolved":false},"#,
                r#""administrator":"","flags":["replayed"],"settings":null}"#
            )
        );
    }

    #[test]
    fn an_empty_record_has_all_keys() {
        assert_eq!(
            json::object(&object(&Record::default())).unwrap(),
            concat!(
                r#"{"number":0,"received_at":null,"kind":null,"severity":null,"appliance":"","#,
                r#""boot_id":"","text":"","state":null,"outcome":null,"reason":"","#,
                r#""explanation":"","event":null,"administrator":"","flags":[],"settings":null}"#
            )
        );
    }

    #[test]
    fn a_line_shows_the_outcome() {
        assert_eq!(
            describe_record(&rejected_record()),
            "34 % checking (refused: it is running already) [replayed]"
        );
        let verdict = Record {
            text: "boot timeout".to_owned(),
            explanation: "no report for 300 s".to_owned(),
            state: ApplianceState::Failed as i32,
            ..Record::default()
        };
        assert_eq!(describe_record(&verdict), "boot timeout -> failed (no report for 300 s)");
        let counter = Counter { name: "disk".to_owned(), value: 93.5 };
        let alert = |own: &str, text: &str| Record {
            outcome: Outcome::Kept as i32,
            text: text.to_owned(),
            administrator: "ann".to_owned(),
            event: Some(Event {
                kind: Some(Kind::Alert(Alert { counter: Some(counter.clone()) })),
                text: own.to_owned(),
                ..Event::default()
            }),
            ..Record::default()
        };
        assert_eq!(describe_record(&alert("", "disk = 93.5")), "disk = 93.5 by ann");
        assert_eq!(
            describe_record(&alert("nearly full", "nearly full")),
            "disk = 93.5 nearly full by ann"
        );
    }
}
