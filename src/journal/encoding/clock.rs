//! Both halves for the wall clock and what follows of it: moves of told time, how a run ended.

use std::time::Duration;

use super::to_proto::micros;
use super::{DecodeError, proto};
use crate::grid::record::LastRun;
use crate::grid::shift::Shift;
use crate::grid::time::{Offset, Timestamp};
use crate::grid::wall_clock::WallClock;

pub(super) fn shift(shift: Shift) -> proto::TimeShifted {
    proto::TimeShifted { by_us: shift.by.as_micros(), from_us: shift.from.as_micros() }
}

pub(super) fn read_shift(it: proto::TimeShifted) -> Shift {
    Shift { by: Offset::from_micros(it.by_us), from: Timestamp::from_micros(it.from_us) }
}

pub(super) fn wall_clock(found: &WallClock) -> proto::WallClock {
    use proto::wall_clock::Found as P;
    let found = match found {
        WallClock::Differs { by } => P::DiffersUs(by.as_micros()),
        WallClock::Agrees => P::Agrees(true),
        WallClock::Followed { shift: it, is_sure } => {
            P::Followed(proto::ClockFollowed { shift: Some(shift(*it)), is_sure: *is_sure })
        }
        WallClock::Trusted => P::Trusted(true),
        WallClock::Slept { lasted } => P::SleptUs(micros(*lasted)),
    };
    proto::WallClock { found: Some(found) }
}

pub(super) fn read_wall_clock(it: proto::WallClock) -> Result<WallClock, DecodeError> {
    use proto::wall_clock::Found as P;
    Ok(match it.found.ok_or(DecodeError::Newer { what: "what was found of the wall clock" })? {
        P::DiffersUs(by) => WallClock::Differs { by: Offset::from_micros(by) },
        P::Agrees(_) => WallClock::Agrees,
        P::Followed(it) => WallClock::Followed {
            shift: read_shift(it.shift.unwrap_or_default()),
            is_sure: it.is_sure,
        },
        P::Trusted(_) => WallClock::Trusted,
        P::SleptUs(lasted) => WallClock::Slept { lasted: Duration::from_micros(lasted) },
    })
}

pub(super) fn last_run(last: LastRun) -> proto::LastRun {
    match last {
        LastRun::Unknown => proto::LastRun::Unspecified,
        LastRun::Stopped => proto::LastRun::Stopped,
        LastRun::CutShort => proto::LastRun::CutShort,
    }
}

/// What is not known is said to be so: nothing follows from it.
pub(super) fn read_last_run(last: i32) -> LastRun {
    match proto::LastRun::try_from(last) {
        Ok(proto::LastRun::Stopped) => LastRun::Stopped,
        Ok(proto::LastRun::CutShort) => LastRun::CutShort,
        Ok(proto::LastRun::Unspecified) | Err(_) => LastRun::Unknown,
    }
}
