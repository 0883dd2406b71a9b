//! Describes incidents of the journal.
//!
//! Guarantees one bounded sentence for each. Decides nothing.

use std::fmt::Write;
use std::ops::RangeInclusive;

use crate::grid::log::journal_incident::{JournalIncident, TrimReason, Trimmed};
use crate::grid::values::id::RecordNumber;
use crate::grid::values::size::describe_bytes;
use crate::grid::values::time::describe_duration;

/// The most ranges listed in one sentence.
const RANGES_LISTED_MAX: usize = 8;

impl JournalIncident {
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

pub(in crate::grid) fn disk_low_text(free: u64, mark: u64) -> String {
    format!(
        "the disk is nearly full: {} free, {} needed (disk_low_water and a reserve); events and \
         commands are rejected until there is room",
        describe_bytes(free),
        describe_bytes(mark)
    )
}

pub(in crate::grid) fn describe_ranges(ranges: &[RangeInclusive<RecordNumber>]) -> String {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn thousands_are_separated() {
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
