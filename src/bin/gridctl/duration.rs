//! Parses and formats durations such as `90s`, `5m`, `1h30m`, `2d`, in the milliseconds of the contract.
//!
//! Guarantees that a formatted duration can be parsed. Does not know which durations the broker
//! allows.

use std::time::Duration;

use grid_broker::units;

/// The text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a duration; write numbers with d, h, m or s, largest first: 90s, 5m, 1h30m or 2d")]
pub(crate) struct InvalidDuration;

/// Parses a duration.
pub(crate) fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    units::parse_duration(text).ok_or(InvalidDuration)
}

/// Parses a duration in the milliseconds of the contract.
pub(crate) fn parse_ms(text: &str) -> Result<u64, InvalidDuration> {
    u64::try_from(parse(text)?.as_millis()).map_err(|_| InvalidDuration)
}

/// Formats milliseconds.
pub(crate) fn format_ms(ms: u64) -> String {
    units::format_duration(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_milliseconds_and_parse_back() {
        for (ms, text) in [(90_000, "1m30s"), (0, "0s"), (1_500, "1s500ms"), (172_800_000, "2d")] {
            assert_eq!((format_ms(ms).as_str(), parse_ms(text)), (text, Ok(ms)));
        }
        for text in ["", "90", "5 m", "30m1h", "1h1h", "-5s", "5x", "999999999999999999d"] {
            assert_eq!(parse(text), Err(InvalidDuration), "{text}");
        }
    }
}
