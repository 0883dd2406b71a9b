//! Defines times as microseconds since 1970-01-01T00:00:00Z.
//!
//! Guarantees arithmetic that saturates and never panics. Reads no clock and does not know time
//! zones.

use std::time::Duration;

/// A time, in microseconds since the Unix epoch (UTC, without leap seconds).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The epoch itself.
    pub const EPOCH: Self = Self(0);
    /// The last valid time: 9999-12-31T23:59:59Z, as in the contract.
    pub const MAX: Self = Self(253_402_300_799_000_000);
    /// The first valid time: 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800_000_000);

    /// From microseconds since the epoch, clamped to [`Timestamp::MIN`] and [`Timestamp::MAX`].
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Microseconds since the epoch.
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// This time plus `later`; at most [`Timestamp::MAX`].
    #[must_use]
    pub fn after(self, later: Duration) -> Self {
        let micros = i64::try_from(later.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// This time minus `earlier`; at least [`Timestamp::MIN`].
    #[must_use]
    pub fn before(self, earlier: Duration) -> Self {
        let micros = i64::try_from(earlier.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_sub(micros))
    }

    /// This time, shifted ahead or back.
    #[must_use]
    pub fn shifted_by(self, by: Offset) -> Self {
        Self::from_micros(self.0.saturating_add(by.0))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// The difference of two times, ahead or back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offset(i64);

impl Offset {
    /// From microseconds, negative back.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// In microseconds, negative back.
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// An offset ahead.
    pub fn ahead_by(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
    }

    /// How far `to` is ahead of `from`.
    pub fn between(from: Timestamp, to: Timestamp) -> Self {
        Self(to.0.saturating_sub(from.0))
    }

    /// How far, in either direction.
    pub fn magnitude(self) -> Duration {
        Duration::from_micros(self.0.unsigned_abs())
    }

    /// How far ahead; zero if it is back.
    pub fn ahead(self) -> Duration {
        Duration::from_micros(u64::try_from(self.0).unwrap_or(0))
    }

    /// Whether it is ahead.
    pub fn is_ahead(self) -> bool {
        self.0 > 0
    }
}

/// A duration for people: `40 s`, `5 min`, `2 h 5 min`, `3 d`, `250 ms`.
///
/// Two units at the most, rounded down; up to 600 s in seconds, since limits are given so.
pub fn describe_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 && duration.subsec_millis() > 0 {
        return format!("{} ms", duration.subsec_millis());
    }
    if seconds <= 600 && (seconds < 120 || !seconds.is_multiple_of(60) || seconds == 300) {
        return format!("{seconds} s");
    }
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, 0, _) => format!("{days} d"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_the_contracts_ends() {
        assert_eq!(Timestamp::MAX.after(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.before(Duration::MAX), Timestamp::MIN);
        assert_eq!(Timestamp::MIN.since(Timestamp::MAX), Duration::ZERO);
        assert_eq!(Timestamp::EPOCH.after(Duration::from_secs(2)).as_micros(), 2_000_000);
    }

    #[test]
    fn durations_read_as_people_say_them() {
        for (seconds, words) in [
            (0, "0 s"),
            (40, "40 s"),
            (90, "90 s"),
            (300, "300 s"),
            (600, "10 min"),
            (900, "15 min"),
            (7_500, "2 h 5 min"),
            (43_200, "12 h"),
            (259_200, "3 d"),
        ] {
            assert_eq!(describe_duration(Duration::from_secs(seconds)), words);
        }
        assert_eq!(describe_duration(Duration::from_millis(250)), "250 ms");
    }
}
