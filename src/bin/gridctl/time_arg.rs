//! Parses points in time as administrators type them.
//!
//! Guarantees that a text is either in one of the documented forms or rejected with a list of them.
//! Does not know what the time is used for, except for ranges ([`mod@range`]).

mod format;
mod range;

use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::friendly::SpanParser;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Span, Timestamp};

use crate::duration;

pub(crate) use crate::time_arg::format::{
    format_local, format_with_zone, from_proto, localize_text, rfc3339, to_proto, zone_name,
};
pub(crate) use range::{EmptyTimeRange, resolve_range};

/// A point in time as typed, before it is resolved against the clock.
#[derive(Clone, Debug)]
pub(crate) struct TimeArg {
    spec: TimeSpec,
    /// The time zone, if it was typed.
    zone: Option<TimeZone>,
}

#[derive(Clone, Copy, Debug)]
enum TimeSpec {
    /// This long before now.
    Ago(SignedDuration),
    /// This long from now, by the calendar; before now if negative.
    FromNow(Span),
    /// An absolute time.
    At(Timestamp),
    /// A local date and time.
    Local(DateTime),
    /// A local time, this many days from today.
    DayTime(i64, Time),
    /// A local time; its day depends on the use.
    LocalTime(Time),
}

/// The text is not a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a time; write an age (90s, 2h, 1w, '2 hours ago'), a local time (14:02, '2026-11-20 14:02', \
     2026-11-20, yesterday, today, now), RFC 3339 (2026-11-20T14:02:10Z) or Unix time (@1795183330)"
)]
pub(crate) struct InvalidTime;

/// Parses a point in time.
pub(crate) fn parse(text: &str) -> Result<TimeArg, InvalidTime> {
    let text = text.trim();
    let at = |what| Ok(TimeArg { spec: what, zone: None });
    if let Some(seconds) = text.strip_prefix('@') {
        return at(TimeSpec::At(parse_unix_time(seconds).ok_or(InvalidTime)?));
    }
    if let Ok(age) = duration::parse(text) {
        return at(TimeSpec::Ago(SignedDuration::try_from(age).map_err(|_| InvalidTime)?));
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return at(TimeSpec::At(moment));
    }
    let (local, zone) = split_zone(text);
    if let Some(what) = parse_local(local) {
        return Ok(TimeArg { spec: what, zone });
    }
    at(TimeSpec::FromNow(parse_relative(text).ok_or(InvalidTime)?))
}

/// Parses `1795183330`, with or without a fraction of a second.
fn parse_unix_time(text: &str) -> Option<Timestamp> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || !format!("{whole}{part}").bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nanos: i32 = format!("{part:0<9}").get(..9)?.parse().ok()?;
    Timestamp::new(seconds, nanos).ok()
}

/// Splits off a trailing zone: `Z`, `UTC`, `+01:00`, `Europe/Berlin`.
fn split_zone(text: &str) -> (&str, Option<TimeZone>) {
    if let Some((local, name)) = text.rsplit_once(' ') {
        let zone = match name {
            "UTC" | "GMT" | "utc" | "Z" => Some(TimeZone::UTC),
            name if name.contains('/') => TimeZone::get(name).ok(),
            name if is_local_zone(name) => Some(TimeZone::system()),
            _ => None,
        };
        if zone.is_some() {
            return (local.trim_end(), zone);
        }
    }
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        return (local, Some(TimeZone::UTC));
    }
    // The `-` of a date is no sign: the sign of a zone follows a time or a space.
    let sign = text.rfind(['+', '-']).filter(|at| text[..*at].contains([':', ' ']));
    let zone = sign.and_then(|at| Some((text[..at].trim_end(), parse_offset(&text[at..])?)));
    zone.map_or((text, None), |(local, zone)| (local, Some(zone)))
}

/// Whether this is the abbreviation of this machine's zone, in summer or in winter, which gridctl
/// prints.
fn is_local_zone(name: &str) -> bool {
    let here = TimeZone::system();
    let half_a_year = SignedDuration::from_hours(24 * 182);
    [now(), now().saturating_add(half_a_year).unwrap_or_else(|_| now())]
        .into_iter()
        .any(|moment| zone_name(&here, moment) == name)
}

/// Parses `+01:00`, `+0100` or `+01`.
fn parse_offset(text: &str) -> Option<TimeZone> {
    let digits = text[1..].replace(':', "");
    if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let hours: i32 = digits[..2].parse().ok()?;
    let minutes: i32 = digits.get(2..4).map_or(Some(0), |it| it.parse().ok())?;
    let seconds = (hours * 60 + minutes) * 60;
    let seconds = if text.starts_with('-') { -seconds } else { seconds };
    Offset::from_seconds(seconds).ok().map(TimeZone::fixed)
}

/// Parses a date, a time, or both.
fn parse_local(text: &str) -> Option<TimeSpec> {
    let (day, time) = match text.split_once(|c: char| c == 'T' || c.is_whitespace()) {
        Some((day, time)) => (day, Some(parse_time_of_day(time.trim_start())?)),
        None => (text, None),
    };
    let days = match day.to_ascii_lowercase().as_str() {
        "now" if time.is_none() => return Some(TimeSpec::Ago(SignedDuration::ZERO)),
        "today" => Some(0),
        "yesterday" => Some(-1),
        "tomorrow" => Some(1),
        _ => None,
    };
    if let Some(days) = days {
        return Some(TimeSpec::DayTime(days, time.unwrap_or(Time::midnight())));
    }
    if time.is_none() && day.contains(':') {
        return parse_time_of_day(day).map(TimeSpec::LocalTime);
    }
    // jiff also accepts ISO 8601's basic format (`20261120`), which is too easily a mistyped age.
    let date: Date = Some(day).filter(|day| day.matches('-').count() == 2)?.parse().ok()?;
    Some(TimeSpec::Local(date.to_datetime(time.unwrap_or(Time::midnight()))))
}

/// Parses `14:02`, `3:12` or `14:02:10.5`.
fn parse_time_of_day(text: &str) -> Option<Time> {
    let hour = text.split(':').next().filter(|hour| text.len() > hour.len())?;
    let padded = if hour.len() == 1 { format!("0{text}") } else { text.to_owned() };
    padded.parse().ok()
}

/// Parses `2 hours ago`, `-2h`, `1 week` as an age, and `+2h`, `in 2 hours` as a future time.
fn parse_relative(text: &str) -> Option<Span> {
    let span = |text: &str| SpanParser::new().parse_span(text).ok();
    if let Some(later) = text.strip_prefix('+').or_else(|| text.strip_prefix("in ")) {
        return span(later).filter(|it| !it.is_negative());
    }
    let age = span(text)?;
    Some(if age.is_negative() { age } else { -age })
}

impl TimeArg {
    /// Resolves to a timestamp, at `now` in `zone`. Times beyond the calendar become its ends; a
    /// time of day is the latest one.
    pub(crate) fn resolve(&self, zone: &TimeZone, now: Timestamp) -> Timestamp {
        let zone = self.zone.as_ref().unwrap_or(zone);
        match self.spec {
            TimeSpec::Ago(age) => now.checked_sub(age).unwrap_or(Timestamp::MIN),
            TimeSpec::FromNow(span) => {
                let end = if span.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
                let then = now.to_zoned(zone.clone()).checked_add(span);
                then.map_or(end, |then| then.timestamp())
            }
            TimeSpec::At(moment) => moment,
            TimeSpec::Local(at) => to_timestamp(zone, at),
            TimeSpec::DayTime(days, time) => {
                let today = zone.to_datetime(now).date();
                let day = today.checked_add(Span::new().days(days)).unwrap_or(today);
                to_timestamp(zone, day.to_datetime(time))
            }
            TimeSpec::LocalTime(time) => latest_occurrence(zone, time, now),
        }
    }
}

/// The timestamp of a local time in a zone.
fn to_timestamp(zone: &TimeZone, at: DateTime) -> Timestamp {
    let end = if at.year() < 1970 { Timestamp::MIN } else { Timestamp::MAX };
    zone.to_timestamp(at).unwrap_or(end)
}

/// The latest time before `now` at which it was this time of day.
fn latest_occurrence(zone: &TimeZone, time: Time, now: Timestamp) -> Timestamp {
    let today = zone.to_datetime(now).date();
    let moment = to_timestamp(zone, today.to_datetime(time));
    match today.yesterday() {
        Ok(yesterday) if moment > now => to_timestamp(zone, yesterday.to_datetime(time)),
        _ => moment,
    }
}

/// The current time of this machine, to which ages and times of day refer.
pub(crate) fn now() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "an age such as 2h is counted from the moment the command is typed"
    )]
    let now = std::time::SystemTime::now();
    Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use jiff::tz;

    use super::*;

    const NOW: &str = "2026-11-20T14:30:00Z";

    fn resolved(text: &str) -> Result<String, InvalidTime> {
        let zone = TimeZone::fixed(tz::offset(1));
        parse(text).map(|when| when.resolve(&zone, NOW.parse().unwrap()).to_string())
    }

    #[test]
    fn each_documented_form_is_understood() {
        for (text, moment) in [
            ("2h", "2026-11-20T12:30:00Z"),
            ("90s", "2026-11-20T14:28:30Z"),
            ("1h30m", "2026-11-20T13:00:00Z"),
            ("3d", "2026-11-17T14:30:00Z"),
            ("14:02", "2026-11-20T13:02:00Z"),
            ("14:02:10", "2026-11-20T13:02:10Z"),
            ("2026-11-20 14:02", "2026-11-20T13:02:00Z"),
            ("2026-11-20T14:02", "2026-11-20T13:02:00Z"),
            ("2026-11-20", "2026-11-19T23:00:00Z"),
            ("2026-11-20T14:02:10Z", "2026-11-20T14:02:10Z"),
            ("2026-11-20T14:02:10.5-05:00", "2026-11-20T19:02:10.5Z"),
            ("2026-11-20 14:02:10Z", "2026-11-20T14:02:10Z"),
            ("2026-11-20 14:02Z", "2026-11-20T14:02:00Z"),
            ("2026-11-20 14:02 UTC", "2026-11-20T14:02:00Z"),
            ("2026-11-20 14:02 +02:00", "2026-11-20T12:02:00Z"),
            ("2026-11-20 14:02+0200", "2026-11-20T12:02:00Z"),
            ("2026-11-20T14:02 America/New_York", "2026-11-20T19:02:00Z"),
            ("2026-11-20Z", "2026-11-20T00:00:00Z"),
            ("2026-11-20 UTC", "2026-11-20T00:00:00Z"),
            ("14:02Z", "2026-11-20T14:02:00Z"),
            ("3:12", "2026-11-20T02:12:00Z"),
            ("2026-11-20 3:12", "2026-11-20T02:12:00Z"),
            ("now", "2026-11-20T14:30:00Z"),
            ("today", "2026-11-19T23:00:00Z"),
            ("Yesterday", "2026-11-18T23:00:00Z"),
            ("yesterday 06:30", "2026-11-19T05:30:00Z"),
            ("today 3:12", "2026-11-20T02:12:00Z"),
            ("tomorrow", "2026-11-20T23:00:00Z"),
            ("2 hours ago", "2026-11-20T12:30:00Z"),
            ("2h ago", "2026-11-20T12:30:00Z"),
            ("10 minutes", "2026-11-20T14:20:00Z"),
            ("10 min ago", "2026-11-20T14:20:00Z"),
            ("1.5h", "2026-11-20T13:00:00Z"),
            ("1w", "2026-11-13T14:30:00Z"),
            ("1 week ago", "2026-11-13T14:30:00Z"),
            ("1 month ago", "2026-10-20T14:30:00Z"),
            ("-2h", "2026-11-20T12:30:00Z"),
            ("+2h", "2026-11-20T16:30:00Z"),
            ("in 2 hours", "2026-11-20T16:30:00Z"),
            ("@1795183330", "2026-11-20T14:02:10Z"),
            ("@1795183330.5", "2026-11-20T14:02:10.5Z"),
        ] {
            assert_eq!(resolved(text).as_deref(), Ok(moment), "{text}");
        }
    }

    #[test]
    fn a_time_of_day_still_to_come_is_yesterdays() {
        assert_eq!(resolved("23:00").as_deref(), Ok("2026-11-19T22:00:00Z"));
    }

    #[test]
    fn times_beyond_the_calendar_are_its_ends() {
        assert_eq!(resolved("99999999d"), Ok(Timestamp::MIN.to_string()));
        assert_eq!(resolved("9999-12-31"), Ok(Timestamp::MAX.to_string()));
    }

    #[test]
    fn invalid_times_are_answered_with_the_valid_forms() {
        for text in [
            "",
            "90",
            "1402",
            "20261120",
            "soon",
            "25:00",
            "2026-13-01",
            "ago",
            "@",
            "@x",
            "--until",
            "yesterday noon",
            "2026-11-20 14",
            "14:02+99:99",
            "+",
            "in",
            "now 14:00",
            ":",
            "3:",
        ] {
            assert_eq!(resolved(text), Err(InvalidTime), "{text}");
        }
        assert!(InvalidTime.to_string().contains("2026-11-20T14:02:10Z"));
    }
}
