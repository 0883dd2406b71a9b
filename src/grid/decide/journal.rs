//! Decides on incidents of the journal: trims, gaps, a full disk, exhausted descriptors or memory.
//!
//! Guarantees that each has a record with absolute effects, like any other decision. Opens no file.

use std::ops::RangeInclusive;

use crate::grid::decide::DecisionDraft;
use crate::grid::explain::journal::{describe_ranges, disk_low_text};
use crate::grid::log::effect::Effect;
use crate::grid::log::journal_incident::JournalIncident;
use crate::grid::model::finding::{Finding, FindingKind};
use crate::grid::state::State;
use crate::grid::values::event::Severity;
use crate::grid::values::id::RecordNumber;
use crate::grid::values::time::Timestamp;

/// The most bytes that an alert grows to by further ranges.
const ALERT_TEXT_BYTES_MAX: usize = 1_000;

impl JournalIncident {
    pub(in crate::grid) fn decide(&self, state: &State, now: Timestamp) -> DecisionDraft {
        DecisionDraft::recorded(match self {
            Self::Trimmed(_) => Vec::new(),
            Self::Missing { ranges } => vec![missing_alert(state, ranges, now)],
            Self::DiskLow { free, threshold } => {
                vec![raised_or_updated(
                    state,
                    FindingKind::DiskLow,
                    now,
                    disk_low_text(*free, *threshold),
                )]
            }
            Self::DiskRecovered { .. } => {
                cleared(state, FindingKind::DiskLow).into_iter().collect()
            }
            Self::ResourcesShort { message: what } => {
                vec![raised(FindingKind::ResourcesShort, now, what.clone().into_string())]
            }
            Self::ResourcesRecovered => {
                cleared(state, FindingKind::ResourcesShort).into_iter().collect()
            }
        })
    }
}

/// The alert on gaps found at a start; without gaps it is resolved.
pub(in crate::grid) fn gaps_at_start(
    state: &State,
    missing: &[RangeInclusive<RecordNumber>],
    now: Timestamp,
) -> Option<Effect> {
    if missing.is_empty() {
        return cleared(state, FindingKind::RecordsMissing);
    }
    Some(raised_or_updated(state, FindingKind::RecordsMissing, now, describe_ranges(missing)))
}

/// Raises an alert with the current text; an open one keeps its start.
fn raised_or_updated(state: &State, kind: FindingKind, now: Timestamp, text: String) -> Effect {
    let since = state.finding(None, kind).map_or(now, |open| open.since);
    raised(kind, since, text)
}

/// Adds gaps found while running to the known ones.
fn missing_alert(state: &State, ranges: &[RangeInclusive<RecordNumber>], now: Timestamp) -> Effect {
    let new = describe_ranges(ranges);
    let text = match state.finding(None, FindingKind::RecordsMissing) {
        Some(open) if open.text.len() + new.len() <= ALERT_TEXT_BYTES_MAX => {
            format!("{}; {new}", open.text)
        }
        Some(_) => format!("{new}; earlier records of the grid log contain others"),
        None => new,
    };
    raised(FindingKind::RecordsMissing, now, text)
}

/// The alert on acknowledged events that the journal does not contain; once.
pub(in crate::grid) fn client_ahead_of_journal(
    state: &State,
    name: &str,
    lost: &RangeInclusive<u64>,
    now: Timestamp,
) -> Option<Effect> {
    let (first, last) = (lost.start(), lost.end());
    let of_it = format!(" of {name} were acknowledged and are missing");
    let new = format!("events {first} to {last}{of_it}");
    let text = match state.finding(None, FindingKind::RecordsMissing) {
        // Once per appliance: it could send other numbers without end.
        Some(open) if open.text.contains(&of_it) => return None,
        Some(open) if open.text.len() + new.len() <= ALERT_TEXT_BYTES_MAX => {
            format!("{}; {new}", open.text)
        }
        // An open alert is worth more than the claim of an appliance.
        Some(_) => return None,
        None => new,
    };
    Some(raised(FindingKind::RecordsMissing, now, text))
}

fn raised(kind: FindingKind, now: Timestamp, text: String) -> Effect {
    let severity = match kind {
        FindingKind::RecordsMissing => Severity::Fatal,
        FindingKind::DiskLow
        | FindingKind::StartFailed
        | FindingKind::Stuck
        | FindingKind::NoContact
        | FindingKind::NameConflict
        | FindingKind::Flapping
        | FindingKind::MailFails
        | FindingKind::ClockDiffers
        | FindingKind::ResourcesShort
        | FindingKind::CertificateEnding
        | FindingKind::TokenReused
        | FindingKind::ServerCertificate => Severity::Error,
    };
    let finding = Finding { severity, since: now, text: text.into() };
    Effect::FindingRaised { number: None, kind, finding }
}

fn cleared(state: &State, kind: FindingKind) -> Option<Effect> {
    state.finding(None, kind).map(|_| Effect::FindingCleared { number: None, kind })
}
