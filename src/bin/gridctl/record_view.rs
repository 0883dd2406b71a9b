//! How a record of the grid log is shown: as a line for people, as a form for machines.
//!
//! The form has the contract's keys, always all of them. `event` is null or an object: its `kind`
//! as a word, then `progress` if it is a maintenance or `counter` (null, or name and value) if it
//! is an alert, then the event's other keys. `settings` is null or an object too. Does not know how
//! records are asked for.

use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{
    Event, LostEvents, Outcome, Record, SettingIs, SettingsInForce, Severity,
};
use grid_broker::show::labels;

use crate::appliance_view::pair_lines;
use crate::fields::{FieldObject, Fields, ObjectValue};
use crate::output::{OutputOptions, View};
use crate::subject;
use crate::table::{Column, Style, TableCell};

/// How records are shown.
pub(crate) fn shape() -> View<Record> {
    View { columns: COLUMNS, cells, object: form }
}

const COLUMNS: &[Column] = &[
    Column { title: "number", least: 6, to_the_right: true, drop: 0 },
    Column { title: "received {zone}", least: 14, to_the_right: false, drop: 0 },
    Column { title: "appliance", least: 9, to_the_right: false, drop: 0 },
    Column { title: "kind", least: 11, to_the_right: false, drop: 2 },
    Column { title: "severity", least: 8, to_the_right: false, drop: 1 },
    Column { title: "what", least: 0, to_the_right: false, drop: 0 },
];

fn cells(record: &Record, look: &OutputOptions) -> Vec<TableCell> {
    let severity = labels::severity(record.severity).unwrap_or_default();
    vec![
        TableCell::new(&record.number.to_string()),
        TableCell::new(&look.time_in_column(&record.received_at)),
        TableCell::new(subject::shown(&record.appliance)),
        TableCell::new(&labels::record_kind(record.kind).unwrap_or_default()),
        TableCell::styled(&severity, light(record.severity)),
        TableCell::new(&what(&on_the_wall(record, look))),
    ]
}

/// How a severity is lit.
pub(crate) fn light(severity: i32) -> Style {
    match Severity::try_from(severity) {
        Ok(Severity::Debug) => Style::Dim,
        Ok(Severity::Warn) => Style::Yellow,
        Ok(Severity::Error) => Style::Red,
        Ok(Severity::Fatal) => Style::BoldRed,
        Ok(Severity::Unspecified | Severity::Info) | Err(_) => Style::None,
    }
}

/// The record with the times in its sentences as the reader reads them.
fn on_the_wall(record: &Record, look: &OutputOptions) -> Record {
    let mut shown = record.clone();
    shown.text = look.sentence(&record.text, &record.text_times);
    shown.explanation = look.sentence(&record.explanation, &record.explanation_times);
    shown
}

/// What happened, in one line: what was said, the state it led to, why it was not simply kept, on
/// whose behalf, and what the broker noted.
fn what(record: &Record) -> String {
    let mut parts = Vec::new();
    match record.event.as_ref().and_then(|event| event.kind.as_ref()) {
        Some(Kind::Maintenance(maintenance)) => {
            parts.extend(maintenance.progress.map(|progress| format!("{progress} %")));
        }
        // Without a text of its own the counter is the record's text already.
        Some(Kind::Alert(alert)) if record.event.as_ref().is_some_and(|it| !it.text.is_empty()) => {
            parts.extend(alert.counter.as_ref().map(|it| format!("{} = {}", it.name, it.value)));
        }
        Some(Kind::Alert(_) | Kind::StartedOk(_) | Kind::StartFailed(_) | Kind::Log(_)) | None => {}
    }
    parts.push(record.text.clone());
    parts.extend(labels::state(record.state).map(|state| format!("-> {state}")));
    parts.push(became(record));
    if !record.administrator.is_empty() {
        parts.push(format!("by {}", record.administrator));
    }
    if !record.marks.is_empty() {
        parts.push(format!("[{}]", record.marks.join(", ")));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

/// `(refused: the boot is over)`, or the explanation alone if nothing stood in the way.
fn became(record: &Record) -> String {
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

/// One record as `key: value` lines; what is not known has none.
pub(crate) fn lines(record: &Record, look: &OutputOptions) -> Vec<String> {
    let word = |word: Option<String>| word.unwrap_or_default();
    let record = &on_the_wall(record, look);
    let mut pairs = vec![
        ("record", record.number.to_string()),
        ("received", look.time(&record.received_at)),
        ("kind", word(labels::record_kind(record.kind))),
        ("severity", word(labels::severity(record.severity))),
        ("appliance", subject::shown(&record.appliance).to_owned()),
        ("text", record.text.clone()),
        ("state", word(labels::state(record.state))),
        ("outcome", word(labels::outcome(record.outcome))),
        ("reason", record.reason.clone()),
        ("explanation", record.explanation.clone()),
        ("administrator", record.administrator.clone()),
        ("marks", record.marks.join(", ")),
        ("boot", record.boot_id.clone()),
    ];
    if let Some(event) = &record.event {
        pairs.extend(event_pairs(event, look));
    }
    if let Some(settings) = &record.settings {
        let shown = |it: &SettingIs| {
            let value = it.value.as_deref().unwrap_or("unset");
            format!("{} = {value} ({})", it.key, it.origin)
        };
        pairs.extend(settings.settings.iter().map(|it| ("setting", shown(it))));
        pairs.extend(settings.waiting.iter().map(|it| ("after a restart", shown(it))));
        pairs.extend(settings.warnings.iter().map(|it| ("warning", it.clone())));
    }
    let light = light(record.severity);
    pair_lines(&pairs, |key| if key == "text" { light } else { Style::None }, look)
}

fn event_pairs(event: &Event, look: &OutputOptions) -> Vec<(&'static str, String)> {
    let some = |number: u64, unit: &str| match number {
        0 => String::new(),
        number => format!("{number}{unit}"),
    };
    let mut pairs = vec![
        ("sequence", some(event.sequence, "")),
        ("happened", look.time(&event.event_time)),
        ("uptime", some(event.uptime_ms / 1000, " s")),
        ("spooled", look.time(&event.spooled_at)),
        ("next report within", some(u64::from(event.next_report_within_ms) / 1000, " s")),
    ];
    match &event.kind {
        Some(Kind::Maintenance(maintenance)) => {
            pairs.extend(maintenance.progress.map(|it| ("progress", format!("{it} %"))));
        }
        Some(Kind::Alert(alert)) => {
            pairs.extend(
                alert.counter.as_ref().map(|it| ("counter", format!("{} = {}", it.name, it.value))),
            );
        }
        Some(Kind::StartedOk(_) | Kind::StartFailed(_) | Kind::Log(_)) | None => {}
    }
    pairs.extend(event.lost_before.iter().map(|it| {
        let kind = labels::event_kind(it.kind).unwrap_or_default();
        let why = labels::lost_reason(it.reason).unwrap_or_default();
        ("lost before it", format!("{} {kind} ({why})", it.count))
    }));
    pairs
}

fn form(record: &Record) -> FieldObject {
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
        marks,
        settings,
        // In the texts as RFC 3339.
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
        ("marks", marks.into()),
        ("settings", ObjectValue::Object(settings.as_ref().map(settings_fields))),
    ];
    FieldObject { entity: "record", name: number.to_string(), fields }
}

fn settings_fields(it: &SettingsInForce) -> Fields {
    let SettingsInForce { at_start, settings, waiting, warnings, left_out } = it;
    let list = |of: &[SettingIs]| ObjectValue::List(of.iter().map(setting).collect());
    vec![
        ("at_start", (*at_start).into()),
        ("settings", list(settings)),
        ("waiting", list(waiting)),
        ("warnings", warnings.into()),
        ("left_out", (*left_out).into()),
    ]
}

fn setting(it: &SettingIs) -> ObjectValue {
    let SettingIs { key, value, origin, before } = it;
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
    } = event;
    let mut fields: Fields =
        vec![("kind", kind.as_ref().map(|kind| labels::event_body_kind(kind).to_owned()).into())];
    match kind {
        Some(Kind::Maintenance(maintenance)) => {
            fields.push((
                "progress",
                maintenance.progress.map_or(ObjectValue::Null, ObjectValue::from),
            ));
        }
        Some(Kind::Alert(alert)) => {
            let counter = alert.counter.as_ref();
            let counter = counter
                .map(|it| vec![("name", ObjectValue::from(&it.name)), ("value", it.value.into())]);
            fields.push(("counter", ObjectValue::Object(counter)));
        }
        Some(Kind::StartedOk(_) | Kind::StartFailed(_) | Kind::Log(_)) | None => {}
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
        ("lost_before", ObjectValue::List(lost_before.iter().map(lost).collect())),
        ("alert_key", alert_key.into()),
    ]);
    fields
}

fn lost(lost: &LostEvents) -> ObjectValue {
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

    fn refused() -> Record {
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
            marks: vec!["replayed".to_owned()],
            ..Record::default()
        }
    }

    #[test]
    fn the_json_of_a_record_is_exactly_this() {
        assert_eq!(
            json::object(&form(&refused())).unwrap(),
            concat!(
                r#"{"number":17,"received_at":"2026-11-20T14:02:10.5Z","kind":"maintenance","#,
                r#""severity":"info","appliance":"shop:main.db1","boot_id":"b","text":"checking","#,
                r#""state":null,"outcome":"refused","reason":"ALREADY_RUNNING","#,
                r#""explanation":"it is running already","event":{"kind":"maintenance","#,
                r#""progress":34,"text":"checking","severity":null,"boot_id":"","#,
                r#""sequence":18446744073709551615,"event_time":null,"uptime_ms":0,"#,
                r#""spooled_at":null,"repeated":false,"next_report_within_ms":0,"#,
                r#""lost_before":[{"kind":null,"count":2,"first_at":null,"last_at":null,"reason":"spool_full"}],"alert_key":""},"#,
                r#""administrator":"","marks":["replayed"],"settings":null}"#
            )
        );
    }

    #[test]
    fn an_empty_record_has_all_keys() {
        assert_eq!(
            json::object(&form(&Record::default())).unwrap(),
            concat!(
                r#"{"number":0,"received_at":null,"kind":null,"severity":null,"appliance":"","#,
                r#""boot_id":"","text":"","state":null,"outcome":null,"reason":"","#,
                r#""explanation":"","event":null,"administrator":"","marks":[],"settings":null}"#
            )
        );
    }

    #[test]
    fn a_line_says_what_became_of_it() {
        assert_eq!(what(&refused()), "34 % checking (refused: it is running already) [replayed]");
        let verdict = Record {
            text: "boot timeout".to_owned(),
            explanation: "nothing heard for 300 s".to_owned(),
            state: ApplianceState::Failed as i32,
            ..Record::default()
        };
        assert_eq!(what(&verdict), "boot timeout -> failed (nothing heard for 300 s)");
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
        assert_eq!(what(&alert("", "disk = 93.5")), "disk = 93.5 by ann");
        assert_eq!(what(&alert("nearly full", "nearly full")), "disk = 93.5 nearly full by ann");
    }
}
