//! How an appliance is shown: as a row, as lines that begin with why it stands where it does, and
//! as a form for machines.
//!
//! The form has the contract's keys, always all of them. The explanation is the broker's, word for
//! word; nothing is judged here.

use grid_broker::contract::proto::{Appliance, ApplianceState, EventCount, Suppression};
use grid_broker::show::labels;

use crate::duration::show_ms;
use crate::fields::{FieldObject, Fields, ObjectValue};
use crate::output::{OutputOptions, View};
use crate::table::{Column, Style, TableCell};

/// How appliances are listed.
pub(crate) fn shape() -> View<Appliance> {
    View { columns: COLUMNS, cells, object: form }
}

const COLUMNS: &[Column] = &[
    Column { title: "appliance", least: 12, to_the_right: false, drop: 0 },
    Column { title: "state", least: 11, to_the_right: false, drop: 0 },
    Column { title: "since {zone}", least: 14, to_the_right: false, drop: 2 },
    Column { title: "class", least: 7, to_the_right: false, drop: 1 },
    Column { title: "explanation", least: 0, to_the_right: false, drop: 0 },
];

fn cells(appliance: &Appliance, look: &OutputOptions) -> Vec<TableCell> {
    let state = labels::state(appliance.state).unwrap_or_default();
    vec![
        TableCell::new(&appliance.name),
        TableCell::styled(&state, light(appliance.state)),
        TableCell::new(&look.time_in_column(&appliance.state_since)),
        TableCell::new(&appliance.class),
        TableCell::new(&explanation(appliance, look)),
    ]
}

fn explanation(appliance: &Appliance, look: &OutputOptions) -> String {
    look.sentence(&appliance.explanation, &appliance.explanation_times)
}

fn light(state: i32) -> Style {
    match ApplianceState::try_from(state) {
        Ok(ApplianceState::Idle) => Style::Dim,
        Ok(ApplianceState::Starting | ApplianceState::Maintenance | ApplianceState::Dumping) => {
            Style::Yellow
        }
        Ok(ApplianceState::Running) => Style::Green,
        Ok(ApplianceState::Failed) => Style::Red,
        Ok(ApplianceState::Unspecified) | Err(_) => Style::None,
    }
}

/// One appliance as `key: value` lines; what is not known has none.
pub(crate) fn lines(appliance: &Appliance, look: &OutputOptions) -> Vec<String> {
    let is_own = |key: &str| appliance.overrides.iter().any(|it| it == key);
    let own = |key| if is_own(key) { " (its own)" } else { "" };
    let limit = |ms, none: &str| if ms == 0 { none.to_owned() } else { show_ms(ms) };
    let with_time = |what: &str, word: &str, time: &Option<_>| match look.time(time) {
        at if at.is_empty() || what.is_empty() => what.to_owned(),
        at => format!("{what}{word}{at}"),
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
        ("deadline", look.time(&appliance.deadline)),
    ];
    if let Some(suppression) = &appliance.suppression {
        pairs.push(("held back", held_back(suppression, look)));
        pairs.push(("not stored", not_stored(suppression, look)));
    }
    pairs.extend(appliance.open_alerts.iter().map(|alert| ("open alert", alert.clone())));
    pairs.extend([
        ("boot", with_time(&appliance.boot_id, ", began ", &appliance.boot_began_at)),
        ("last heard", look.time(&appliance.last_heard_at)),
        ("events", heard(&appliance.counts)),
        ("sessions", appliance.sessions.to_string()),
        ("last record", number(appliance.last_record)),
        ("class", format!("{}{}", appliance.class, own("class"))),
        ("managed", format!("{managed}{}", own("managed"))),
        (
            "boot timeout",
            format!("{}{}", limit(appliance.boot_timeout_ms, "none"), own("boot_timeout")),
        ),
        (
            "maintenance silence",
            format!(
                "{}{}",
                limit(appliance.maintenance_silence_ms, "none"),
                own("maintenance_silence")
            ),
        ),
        ("uuid", appliance.uuid.clone()),
    ]);
    let light = Style::Bold;
    pair_lines(&pairs, |key| if key == "explanation" { light } else { Style::None }, look)
}

/// `key: value` lines with the values below each other; pairs without a value are left out.
pub(crate) fn pair_lines(
    pairs: &[(&str, String)],
    light: impl Fn(&str) -> Style,
    look: &OutputOptions,
) -> Vec<String> {
    let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
    let width = pairs.clone().map(|(key, _)| key.len() + 1).max().unwrap_or(0);
    let room = look.screen.map_or(usize::MAX, |screen| screen.saturating_sub(width + 1).max(20));
    let mut lines = Vec::new();
    for (key, value) in pairs {
        for (at, value) in TableCell::styled(value, light(key)).lines(room, look.colour).enumerate()
        {
            let key = if at == 0 { format!("{key}:") } else { String::new() };
            lines.push(format!("{key:width$} {value}"));
        }
    }
    lines
}

fn form(appliance: &Appliance) -> FieldObject {
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
        last_heard_at,
        sessions,
        open_alerts,
        last_record,
        suppression,
        counts,
        // In the explanation as RFC 3339.
        explanation_times: _,
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
        ("last_heard_at", last_heard_at.into()),
        ("sessions", (*sessions).into()),
        ("open_alerts", open_alerts.into()),
        ("last_record", (*last_record).into()),
        ("suppression", ObjectValue::Object(suppression.as_ref().map(suppression_fields))),
        ("counts", event_counts(counts)),
    ];
    FieldObject { entity: "appliance", name: name.clone(), fields }
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

/// What is held back: `log events come faster ... since 14:02:03Z, 812 log not stored`.
fn held_back(suppression: &Suppression, look: &OutputOptions) -> String {
    let mut text = suppression.explanation.clone();
    text.push_str(&format!(", since {}", look.time(&suppression.since)));
    text.push_str(&format!(", until {} at least", look.time(&suppression.until)));
    text
}

/// How often something was: `812 log, 3 alert; the last at 14:02:03Z: "disk 3"`.
fn not_stored(suppression: &Suppression, look: &OutputOptions) -> String {
    let counts: Vec<_> = suppression.not_stored.iter().map(count).collect();
    if counts.is_empty() {
        return String::new();
    }
    let last = look.time(&suppression.last_at);
    format!("{}; the last at {last}: \"{}\"", counts.join(", "), suppression.sample)
}

fn count(count: &EventCount) -> String {
    format!("{} {}", count.count, labels::event_kind(count.kind).unwrap_or_default())
}

/// How many events had which outcome: `kept 12 log, 1 started_ok; repeated 57 alert`.
fn heard(counts: &[EventCount]) -> String {
    let mut outcomes: Vec<(i32, Vec<String>)> = Vec::new();
    for it in counts {
        match outcomes.iter_mut().find(|(outcome, _)| *outcome == it.outcome) {
            Some((_, counts)) => counts.push(count(it)),
            None => outcomes.push((it.outcome, vec![count(it)])),
        }
    }
    let outcomes = outcomes.into_iter().map(|(outcome, counts)| {
        let word = labels::outcome(outcome).unwrap_or_default();
        format!("{word} {}", counts.join(", "))
    });
    outcomes.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::json;

    fn look() -> OutputOptions {
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
            "appliance:           shop:main.db1",
            r#"explanation:         maintenance 34 % "checking\x1b[2J", next report due in 22 s"#,
            "state:               maintenance since 2026-11-20 14:02:10Z",
            "progress:            34 %",
            "open alert:          disk full",
            "open alert:          flapping",
            "sessions:            0",
            "class:               default",
            "managed:             yes",
            "boot timeout:        1h30m (its own)",
            "maintenance silence: none",
        ];
        assert_eq!(lines(&appliance, &look()), expected);
    }

    #[test]
    fn the_json_of_an_appliance_is_exactly_this() {
        let appliance = Appliance {
            name: "db1".to_owned(),
            state: ApplianceState::Running as i32,
            ..Appliance::default()
        };
        assert_eq!(
            json::object(&form(&appliance)).unwrap(),
            concat!(
                r#"{"name":"db1","uuid":"","class":"","managed":false,"boot_timeout_ms":0,"#,
                r#""maintenance_silence_ms":0,"overrides":[],"state":"running","#,
                r#""state_since":null,"explanation":"","boot_id":"","boot_began_at":null,"#,
                r#""deadline":null,"progress":0,"text":"","failure":"","last_heard_at":null,"#,
                r#""sessions":0,"open_alerts":[],"last_record":0,"suppression":null,"counts":[]}"#
            )
        );
    }
}
