//! Parses and formats periods of quiet hours: `mon-fri 22:00-07:00`, `sat,sun 00:00-24:00`, `22:00-06:00`.
//!
//! Guarantees that what is formatted is parsed to the same period. Knows no time zones.

use std::fmt;
use std::str::FromStr;

use super::{DAY_MINUTES, QuietPeriod};

/// Days of the week, Monday first.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Why a text is not a period.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuietPeriodError {
    /// A day is none.
    #[error("`{0}` is not a day; there are mon, tue, wed, thu, fri, sat, sun")]
    Day(Box<str>),
    /// A time is none.
    #[error("`{0}` is not a time; times are 00:00 to 23:59, and 24:00 as an end")]
    Time(Box<str>),
    /// Begin and end are the same.
    #[error("begin and end are the same; a whole day is 00:00-24:00")]
    NoLength,
    /// It has another form.
    #[error("a period is written as `mon-fri 22:00-07:00`, or `22:00-07:00` for all days")]
    Form,
}

impl FromStr for QuietPeriod {
    type Err = QuietPeriodError;

    fn from_str(text: &str) -> Result<Self, QuietPeriodError> {
        let text = text.trim();
        let (days, times) = match text.rsplit_once(char::is_whitespace) {
            Some((days, times)) => (Some(days), times),
            None => (None, text),
        };
        let (from, to) = times.split_once('-').ok_or(QuietPeriodError::Form)?;
        let from = parse_time(from).filter(|at| *at < DAY_MINUTES).ok_or_else(|| invalid(from))?;
        let to = parse_time(to).ok_or_else(|| invalid(to))?;
        if from == to {
            return Err(QuietPeriodError::NoLength);
        }
        let days = days.map_or(Ok([true; 7]), parse_days)?;
        // The end of a day is the begin of the next one.
        let to = if to == 0 { DAY_MINUTES } else { to };
        Ok(Self { days, from, to })
    }
}

fn invalid(time: &str) -> QuietPeriodError {
    QuietPeriodError::Time(shown(time))
}

/// At most 20 characters, escaped.
fn shown(text: &str) -> Box<str> {
    text.chars().take(20).collect::<String>().escape_debug().to_string().into()
}

/// `22:00` in minutes of the day.
fn parse_time(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let number = |digits: &str| {
        let is_number = digits.len() == 2 && digits.bytes().all(|it| it.is_ascii_digit());
        is_number.then(|| digits.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let at = hours * 60 + minutes;
    (minutes < 60 && at <= DAY_MINUTES).then_some(at)
}

/// `mon-fri,sun`.
fn parse_days(text: &str) -> Result<[bool; 7], QuietPeriodError> {
    let day = |name: &str| {
        let name = name.trim();
        let found = DAYS.iter().position(|it| it.eq_ignore_ascii_case(name));
        found.ok_or_else(|| QuietPeriodError::Day(shown(name)))
    };
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(part)?, day(part)?),
        };
        // `sat-mon` goes over the end of the week.
        let count = 1 + (last + 7 - first) % 7;
        for offset in 0..count {
            days[(first + offset) % 7] = true;
        }
    }
    Ok(days)
}

impl fmt::Display for QuietPeriod {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != [true; 7] {
            write!(out, "{} ", format_days(&self.days))?;
        }
        let [from, to] = [self.from, self.to].map(|at| format!("{:02}:{:02}", at / 60, at % 60));
        write!(out, "{from}-{to}")
    }
}

/// The days, three or more in a row as a range.
fn format_days(days: &[bool; 7]) -> String {
    let mut parts = Vec::new();
    let mut day = 0;
    while day < days.len() {
        let count = days[day..].iter().take_while(|is_on| **is_on).count();
        match count {
            0 => {}
            1 => parts.push(DAYS[day].to_owned()),
            2 => parts.extend([DAYS[day], DAYS[day + 1]].map(str::to_owned)),
            more => parts.push(format!("{}-{}", DAYS[day], DAYS[day + more - 1])),
        }
        day += count.max(1);
    }
    parts.join(",")
}
