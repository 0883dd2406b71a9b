//! How does one say it? A start, a failure, an open matter as sentences for administrators.
//!
//! Guarantees the same words on the command line, on pages and in mails. Text of appliances goes in
//! as it came: whoever shows a sentence escapes it, and words the moments in it.

use std::time::Duration;

use super::admission::{BudgetName, Held, Suppression};
use super::alert_key::AlertKey;
use super::appliance::Appliance;
use super::effect::{Effect, Matter, Phase};
use super::event::{Event, LostEvents, PlainKind};
use super::lifecycle::{Failed, Failure, LastWord, Lifecycle, Maintenance, Refusal};
use super::marks::Marks;
use super::outbox;
use super::record::{BrokerStarted, Input, LastRun, Order, Outcome, Record, Stall};
use super::sentence::Sentence;
use super::time::{Timestamp, in_words};

/// How the start of an appliance stands: `starting, 40 s of 300 s`.
pub fn standing(appliance: &Appliance, now: Timestamp) -> Sentence {
    let began_at = appliance.boot.map_or(appliance.since, |boot| boot.began_at);
    match &appliance.lifecycle {
        Lifecycle::Idle if appliance.boot.is_none() => "idle, never booted".into(),
        Lifecycle::Idle => Sentence::from("idle, stopped at ").at(appliance.since),
        Lifecycle::Starting { deadline: Some(deadline) } => {
            let limit = in_words(deadline.since(began_at));
            format!("starting, {} of {limit}", in_words(whole_seconds(now.since(began_at)))).into()
        }
        Lifecycle::Starting { deadline: None } => {
            format!("starting, {}, no limit", in_words(whole_seconds(now.since(began_at)))).into()
        }
        Lifecycle::Maintenance(known) => maintenance(known, now).into(),
        Lifecycle::Running => Sentence::from("running since ").at(appliance.since),
        Lifecycle::Failed(failed) => {
            let text = format!("failed: {}", short_failure(failed));
            let last = failed.last_word.as_ref();
            let said = last.map_or(text.clone(), |it| format!("{text}, last word {}", spoken(it)));
            Sentence::from(said).and(" at ").at(last.map_or(appliance.since, |word| word.at))
        }
        Lifecycle::Dumping { deadline } => {
            format!("dumping, given up in {}", in_words(deadline.since(now))).into()
        }
    }
}

/// What goes on is not told in milliseconds.
fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

fn maintenance(known: &Maintenance, now: Timestamp) -> String {
    let mut text = "maintenance".to_owned();
    if let Some(progress) = known.progress {
        text.push_str(&format!(" {} %", progress.percent()));
    }
    if !known.text.is_empty() {
        text.push_str(&format!(" \"{}\"", known.text));
    }
    if known.promise < Timestamp::MAX {
        text.push_str(&format!(", next report due in {}", in_words(known.promise.since(now))));
    }
    if known.stuck_at.is_none() {
        text.push_str(&format!(", no progress for {}", in_words(now.since(known.moved_at))));
    }
    text
}

fn short_failure(failed: &Failed) -> String {
    match failed.failure {
        Failure::Reported if failed.reason.is_empty() => "no reason given".to_owned(),
        Failure::Reported => failed.reason.to_string(),
        Failure::BootTimeout { limit } => {
            format!("boot timeout, nothing heard within {}", in_words(limit))
        }
        Failure::Hung { .. } => "hung".to_owned(),
        Failure::NoProgress { still_for } => {
            format!("hung: no progress for {}", in_words(still_for))
        }
        Failure::DumpTimeout => "no new boot after the crash dump".to_owned(),
    }
}

/// What a failed start is, with the appliance's name and last words.
pub fn failure(name: &str, failed: &Failed) -> String {
    let mut text = match failed.failure {
        Failure::Reported => format!("start of {name} failed: {}", short_failure(failed)),
        Failure::BootTimeout { limit } => {
            format!("{name} did not start within {}", in_words(limit))
        }
        Failure::Hung { promise } => {
            format!("{name} hung in maintenance: silent for {}", in_words(promise))
        }
        Failure::NoProgress { still_for } => {
            format!("{name} hung in maintenance: no progress for {}", in_words(still_for))
        }
        Failure::DumpTimeout => format!("{name} did not boot again after the crash dump"),
    };
    if let Some(word) = &failed.last_word {
        text.push_str(&format!(", last word {}", spoken(word)));
    }
    text
}

fn spoken(word: &LastWord) -> String {
    quoted(&word.text, word.progress.map(|progress| progress.percent()))
}

fn quoted(text: &str, percent: Option<u8>) -> String {
    match percent {
        Some(percent) => format!("\"{text}\" {percent} %"),
        None => format!("\"{text}\""),
    }
}

/// That progress does not move.
pub fn stuck(name: &str, known: &Maintenance, now: Timestamp) -> String {
    let word = quoted(&known.text, known.progress.map(|progress| progress.percent()));
    let still_for = in_words(now.since(known.moved_at));
    format!("{name} reports in maintenance, but nothing moves: {word} for {still_for}")
}

/// That starts fail again and again.
pub fn flapping(name: &str) -> String {
    format!("{name} is flapping: 3 starts failed within 24 h")
}

/// That contact is lost.
pub fn no_contact(name: &str, lost_for: Duration) -> String {
    format!(
        "no contact with {name} for {}: its session ended and did not come back",
        in_words(lost_for)
    )
}

/// That one name is borne by two.
pub fn two_machines(name: &str) -> String {
    format!("two machines speak as {name}: sessions of different boots are open at once")
}

/// What a record of something else than an event says.
pub fn record(record: &Record) -> Sentence {
    let raised = record.effects.iter().filter_map(|effect| match effect {
        Effect::AlertRaised { alert, .. } => Some(Sentence::from(&*alert.text)),
        Effect::RunTold { key, .. } => Some(repeats(key)),
        Effect::Suppression { phase, suppression, .. } => held(*phase, suppression),
        Effect::Appliance { .. }
        | Effect::Removed { .. }
        | Effect::Boot { .. }
        | Effect::Lifecycle { .. }
        | Effect::FailedStarts { .. }
        | Effect::AlertCleared { .. }
        | Effect::DeadlinesMoved { .. }
        | Effect::TimeShifted(_)
        | Effect::Lived { .. }
        | Effect::Spent { .. }
        | Effect::BudgetsFilled { .. }
        | Effect::AlertKey { .. }
        | Effect::AlertKeyForgotten { .. }
        | Effect::Heard { .. }
        | Effect::Unmailed { .. }
        | Effect::Mail(_)
        | Effect::Memory { .. }
        | Effect::Tombstone { .. } => None,
    });
    let own: Sentence = match &record.input {
        Input::Event(_) | Input::RunOver { .. } => Sentence::default(),
        Input::MailDue { .. } | Input::MailAnswered { .. } | Input::MailOrdered { .. } => {
            outbox::explain(record)
        }
        Input::Tally => {
            let of = record.effects.iter().filter(|it| matches!(it, Effect::Heard { .. })).count();
            let appliances = if of == 1 { "appliance" } else { "appliances" };
            format!("counted what was heard of {of} {appliances} without records of their own")
                .into()
        }
        Input::Hello(_) => hello(record).into(),
        Input::SessionEnded { .. } => "one machine speaks again".into(),
        Input::Appeared { .. } => "appliance appeared and is taken in".into(),
        Input::Order { order, .. } => ordered(order).into(),
        Input::Deadline { .. } if record.marks.has(Marks::OUTCOME_UNKNOWN) => {
            "no new boot after the crash dump; unmanaged, so it counts as running".into()
        }
        Input::Deadline { .. } => Sentence::default(),
        Input::BrokerStarted(started) => broker_started(started).into(),
        Input::BrokerStopped => "gridd stopped in good order".into(),
        Input::BrokerStalled { lasted, cause: Stall::LateTurn } => {
            format!("gridd could not work for {}; deadlines moved by it", in_words(*lasted)).into()
        }
        Input::BrokerStalled { lasted, cause: Stall::ClockWentAhead } => {
            format!("clock went ahead {}; deadlines moved by it", in_words(*lasted)).into()
        }
        Input::BrokerStalled { lasted, cause: Stall::DiskWasLow } => {
            format!("gridd took nothing for {}; deadlines moved by it", in_words(*lasted)).into()
        }
        Input::Storage(storage) => storage.explain().into(),
        Input::Settings(settings) => settings.explain().into(),
        Input::WallClock(found) => found.explain().into(),
        Input::ClockSetBack { by } => {
            format!("clock set back {}; times of records go on as before", in_words(*by)).into()
        }
    };
    Sentence::join([own].into_iter().chain(raised), "; ")
}

/// A run of repeats: `repeated 57 times, 14:02 to 14:19: disk # is full (record 812)`.
fn repeats(key: &AlertKey) -> Sentence {
    let (count, label, record) = (key.repeats, &key.label, key.record);
    Sentence::from(format!("repeated {}, ", times(count)))
        .then(&span(key.first_repeat_at, key.said_at))
        .and(&format!(": {label} (record {record})"))
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// What falls into one second is one moment to people.
fn span(first: Timestamp, last: Timestamp) -> Sentence {
    let second = |at: Timestamp| at.as_micros().div_euclid(1_000_000);
    if second(first) == second(last) {
        Sentence::from("at ").at(first)
    } else {
        Sentence::default().at(first).and(" to ").at(last)
    }
}

/// A suppression: `812 log events not stored, 14:02 to 14:19; the last: "disk 3"`.
fn held(phase: Phase, suppression: &Suppression) -> Option<Sentence> {
    let standing = match phase {
        Phase::Counts => return None,
        Phase::Begins => return Some(held_back(suppression.budget).into()),
        Phase::SummedUp => Sentence::from("held back since ").at(suppression.since),
        Phase::Ends => "held back no more".into(),
    };
    let Some(held) = &suppression.held else { return Some(standing) };
    Some(standing.and(": ").then(&not_stored(held)))
}

/// When something was said that was not said just before it was received, by the appliance's clock:
/// `said at 14:02:10`. A clock that is far off is shown, not believed.
pub fn said(event: &Event, marks: Marks) -> Option<Sentence> {
    let at = event.event_time?;
    if marks.has(Marks::TIME_OFF) {
        return Some(Sentence::from("its own clock says ").at(at));
    }
    marks.has(Marks::REPLAYED).then(|| Sentence::from("said at ").at(at))
}

/// What an appliance could not keep: `lost 17 log events of db1, 14:02 to 14:19, spool full`.
pub fn lost(name: &str, lost: &LostEvents) -> Sentence {
    let LostEvents { kind, count, first_at, last_at, reason } = lost;
    let kind = kind.map_or(String::new(), |kind| format!("{} ", kind.word()));
    let events = if *count == 1 { "event" } else { "events" };
    let within = match (*first_at, *last_at) {
        (Some(first), Some(last)) => span(first, last),
        (Some(first), None) => Sentence::from("since ").at(first),
        (None, Some(last)) => Sentence::from("until ").at(last),
        (None, None) => Sentence::default(),
    };
    let what = Sentence::from(format!("lost {count} {kind}{events} of {name}"));
    let reason = reason.map_or_else(Sentence::default, |reason| reason.words().into());
    Sentence::join([what, within, reason], ", ")
}

/// What was not stored.
pub fn not_stored(held: &Held) -> Sentence {
    let kinds = PlainKind::ALL.into_iter().zip(held.counts).filter(|(_, count)| *count > 0);
    let counts: Vec<_> = kinds.map(|(kind, count)| format!("{count} {}", kind.word())).collect();
    let events = if held.counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count)) == 1 {
        "event"
    } else {
        "events"
    };
    let text = Sentence::from(format!("{} {events} not stored, ", counts.join(", ")))
        .then(&span(held.first_at, held.last_at));
    if held.sample.is_empty() {
        text
    } else {
        text.and(&format!("; the last: \"{}\"", held.sample))
    }
}

/// That a budget is spent.
pub fn held_back(budget: BudgetName) -> String {
    format!("{} come faster than the budget `{}` allows", budget.what(), budget.word())
}

fn hello(record: &Record) -> String {
    let is_back = record
        .effects
        .iter()
        .any(|effect| matches!(effect, Effect::AlertCleared { matter: Matter::NoContact, .. }));
    let begins = record.effects.iter().any(|effect| matches!(effect, Effect::Lifecycle { .. }));
    match (is_back, begins) {
        (_, true) => "boot began, session opened".to_owned(),
        (true, false) => "contact again, session opened".to_owned(),
        (false, false) => "session opened".to_owned(),
    }
}

fn ordered(order: &Order) -> String {
    match order {
        Order::Add { .. } => "appliance added".to_owned(),
        Order::Set { class, overrides, reset, .. } => {
            let mut parts = Vec::new();
            parts.extend(class.as_ref().map(|class| format!("class = {class}")));
            parts.extend(overrides.managed.map(|managed| format!("managed = {managed}")));
            let boot = overrides.boot_timeout.map(in_words);
            parts.extend(boot.map(|limit| format!("boot timeout = {limit}")));
            let silence = overrides.maintenance_silence.map(in_words);
            parts.extend(silence.map(|limit| format!("maintenance silence = {limit}")));
            for (is_reset, field) in [
                (reset.managed, "managed"),
                (reset.boot_timeout, "boot timeout"),
                (reset.maintenance_silence, "maintenance silence"),
            ] {
                parts.extend(is_reset.then(|| format!("{field} as its class")));
            }
            format!("appliance set: {}", parts.join(", "))
        }
        Order::Remove { .. } => "appliance removed".to_owned(),
        Order::StartBoot { .. } => "boot begins".to_owned(),
        Order::Stop { .. } => "appliance stopped".to_owned(),
        Order::CrashDump { .. } => "crash dump triggered".to_owned(),
        Order::Unsuppress { .. } => "suppression lifted, budgets filled".to_owned(),
    }
}

fn broker_started(started: &BrokerStarted) -> String {
    let mut text = format!("gridd {} started, term {}", started.version, started.term);
    match started.away {
        Some(away) => text.push_str(&format!(
            ", broker was away {}; deadlines moved by it, no verdict before 60 s",
            in_words(away)
        )),
        None => text.push_str(", a new journal"),
    }
    match started.last_run {
        LastRun::Unknown => {}
        LastRun::Stopped => text.push_str("; the run before was stopped in good order"),
        LastRun::CutShort => {
            text.push_str("; the run before was cut short: killed, or the power failed");
        }
    }
    if let Some(back) = started.clock_back {
        text.push_str(&format!("; clock set back {}", in_words(back)));
        if started.shift.is_some() {
            text.push_str(", and broker time with it");
        }
    }
    if let Some(first) = started.rebuilt_from {
        text.push_str(&format!("; records from {first} on go into the archive again"));
    }
    for found in &started.recovery {
        text.push_str("; ");
        text.push_str(found);
    }
    text
}

/// Why an event was not simply kept: a fixed word and a sentence; empty when it was.
pub fn outcome(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Kept => ("", ""),
        Outcome::Repeated => ("REPEATED", "the same alert again: counted, no record of its own"),
        Outcome::Folded => {
            ("FOLDED", "within a second of the report before: its progress counts, no record")
        }
        Outcome::Suppressed => {
            ("OVER_BUDGET", "more than its class allows: counted, held back for now")
        }
        Outcome::NotKept => ("BELOW_SEVERITY", "below the severity that its class keeps: counted"),
        Outcome::Duplicate => ("DUPLICATE", "known already by boot, spool and sequence"),
        Outcome::History => {
            ("OLDER_BOOT", "of another boot than the present one: recorded, no change of state")
        }
        Outcome::Stale => {
            ("STALE", "said before what is known of this start: recorded, no change of state")
        }
        Outcome::Refused(refusal) => (Refusal::word(refusal), refusal.sentence()),
    }
}
