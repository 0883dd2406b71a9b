//! Decides on incidents of the journal: trims, gaps, a full disk, exhausted descriptors or memory.
//!
//! Guarantees that each has a record with absolute effects, like any other decision. Knows numbers
//! of records and bytes, but no files.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::effect::{Alert, AlertKind, Effect};
use crate::grid::decide::DecisionDraft;
use crate::grid::state::State;
use crate::grid::values::event::Severity;
use crate::grid::values::id::RecordNumber;
use crate::grid::values::time::{Timestamp, describe_duration};

/// The most ranges listed in one sentence.
const RANGES_LISTED_MAX: usize = 8;

/// The most bytes that an alert grows to by further ranges.
const ALERT_TEXT_BYTES_MAX: usize = 1_000;

/// An incident of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalIncident {
    /// Retention deleted the oldest records.
    Trimmed(Trimmed),
    /// Acknowledged records can't be read.
    Missing {
        /// Which, ascending.
        ranges: Vec<RangeInclusive<RecordNumber>>,
    },
    /// The disk is nearly full: events and commands are rejected.
    DiskLow {
        /// Free space, in bytes.
        free: u64,
        /// The low-water mark, in bytes.
        threshold: u64,
    },
    /// The disk has room again.
    DiskRecovered {
        /// Free space, in bytes.
        free: u64,
    },
    /// The system is out of some resource; what failed is tried again.
    ResourcesShort {
        /// Which, as a sentence.
        message: Box<str>,
    },
    /// No resource was short for a while.
    ResourcesRecovered,
}

/// Records deleted by retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// The first of them.
    pub first: RecordNumber,
    /// The last of them.
    pub last: RecordNumber,
    /// Their size on disk, in bytes.
    pub bytes: u64,
    /// Why.
    pub reason: TrimReason,
}

/// The limit of retention that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimReason {
    /// All of them are older than this.
    Age(Duration),
    /// The archive is larger than this, in bytes.
    Bytes(u64),
}

impl JournalIncident {
    pub(in crate::grid) fn decide(&self, state: &State, now: Timestamp) -> DecisionDraft {
        DecisionDraft::recorded(match self {
            Self::Trimmed(_) => Vec::new(),
            Self::Missing { ranges } => vec![missing_alert(state, ranges, now)],
            Self::DiskLow { free, threshold: mark } => {
                vec![raised_or_updated(state, AlertKind::DiskLow, now, disk_low_text(*free, *mark))]
            }
            Self::DiskRecovered { .. } => cleared(state, AlertKind::DiskLow).into_iter().collect(),
            Self::ResourcesShort { message: what } => {
                vec![raised(AlertKind::ResourcesShort, now, what.clone().into_string())]
            }
            Self::ResourcesRecovered => {
                cleared(state, AlertKind::ResourcesShort).into_iter().collect()
            }
        })
    }

    /// The text of its record; empty if the alert contains it.
    pub(in crate::grid) fn describe(&self) -> String {
        match self {
            Self::Trimmed(Trimmed { first, last, bytes, reason }) => {
                let why = match reason {
                    TrimReason::Age(age) => format!("older than {}", describe_duration(*age)),
                    TrimReason::Bytes(limit) => format!("more than {}", describe_bytes(*limit)),
                };
                let bytes = describe_bytes(*bytes);
                format!(
                    "records {} to {} trimmed: {why}, {bytes}",
                    format_thousands(*first),
                    format_thousands(*last)
                )
            }
            Self::Missing { .. } | Self::DiskLow { .. } | Self::ResourcesShort { .. } => {
                String::new()
            }
            Self::ResourcesRecovered => "the system has enough resources again".to_owned(),
            Self::DiskRecovered { free } => {
                format!("the disk has room again: {} free", describe_bytes(*free))
            }
        }
    }
}

/// The alert on gaps found at a start; without gaps it is resolved.
pub(in crate::grid) fn gaps_at_start(
    state: &State,
    missing: &[RangeInclusive<RecordNumber>],
    now: Timestamp,
) -> Option<Effect> {
    if missing.is_empty() {
        return cleared(state, AlertKind::RecordsMissing);
    }
    Some(raised_or_updated(state, AlertKind::RecordsMissing, now, describe_ranges(missing)))
}

/// Raises an alert with the current text; an open one keeps its start.
fn raised_or_updated(state: &State, kind: AlertKind, now: Timestamp, text: String) -> Effect {
    let since = state.alert(None, kind).map_or(now, |open| open.since);
    raised(kind, since, text)
}

/// Adds gaps found while running to the known ones.
fn missing_alert(state: &State, ranges: &[RangeInclusive<RecordNumber>], now: Timestamp) -> Effect {
    let new = describe_ranges(ranges);
    let text = match state.alert(None, AlertKind::RecordsMissing) {
        Some(open) if open.text.len() + new.len() <= ALERT_TEXT_BYTES_MAX => {
            format!("{}; {new}", open.text)
        }
        Some(_) => format!("{new}; earlier records of the grid log contain others"),
        None => new,
    };
    raised(AlertKind::RecordsMissing, now, text)
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
    let text = match state.alert(None, AlertKind::RecordsMissing) {
        // Once per appliance: it could send other numbers without end.
        Some(open) if open.text.contains(&of_it) => return None,
        Some(open) if open.text.len() + new.len() <= ALERT_TEXT_BYTES_MAX => {
            format!("{}; {new}", open.text)
        }
        // An open alert is worth more than the claim of an appliance.
        Some(_) => return None,
        None => new,
    };
    Some(raised(AlertKind::RecordsMissing, now, text))
}

fn raised(kind: AlertKind, now: Timestamp, text: String) -> Effect {
    let severity = match kind {
        AlertKind::RecordsMissing => Severity::Fatal,
        AlertKind::DiskLow
        | AlertKind::StartFailed
        | AlertKind::Stuck
        | AlertKind::NoContact
        | AlertKind::NameConflict
        | AlertKind::Flapping
        | AlertKind::MailFails
        | AlertKind::ClockDiffers
        | AlertKind::ResourcesShort => Severity::Error,
    };
    let alert = Alert { severity, since: now, text: text.into() };
    Effect::AlertRaised { number: None, kind, alert }
}

fn cleared(state: &State, kind: AlertKind) -> Option<Effect> {
    state.alert(None, kind).map(|_| Effect::AlertCleared { number: None, kind })
}

fn disk_low_text(free: u64, mark: u64) -> String {
    format!(
        "the disk is nearly full: {} free, {} needed (disk_low_water and a reserve); events and \
         commands are rejected until there is room",
        describe_bytes(free),
        describe_bytes(mark)
    )
}

fn describe_ranges(ranges: &[RangeInclusive<RecordNumber>]) -> String {
    let mut text = "records ".to_owned();
    for (range, at) in ranges.iter().take(RANGES_LISTED_MAX).zip(0..) {
        let before = if at == 0 { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(text, "{before}{} to {}", range.start(), range.end());
    }
    if let Some(more @ 1..) = ranges.len().checked_sub(RANGES_LISTED_MAX) {
        let _ = write!(text, " and {more} more ranges");
    }
    text + " are missing"
}

/// A number with a comma between thousands.
fn format_thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (digit, left) in digits.chars().zip((0..digits.len()).rev()) {
        out.push(digit);
        if left > 0 && left % 3 == 0 {
            out.push(',');
        }
    }
    out
}

/// An amount of memory or disk for people: `256 MiB`, `1.5 GiB`.
pub fn describe_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1_024 {
        return format!("{bytes} bytes");
    }
    let mut unit = 0;
    while unit + 1 < UNITS.len() && bytes >> (10 * (unit + 2)) > 0 {
        unit += 1;
    }
    let tenths = (u128::from(bytes) * 10) >> (10 * (unit + 1));
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {}", UNITS[unit]),
        (whole @ 10.., _) => format!("{whole} {}", UNITS[unit]),
        (whole, tenth) => format!("{whole}.{tenth} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_readable() {
        for (bytes, words) in [
            (0, "0 bytes"),
            (1_023, "1023 bytes"),
            (256 << 20, "256 MiB"),
            (3 << 29, "1.5 GiB"),
            ((10 << 30) + 5, "10 GiB"),
            (u64::MAX, "16383 PiB"),
        ] {
            assert_eq!(describe_bytes(bytes), words);
        }
        assert_eq!(
            [format_thousands(1), format_thousands(999), format_thousands(1_234_567)],
            ["1", "999", "1,234,567"]
        );
    }

    #[test]
    fn a_trim_contains_range_and_reason() {
        let trimmed = |reason| {
            JournalIncident::Trimmed(Trimmed { first: 1, last: 20_000, bytes: 256 << 20, reason })
                .describe()
        };
        assert_eq!(
            trimmed(TrimReason::Age(Duration::from_secs(90 * 86_400))),
            "records 1 to 20,000 trimmed: older than 90 d, 256 MiB"
        );
        assert_eq!(
            trimmed(TrimReason::Bytes(10 << 30)),
            "records 1 to 20,000 trimmed: more than 10 GiB, 256 MiB"
        );
    }

    #[test]
    fn many_gaps_stay_one_bounded_sentence() {
        let ranges: Vec<_> = (0..10).map(|n| n * 10..=n * 10 + 1).collect();
        assert_eq!(describe_ranges(&ranges[..2]), "records 0 to 1, 10 to 11 are missing");
        assert!(describe_ranges(&ranges).ends_with("70 to 71 and 2 more ranges are missing"));
    }
}
