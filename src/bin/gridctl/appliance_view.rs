//! Formats an appliance as a row, as lines with the explanation first, and as an object.
//!
//! Guarantees the contract's keys in the object, always all of them, and the broker's explanation
//! word for word. Does not evaluate the state.

use grid_broker::contract::proto::{
    Appliance, ApplianceLock, ApplianceState, CrashDump, EventCount, Suppression,
};
use grid_broker::show::labels;

use crate::crash_dump;
use crate::duration::format_ms;
use crate::fields::{Fields, ObjectValue, OutputObject};
use crate::output::{ItemView, OutputOptions};
use crate::table::{CellStyle, Column, TableCell};

/// How appliances are shown.
pub(crate) fn view() -> ItemView<Appliance> {
    ItemView { columns: COLUMNS, cells, to_object: object }
}

const COLUMNS: &[Column] = &[
    Column { title: "appliance", width_min: 12, is_right_aligned: false, drop_priority: 0 },
    Column { title: "state", width_min: 11, is_right_aligned: false, drop_priority: 0 },
    Column { title: "since {zone}", width_min: 14, is_right_aligned: false, drop_priority: 2 },
    Column { title: "class", width_min: 7, is_right_aligned: false, drop_priority: 1 },
    Column { title: "explanation", width_min: 0, is_right_aligned: false, drop_priority: 0 },
];

fn cells(appliance: &Appliance, look: &OutputOptions) -> Vec<TableCell> {
    let state = labels::state(appliance.state).unwrap_or_default();
    vec![
        TableCell::new(&appliance.name),
        TableCell::styled(&state, state_style(appliance.state)),
        TableCell::new(&look.format_column_time(&appliance.state_since)),
        TableCell::new(&appliance.class),
        TableCell::new(&with_lock(explanation(appliance, look), appliance)),
    ]
}

fn explanation(appliance: &Appliance, look: &OutputOptions) -> String {
    look.localize(&appliance.explanation, &appliance.explanation_times)
}

/// The explanation in a list, with a mark if the appliance is locked.
fn with_lock(explanation: String, appliance: &Appliance) -> String {
    if appliance.lock.is_some() { format!("{explanation} [locked]") } else { explanation }
}

fn state_style(state: i32) -> CellStyle {
    match ApplianceState::try_from(state) {
        Ok(ApplianceState::Idle) => CellStyle::Dim,
        Ok(ApplianceState::Starting | ApplianceState::Maintenance | ApplianceState::Dumping) => {
            CellStyle::Yellow
        }
        Ok(ApplianceState::Running) => CellStyle::Green,
        Ok(ApplianceState::Failed) => CellStyle::Red,
        Ok(ApplianceState::Unspecified) | Err(_) => CellStyle::None,
    }
}

/// An appliance as `key: value` lines, with its last crash dump; unset values have no line.
pub(crate) fn detail_lines(
    appliance: &Appliance,
    crash_dump: Option<&CrashDump>,
    look: &OutputOptions,
) -> Vec<String> {
    let is_own = |key: &str| appliance.overrides.iter().any(|it| it == key);
    let own = |key| if is_own(key) { " (override)" } else { "" };
    let limit = |ms, none: &str| if ms == 0 { none.to_owned() } else { format_ms(ms) };
    let with_time = |text: &str, link: &str, time: &Option<_>| match look.format_time(time) {
        at if at.is_empty() || text.is_empty() => text.to_owned(),
        at => format!("{text}{link}{at}"),
    };
    let number = |number: u64| if number == 0 { String::new() } else { number.to_string() };
    let state = labels::state(appliance.state).unwrap_or_default();
    let managed = if appliance.managed { "yes" } else { "no" };
    let progress = match appliance.progress {
        0 => String::new(),
        percent => format!("{percent} %"),
    };
    let mut pairs = vec![
        ("appliance", appliance.name.clone()),
        ("explanation", explanation(appliance, look)),
        ("state", with_time(&state, " since ", &appliance.state_since)),
        ("failure", appliance.failure.clone()),
        ("progress", progress),
        ("text", appliance.text.clone()),
        ("deadline", look.format_time(&appliance.deadline)),
    ];
    if let Some(suppression) = &appliance.suppression {
        pairs.push(("suppressed", describe_suppression(suppression, look)));
        pairs.push(("not stored", describe_not_stored(suppression, look)));
    }
    pairs.extend(appliance.lock.iter().map(|lock| ("locked", describe_lock(lock, look))));
    let crash_dump = crash_dump.map(|dump| crash_dump::describe(dump, look));
    pairs.extend(crash_dump.map(|described| ("last crash dump", described)));
    pairs.extend(appliance.open_alerts.iter().map(|alert| ("open alert", alert.clone())));
    pairs.extend([
        ("boot", with_time(&appliance.boot_id, ", began ", &appliance.boot_began_at)),
        ("last event", look.format_time(&appliance.last_event_at)),
        ("events", describe_counts(&appliance.counts)),
        ("sessions", appliance.sessions.to_string()),
        ("last record", number(appliance.last_record)),
        ("class", format!("{}{}", appliance.class, own("class"))),
        ("managed", format!("{managed}{}", own("managed"))),
        (
            "boot timeout",
            format!("{}{}", limit(appliance.boot_timeout_ms, "none"), own("boot_timeout")),
        ),
        (
            "report deadline",
            format!(
                "{}{}",
                limit(appliance.maintenance_silence_ms, "none"),
                own("maintenance_silence")
            ),
        ),
        ("uuid", appliance.uuid.clone()),
    ]);
    let light = CellStyle::Bold;
    pair_lines(&pairs, |key| if key == "explanation" { light } else { CellStyle::None }, look)
}

/// Formats `key: value` lines with aligned values; pairs without a value are left out.
pub(crate) fn pair_lines(
    pairs: &[(&str, String)],
    light: impl Fn(&str) -> CellStyle,
    look: &OutputOptions,
) -> Vec<String> {
    let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
    let width = pairs.clone().map(|(key, _)| key.len() + 1).max().unwrap_or(0);
    let room =
        look.terminal_width.map_or(usize::MAX, |screen| screen.saturating_sub(width + 1).max(20));
    let mut lines = Vec::new();
    for (key, value) in pairs {
        for (at, value) in
            TableCell::styled(value, light(key)).lines(room, look.has_colour).enumerate()
        {
            let key = if at == 0 { format!("{key}:") } else { String::new() };
            lines.push(format!("{key:width$} {value}"));
        }
    }
    lines
}

fn object(appliance: &Appliance) -> OutputObject {
    let Appliance {
        name,
        uuid,
        class,
        managed,
        boot_timeout_ms,
        maintenance_silence_ms,
        overrides,
        state,
        state_since,
        explanation,
        boot_id,
        boot_began_at,
        deadline,
        progress,
        text,
        failure,
        last_event_at,
        sessions,
        open_alerts,
        last_record,
        suppression,
        counts,
        // The explanation contains these as RFC 3339.
        explanation_times: _,
        lock,
    } = appliance;
    let fields = vec![
        ("name", name.into()),
        ("uuid", uuid.into()),
        ("class", class.into()),
        ("managed", (*managed).into()),
        ("boot_timeout_ms", (*boot_timeout_ms).into()),
        ("maintenance_silence_ms", (*maintenance_silence_ms).into()),
        ("overrides", overrides.into()),
        ("state", labels::state(*state).into()),
        ("state_since", state_since.into()),
        ("explanation", explanation.into()),
        ("boot_id", boot_id.into()),
        ("boot_began_at", boot_began_at.into()),
        ("deadline", deadline.into()),
        ("progress", (*progress).into()),
        ("text", text.into()),
        ("failure", failure.into()),
        ("last_event_at", last_event_at.into()),
        ("sessions", (*sessions).into()),
        ("open_alerts", open_alerts.into()),
        ("last_record", (*last_record).into()),
        ("suppression", ObjectValue::Object(suppression.as_ref().map(suppression_fields))),
        ("counts", event_counts(counts)),
        ("lock", ObjectValue::Object(lock.as_ref().map(lock_fields))),
    ];
    OutputObject { kind: "appliance", name: name.clone(), fields }
}

fn suppression_fields(suppression: &Suppression) -> Fields {
    let Suppression { since, until, budget, explanation, not_stored, first_at, last_at, sample } =
        suppression;
    vec![
        ("since", since.into()),
        ("until", until.into()),
        ("budget", budget.into()),
        ("explanation", explanation.into()),
        ("not_stored", event_counts(not_stored)),
        ("first_at", first_at.into()),
        ("last_at", last_at.into()),
        ("sample", sample.into()),
    ]
}

fn lock_fields(lock: &ApplianceLock) -> Fields {
    let ApplianceLock { by, reason, since, by_admin } = lock;
    vec![
        ("by", by.into()),
        ("reason", reason.into()),
        ("since", since.into()),
        ("by_admin", (*by_admin).into()),
    ]
}

fn event_counts(counts: &[EventCount]) -> ObjectValue {
    let fields = counts.iter().map(|it| {
        ObjectValue::Object(Some(vec![
            ("kind", labels::event_kind(it.kind).into()),
            ("outcome", labels::outcome(it.outcome).into()),
            ("count", it.count.into()),
        ]))
    });
    ObjectValue::List(fields.collect())
}

/// Describes a lock: `by ann since 14:02:03Z: "migration"; only an admin unlocks it`.
pub(crate) fn describe_lock(lock: &ApplianceLock, look: &OutputOptions) -> String {
    let mut text = format!("by {}", lock.by);
    if lock.since.is_some() {
        text.push_str(&format!(" since {}", look.format_time(&lock.since)));
    }
    if !lock.reason.is_empty() {
        text.push_str(&format!(": \"{}\"", lock.reason));
    }
    if lock.by_admin {
        text.push_str("; only an admin unlocks it");
    }
    text
}

/// Describes a suppression: `log events come faster ..., since 14:02:03Z, until ... at least`.
fn describe_suppression(suppression: &Suppression, look: &OutputOptions) -> String {
    let mut text = suppression.explanation.clone();
    text.push_str(&format!(", since {}", look.format_time(&suppression.since)));
    text.push_str(&format!(", until {} at least", look.format_time(&suppression.until)));
    text
}

/// Describes the events that were not stored: `812 log, 3 alert; the last at 14:02:03Z: "disk 3"`.
fn describe_not_stored(suppression: &Suppression, look: &OutputOptions) -> String {
    let counts: Vec<_> = suppression.not_stored.iter().map(describe_count).collect();
    if counts.is_empty() {
        return String::new();
    }
    let last = look.format_time(&suppression.last_at);
    format!("{}; the last at {last}: \"{}\"", counts.join(", "), suppression.sample)
}

fn describe_count(count: &EventCount) -> String {
    format!("{} {}", count.count, labels::event_kind(count.kind).unwrap_or_default())
}

/// Counts events by outcome: `kept 12 log, 1 started_ok; repeated 57 alert`.
fn describe_counts(counts: &[EventCount]) -> String {
    let mut outcomes: Vec<(i32, Vec<String>)> = Vec::new();
    for it in counts {
        match outcomes.iter_mut().find(|(outcome, _)| *outcome == it.outcome) {
            Some((_, counts)) => counts.push(describe_count(it)),
            None => outcomes.push((it.outcome, vec![describe_count(it)])),
        }
    }
    let outcomes = outcomes.into_iter().map(|(outcome, counts)| {
        let label = labels::outcome(outcome).unwrap_or_default();
        format!("{label} {}", counts.join(", "))
    });
    outcomes.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::json;

    fn options() -> OutputOptions {
        OutputOptions::plain()
    }

    #[test]
    fn the_explanation_comes_first_and_nothing_unknown_is_listed() {
        let appliance = Appliance {
            name: "shop:main.db1".to_owned(),
            explanation: "maintenance 34 % \"checking\x1b[2J\", next report due in 22 s".to_owned(),
            state: ApplianceState::Maintenance as i32,
            state_since: Some(prost_types::Timestamp { seconds: 1_795_183_330, nanos: 0 }),
            class: "default".to_owned(),
            managed: true,
            boot_timeout_ms: 5_400_000,
            overrides: vec!["boot_timeout".to_owned()],
            progress: 34,
            open_alerts: vec!["disk full".to_owned(), "flapping".to_owned()],
            ..Appliance::default()
        };
        let expected = [
            "appliance:       shop:main.db1",
            r#"explanation:     maintenance 34 % "checking\x1b[2J", next report due in 22 s"#,
            "state:           maintenance since 2026-11-20 14:02:10Z",
            "progress:        34 %",
            "open alert:      disk full",
            "open alert:      flapping",
            "sessions:        0",
            "class:           default",
            "managed:         yes",
            "boot timeout:    1h30m (override)",
            "report deadline: none",
        ];
        assert_eq!(detail_lines(&appliance, None, &options()), expected);
    }

    #[test]
    fn the_json_of_an_appliance_is_exactly_this() {
        let appliance = Appliance {
            name: "db1".to_owned(),
            state: ApplianceState::Running as i32,
            ..Appliance::default()
        };
        assert_eq!(
            json::object(&object(&appliance)).unwrap(),
            concat!(
                r#"{"name":"db1","uuid":"","class":"","managed":false,"boot_timeout_ms":0,"#,
                r#""maintenance_silence_ms":0,"overrides":[],"state":"running","#,
                r#""state_since":null,"explanation":"","boot_id":"","boot_began_at":null,"#,
                r#""deadline":null,"progress":0,"text":"","failure":"","last_event_at":null,"#,
                r#""sessions":0,"open_alerts":[],"last_record":0,"suppression":null,"counts":[],"#,
                r#""lock":null}"#
            )
        );
    }
}
