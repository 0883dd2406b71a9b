//! Resolves a time range from `--since` and `--until`.
//!
//! Guarantees that a range without records is not requested: it is an error that states why. As a
//! start, a time of day is the latest one; as an end, that of today, or after such a start the next
//! one. The ends of the calendar mean no limit. Does not know records.

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::{TimeArg, TimeSpec, format_local, to_timestamp};

/// The time range of records; `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimeRange {
    /// Received at this time or later.
    pub(crate) since: Option<Timestamp>,
    /// Received before this time.
    pub(crate) until: Option<Timestamp>,
}

/// Why a range contains no records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EmptyTimeRange {
    /// It begins in the future.
    #[error("--since {since} is in the future (it is {now}): no record can match")]
    Future {
        /// When it begins.
        since: String,
        /// The current time.
        now: String,
    },
    /// It ends before it begins.
    #[error("--since {since} is not before --until {until}: no record can match")]
    Reversed {
        /// When it begins.
        since: String,
        /// When it ends.
        until: String,
    },
    /// It ends before 1970.
    #[error("--until {until} is before 1970: no record can match")]
    TooEarly {
        /// When it ends.
        until: String,
    },
}

/// Resolves the range at `now` in `zone`.
pub(crate) fn resolve_range(
    since: Option<&TimeArg>,
    until: Option<&TimeArg>,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<TimeRange, EmptyTimeRange> {
    let from = since.map(|since| since.resolve(zone, now));
    let to = until.map(|until| resolve_end(until, since, from, zone, now));
    let shown = |moment| format_local(moment, zone);
    if let Some(from) = from.filter(|from| *from > now) {
        return Err(EmptyTimeRange::Future { since: shown(from), now: shown(now) });
    }
    if let Some(to) = to.filter(|to| *to <= Timestamp::UNIX_EPOCH) {
        return Err(EmptyTimeRange::TooEarly { until: shown(to) });
    }
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Err(EmptyTimeRange::Reversed { since: shown(from), until: shown(to) });
    }
    // The contract's calendar is a little shorter than jiff's, and no record is newer than now.
    Ok(TimeRange {
        since: from.filter(|from| *from > Timestamp::UNIX_EPOCH),
        until: to.filter(|to| zone.to_datetime(*to).year() < 9999),
    })
}

fn resolve_end(
    until: &TimeArg,
    since: Option<&TimeArg>,
    from: Option<Timestamp>,
    zone: &TimeZone,
    now: Timestamp,
) -> Timestamp {
    let TimeSpec::LocalTime(time) = until.spec else { return until.resolve(zone, now) };
    let zone = until.zone.as_ref().unwrap_or(zone);
    match (since.map(|since| since.spec), from) {
        // After a time of yesterday it is the next one. Never that of tomorrow: that is a typo.
        (Some(TimeSpec::LocalTime(_)), Some(from)) => {
            next_occurrence(zone, time, from).min(today_at(zone, time, now))
        }
        _ => today_at(zone, time, now),
    }
}

impl TimeArg {
    /// Resolves to a time to come, at `now` in `zone`: a duration counts from now on, and a time of day is
    /// the next one. What names the past stays in the past.
    pub(crate) fn resolve_future(&self, zone: &TimeZone, now: Timestamp) -> Timestamp {
        let own = self.zone.as_ref().unwrap_or(zone);
        match self.spec {
            TimeSpec::LocalTime(time) => next_occurrence(own, time, now),
            TimeSpec::Ago(span) => now.checked_add(span).unwrap_or(Timestamp::MAX),
            TimeSpec::FromNow(_) | TimeSpec::At(_) | TimeSpec::Local(_) | TimeSpec::DayTime(..) => {
                self.resolve(zone, now)
            }
        }
    }
}

/// This time of day, today.
fn today_at(zone: &TimeZone, time: Time, now: Timestamp) -> Timestamp {
    to_timestamp(zone, zone.to_datetime(now).date().to_datetime(time))
}

/// The first time after `from` at which it is this time of day.
fn next_occurrence(zone: &TimeZone, time: Time, from: Timestamp) -> Timestamp {
    let day = zone.to_datetime(from).date();
    let moment = to_timestamp(zone, day.to_datetime(time));
    match day.tomorrow() {
        Ok(tomorrow) if moment <= from => to_timestamp(zone, tomorrow.to_datetime(time)),
        _ => moment,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const NOW: &str = "2026-11-20T16:02:00Z";

    fn resolved(since: &str, until: &str) -> Result<String, String> {
        let typed = |text: &str| (!text.is_empty()).then(|| parse(text).unwrap());
        let (since, until) = (typed(since), typed(until));
        let meant =
            resolve_range(since.as_ref(), until.as_ref(), &TimeZone::UTC, NOW.parse().unwrap());
        let shown = |it: Option<Timestamp>| it.map_or("-".to_owned(), |it| it.to_string());
        let meant = meant.map(|range| format!("{} {}", shown(range.since), shown(range.until)));
        meant.map_err(|empty| empty.to_string())
    }

    #[test]
    fn a_time_of_day_is_meant_as_a_reader_takes_it() {
        for (since, until, range) in [
            ("", "23:00", "- 2026-11-20T23:00:00Z"),
            ("", "15:00", "- 2026-11-20T15:00:00Z"),
            ("23:00", "", "2026-11-19T23:00:00Z -"),
            ("22:00", "23:00", "2026-11-19T22:00:00Z 2026-11-19T23:00:00Z"),
            ("22:00", "02:00", "2026-11-19T22:00:00Z 2026-11-20T02:00:00Z"),
            ("06:00", "23:00", "2026-11-20T06:00:00Z 2026-11-20T23:00:00Z"),
            ("yesterday", "06:00", "2026-11-19T00:00:00Z 2026-11-20T06:00:00Z"),
            ("yesterday", "today", "2026-11-19T00:00:00Z 2026-11-20T00:00:00Z"),
            ("3d", "1h", "2026-11-17T16:02:00Z 2026-11-20T15:02:00Z"),
        ] {
            assert_eq!(resolved(since, until).as_deref(), Ok(range), "{since} to {until}");
        }
    }

    #[test]
    fn an_end_to_come_counts_from_now() {
        let now: Timestamp = "2026-11-20T14:30:00Z".parse().unwrap();
        let zone = TimeZone::UTC;
        for (text, expected) in [
            ("2h", "2026-11-20T16:30:00Z"),
            ("+2h", "2026-11-20T16:30:00Z"),
            ("18:00", "2026-11-20T18:00:00Z"),
            ("6:00", "2026-11-21T06:00:00Z"),
            ("tomorrow", "2026-11-21T00:00:00Z"),
            ("2026-12-04", "2026-12-04T00:00:00Z"),
            ("2 hours ago", "2026-11-20T12:30:00Z"),
        ] {
            let when = super::super::parse(text).unwrap();
            assert_eq!(when.resolve_future(&zone, now).to_string(), expected, "{text}");
        }
    }

    #[test]
    fn far_ends_are_no_ends() {
        for (since, until) in [
            ("", "9999-12-31"),
            ("", "9999-12-31T23:59:59Z"),
            ("0001-01-01", ""),
            ("99999999d", ""),
            ("1970-01-01", "9999-01-01"),
            ("@0", ""),
        ] {
            assert_eq!(resolved(since, until).as_deref(), Ok("- -"), "{since} to {until}");
        }
    }

    #[test]
    fn an_empty_range_is_an_error() {
        for (since, until, words) in [
            ("1h", "2h", "--since 2026-11-20 15:02:00Z is not before --until 2026-11-20 14:02:00Z"),
            (
                "today",
                "yesterday",
                "is not before --until 2026-11-19 00:00:00Z: no record can match",
            ),
            ("2h", "2h", "is not before"),
            ("14:00", "13:00", "is not before"),
            ("06:00", "03:00", "is not before"),
            ("tomorrow", "", "is in the future (it is 2026-11-20 16:02:00Z): no record can match"),
            ("2030-01-01", "9999-12-31", "is in the future"),
            ("9999-12-31", "", "is in the future"),
            ("+1h", "", "is in the future"),
            ("", "1969-12-31", "is before 1970"),
            ("", "99999999d", "is before 1970"),
        ] {
            let message = resolved(since, until).unwrap_err();
            assert!(message.contains(words), "{since} to {until}: {message}");
        }
    }
}
