//! Parses and formats durations such as `90s`, `5m`, `1h30m`, `2d`.
//!
//! Guarantees that a formatted duration can be parsed. Does not know which durations the broker
//! allows.

use std::time::Duration;

/// Units in seconds, largest first.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// The text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a duration; write whole numbers with d, h, m or s, largest first: 90s, 5m, 1h30m or 2d"
)]
pub(crate) struct InvalidDuration;

/// Parses a duration.
pub(crate) fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let mut rest = text;
    let mut units = UNITS.as_slice();
    let mut seconds = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(InvalidDuration)?;
        let number: u64 = rest[..digits].parse().map_err(|_| InvalidDuration)?;
        let unit = rest[digits..].chars().next().ok_or(InvalidDuration)?;
        let index = units.iter().position(|(name, _)| *name == unit).ok_or(InvalidDuration)?;
        seconds = number
            .checked_mul(units[index].1)
            .and_then(|part| seconds.checked_add(part))
            .ok_or(InvalidDuration)?;
        units = &units[index + 1..];
        rest = &rest[digits + unit.len_utf8()..];
    }
    if text.is_empty() { Err(InvalidDuration) } else { Ok(Duration::from_secs(seconds)) }
}

/// Parses a duration in the milliseconds of the contract.
pub(crate) fn parse_ms(text: &str) -> Result<u64, InvalidDuration> {
    u64::try_from(parse(text)?.as_millis()).map_err(|_| InvalidDuration)
}

/// Formats milliseconds; fractions of a second, which come only from the broker, as `1.5s`.
pub(crate) fn format_ms(ms: u64) -> String {
    let mut left = ms / 1000;
    let mut shown = String::new();
    for (unit, seconds) in UNITS {
        if left >= seconds {
            shown.push_str(&format!("{}{unit}", left / seconds));
            left %= seconds;
        }
    }
    match ms % 1000 {
        0 if shown.is_empty() => "0s".to_owned(),
        0 => shown,
        part => {
            let whole = ms / 1000;
            format!("{whole}.{part:03}").trim_end_matches('0').to_owned() + "s"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse_and_format_alike() {
        for (text, seconds) in [
            ("90s", 90),
            ("5m", 300),
            ("1h30m", 5400),
            ("2d", 172_800),
            ("0s", 0),
            ("1d2h3m4s", 93_784),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for (ms, shown) in
            [(90_000, "1m30s"), (300_000, "5m"), (0, "0s"), (1_500, "1.5s"), (90_250, "90.25s")]
        {
            assert_eq!(format_ms(ms), shown);
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
            "1.5h",
            "5x",
            "5ü",
            "99999999999999999999s",
            "999999999999999999d",
        ] {
            assert_eq!(parse(text), Err(InvalidDuration), "{text}");
        }
    }
}
