//! Decides what follows when the wall clock and told time part.
//!
//! Guarantees that it is open while they differ, that what is done about it leaves a record, and
//! that no verdict, no mail and no age comes of it: all that is pending moves along. Reads no clock.

use std::time::Duration;

use super::decide::Draft;
use super::effect::{Alert, Effect, Matter};
use super::event::Severity;
use super::shift::Shift;
use super::state::State;
use super::time::{Offset, Timestamp, in_words};

/// What is found when told time is compared with the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WallClock {
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
        shift: Shift,
        /// Whether the wall clock is right as far as is known; otherwise it only stayed so.
        is_sure: bool,
    },
    /// The wall clock that told time follows stayed so for long, and is taken for right.
    Trusted,
    /// The machine slept, and told time went on.
    Slept {
        /// For so long.
        lasted: Duration,
    },
}

impl WallClock {
    pub(in crate::grid) fn decide(&self, state: &State, now: Timestamp) -> Draft {
        let cleared = cleared(state);
        Draft::kept(match self {
            Self::Differs { by } => {
                vec![raised(differs(*by), now)]
            }
            Self::Agrees | Self::Trusted => cleared.into_iter().collect(),
            Self::Followed { shift, is_sure: true } => {
                [Effect::TimeShifted(*shift)].into_iter().chain(cleared).collect()
            }
            // Which of the two was wrong nobody knows yet.
            Self::Followed { shift, is_sure: false } => {
                vec![Effect::TimeShifted(*shift), raised(followed(shift.by), now)]
            }
            Self::Slept { lasted } => {
                vec![Effect::TimeShifted(Shift::pause(Offset::ahead_by(*lasted)))]
            }
        })
    }

    /// The sentence of its record; empty where the alert says it.
    pub(in crate::grid) fn explain(&self) -> String {
        match self {
            Self::Differs { .. } | Self::Followed { is_sure: false, .. } => String::new(),
            Self::Followed { shift, is_sure: true } => followed(shift.by),
            Self::Trusted => {
                "the wall clock stayed as it was set, and is taken for right".to_owned()
            }
            Self::Agrees => "the wall clock agrees with broker time again, which went on by \
                             itself; nothing was moved"
                .to_owned(),
            Self::Slept { lasted } => {
                format!("the machine slept for {}; deadlines moved by it", in_words(*lasted))
            }
        }
    }
}

/// What is open about the wall clock is open no more.
pub(in crate::grid) fn cleared(state: &State) -> Option<Effect> {
    let matter = Matter::ClockDiffers;
    state.alert(None, matter).map(|_| Effect::AlertCleared { number: None, matter })
}

fn raised(text: String, now: Timestamp) -> Effect {
    let alert = Alert { severity: Severity::Warn, since: now, text: text.into() };
    Effect::AlertRaised { number: None, matter: Matter::ClockDiffers, alert }
}

fn followed(by: Offset) -> String {
    let (far, to) = far_and_to(by);
    format!(
        "the wall clock was set {to} by {far}; broker time follows, and all that was pending moves \
         along"
    )
}

fn differs(by: Offset) -> String {
    let (far, to) = match far_and_to(by) {
        (far, "ahead") => (far, "ahead of"),
        (far, _) => (far, "behind"),
    };
    format!(
        "the wall clock of this machine is {far} {to} broker time, which goes on by itself and \
         follows only if that stays so; see whether the clock is right"
    )
}

fn far_and_to(by: Offset) -> (String, &'static str) {
    (in_words(by.far()), if by.is_ahead() { "ahead" } else { "back" })
}
