//! Describes amounts of memory and disk for people.
//!
//! Guarantees the nearest unit, rounded down. Does not parse.

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
    }
}
