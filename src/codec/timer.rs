//! Both halves for timers: the cause of a timeout to and from `grid.journal.v1`.
//!
//! Guarantees that a record without a timer, written by a release before, gets the one that its
//! effects show. This is the only place that guesses it.

use super::DecodeError;
use super::proto;
use crate::grid::log::effect::Effect;
use crate::grid::log::timer::Timer;

pub(super) fn write(timer: Timer) -> proto::Timer {
    match timer {
        Timer::Start => proto::Timer::Start,
        Timer::Contact => proto::Timer::Contact,
        Timer::NameConflict => proto::Timer::NameConflict,
        Timer::Suppression => proto::Timer::Suppression,
        Timer::Repeats => proto::Timer::Repeats,
        Timer::Reminder => proto::Timer::Reminder,
        Timer::Flapping => proto::Timer::Flapping,
        Timer::Certificate => proto::Timer::Certificate,
    }
}

pub(super) fn read(timer: i32, effects: &[Effect]) -> Result<Timer, DecodeError> {
    Ok(match proto::Timer::try_from(timer) {
        Ok(proto::Timer::Unspecified) => Timer::guess(effects),
        Ok(proto::Timer::Start) => Timer::Start,
        Ok(proto::Timer::Contact) => Timer::Contact,
        Ok(proto::Timer::NameConflict) => Timer::NameConflict,
        Ok(proto::Timer::Suppression) => Timer::Suppression,
        Ok(proto::Timer::Repeats) => Timer::Repeats,
        Ok(proto::Timer::Reminder) => Timer::Reminder,
        Ok(proto::Timer::Flapping) => Timer::Flapping,
        Ok(proto::Timer::Certificate) => Timer::Certificate,
        Err(_) => return Err(DecodeError::Newer { what: "a timer" }),
    })
}
