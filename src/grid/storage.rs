//! What happens to the journal that administrators must know: trims, gaps, a disk that fills up, and
//! descriptors or memory that the system does not grant.
//!
//! Guarantees that each is a record with absolute effects, like anything else that is decided.
//! Knows numbers of records and of bytes, and no files.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::decide::Draft;
use super::effect::{Alert, Effect, Matter};
use super::event::Severity;
use super::name::RecordNumber;
use super::state::State;
use super::time::{Timestamp, in_words};

/// Most ranges named in one sentence.
const RANGES_NAMED: usize = 8;

/// Most bytes that an alert grows to by further ranges.
const TEXT_BYTES_MAX: usize = 1_000;

/// What happens to the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// The oldest records are forgotten.
    Trimmed(Trimmed),
    /// Records that were acknowledged can't be read any more.
    Missing {
        /// Which, ascending.
        ranges: Vec<RangeInclusive<RecordNumber>>,
    },
    /// The disk is nearly full: events and orders are refused.
    Low {
        /// What is free, in bytes.
        free: u64,
        /// Below how much that is, in bytes.
        mark: u64,
    },
    /// The disk has room again.
    Enough {
        /// What is free, in bytes.
        free: u64,
    },
    /// The system grants no more of something; what failed for it is tried again.
    Short {
        /// What, as a sentence.
        what: Box<str>,
    },
    /// Nothing was short for a while.
    NotShort,
}

/// Records that are forgotten by retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// The first of them.
    pub first: RecordNumber,
    /// The last of them.
    pub last: RecordNumber,
    /// What they take on the disk, in bytes.
    pub bytes: u64,
    /// Why.
    pub reason: TrimReason,
}

/// Which limit of retention was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimReason {
    /// All of them are older than this.
    Age(Duration),
    /// The archive takes more than this, in bytes.
    Bytes(u64),
}

impl Storage {
    pub(in crate::grid) fn decide(&self, state: &State, now: Timestamp) -> Draft {
        Draft::kept(match self {
            Self::Trimmed(_) => Vec::new(),
            Self::Missing { ranges } => vec![missing_alert(state, ranges, now)],
            Self::Low { free, mark } => {
                vec![raised_anew(state, Matter::DiskLow, now, low(*free, *mark))]
            }
            Self::Enough { .. } => cleared(state, Matter::DiskLow).into_iter().collect(),
            Self::Short { what } => {
                vec![raised(Matter::ResourcesShort, now, what.clone().into_string())]
            }
            Self::NotShort => cleared(state, Matter::ResourcesShort).into_iter().collect(),
        })
    }

    /// The sentence of its record; empty where the alert says it.
    pub(in crate::grid) fn explain(&self) -> String {
        match self {
            Self::Trimmed(Trimmed { first, last, bytes, reason }) => {
                let why = match reason {
                    TrimReason::Age(age) => format!("older than {}", in_words(*age)),
                    TrimReason::Bytes(limit) => format!("more than {}", bytes_in_words(*limit)),
                };
                let bytes = bytes_in_words(*bytes);
                format!("records {} to {} trimmed: {why}, {bytes}", grouped(*first), grouped(*last))
            }
            Self::Missing { .. } | Self::Low { .. } | Self::Short { .. } => String::new(),
            Self::NotShort => "the system grants what is needed again".to_owned(),
            Self::Enough { free } => {
                format!("the disk has room again: {} free", bytes_in_words(*free))
            }
        }
    }
}

/// What a start that finds these gaps says; none closes the matter.
pub(in crate::grid) fn found_at_start(
    state: &State,
    missing: &[RangeInclusive<RecordNumber>],
    now: Timestamp,
) -> Option<Effect> {
    if missing.is_empty() {
        return cleared(state, Matter::RecordsMissing);
    }
    Some(raised_anew(state, Matter::RecordsMissing, now, ranges_in_words(missing)))
}

/// With the words of today; one that is open already stays open since it opened.
fn raised_anew(state: &State, matter: Matter, now: Timestamp, text: String) -> Effect {
    let since = state.alert(None, matter).map_or(now, |open| open.since);
    raised(matter, since, text)
}

/// Gaps found while running come to those that are known.
fn missing_alert(state: &State, ranges: &[RangeInclusive<RecordNumber>], now: Timestamp) -> Effect {
    let new = ranges_in_words(ranges);
    let text = match state.alert(None, Matter::RecordsMissing) {
        Some(open) if open.text.len() + new.len() <= TEXT_BYTES_MAX => {
            format!("{}; {new}", open.text)
        }
        Some(_) => format!("{new}; earlier records of the grid log name others"),
        None => new,
    };
    raised(Matter::RecordsMissing, now, text)
}

/// What a client's acknowledgements say of gaps that the journal itself does not know; once.
pub(in crate::grid) fn acknowledged_and_lost(
    state: &State,
    name: &str,
    lost: &RangeInclusive<u64>,
    now: Timestamp,
) -> Option<Effect> {
    let (first, last) = (lost.start(), lost.end());
    let of_it = format!(" of {name} were acknowledged and are missing");
    let new = format!("events {first} to {last}{of_it}");
    let text = match state.alert(None, Matter::RecordsMissing) {
        // Once of each appliance: it could say another number for ever.
        Some(open) if open.text.contains(&of_it) => return None,
        Some(open) if open.text.len() + new.len() <= TEXT_BYTES_MAX => {
            format!("{}; {new}", open.text)
        }
        // What is open says more than an appliance's word.
        Some(_) => return None,
        None => new,
    };
    Some(raised(Matter::RecordsMissing, now, text))
}

fn raised(matter: Matter, now: Timestamp, text: String) -> Effect {
    let severity = match matter {
        Matter::RecordsMissing => Severity::Fatal,
        Matter::DiskLow
        | Matter::StartFailed
        | Matter::Stuck
        | Matter::NoContact
        | Matter::TwoMachines
        | Matter::Flapping
        | Matter::MailFails
        | Matter::ClockDiffers
        | Matter::ResourcesShort => Severity::Error,
    };
    let alert = Alert { severity, since: now, text: text.into() };
    Effect::AlertRaised { number: None, matter, alert }
}

fn cleared(state: &State, matter: Matter) -> Option<Effect> {
    state.alert(None, matter).map(|_| Effect::AlertCleared { number: None, matter })
}

fn low(free: u64, mark: u64) -> String {
    format!(
        "the disk is nearly full: {} free, {} needed (disk_low_water and a reserve); events and \
         orders are refused until there is room",
        bytes_in_words(free),
        bytes_in_words(mark)
    )
}

fn ranges_in_words(ranges: &[RangeInclusive<RecordNumber>]) -> String {
    let mut text = "records ".to_owned();
    for (range, at) in ranges.iter().take(RANGES_NAMED).zip(0..) {
        let before = if at == 0 { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(text, "{before}{} to {}", range.start(), range.end());
    }
    if let Some(more @ 1..) = ranges.len().checked_sub(RANGES_NAMED) {
        let _ = write!(text, " and {more} more ranges");
    }
    text + " are missing"
}

/// A number with a comma between thousands.
fn grouped(number: u64) -> String {
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

/// An amount of memory or disk, as people say it: `256 MiB`, `1.5 GiB`.
pub fn bytes_in_words(bytes: u64) -> String {
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
    fn amounts_read_as_people_say_them() {
        for (bytes, words) in [
            (0, "0 bytes"),
            (1_023, "1023 bytes"),
            (256 << 20, "256 MiB"),
            (3 << 29, "1.5 GiB"),
            ((10 << 30) + 5, "10 GiB"),
            (u64::MAX, "16383 PiB"),
        ] {
            assert_eq!(bytes_in_words(bytes), words);
        }
        assert_eq!([grouped(1), grouped(999), grouped(1_234_567)], ["1", "999", "1,234,567"]);
    }

    #[test]
    fn a_trim_says_what_and_why() {
        let trimmed = |reason| {
            Storage::Trimmed(Trimmed { first: 1, last: 20_000, bytes: 256 << 20, reason }).explain()
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
        assert_eq!(ranges_in_words(&ranges[..2]), "records 0 to 1, 10 to 11 are missing");
        assert!(ranges_in_words(&ranges).ends_with("70 to 71 and 2 more ranges are missing"));
    }
}
