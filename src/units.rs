//! Parses and formats sizes and durations such as `256MiB` and `90d`.
//!
//! Guarantees that nothing overflows, that an amount without a unit is rejected, and that the output
//! of [`format_bytes`] and [`format_duration`] parses back equal. The configuration and the command lines
//! use these. Does not know which amounts are allowed where.

use std::time::Duration;

/// Units of sizes; a blank before the unit is accepted.
const UNITS: [(&str, u32); 5] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("B", 0)];

/// Parses a size: a whole number with `B`, `KiB`, `MiB`, `GiB` or `TiB`.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let (number, shift) = UNITS
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?.trim_end(), *shift)))?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = is_number.then(|| number.parse().ok())??;
    number.checked_mul(1 << shift)
}

/// Parses a duration: `90s`, `5m`, `1h30m`, optionally with days first: `90d`, `1d12h`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    // jiff accepts more than is documented here: `PT5M`, `5 minutes`, `+5m`.
    if !text.bytes().all(|byte| byte.is_ascii_digit() || b".dhmsun".contains(&byte)) {
        return None;
    }
    let (days, rest) = match text.split_once('d') {
        Some((days, rest)) if days.bytes().all(|byte| byte.is_ascii_digit()) => {
            (days.parse::<u64>().ok()?, rest)
        }
        Some(_) | None => (0, text),
    };
    let days = Duration::from_secs(days.checked_mul(86_400)?);
    if rest.is_empty() {
        return (!text.is_empty()).then_some(days);
    }
    let rest: jiff::SignedDuration = rest.parse().ok()?;
    days.checked_add(Duration::try_from(rest).ok()?)
}

/// Formats a size in the largest unit that divides it: `256MiB`.
pub fn format_bytes(bytes: u64) -> String {
    let whole = |shift: u32| bytes > 0 && bytes.trailing_zeros() >= shift;
    let fitting = UNITS.iter().filter(|(_, shift)| whole(*shift)).max_by_key(|(_, shift)| *shift);
    let (unit, shift) = fitting.unwrap_or(&("B", 0));
    format!("{}{unit}", bytes >> shift)
}

/// Formats a duration in its largest units: `90d`, `1h30m`, `250ms`.
pub fn format_duration(duration: Duration) -> String {
    let (seconds, below) = (duration.as_secs(), duration.subsec_nanos());
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (u64::from(below) / 1_000_000, "ms"),
        (u64::from(below) / 1_000 % 1_000, "us"),
        (u64::from(below) % 1_000, "ns"),
    ];
    let nonzero = parts.iter().filter(|(count, _)| *count > 0);
    let text: String = nonzero.map(|(count, unit)| format!("{count}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatted_values_parse_back_equal() {
        for (amount, text) in [
            (0, "0B"),
            (7, "7B"),
            (1_536, "1536B"),
            (3 << 10, "3KiB"),
            (256 << 20, "256MiB"),
            (10 << 30, "10GiB"),
            (5 << 40, "5TiB"),
        ] {
            assert_eq!((format_bytes(amount).as_str(), parse_bytes(text)), (text, Some(amount)));
        }
        for (millis, text) in [
            (0, "0s"),
            (250, "250ms"),
            (1_500, "1s500ms"),
            (300_000, "5m"),
            (5_400_000, "1h30m"),
            (90 * 86_400_000, "90d"),
            (129_600_000, "1d12h"),
        ] {
            let amount = Duration::from_millis(millis);
            assert_eq!(
                (format_duration(amount).as_str(), parse_duration(text)),
                (text, Some(amount))
            );
        }
    }

    #[test]
    fn sizes_need_a_unit_and_do_not_overflow() {
        let read = ["0B", "7B", "3KiB", "256MiB", "10 GiB", "2TiB"].map(parse_bytes);
        let meant = [0, 7, 3 << 10, 256 << 20, 10 << 30, 2 << 40].map(Some);
        assert_eq!(read, meant);
        for invalid in ["", "8", "MiB", "-1MiB", "+1MiB", "1.5GiB", "1MB", "99999999999TiB", "1mib"]
        {
            assert_eq!(parse_bytes(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn times_take_days() {
        let read = ["90d", "1d12h", "90s", "1h30m", "0d"].map(parse_duration);
        let meant = [90 * 86_400, 129_600, 90, 5_400, 0];
        assert_eq!(read, meant.map(|seconds| Some(Duration::from_secs(seconds))));
        for invalid in [
            "PT5M",
            "+5m",
            "5 m",
            "5min",
            "5M",
            "",
            "d",
            "90",
            "-1d",
            "1d-2h",
            "-5s",
            "99999999999999999999d",
            "1w2x",
        ] {
            assert_eq!(parse_duration(invalid), None, "{invalid}");
        }
    }
}
