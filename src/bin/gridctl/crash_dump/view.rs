//! Formats crash dumps as rows, as lines and as objects.
//!
//! Guarantees the contract's keys in the object, always all of them, and that output of a driver and
//! words of a kernel cannot look like lines of gridctl. Does not evaluate them.

use std::time::Duration;

use grid_broker::contract::proto::{CrashDump, CrashDumpEnd, CrashDumpTrigger, FoundCrashDump};
use grid_broker::grid::values::size::describe_bytes;
use grid_broker::grid::values::time::describe_duration;
use grid_broker::show::labels;

use crate::appliance_view::pair_lines;
use crate::fields::{Fields, ObjectValue, OutputObject};
use crate::output::{ItemView, OutputOptions};
use crate::table::{CellStyle, Column, TableCell};

/// The indentation of the driver's output.
const OUTPUT_INDENT: &str = "    ";

/// How crash dumps are shown.
pub(super) fn view() -> ItemView<CrashDump> {
    ItemView { columns: COLUMNS, cells, to_object: object }
}

const COLUMNS: &[Column] = &[
    Column { title: "request id", width_min: 40, is_right_aligned: false, drop_priority: 0 },
    Column { title: "requested {zone}", width_min: 14, is_right_aligned: false, drop_priority: 1 },
    Column { title: "by", width_min: 5, is_right_aligned: false, drop_priority: 4 },
    Column { title: "driver", width_min: 6, is_right_aligned: false, drop_priority: 3 },
    Column { title: "trigger", width_min: 7, is_right_aligned: false, drop_priority: 5 },
    Column { title: "end", width_min: 8, is_right_aligned: false, drop_priority: 2 },
    Column { title: "found", width_min: 0, is_right_aligned: false, drop_priority: 0 },
];

fn cells(dump: &CrashDump, look: &OutputOptions) -> Vec<TableCell> {
    let trigger = labels::crash_dump_trigger(dump.trigger).unwrap_or_default();
    let end = labels::crash_dump_end(dump.end);
    let found: Vec<_> = dump.found.iter().map(describe_found).collect();
    let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
    vec![
        TableCell::new(&dump.request_id),
        TableCell::new(&look.format_column_time(&dump.requested_at)),
        TableCell::new(&dump.by),
        TableCell::new(&dump.driver),
        TableCell::styled(&trigger, trigger_style(dump.trigger)),
        TableCell::styled(end.as_deref().unwrap_or("-"), end_style(dump.end)),
        TableCell::styled(&found, found_style(dump)),
    ]
}

fn trigger_style(trigger: i32) -> CellStyle {
    match CrashDumpTrigger::try_from(trigger) {
        Ok(CrashDumpTrigger::Failed) => CellStyle::Red,
        Ok(CrashDumpTrigger::Due | CrashDumpTrigger::Pending | CrashDumpTrigger::Unknown) => {
            CellStyle::Yellow
        }
        Ok(CrashDumpTrigger::Done | CrashDumpTrigger::Unspecified) | Err(_) => CellStyle::None,
    }
}

fn end_style(end: i32) -> CellStyle {
    match CrashDumpEnd::try_from(end) {
        Ok(CrashDumpEnd::NewBoot) => CellStyle::Green,
        Ok(CrashDumpEnd::NoBoot | CrashDumpEnd::NoEffect | CrashDumpEnd::NotTriggered) => {
            CellStyle::Red
        }
        Ok(CrashDumpEnd::Unspecified | CrashDumpEnd::Stopped) | Err(_) => CellStyle::None,
    }
}

fn found_style(dump: &CrashDump) -> CellStyle {
    match dump.found.as_slice() {
        [] => CellStyle::Dim,
        found if found.iter().all(|it| it.incomplete) => CellStyle::Yellow,
        _ => CellStyle::None,
    }
}

/// A dump that was found: `/var/crash/x/dump.x (22.3 MiB, incomplete, written in 3 s)`.
pub(super) fn describe_found(found: &FoundCrashDump) -> String {
    let mut facts = vec![describe_bytes(found.bytes)];
    if found.incomplete {
        facts.push("incomplete".to_owned());
    }
    if found.took_ms > 0 {
        let took = describe_duration(Duration::from_millis(found.took_ms));
        facts.push(format!("written in {took}"));
    }
    format!("{} ({})", found.path, facts.join(", "))
}

/// A dump that was found, as `key: value` pairs.
pub(crate) fn found_lines(
    found: &FoundCrashDump,
    look: &OutputOptions,
) -> [(&'static str, String); 3] {
    [
        ("dump", describe_found(found)),
        ("written", look.format_time(&found.written_at)),
        ("last words", found.last_words.clone()),
    ]
}

/// The whole story as lines: `key: value`, then the output of the driver.
pub(super) fn story_lines(name: &str, dump: &CrashDump, look: &OutputOptions) -> Vec<String> {
    let with_time = |label: Option<String>, time: &Option<_>| match (
        label.unwrap_or_default(),
        look.format_time(time),
    ) {
        (label, at) if at.is_empty() || label.is_empty() => label,
        (label, at) => format!("{label} at {at}"),
    };
    let end = with_time(labels::crash_dump_end(dump.end), &dump.ended_at);
    let mut pairs = vec![
        ("request id", dump.request_id.clone()),
        ("appliance", name.to_owned()),
        ("explanation", dump.explanation.clone()),
        ("requested", look.format_time(&dump.requested_at)),
        ("by", dump.by.clone()),
        ("cause", dump.cause.clone()),
        ("driver", dump.driver.clone()),
        ("trigger", with_time(labels::crash_dump_trigger(dump.trigger), &dump.triggered_at)),
        ("detail", dump.detail.clone()),
        ("boot", dump.boot_id.clone()),
        ("last event", look.format_time(&dump.last_event_at)),
        ("end", if end.is_empty() { "not yet".to_owned() } else { end }),
        ("next boot", dump.next_boot_id.clone()),
    ];
    if dump.found.is_empty() {
        pairs.push(("dump", "none was found".to_owned()));
    }
    pairs.extend(dump.found.iter().flat_map(|found| found_lines(found, look)));
    let light = |key: &str| if key == "explanation" { CellStyle::Bold } else { CellStyle::None };
    let mut lines = pair_lines(&pairs, light, look);
    if !dump.output.is_empty() {
        lines.push(format!("output of {}:", TableCell::new(&dump.driver).render(false)));
        let output = dump.output.lines().map(|it| TableCell::new(it).render(false));
        lines.extend(output.map(|line| format!("{OUTPUT_INDENT}{line}")));
    }
    lines
}

fn object(dump: &CrashDump) -> OutputObject {
    let CrashDump {
        request_id,
        by,
        cause,
        driver,
        boot_id,
        requested_at,
        trigger,
        triggered_at,
        detail,
        output,
        last_event_at,
        end,
        ended_at,
        next_boot_id,
        found,
        explanation,
    } = dump;
    let found = found.iter().map(|it| ObjectValue::Object(Some(found_fields(it))));
    let fields = vec![
        ("request_id", request_id.into()),
        ("by", by.into()),
        ("cause", cause.into()),
        ("driver", driver.into()),
        ("boot_id", boot_id.into()),
        ("requested_at", requested_at.into()),
        ("trigger", labels::crash_dump_trigger(*trigger).into()),
        ("triggered_at", triggered_at.into()),
        ("detail", detail.into()),
        ("output", output.into()),
        ("last_event_at", last_event_at.into()),
        ("end", labels::crash_dump_end(*end).into()),
        ("ended_at", ended_at.into()),
        ("next_boot_id", next_boot_id.into()),
        ("found", ObjectValue::List(found.collect())),
        ("explanation", explanation.into()),
    ];
    OutputObject { kind: "crash_dump", name: request_id.clone(), fields }
}

/// A dump that was found, as an object.
pub(crate) fn found_fields(found: &FoundCrashDump) -> Fields {
    let FoundCrashDump { path, bytes, incomplete, last_words, took_ms, written_at } = found;
    vec![
        ("path", path.into()),
        ("bytes", (*bytes).into()),
        ("incomplete", (*incomplete).into()),
        ("last_words", last_words.into()),
        ("took_ms", (*took_ms).into()),
        ("written_at", written_at.into()),
    ]
}
