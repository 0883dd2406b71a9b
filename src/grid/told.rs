//! What does a record give cause to tell by mail? Alerts of appliances, and what the broker finds.
//!
//! Guarantees that each notice has a word by which the settings name it. Knows no recipients.

use super::alert_key;
use super::effect::{Effect, Matter};
use super::event::EventKind;
use super::lifecycle::{Failure, Lifecycle};
use super::mail::Notice;
use super::marks::Marks;
use super::record::{Heard, Input, Outcome, Record};
use super::state::State;
use super::time::Timestamp;

/// What a record gives cause to tell, with the word by which settings name it.
pub(super) fn notices(state: &State, record: &Record) -> Vec<(&'static str, Notice)> {
    let mut notices = Vec::new();
    if let Input::Event(heard) = &record.input
        && let EventKind::Alert { counter } = &heard.event.kind
        && !heard.event.text.is_empty()
        && matches!(record.outcome, Outcome::Kept | Outcome::History)
        && let Some(name) = state.name(heard.appliance)
    {
        let text = heard.event.text.as_str();
        let (_, matter) = alert_key::key(counter.as_ref(), text);
        let notice = Notice {
            about: name.as_str().into(),
            matter,
            severity: heard.event.severity,
            at: happened_at(heard, record),
            text: text.into(),
            record: record.number,
            is_resolved: false,
        };
        notices.push(("alert", notice));
    }
    for effect in &record.effects {
        let Effect::AlertRaised { number, matter, alert } = effect else { continue };
        let word = match matter {
            Matter::StartFailed => failure_word(record),
            // Nobody would get it.
            Matter::MailFails => continue,
            // Told when it opened; a later start renews its words.
            Matter::DiskLow if alert.since < record.at => continue,
            Matter::Stuck
            | Matter::NoContact
            | Matter::TwoMachines
            | Matter::Flapping
            | Matter::RecordsMissing
            | Matter::DiskLow
            | Matter::ClockDiffers => matter.word(),
            // Whoever can connect could cause it, a mail each time.
            Matter::ResourcesShort => continue,
        };
        let name = number.and_then(|number| state.name(number));
        let notice = Notice {
            about: name.map_or("", |name| name.as_str()).into(),
            matter: word.into(),
            severity: alert.severity,
            at: alert.since,
            text: alert.text.clone(),
            record: record.number,
            is_resolved: false,
        };
        notices.push((word, notice));
    }
    notices
}

/// When it happened. A clock that is far off tells nothing: then it is the time of receipt.
fn happened_at(heard: &Heard, record: &Record) -> Timestamp {
    let is_off = record.marks.has(Marks::TIME_OFF);
    heard.event.event_time.filter(|at| !is_off && *at <= record.at).unwrap_or(record.at)
}

/// How the start failed that a record tells of.
fn failure_word(record: &Record) -> &'static str {
    let failed = record.effects.iter().rev().find_map(|effect| {
        if let Effect::Lifecycle { lifecycle: Lifecycle::Failed(failed), .. } = effect {
            Some(failed.failure)
        } else {
            None
        }
    });
    match failed {
        Some(Failure::BootTimeout { .. }) => "boot_timeout",
        Some(Failure::Hung { .. } | Failure::NoProgress { .. }) => "hung",
        Some(Failure::Reported | Failure::DumpTimeout) | None => "start_failed",
    }
}
