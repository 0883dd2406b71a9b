//! Prints records and state as text that stays the same when types get other names or more fields.

use std::fmt::Write;

use grid_broker::grid::admission::{Admission, BudgetName, Counts, PlainOutcome, Suppression};
use grid_broker::grid::alert_key::AlertKey;
use grid_broker::grid::event::PlainKind;
use grid_broker::grid::lifecycle::Lifecycle;
use grid_broker::grid::mail::Late;
use grid_broker::grid::state::State;
use grid_broker::grid::time::Timestamp;
use grid_broker::journal::EncodedRecord;

/// One line per record: its index fields, its length and its checksum.
pub(crate) fn records(records: &[EncodedRecord]) -> String {
    let mut out = String::new();
    for EncodedRecord { number, mark, bytes } in records {
        let (at, kind, severity) = (mark.at_us, mark.kind, mark.severity);
        let (row, length, crc) = (mark.appliance, bytes.len(), crc32c::crc32c(bytes));
        writeln!(
            out,
            "{number} at {at} kind {kind} severity {severity} row {row}: {length} bytes {crc:08x}"
        )
        .unwrap();
    }
    out
}

/// A few lines per appliance, then the open alerts and the queued mails.
pub(crate) fn state(state: &State) -> String {
    let mut out = String::new();
    writeln!(out, "last {} at {}", state.last(), state.last_at().as_micros()).unwrap();
    for it in state.appliances() {
        let boot = it.boot.as_ref().and_then(|boot| boot.id);
        writeln!(out, "{} {} {} class {}", it.number.0, it.name, it.uuid, it.class).unwrap();
        writeln!(out, "  {}", lifecycle(&it.lifecycle)).unwrap();
        writeln!(out, "  since {} record {}", it.since.as_micros(), it.last_record).unwrap();
        writeln!(out, "  boot {boot:?} before {:?}", it.past_boots).unwrap();
        if let Some(word) = it.boot.and_then(|boot| boot.newest_word) {
            let (uptime, time) = (word.uptime, word.time.as_micros());
            writeln!(out, "  newest word at {uptime:?} {:?} {time}", word.numbered).unwrap();
        }
        writeln!(out, "  {}", admission(&it.admission)).unwrap();
    }
    for (number, matter, alert) in state.alerts() {
        let row = number.map_or(0, |number| number.0);
        let (since, text) = (alert.since.as_micros(), &alert.text);
        writeln!(out, "{row} {matter:?} {:?} since {since}: {text}", alert.severity).unwrap();
    }
    for it in state.outbox().messages.values() {
        let (since, due) = (it.owed_since.as_micros(), it.due.as_micros());
        let (number, to, notices) = (it.number.0, &it.recipient, it.notices.len());
        let standing = it.standing.word();
        writeln!(out, "mail {number} to {to} {standing} since {since} due {due}").unwrap();
        let late = option(it.late.as_deref().map(late));
        writeln!(out, "  {notices} notices, {} more, late {late}", it.more).unwrap();
    }
    out
}

/// With the rate limits and fields of the first release, under their names then.
fn admission(it: &Admission) -> String {
    let budgets: [BudgetName; 7] = BudgetName::ALL[..7].try_into().unwrap();
    let spent = budgets.map(|name| it.spent.full_at(name));
    let key = |key: &AlertKey| {
        format!(
            "AlertKey {{ id: {:?}, label: {:?}, full_at: {:?}, said: {:?}, record: {:?}, \
             began_at: {:?}, said_at: {:?}, repeats: {:?}, first_repeat_at: {:?} }}",
            key.id,
            key.label,
            key.full_at,
            key.said,
            key.record,
            key.began_at,
            key.said_at,
            key.repeats,
            key.first_repeat_at
        )
    };
    let keys: Vec<_> = it.keys.iter().map(key).collect();
    format!(
        "Admission {{ spent: Spent({spent:?}), keys: [{}], suppression: {}, counts: {}, \
         progress_at: {:?} }}",
        keys.join(", "),
        option(it.suppression.as_deref().map(suppression)),
        counts(&it.counts),
        it.progress_at
    )
}

fn option(text: Option<String>) -> String {
    text.map_or_else(|| "None".to_owned(), |text| format!("Some({text})"))
}

fn suppression(it: &Suppression) -> String {
    let held = it.held.as_ref().map(|held| {
        format!(
            "Held {{ counts: {:?}, first_at: {:?}, last_at: {:?}, kind: {}, sample: {:?} }}",
            held.counts,
            held.first_at,
            held.last_at,
            kind(held.kind),
            held.sample
        )
    });
    format!(
        "Suppression {{ since: {:?}, budget: {}, over_at: {:?}, summed_up: {:?}, held: {} }}",
        it.since,
        budget(it.budget),
        it.over_at,
        it.summed_up,
        option(held)
    )
}

fn counts(counts: &Counts) -> String {
    let counts: Vec<_> = counts
        .iter()
        .map(|(of, became, count)| format!("({}, {}, {count})", kind(of), outcome(became)))
        .collect();
    format!("Counts([{}])", counts.join(", "))
}

fn late(it: &Late) -> String {
    format!(
        "Late {{ first_at: {:?}, last_at: {:?}, severities: {:?}, appliances: {:?} }}",
        it.first_at, it.last_at, it.severities, it.appliances
    )
}

fn budget(name: BudgetName) -> &'static str {
    match name {
        BudgetName::Lifecycle => "Lifecycle",
        BudgetName::Boots => "Boots",
        BudgetName::Log => "Log",
        BudgetName::AlertKey => "AlertKey",
        BudgetName::Alert => "Alert",
        BudgetName::Counter => "Counter",
        BudgetName::Replay => "Replay",
        BudgetName::Fatal => "Fatal",
        BudgetName::Graver => "Graver",
    }
}

fn kind(kind: PlainKind) -> &'static str {
    match kind {
        PlainKind::StartedOk => "StartedOk",
        PlainKind::StartFailed => "StartFailed",
        PlainKind::Maintenance => "Maintenance",
        PlainKind::Log => "Log",
        PlainKind::Alert => "Alert",
    }
}

fn outcome(outcome: PlainOutcome) -> &'static str {
    match outcome {
        PlainOutcome::Kept => "Kept",
        PlainOutcome::Repeated => "Repeated",
        PlainOutcome::Folded => "Folded",
        PlainOutcome::Suppressed => "Suppressed",
        PlainOutcome::Refused => "Refused",
        PlainOutcome::History => "History",
        PlainOutcome::NotKept => "NotKept",
    }
}

fn lifecycle(lifecycle: &Lifecycle) -> String {
    let micros = |at: Timestamp| at.as_micros();
    match lifecycle {
        Lifecycle::Idle => "idle".to_owned(),
        Lifecycle::Running => "running".to_owned(),
        Lifecycle::Starting { deadline } => {
            format!("starting until {:?}", deadline.map(micros))
        }
        Lifecycle::Maintenance(it) => format!(
            "maintenance {:?} best {:?} at {} promise {}: {}",
            it.progress.map(|it| it.percent()),
            it.best.map(|it| it.percent()),
            micros(it.reported_at),
            micros(it.promise),
            it.text
        ),
        Lifecycle::Failed(it) => format!("failed {:?}: {}", it.failure, it.reason),
        Lifecycle::Dumping { deadline } => format!("dumping until {}", micros(*deadline)),
    }
}
