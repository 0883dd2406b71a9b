//! Points in time as an administrator types and reads them.
//!
//! Guarantees that what is typed is either understood in one of the documented forms or answered
//! with all of them. Does not know what the time is for, but for [`mod@range`]: from when to when.

mod range;
mod shown;

use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::friendly::SpanParser;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Span, Timestamp};

use crate::duration;

pub(crate) use range::{EmptyRange, range};
pub(crate) use shown::{
    format_local, format_sentence, from_proto, rfc3339, to_proto, with_zone, zone_name,
};

/// A point in time as typed, before it is known what time it is.
#[derive(Clone, Debug)]
pub(crate) struct TimeArg {
    what: TimeForm,
    /// On whose wall, if that was typed.
    zone: Option<TimeZone>,
}

#[derive(Clone, Copy, Debug)]
enum TimeForm {
    /// So long before now.
    Ago(SignedDuration),
    /// So long from now, by the calendar; before now if it is negative.
    FromNow(Span),
    /// This very moment.
    At(Timestamp),
    /// A date and a time on the wall.
    Local(DateTime),
    /// A time on the wall, so many days from today.
    OfDay(i64, Time),
    /// A time on the wall; which day's depends on what it is for.
    LocalTime(Time),
}

/// Not a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a time; write an age (90s, 2h, 1w, '2 hours ago'), a local time (14:02, '2026-11-20 14:02', \
     2026-11-20, yesterday, today, now), RFC 3339 (2026-11-20T14:02:10Z) or seconds since 1970 \
     (@1795183330)"
)]
pub(crate) struct NotATime;

/// Reads a point in time.
pub(crate) fn parse(text: &str) -> Result<TimeArg, NotATime> {
    let text = text.trim();
    let at = |what| Ok(TimeArg { what, zone: None });
    if let Some(seconds) = text.strip_prefix('@') {
        return at(TimeForm::At(since_1970(seconds).ok_or(NotATime)?));
    }
    if let Ok(age) = duration::parse(text) {
        return at(TimeForm::Ago(SignedDuration::try_from(age).map_err(|_| NotATime)?));
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return at(TimeForm::At(moment));
    }
    let (local, zone) = without_zone(text);
    if let Some(what) = local_time(local) {
        return Ok(TimeArg { what, zone });
    }
    at(TimeForm::FromNow(from_now(text).ok_or(NotATime)?))
}

/// `1795183330`, with or without a part of a second.
fn since_1970(text: &str) -> Option<Timestamp> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || !format!("{whole}{part}").bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nanos: i32 = format!("{part:0<9}").get(..9)?.parse().ok()?;
    Timestamp::new(seconds, nanos).ok()
}

/// What is typed without the zone behind it: `Z`, `UTC`, `+01:00`, `Europe/Berlin`.
fn without_zone(text: &str) -> (&str, Option<TimeZone>) {
    if let Some((local, name)) = text.rsplit_once(' ') {
        let zone = match name {
            "UTC" | "GMT" | "utc" | "Z" => Some(TimeZone::UTC),
            name if name.contains('/') => TimeZone::get(name).ok(),
            name if is_here(name) => Some(TimeZone::system()),
            _ => None,
        };
        if zone.is_some() {
            return (local.trim_end(), zone);
        }
    }
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        return (local, Some(TimeZone::UTC));
    }
    // The `-` of a date is no sign: one of a zone stands behind a time or a gap.
    let sign = text.rfind(['+', '-']).filter(|at| text[..*at].contains([':', ' ']));
    let zone = sign.and_then(|at| Some((text[..at].trim_end(), offset(&text[at..])?)));
    zone.map_or((text, None), |(local, zone)| (local, Some(zone)))
}

/// Whether this machine's zone is called so, in summer or in winter: as gridctl shows times.
fn is_here(name: &str) -> bool {
    let here = TimeZone::system();
    let half_a_year = SignedDuration::from_hours(24 * 182);
    [now(), now().saturating_add(half_a_year).unwrap_or_else(|_| now())]
        .into_iter()
        .any(|moment| zone_name(&here, moment) == name)
}

/// `+01:00`, `+0100` or `+01`.
fn offset(text: &str) -> Option<TimeZone> {
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

/// A date, a time, or both.
fn local_time(text: &str) -> Option<TimeForm> {
    let (day, time) = match text.split_once(|c: char| c == 'T' || c.is_whitespace()) {
        Some((day, time)) => (day, Some(of_day(time.trim_start())?)),
        None => (text, None),
    };
    let days = match day.to_ascii_lowercase().as_str() {
        "now" if time.is_none() => return Some(TimeForm::Ago(SignedDuration::ZERO)),
        "today" => Some(0),
        "yesterday" => Some(-1),
        "tomorrow" => Some(1),
        _ => None,
    };
    if let Some(days) = days {
        return Some(TimeForm::OfDay(days, time.unwrap_or(Time::midnight())));
    }
    if time.is_none() && day.contains(':') {
        return of_day(day).map(TimeForm::LocalTime);
    }
    // jiff also reads ISO 8601's basic forms (`20261120`): too easily a mistyped age.
    let date: Date = Some(day).filter(|day| day.matches('-').count() == 2)?.parse().ok()?;
    Some(TimeForm::Local(date.to_datetime(time.unwrap_or(Time::midnight()))))
}

/// `14:02`, `3:12` or `14:02:10.5`.
fn of_day(text: &str) -> Option<Time> {
    let hour = text.split(':').next().filter(|hour| text.len() > hour.len())?;
    let padded = if hour.len() == 1 { format!("0{text}") } else { text.to_owned() };
    padded.parse().ok()
}

/// `2 hours ago`, `-2h`, `1 week`: an age. `+2h`, `in 2 hours`: still to come.
fn from_now(text: &str) -> Option<Span> {
    let span = |text: &str| SpanParser::new().parse_span(text).ok();
    if let Some(later) = text.strip_prefix('+').or_else(|| text.strip_prefix("in ")) {
        return span(later).filter(|it| !it.is_negative());
    }
    let age = span(text)?;
    Some(if age.is_negative() { age } else { -age })
}

impl TimeArg {
    /// The moment meant, at `now` in `zone`. Beyond the calendar's ends are its ends; a time of day
    /// is the last one.
    pub(crate) fn resolve(&self, zone: &TimeZone, now: Timestamp) -> Timestamp {
        let zone = self.zone.as_ref().unwrap_or(zone);
        match self.what {
            TimeForm::Ago(age) => now.checked_sub(age).unwrap_or(Timestamp::MIN),
            TimeForm::FromNow(span) => {
                let end = if span.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
                let there = now.to_zoned(zone.clone()).checked_add(span);
                there.map_or(end, |there| there.timestamp())
            }
            TimeForm::At(moment) => moment,
            TimeForm::Local(at) => on(zone, at),
            TimeForm::OfDay(days, time) => {
                let today = zone.to_datetime(now).date();
                let day = today.checked_add(Span::new().days(days)).unwrap_or(today);
                on(zone, day.to_datetime(time))
            }
            TimeForm::LocalTime(time) => last(zone, time, now),
        }
    }
}

/// A moment on the wall of a zone.
fn on(zone: &TimeZone, at: DateTime) -> Timestamp {
    let end = if at.year() < 1970 { Timestamp::MIN } else { Timestamp::MAX };
    zone.to_timestamp(at).unwrap_or(end)
}

/// The last time it was so late, at `now`.
fn last(zone: &TimeZone, time: Time, now: Timestamp) -> Timestamp {
    let today = zone.to_datetime(now).date();
    let moment = on(zone, today.to_datetime(time));
    match today.yesterday() {
        Ok(yesterday) if moment > now => on(zone, yesterday.to_datetime(time)),
        _ => moment,
    }
}

/// What time it is on this machine: ages and times of day are meant by its clock.
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

    fn meant(text: &str) -> Result<String, NotATime> {
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
            assert_eq!(meant(text).as_deref(), Ok(moment), "{text}");
        }
    }

    #[test]
    fn a_time_of_day_still_to_come_is_yesterdays() {
        assert_eq!(meant("23:00").as_deref(), Ok("2026-11-19T22:00:00Z"));
    }

    #[test]
    fn what_lies_beyond_the_calendar_is_its_end() {
        assert_eq!(meant("99999999d"), Ok(Timestamp::MIN.to_string()));
        assert_eq!(meant("9999-12-31"), Ok(Timestamp::MAX.to_string()));
    }

    #[test]
    fn what_is_no_time_is_told_what_is() {
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
            assert_eq!(meant(text), Err(NotATime), "{text}");
        }
        assert!(NotATime.to_string().contains("2026-11-20T14:02:10Z"));
    }
}
