//! Defines quiet hours: periods of the week in which notifications wait for the end.
//!
//! Guarantees an end for every moment within them, in a time zone that was resolved when the
//! settings were read: nothing here opens the zone database or reads a clock. Fatal alerts pass
//! always. Does not know what waits, nor for whom.

mod parse;

use std::fmt;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::grid::values::event::Severity;
use crate::grid::values::time::Timestamp;

pub use self::parse::QuietPeriodError;

/// The most periods of one set of quiet hours.
pub const QUIET_PERIODS_MAX: usize = 8;

/// Minutes of a day.
const DAY_MINUTES: u16 = 24 * 60;

/// Minutes of a week.
const WEEK_MINUTES: usize = 7 * 24 * 60;

/// How many periods may follow each other without a pause: all of a week and a day.
const CHAINED_MAX: usize = 64;

/// A period of the days on which it begins: `mon-fri 22:00-07:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuietPeriod {
    /// The days on which it begins, Monday first.
    days: [bool; 7],
    /// When it begins, in minutes of the day.
    from: u16,
    /// When it ends, in minutes of the day, at most 24 h; not after `from`: on the next day.
    to: u16,
}

/// Quiet hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuietHours {
    periods: Box<[QuietPeriod]>,
    zone: TimeZone,
    severity_from: Severity,
}

/// Why periods are not quiet hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuietHoursError {
    /// There is none.
    #[error("there is no period")]
    Empty,
    /// There are too many.
    #[error("there are more than {QUIET_PERIODS_MAX} periods")]
    TooMany,
    /// They cover the whole week.
    #[error("together the periods cover the whole week, so that nothing would ever be sent")]
    Endless,
}

impl QuietHours {
    /// Quiet hours of these periods in `zone`. What is at least as severe as `severity_from` passes,
    /// and so does what is fatal.
    ///
    /// # Errors
    ///
    /// [`QuietHoursError`] if there are no periods, too many, or no pause between them.
    pub fn new(
        periods: &[QuietPeriod],
        zone: TimeZone,
        severity_from: Severity,
    ) -> Result<Self, QuietHoursError> {
        if periods.is_empty() {
            return Err(QuietHoursError::Empty);
        }
        if periods.len() > QUIET_PERIODS_MAX {
            return Err(QuietHoursError::TooMany);
        }
        if is_whole_week(periods) {
            return Err(QuietHoursError::Endless);
        }
        Ok(Self { periods: periods.into(), zone, severity_from })
    }

    /// Until when a notification of that severity waits at `now`; `None`: it does not wait. The end is
    /// that of the last of all periods which follow each other without a pause.
    pub fn hold_until(&self, severity: Severity, now: Timestamp) -> Option<Timestamp> {
        if severity == Severity::Fatal || severity >= self.severity_from {
            return None;
        }
        let mut end = self.end_of_period(now)?;
        for _ in 0..CHAINED_MAX {
            match self.end_of_period(end) {
                Some(later) => end = later,
                None => break,
            }
        }
        Some(end)
    }

    /// The periods.
    pub fn periods(&self) -> &[QuietPeriod] {
        &self.periods
    }

    /// The time zone of the periods.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// From which severity on alerts pass.
    pub fn severity_from(&self) -> Severity {
        self.severity_from
    }

    /// The latest end of the periods that contain `now`.
    fn end_of_period(&self, now: Timestamp) -> Option<Timestamp> {
        let local = jiff::Timestamp::from_microsecond(now.as_micros()).ok()?;
        let today = self.zone.to_datetime(local).date();
        // One that began yesterday may end today. Where clocks are put back at midnight, today may
        // come a second time.
        let days = [today.yesterday(), Ok(today), today.tomorrow()];
        let days = days.into_iter().filter_map(Result::ok);
        let ends = days.flat_map(|day| {
            self.periods.iter().filter_map(move |period| {
                let (begin, end) = period.on(day, &self.zone)?;
                (begin <= now && now < end).then_some(end)
            })
        });
        ends.max()
    }
}

impl QuietPeriod {
    /// Its begin and end if it begins on `day`.
    fn on(&self, day: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        if !self.days[day_index(day.weekday())] {
            return None;
        }
        let last = if self.ends_next_day() { day.tomorrow().ok()? } else { day };
        Some((moment(day, self.from, zone)?, moment(last, self.to % DAY_MINUTES, zone)?))
    }

    fn ends_next_day(&self) -> bool {
        self.to <= self.from || self.to == DAY_MINUTES
    }

    /// How many minutes it takes where no clock is changed.
    fn minutes(&self) -> u16 {
        if self.to <= self.from { DAY_MINUTES - self.from + self.to } else { self.to - self.from }
    }
}

/// When a clock shows that time. A time that comes twice is its first one; a time that is left out is
/// the moment of the change.
fn moment(day: Date, minutes: u16, zone: &TimeZone) -> Option<Timestamp> {
    let hour = i8::try_from(minutes / 60).ok()?;
    let minute = i8::try_from(minutes % 60).ok()?;
    let local: DateTime = day.at(hour, minute, 0, 0);
    let ambiguous = zone.to_ambiguous_timestamp(local);
    let at = match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
            ambiguous.compatible().ok()?
        }
        AmbiguousOffset::Gap { after, .. } => {
            let before_change = after.to_timestamp(local).ok()?;
            zone.following(before_change).next()?.timestamp()
        }
    };
    Some(Timestamp::from_micros(at.as_microsecond()))
}

fn day_index(day: Weekday) -> usize {
    usize::try_from(day.to_monday_zero_offset()).unwrap_or_default()
}

fn is_whole_week(periods: &[QuietPeriod]) -> bool {
    let mut minutes = vec![false; WEEK_MINUTES];
    for period in periods {
        for (day, _) in period.days.iter().enumerate().filter(|(_, is_on)| **is_on) {
            let begin = day * usize::from(DAY_MINUTES) + usize::from(period.from);
            for minute in begin..begin + usize::from(period.minutes()) {
                minutes[minute % WEEK_MINUTES] = true;
            }
        }
    }
    minutes.into_iter().all(|is_quiet| is_quiet)
}

/// The periods, with the zone's name: `mon-fri 22:00-07:00, sat,sun 00:00-24:00 Europe/Berlin`.
impl fmt::Display for QuietHours {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let periods: Vec<_> = self.periods.iter().map(ToString::to_string).collect();
        let zone = self.zone.iana_name().unwrap_or("local time");
        write!(out, "{} {zone}", periods.join(", "))
    }
}

#[cfg(test)]
mod tests;
