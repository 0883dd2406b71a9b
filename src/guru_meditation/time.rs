//! Reads the clocks, and formats times of reports.
//!
//! Guarantees UTC. Reports read the clocks themselves, since they are to become a separate crate.
//! Does not know broker time.

use std::time::Instant;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The wall clock.
pub(super) fn wall_now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "reports tell when they were written")]
    Timestamp::now()
}

/// The monotonic clock, for time limits and ages.
pub(super) fn monotonic_now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "reports have time limits of their own")]
    Instant::now()
}

/// A time for people and scripts: `2026-11-20T14:02:10.123Z`.
pub(super) fn format_time(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// A time in a file name: `20261120140210`.
pub(super) fn file_stamp(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y%m%d%H%M%S").to_string()
}

/// A duration for people: `0.123 s`, `4 min 2 s`, `3 d 4 h`.
pub(super) fn format_duration(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{}.{:03} s", seconds, duration.subsec_millis()),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        86_400.. => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_read_well() {
        let at = Timestamp::from_millisecond(1_795_183_330_007).unwrap();
        assert_eq!(format_time(at), "2026-11-20T14:02:10.007Z");
        assert_eq!(file_stamp(at), "20261120140210");
        for (ms, words) in [
            (7, "0.007 s"),
            (59_999, "59.999 s"),
            (242_000, "4 min 2 s"),
            (7_260_000, "2 h 1 min"),
            (273_600_000, "3 d 4 h"),
        ] {
            assert_eq!(format_duration(Duration::from_millis(ms)), words);
        }
    }
}
