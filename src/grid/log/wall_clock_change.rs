//! Defines the result of a comparison of broker time with the wall clock.
//!
//! Reads no clock; what follows is decided in `decide/wall_clock.rs`.

use std::time::Duration;

use crate::grid::log::time_shift::TimeShift;
use crate::grid::values::time::Offset;

/// The result of a comparison of broker time with the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WallClockChange {
    /// The wall clock differs from broker time, which continues by itself.
    Differs {
        /// How far it is ahead.
        by: Offset,
    },
    /// It agrees with broker time again, and nothing was shifted.
    Agrees,
    /// Broker time follows it.
    Followed {
        /// The shift of broker time.
        shift: TimeShift,
        /// Whether the wall clock is right as far as is known; otherwise it only stayed so.
        is_confirmed: bool,
    },
    /// The wall clock that broker time follows stayed so for long, and is trusted.
    Trusted,
    /// The machine was suspended, and broker time continued.
    Slept {
        /// For how long.
        lasted: Duration,
    },
}
