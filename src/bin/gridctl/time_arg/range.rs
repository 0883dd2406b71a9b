//! From when to when: two points in time as they are meant together.
//!
//! Guarantees that a range in which no record can lie is not asked for: it is an error that says
//! why. A time of day is the last one to begin with, and today's to end with; behind a time of day
//! to begin with it is the next one. The calendar's ends are no ends.

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::{TimeArg, TimeForm, format_local, on};

/// From when to when records are wanted; nothing: no end there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Range {
    /// Received at this time or later.
    pub(crate) since: Option<Timestamp>,
    /// Received before this time.
    pub(crate) until: Option<Timestamp>,
}

/// No record can lie in such a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EmptyRange {
    /// It begins later than now.
    #[error("--since {since} lies in the future (it is {now}): no record can match")]
    Future {
        /// When it begins.
        since: String,
        /// What time it is.
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
    /// It ends before there was a broker.
    #[error("--until {until} lies before 1970: no record can match")]
    TooEarly {
        /// When it ends.
        until: String,
    },
}

/// What is meant at `now` in `zone`.
pub(crate) fn range(
    since: Option<&TimeArg>,
    until: Option<&TimeArg>,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<Range, EmptyRange> {
    let from = since.map(|since| since.resolve(zone, now));
    let to = until.map(|until| end(until, since, from, zone, now));
    let shown = |moment| format_local(moment, zone);
    if let Some(from) = from.filter(|from| *from > now) {
        return Err(EmptyRange::Future { since: shown(from), now: shown(now) });
    }
    if let Some(to) = to.filter(|to| *to <= Timestamp::UNIX_EPOCH) {
        return Err(EmptyRange::TooEarly { until: shown(to) });
    }
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Err(EmptyRange::Reversed { since: shown(from), until: shown(to) });
    }
    // The contract's calendar is a little shorter than ours, and no record lies beyond now.
    Ok(Range {
        since: from.filter(|from| *from > Timestamp::UNIX_EPOCH),
        until: to.filter(|to| zone.to_datetime(*to).year() < 9999),
    })
}

fn end(
    until: &TimeArg,
    since: Option<&TimeArg>,
    from: Option<Timestamp>,
    zone: &TimeZone,
    now: Timestamp,
) -> Timestamp {
    let TimeForm::LocalTime(time) = until.what else { return until.resolve(zone, now) };
    let zone = until.zone.as_ref().unwrap_or(zone);
    match (since.map(|since| since.what), from) {
        // Behind a time of yesterday it is the next one. Never tomorrow's: that is a slip.
        (Some(TimeForm::LocalTime(_)), Some(from)) => {
            next(zone, time, from).min(of_today(zone, time, now))
        }
        _ => of_today(zone, time, now),
    }
}

/// When it is so late today.
fn of_today(zone: &TimeZone, time: Time, now: Timestamp) -> Timestamp {
    on(zone, zone.to_datetime(now).date().to_datetime(time))
}

/// The first time that it is so late behind `from`.
fn next(zone: &TimeZone, time: Time, from: Timestamp) -> Timestamp {
    let day = zone.to_datetime(from).date();
    let moment = on(zone, day.to_datetime(time));
    match day.tomorrow() {
        Ok(tomorrow) if moment <= from => on(zone, tomorrow.to_datetime(time)),
        _ => moment,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const NOW: &str = "2026-11-20T16:02:00Z";

    fn meant(since: &str, until: &str) -> Result<String, String> {
        let typed = |text: &str| (!text.is_empty()).then(|| parse(text).unwrap());
        let (since, until) = (typed(since), typed(until));
        let meant = range(since.as_ref(), until.as_ref(), &TimeZone::UTC, NOW.parse().unwrap());
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
            assert_eq!(meant(since, until).as_deref(), Ok(range), "{since} to {until}");
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
            assert_eq!(meant(since, until).as_deref(), Ok("- -"), "{since} to {until}");
        }
    }

    #[test]
    fn a_range_without_records_is_told_to_be_one() {
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
            (
                "tomorrow",
                "",
                "lies in the future (it is 2026-11-20 16:02:00Z): no record can match",
            ),
            ("2030-01-01", "9999-12-31", "lies in the future"),
            ("9999-12-31", "", "lies in the future"),
            ("+1h", "", "lies in the future"),
            ("", "1969-12-31", "lies before 1970"),
            ("", "99999999d", "lies before 1970"),
        ] {
            let said = meant(since, until).unwrap_err();
            assert!(said.contains(words), "{since} to {until}: {said}");
        }
    }
}
