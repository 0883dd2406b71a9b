//! Encodes and decodes the wall clock: shifts of broker time, and how a run ended.
//!
//! Guarantees that an unknown value is an error, or means "unknown". Does not know clocks.

use std::time::Duration;

use super::values::micros;
use super::{DecodeError, proto};
use crate::grid::log::input::LastRun;
use crate::grid::log::time_shift::TimeShift;
use crate::grid::log::wall_clock_change::WallClockChange;
use crate::grid::values::time::{Offset, Timestamp};

pub(super) fn encode_shift(shift: TimeShift) -> proto::TimeShifted {
    proto::TimeShifted { by_us: shift.by.as_micros(), from_us: shift.from.as_micros() }
}

pub(super) fn decode_shift(it: proto::TimeShifted) -> TimeShift {
    TimeShift { by: Offset::from_micros(it.by_us), from: Timestamp::from_micros(it.from_us) }
}

pub(super) fn encode_wall_clock(found: &WallClockChange) -> proto::WallClock {
    use proto::wall_clock::Found as P;
    let found = match found {
        WallClockChange::Differs { by } => P::DiffersUs(by.as_micros()),
        WallClockChange::Agrees => P::Agrees(true),
        WallClockChange::Followed { shift: it, is_confirmed } => {
            P::Followed(proto::ClockFollowed {
                shift: Some(encode_shift(*it)),
                is_sure: *is_confirmed,
            })
        }
        WallClockChange::Trusted => P::Trusted(true),
        WallClockChange::Slept { lasted } => P::SleptUs(micros(*lasted)),
    };
    proto::WallClock { found: Some(found) }
}

pub(super) fn decode_wall_clock(it: proto::WallClock) -> Result<WallClockChange, DecodeError> {
    use proto::wall_clock::Found as P;
    Ok(match it.found.ok_or(DecodeError::Newer { what: "a state of the wall clock" })? {
        P::DiffersUs(by) => WallClockChange::Differs { by: Offset::from_micros(by) },
        P::Agrees(_) => WallClockChange::Agrees,
        P::Followed(it) => WallClockChange::Followed {
            shift: decode_shift(it.shift.unwrap_or_default()),
            is_confirmed: it.is_sure,
        },
        P::Trusted(_) => WallClockChange::Trusted,
        P::SleptUs(lasted) => WallClockChange::Slept { lasted: Duration::from_micros(lasted) },
    })
}

pub(super) fn encode_last_run(last: LastRun) -> proto::LastRun {
    match last {
        LastRun::Unknown => proto::LastRun::Unspecified,
        LastRun::Stopped => proto::LastRun::Stopped,
        LastRun::Interrupted => proto::LastRun::Interrupted,
    }
}

/// An unknown value is decoded as unknown: nothing depends on it.
pub(super) fn decode_last_run(last: i32) -> LastRun {
    match proto::LastRun::try_from(last) {
        Ok(proto::LastRun::Stopped) => LastRun::Stopped,
        Ok(proto::LastRun::Interrupted) => LastRun::Interrupted,
        Ok(proto::LastRun::Unspecified) | Err(_) => LastRun::Unknown,
    }
}
