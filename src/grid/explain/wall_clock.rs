//! Describes differences of the wall clock from broker time.
//!
//! Guarantees that alert and record use the same sentence. Decides nothing.

use crate::grid::log::wall_clock_change::WallClockChange;
use crate::grid::values::time::{Offset, describe_duration};

impl WallClockChange {
    /// The text of its record; empty if the alert contains it.
    pub(in crate::grid) fn describe(&self) -> String {
        match self {
            Self::Differs { .. } | Self::Followed { is_confirmed: false, .. } => String::new(),
            Self::Followed { shift, is_confirmed: true } => followed_text(shift.by),
            Self::Trusted => "the wall clock stayed as it was set, and is trusted".to_owned(),
            Self::Agrees => "the wall clock agrees with broker time again, which continued by \
                             itself; nothing was shifted"
                .to_owned(),
            Self::Slept { lasted } => {
                format!(
                    "the machine was suspended for {}; deadlines moved by it",
                    describe_duration(*lasted)
                )
            }
        }
    }
}

pub(in crate::grid) fn followed_text(by: Offset) -> String {
    let (far, to) = distance_and_direction(by);
    format!("the wall clock was set {to} by {far}; broker time follows, with all pending times")
}

pub(in crate::grid) fn differs_text(by: Offset) -> String {
    let (far, to) = match distance_and_direction(by) {
        (far, "ahead") => (far, "ahead of"),
        (far, _) => (far, "behind"),
    };
    format!(
        "the wall clock of this machine is {far} {to} broker time, which continues by itself and \
         follows only if that stays so; check whether the clock is right"
    )
}

fn distance_and_direction(by: Offset) -> (String, &'static str) {
    (describe_duration(by.magnitude()), if by.is_ahead() { "ahead" } else { "back" })
}
