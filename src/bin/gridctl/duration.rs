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
    let duration = parse(text)?;
    let ms = u64::try_from(duration.as_millis()).map_err(|_| InvalidDuration)?;
    // A part of a millisecond would be lost.
    if Duration::from_millis(ms) == duration { Ok(ms) } else { Err(InvalidDuration) }
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
        for (ms, text) in [
            (0, "0s"),
            (1_500, "1s500ms"),
            (90_000, "1m30s"),
            (90_250, "1m30s250ms"),
            (300_000, "5m"),
            (5_400_000, "1h30m"),
            (172_800_000, "2d"),
            (93_784_000, "1d2h3m4s"),
        ] {
            assert_eq!((format_ms(ms).as_str(), parse_ms(text)), (text, Ok(ms)));
        }
    }

    #[test]
    fn invalid_durations_are_errors() {
        for text in [
            "",
            "90",
            "s",
            "5 m",
            "30m1h",
            "1h1h",
            "-5s",
            "5x",
            "5ü",
            "99999999999999999999s",
            "999999999999999999d",
        ] {
            assert_eq!(parse(text), Err(InvalidDuration), "{text}");
        }
        assert_eq!(parse_ms("1500us"), Err(InvalidDuration), "parts of a millisecond");
    }
}
