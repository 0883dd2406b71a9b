//! Prints records and state as text that stays the same when types get other names or more fields.

use std::fmt::Write;

use grid_broker::grid::model::alert_group::AlertGroup;
use grid_broker::grid::model::lifecycle::Lifecycle;
use grid_broker::grid::model::mail_message::BacklogDigest;
use grid_broker::grid::model::usage::{
    OutcomeCounts, OutcomeKind, RateLimitKind, Suppression, Usage,
};
use grid_broker::grid::state::State;
use grid_broker::grid::values::event::EventKind;
use grid_broker::grid::values::time::Timestamp;
use grid_broker::journal::EncodedRecord;

/// One line per record: its index fields, its length and its checksum.
pub(crate) fn records(records: &[EncodedRecord]) -> String {
    let mut out = String::new();
    for EncodedRecord { number, header: mark, bytes } in records {
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
        if let Some(word) = it.boot.and_then(|boot| boot.newest_event) {
            let (uptime, time) = (word.uptime, word.time.as_micros());
            writeln!(out, "  newest word at {uptime:?} {:?} {time}", word.sequence).unwrap();
        }
        writeln!(out, "  {}", admission(&it.usage)).unwrap();
    }
    for (number, kind, alert) in state.findings() {
        let row = number.map_or(0, |number| number.0);
        let (since, text) = (alert.since.as_micros(), &alert.text);
        writeln!(out, "{row} {kind:?} {:?} since {since}: {text}", alert.severity).unwrap();
    }
    for it in state.outbox().messages.values() {
        let (since, due) = (it.queued_at.as_micros(), it.due_at.as_micros());
        let (number, to, notices) = (it.number.0, &it.recipient, it.notices.len());
        let standing = it.state.as_str();
        writeln!(out, "mail {number} to {to} {standing} since {since} due {due}").unwrap();
        let late = option(it.digest.as_deref().map(late));
        writeln!(out, "  {notices} notices, {} more, late {late}", it.omitted).unwrap();
    }
    out
}

/// With the rate limits and fields of the first release, under their names then.
fn admission(it: &Usage) -> String {
    let budgets: [RateLimitKind; 7] = RateLimitKind::ALL[..7].try_into().unwrap();
    let spent = budgets.map(|name| it.rate_limits.refilled_at(name));
    let key = |key: &AlertGroup| {
        format!(
            "AlertKey {{ id: {:?}, label: {:?}, full_at: {:?}, said: {:?}, record: {:?}, \
             began_at: {:?}, said_at: {:?}, repeats: {:?}, first_repeat_at: {:?} }}",
            key.id,
            key.label,
            key.refilled_at,
            key.content_hash,
            key.record,
            key.run_began_at,
            key.last_seen_at,
            key.repeats,
            key.first_repeat_at
        )
    };
    let keys: Vec<_> = it.alert_groups.iter().map(key).collect();
    format!(
        "Admission {{ spent: Spent({spent:?}), keys: [{}], suppression: {}, counts: {}, \
         progress_at: {:?} }}",
        keys.join(", "),
        option(it.suppression.as_deref().map(suppression)),
        counts(&it.counts),
        it.progress_stored_at
    )
}

fn option(text: Option<String>) -> String {
    text.map_or_else(|| "None".to_owned(), |text| format!("Some({text})"))
}

fn suppression(it: &Suppression) -> String {
    let held = it.events.as_ref().map(|held| {
        format!(
            "Held {{ counts: {:?}, first_at: {:?}, last_at: {:?}, kind: {}, sample: {:?} }}",
            held.counts,
            held.first_at,
            held.last_at,
            kind(held.last_kind),
            held.sample
        )
    });
    format!(
        "Suppression {{ since: {:?}, budget: {}, over_at: {:?}, summed_up: {:?}, held: {} }}",
        it.since,
        budget(it.limit),
        it.last_exceeded_at,
        it.summaries,
        option(held)
    )
}

fn counts(counts: &OutcomeCounts) -> String {
    let counts: Vec<_> = counts
        .iter()
        .map(|(of, became, count)| format!("({}, {}, {count})", kind(of), outcome(became)))
        .collect();
    format!("Counts([{}])", counts.join(", "))
}

fn late(it: &BacklogDigest) -> String {
    format!(
        "Late {{ first_at: {:?}, last_at: {:?}, severities: {:?}, appliances: {:?} }}",
        it.first_at, it.last_at, it.severity_counts, it.appliances
    )
}

fn budget(name: RateLimitKind) -> &'static str {
    match name {
        RateLimitKind::Lifecycle => "Lifecycle",
        RateLimitKind::Boots => "Boots",
        RateLimitKind::Log => "Log",
        RateLimitKind::AlertGroup => "AlertKey",
        RateLimitKind::Alert => "Alert",
        RateLimitKind::Counter => "Counter",
        RateLimitKind::Replay => "Replay",
        RateLimitKind::Fatal => "Fatal",
        RateLimitKind::Escalated => "Graver",
    }
}

fn kind(kind: EventKind) -> &'static str {
    match kind {
        EventKind::StartedOk => "StartedOk",
        EventKind::StartFailed => "StartFailed",
        EventKind::Maintenance => "Maintenance",
        EventKind::Log => "Log",
        EventKind::Alert => "Alert",
    }
}

fn outcome(outcome: OutcomeKind) -> &'static str {
    match outcome {
        OutcomeKind::Stored => "Kept",
        OutcomeKind::Repeated => "Repeated",
        OutcomeKind::Coalesced => "Folded",
        OutcomeKind::Suppressed => "Suppressed",
        OutcomeKind::Refused => "Refused",
        OutcomeKind::Backfilled => "History",
        OutcomeKind::BelowThreshold => "NotKept",
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
            it.best_progress.map(|it| it.percent()),
            micros(it.reported_at),
            micros(it.report_deadline),
            it.text
        ),
        Lifecycle::Failed(it) => format!("failed {:?}: {}", it.failure, it.reason),
        Lifecycle::Dumping(it) => format!("dumping until {}", micros(it.deadline)),
    }
}
