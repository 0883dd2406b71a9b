//! Writes times as Nova does, and reads those of queries.
//!
//! Guarantees UTC. Reads no clock.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::grid::values::time::Timestamp;

/// `2026-11-20T11:12:06Z`: times of servers.
pub(super) fn seconds(at: Timestamp) -> String {
    formatted(at, "%Y-%m-%dT%H:%M:%SZ")
}

/// `2026-11-20T11:12:06.341618`: times of actions and events.
pub(super) fn micros(at: Timestamp) -> String {
    formatted(at, "%Y-%m-%dT%H:%M:%S.%6f")
}

/// `2026-11-20T11:12:06.000000Z`: times of tokens.
pub(super) fn of_token(at: Timestamp) -> String {
    formatted(at, "%Y-%m-%dT%H:%M:%S.%6fZ")
}

fn formatted(at: Timestamp, format: &str) -> String {
    let at = jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or_default();
    at.strftime(format).to_string()
}

/// The time of a query, in UTC if it has no zone; `None`: it is no time.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let with_zone = text.parse::<jiff::Timestamp>().ok();
    let without = || {
        let at = text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?;
        Some(at.timestamp())
    };
    let at = with_zone.or_else(without)?;
    Some(Timestamp::from_micros(at.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc_with_as_many_digits_as_novas() {
        let at = Timestamp::from_micros(1_795_173_126_041_618);
        assert_eq!(seconds(at), "2026-11-20T11:12:06Z");
        assert_eq!(micros(at), "2026-11-20T11:12:06.041618");
        assert_eq!(micros(Timestamp::EPOCH), "1970-01-01T00:00:00.000000");
        assert_eq!(of_token(at), "2026-11-20T11:12:06.041618Z");
        for text in [
            "2026-11-20T11:12:06.041618",
            "2026-11-20T11:12:06.041618Z",
            "2026-11-20 11:12:06.041618",
            "2026-11-20T12:12:06.041618+01:00",
        ] {
            assert_eq!(parse(text), Some(at), "{text}");
        }
        assert!(parse("2026-11-20").is_some());
        for text in ["", "yesterday", "2026-13-01T00:00:00Z", "11:12"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
