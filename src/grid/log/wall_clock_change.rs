//! Decides when the wall clock and broker time differ.
//!
//! Guarantees that an alert is open while they differ, that each correction has a record, and that
//! no deadline, mail or age fires because of it: all pending times are shifted. Reads no clock.

use std::time::Duration;

use super::effect::{Alert, AlertKind, Effect};
use crate::grid::decide::DecisionDraft;
use crate::grid::log::time_shift::TimeShift;
use crate::grid::state::State;
use crate::grid::values::event::Severity;
use crate::grid::values::time::{Offset, Timestamp, describe_duration};

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

impl WallClockChange {
    pub(in crate::grid) fn decide(&self, state: &State, now: Timestamp) -> DecisionDraft {
        let cleared = cleared(state);
        DecisionDraft::recorded(match self {
            Self::Differs { by } => {
                vec![raised(differs_text(*by), now)]
            }
            Self::Agrees | Self::Trusted => cleared.into_iter().collect(),
            Self::Followed { shift, is_confirmed: true } => {
                [Effect::TimeShifted(*shift)].into_iter().chain(cleared).collect()
            }
            // It is not known yet which of the two was wrong.
            Self::Followed { shift, is_confirmed: false } => {
                vec![Effect::TimeShifted(*shift), raised(followed_text(shift.by), now)]
            }
            Self::Slept { lasted } => {
                vec![Effect::TimeShifted(TimeShift::pause(Offset::ahead_by(*lasted)))]
            }
        })
    }

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

/// Resolves the alert on the wall clock.
pub(in crate::grid) fn cleared(state: &State) -> Option<Effect> {
    let kind = AlertKind::ClockDiffers;
    state.alert(None, kind).map(|_| Effect::AlertCleared { number: None, kind })
}

fn raised(text: String, now: Timestamp) -> Effect {
    let alert = Alert { severity: Severity::Warn, since: now, text: text.into() };
    Effect::AlertRaised { number: None, kind: AlertKind::ClockDiffers, alert }
}

fn followed_text(by: Offset) -> String {
    let (far, to) = distance_and_direction(by);
    format!("the wall clock was set {to} by {far}; broker time follows, with all pending times")
}

fn differs_text(by: Offset) -> String {
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
