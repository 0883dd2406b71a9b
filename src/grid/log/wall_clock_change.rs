//! Decides what follows when the wall clock and told time part.
//!
//! Guarantees that it is open while they differ, that what is done about it leaves a record, and
//! that no verdict, no mail and no age comes of it: all that is pending moves along. Reads no clock.

use std::time::Duration;

use super::effect::{Alert, AlertKind, Effect};
use crate::grid::decide::DecisionDraft;
use crate::grid::log::time_shift::TimeShift;
use crate::grid::state::State;
use crate::grid::values::event::Severity;
use crate::grid::values::time::{Offset, Timestamp, describe_duration};

/// What is found when told time is compared with the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WallClockChange {
    /// It lies that far off told time, which goes on by itself.
    Differs {
        /// How far ahead.
        by: Offset,
    },
    /// It is back at told time, and nothing was moved.
    Agrees,
    /// Told time follows it.
    Followed {
        /// How it is moved.
        shift: TimeShift,
        /// Whether the wall clock is right as far as is known; otherwise it only stayed so.
        is_confirmed: bool,
    },
    /// The wall clock that told time follows stayed so for long, and is taken for right.
    Trusted,
    /// The machine slept, and told time went on.
    Slept {
        /// For so long.
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
            // Which of the two was wrong nobody knows yet.
            Self::Followed { shift, is_confirmed: false } => {
                vec![Effect::TimeShifted(*shift), raised(followed_text(shift.by), now)]
            }
            Self::Slept { lasted } => {
                vec![Effect::TimeShifted(TimeShift::pause(Offset::ahead_by(*lasted)))]
            }
        })
    }

    /// The sentence of its record; empty where the alert says it.
    pub(in crate::grid) fn describe(&self) -> String {
        match self {
            Self::Differs { .. } | Self::Followed { is_confirmed: false, .. } => String::new(),
            Self::Followed { shift, is_confirmed: true } => followed_text(shift.by),
            Self::Trusted => {
                "the wall clock stayed as it was set, and is taken for right".to_owned()
            }
            Self::Agrees => "the wall clock agrees with broker time again, which went on by \
                             itself; nothing was moved"
                .to_owned(),
            Self::Slept { lasted } => {
                format!(
                    "the machine slept for {}; deadlines moved by it",
                    describe_duration(*lasted)
                )
            }
        }
    }
}

/// What is open about the wall clock is open no more.
pub(in crate::grid) fn cleared(state: &State) -> Option<Effect> {
    let matter = AlertKind::ClockDiffers;
    state.alert(None, matter).map(|_| Effect::AlertCleared { number: None, kind: matter })
}

fn raised(text: String, now: Timestamp) -> Effect {
    let alert = Alert { severity: Severity::Warn, since: now, text: text.into() };
    Effect::AlertRaised { number: None, kind: AlertKind::ClockDiffers, alert }
}

fn followed_text(by: Offset) -> String {
    let (far, to) = distance_and_direction(by);
    format!(
        "the wall clock was set {to} by {far}; broker time follows, and all that was pending moves \
         along"
    )
}

fn differs_text(by: Offset) -> String {
    let (far, to) = match distance_and_direction(by) {
        (far, "ahead") => (far, "ahead of"),
        (far, _) => (far, "behind"),
    };
    format!(
        "the wall clock of this machine is {far} {to} broker time, which goes on by itself and \
         follows only if that stays so; see whether the clock is right"
    )
}

fn distance_and_direction(by: Offset) -> (String, &'static str) {
    (describe_duration(by.magnitude()), if by.is_ahead() { "ahead" } else { "back" })
}
