//! Describes states, failures, alerts and records as sentences for administrators.
//!
//! Guarantees the same text on the command line, on pages and in mails. Text of appliances is
//! inserted unchanged: the caller escapes a sentence and formats the times in it.

pub mod alert;
pub mod crash_dump;
mod identity;
mod inputs;
pub(in crate::grid) mod journal;
pub(in crate::grid) mod mail;
pub(in crate::grid) mod wall_clock;

use std::time::Duration;

use inputs::{describe_command, describe_hello, describe_start};

use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::input::{BrokerPause, Input};
use crate::grid::log::record::Record;
use crate::grid::model::alert_group::AlertGroup;
use crate::grid::model::lifecycle::{
    FailedStart, FailureCause, LastReport, Lifecycle, Maintenance,
};
use crate::grid::model::usage::{RateLimitKind, SuppressedEvents, Suppression, SuppressionPhase};
use crate::grid::state::appliance::Appliance;
use crate::grid::values::event::{DroppedEvents, Event, EventKind};
use crate::grid::values::outcome::{EventRejection, Outcome};
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::sentence::Sentence;
use crate::grid::values::time::{Timestamp, describe_duration};

/// The state of an appliance's start: `starting, 40 s of 300 s`.
pub fn describe_state(appliance: &Appliance, now: Timestamp) -> Sentence {
    let began_at = appliance.boot.map_or(appliance.since, |boot| boot.began_at);
    match &appliance.lifecycle {
        Lifecycle::Idle if appliance.boot.is_none() => "idle, never booted".into(),
        Lifecycle::Idle => Sentence::from("idle, stopped at ").time(appliance.since),
        Lifecycle::Starting { deadline: Some(deadline) } => {
            let limit = describe_duration(deadline.since(began_at));
            format!(
                "starting, {} of {limit}",
                describe_duration(whole_seconds(now.since(began_at)))
            )
            .into()
        }
        Lifecycle::Starting { deadline: None } => {
            format!("starting, {}, no limit", describe_duration(whole_seconds(now.since(began_at))))
                .into()
        }
        Lifecycle::Maintenance(known) => describe_maintenance(known, now).into(),
        Lifecycle::Running => Sentence::from("running since ").time(appliance.since),
        Lifecycle::Failed(failed) => {
            let text = format!("failed: {}", short_failure(failed));
            let last = failed.last_report.as_ref();
            let said = last.map_or(text.clone(), |it| {
                format!("{text}, last report {}", describe_last_report(it))
            });
            Sentence::from(said).text(" at ").time(last.map_or(appliance.since, |word| word.at))
        }
        Lifecycle::Dumping(dumping) => {
            let left = describe_duration(dumping.deadline.since(now));
            format!("dumping, deadline in {left}").into()
        }
    }
}

/// Running times are shown without milliseconds.
fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

fn describe_maintenance(known: &Maintenance, now: Timestamp) -> String {
    let mut text = "maintenance".to_owned();
    if let Some(progress) = known.progress {
        text.push_str(&format!(" {} %", progress.percent()));
    }
    if !known.text.is_empty() {
        text.push_str(&format!(" \"{}\"", known.text));
    }
    if known.report_deadline < Timestamp::MAX {
        text.push_str(&format!(
            ", next report due in {}",
            describe_duration(known.report_deadline.since(now))
        ));
    }
    if known.stuck_at.is_none() {
        text.push_str(&format!(
            ", no progress for {}",
            describe_duration(now.since(known.progressed_at))
        ));
    }
    text
}

fn short_failure(failed: &FailedStart) -> String {
    match failed.failure {
        FailureCause::Reported if failed.reason.is_empty() => "no reason given".to_owned(),
        FailureCause::Reported => failed.reason.to_string(),
        FailureCause::BootTimeout { limit } => {
            format!("boot timeout, no report within {}", describe_duration(limit))
        }
        FailureCause::Hung { .. } => "hung".to_owned(),
        FailureCause::NoProgress { unchanged_for } => {
            format!("hung: no progress for {}", describe_duration(unchanged_for))
        }
        FailureCause::DumpTimeout => "no new boot after the crash dump".to_owned(),
    }
}

/// The failure of a start, with the appliance's name and last report.
pub fn describe_failure(name: &str, failed: &FailedStart) -> String {
    let mut text = match failed.failure {
        FailureCause::Reported => format!("start of {name} failed: {}", short_failure(failed)),
        FailureCause::BootTimeout { limit } => {
            format!("{name} did not start within {}", describe_duration(limit))
        }
        FailureCause::Hung { allowed_silence } => {
            format!("{name} hung in maintenance: silent for {}", describe_duration(allowed_silence))
        }
        FailureCause::NoProgress { unchanged_for } => {
            format!(
                "{name} hung in maintenance: no progress for {}",
                describe_duration(unchanged_for)
            )
        }
        FailureCause::DumpTimeout => format!("{name} did not boot again after the crash dump"),
    };
    if let Some(word) = &failed.last_report {
        text.push_str(&format!(", last report {}", describe_last_report(word)));
    }
    text
}

fn describe_last_report(word: &LastReport) -> String {
    quoted(&word.text, word.progress.map(|progress| progress.percent()))
}

fn quoted(text: &str, percent: Option<u8>) -> String {
    match percent {
        Some(percent) => format!("\"{text}\" {percent} %"),
        None => format!("\"{text}\""),
    }
}

/// The text of an alert on unchanged progress.
pub fn no_progress(name: &str, known: &Maintenance, now: Timestamp) -> String {
    let word = quoted(&known.text, known.progress.map(|progress| progress.percent()));
    let still_for = describe_duration(now.since(known.progressed_at));
    format!("{name} sends reports, but its progress does not change: {word} for {still_for}")
}

/// The text of an alert on repeated failures.
pub fn flapping(name: &str) -> String {
    format!("{name} is flapping: 3 starts failed within 24 h")
}

/// The text of an alert on lost contact.
pub fn no_contact(name: &str, lost_for: Duration) -> String {
    format!(
        "no contact with {name} for {}: its session ended and did not come back",
        describe_duration(lost_for)
    )
}

/// The text of an alert on a duplicate name.
pub fn duplicate_name(name: &str) -> String {
    format!("two machines report as {name}: sessions of different boots are open at once")
}

/// The text of an alert on a certificate that is not renewed; `None` left: it has ended.
pub fn certificate_ending(name: &str, left: Option<Duration>) -> String {
    match left {
        Some(left) => format!(
            "the certificate of {name} ends in {} and was not renewed; its agent, or any call of vme, \
             renews it",
            // Timers end a little late: `5 d`, not `4 d 23 h`.
            describe_duration(whole_seconds(left.saturating_add(Duration::from_millis(500))))
        ),
        None => format!(
            "the certificate of {name} has ended and was not renewed: it reports nothing until it \
             renews"
        ),
    }
}

/// The text of an alert on an enrolment token that was used with two keys.
pub fn token_reused(name: &str, from: &str) -> String {
    format!(
        "the enrolment token of {name} was used with two keys, the second time from {from}: one of \
         them may be an intruder's; `gridctl appliance revoke {name}` revokes what was enrolled"
    )
}

/// The sentence on a change of an appliance, if it has one of its own.
fn describe_change(change: &ApplianceEffect) -> Option<Sentence> {
    if let ApplianceEffect::RepeatsReported { group } = change {
        Some(describe_repeats(group))
    } else if let ApplianceEffect::Suppression { phase, suppression } = change {
        describe_suppression(*phase, suppression)
    } else if let ApplianceEffect::CrashDump { dump } = change {
        crash_dump::describe_change(dump)
    } else {
        None
    }
}

/// The text of a record that is not of an event.
pub fn describe_record(record: &Record) -> Sentence {
    let raised = record.effects.iter().filter_map(|effect| match effect {
        Effect::FindingRaised { finding, .. } => Some(Sentence::from(&*finding.text)),
        Effect::Appliance { change, .. } => describe_change(change),
        Effect::FindingCleared { .. }
        | Effect::Alert(_)
        | Effect::DeadlinesMoved { .. }
        | Effect::TimeShifted(_)
        | Effect::LivedTime { .. }
        | Effect::Mail(_)
        | Effect::Identity(_) => None,
    });
    let own: Sentence = match &record.input {
        Input::Event(_) | Input::RepeatsEnded { .. } => Sentence::default(),
        Input::MailDue { .. } | Input::MailDelivery { .. } | Input::MailCommand { .. } => {
            mail::describe_mail(record)
        }
        Input::Tally => {
            let of = record
                .effects
                .iter()
                .filter(|it| matches!(it.of_appliance(), Some(ApplianceEffect::Counters { .. })))
                .count();
            let appliances = if of == 1 { "appliance" } else { "appliances" };
            format!("counts of {of} {appliances}, of events without records of their own").into()
        }
        Input::Alert(input) => alert::describe_input(record, input),
        Input::Silence(input) => alert::describe_silence(record, input),
        Input::Hello(_) => describe_hello(record).into(),
        Input::SessionEnded { .. } => "only one machine uses the name again".into(),
        Input::Registered { .. } => "new appliance registered".into(),
        Input::Command { command, .. } => describe_command(command).into(),
        Input::Identity { command, .. } => identity::describe_command(record, command),
        Input::Security(incident) => identity::describe_incident(record, incident),
        Input::Deadline { .. } if record.flags.contains(RecordFlags::OUTCOME_UNKNOWN) => {
            "no new boot after the crash dump; unmanaged, so it counts as running".into()
        }
        Input::Deadline { .. } if record.flags.contains(RecordFlags::DUMP_NO_EFFECT) => {
            crash_dump::no_effect().into()
        }
        Input::Deadline { .. } => Sentence::default(),
        Input::CrashDump(report) => crash_dump::describe_report(record, report).into(),
        Input::BrokerStarted(started) => describe_start(started).into(),
        Input::BrokerStopped => "gridd stopped cleanly".into(),
        Input::BrokerPaused { lasted, cause: BrokerPause::ProcessPaused } => {
            format!("gridd was paused for {}; deadlines moved by it", describe_duration(*lasted))
                .into()
        }
        Input::BrokerPaused { lasted, cause: BrokerPause::ClockJumpedAhead } => {
            format!("clock went ahead {}; deadlines moved by it", describe_duration(*lasted)).into()
        }
        Input::BrokerPaused { lasted, cause: BrokerPause::DiskLow } => format!(
            "gridd accepted nothing for {}; deadlines moved by it",
            describe_duration(*lasted)
        )
        .into(),
        Input::Journal(storage) => storage.describe().into(),
        Input::Settings(settings) => settings.describe().into(),
        Input::WallClock(found) => found.describe().into(),
        Input::ClockSetBack { by } => {
            format!("clock set back {}; times of records go on as before", describe_duration(*by))
                .into()
        }
    };
    Sentence::join([own].into_iter().chain(raised), "; ")
}

/// A run of repeats: `repeated 57 times, 14:02 to 14:19: disk # is full (record 812)`.
fn describe_repeats(key: &AlertGroup) -> Sentence {
    let (count, label, record) = (key.repeats, &key.label, key.record);
    Sentence::from(format!("repeated {}, ", times(count)))
        .sentence(&describe_period(key.first_repeat_at, key.last_seen_at))
        .text(&format!(": {label} (record {record})"))
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// Times within one second are shown as one.
fn describe_period(first: Timestamp, last: Timestamp) -> Sentence {
    let second = |at: Timestamp| at.as_micros().div_euclid(1_000_000);
    if second(first) == second(last) {
        Sentence::from("at ").time(first)
    } else {
        Sentence::default().time(first).text(" to ").time(last)
    }
}

/// A suppression: `812 log events not stored, 14:02 to 14:19; the last: "disk 3"`.
fn describe_suppression(phase: SuppressionPhase, suppression: &Suppression) -> Option<Sentence> {
    let state = match phase {
        SuppressionPhase::Counts => return None,
        SuppressionPhase::Begins => return Some(rate_limited(suppression.limit).into()),
        SuppressionPhase::Summarised => Sentence::from("suppressed since ").time(suppression.since),
        SuppressionPhase::Ends => "suppression ended".into(),
    };
    let Some(held) = &suppression.events else { return Some(state) };
    Some(state.text(": ").sentence(&not_stored(held)))
}

/// When an event happened, by the appliance's clock, if it was not sent at once: `occurred at
/// 14:02:10`. A time that is far off is shown, but not used.
pub fn occurred_at(event: &Event, flags: RecordFlags) -> Option<Sentence> {
    let at = event.event_time?;
    if flags.contains(RecordFlags::TIME_OFF) {
        return Some(Sentence::from("appliance clock: ").time(at));
    }
    flags.contains(RecordFlags::REPLAYED).then(|| Sentence::from("occurred at ").time(at))
}

/// Events that an appliance dropped: `lost 17 log events of db1, 14:02 to 14:19, spool full`.
pub fn dropped(name: &str, lost: &DroppedEvents) -> Sentence {
    let DroppedEvents { kind, count, first_at, last_at, reason } = lost;
    let kind = kind.map_or(String::new(), |kind| format!("{} ", kind.as_str()));
    let events = if *count == 1 { "event" } else { "events" };
    let within = match (*first_at, *last_at) {
        (Some(first), Some(last)) => describe_period(first, last),
        (Some(first), None) => Sentence::from("since ").time(first),
        (None, Some(last)) => Sentence::from("until ").time(last),
        (None, None) => Sentence::default(),
    };
    let what = Sentence::from(format!("lost {count} {kind}{events} of {name}"));
    let reason = reason.map_or_else(Sentence::default, |reason| reason.label().into());
    Sentence::join([what, within, reason], ", ")
}

/// Events that were not stored.
pub fn not_stored(held: &SuppressedEvents) -> Sentence {
    let kinds = EventKind::ALL.into_iter().zip(held.counts).filter(|(_, count)| *count > 0);
    let counts: Vec<_> = kinds.map(|(kind, count)| format!("{count} {}", kind.as_str())).collect();
    let events = if held.counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count)) == 1 {
        "event"
    } else {
        "events"
    };
    let text = Sentence::from(format!("{} {events} not stored, ", counts.join(", ")))
        .sentence(&describe_period(held.first_at, held.last_at));
    if held.sample.is_empty() {
        text
    } else {
        text.text(&format!("; the last: \"{}\"", held.sample))
    }
}

/// An exhausted rate limit.
pub fn rate_limited(budget: RateLimitKind) -> String {
    format!("{} exceed the rate limit `{}`", budget.description(), budget.as_str())
}

/// Why an event was not simply stored: an identifier and a sentence, both empty if it was.
pub fn describe_outcome(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Stored => ("", ""),
        Outcome::Repeated => ("REPEATED", "the same alert again: counted, no record of its own"),
        Outcome::Coalesced => {
            ("FOLDED", "within a second of the report before: its progress counts, no record")
        }
        Outcome::Suppressed => (
            "OVER_BUDGET",
            "over the rate limit of its class for now: counted; all but the first have no record",
        ),
        Outcome::BelowThreshold => {
            ("BELOW_SEVERITY", "below the lowest severity of its class: counted")
        }
        Outcome::Duplicate => ("DUPLICATE", "received before, by boot, spool and sequence"),
        Outcome::OlderBoot => {
            ("OLDER_BOOT", "of another boot than the current one: recorded, no change of state")
        }
        Outcome::StaleEvent => {
            ("STALE", "older than what is known of this start: recorded, no change of state")
        }
        Outcome::Rejected(rejection) => (EventRejection::as_str(rejection), rejection.describe()),
    }
}
