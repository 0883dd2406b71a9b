//! Decides what follows if the wall clock and broker time differ.
//!
//! Guarantees that an alert is open while they differ, that each correction has a record, and that
//! no deadline, mail or age fires because of it: all pending times are shifted. Reads no clock.

use crate::grid::decide::DecisionDraft;
use crate::grid::explain::wall_clock::{differs_text, followed_text};
use crate::grid::log::effect::Effect;
use crate::grid::log::time_shift::TimeShift;
use crate::grid::log::wall_clock_change::WallClockChange;
use crate::grid::model::finding::{Finding, FindingKind};
use crate::grid::state::State;
use crate::grid::values::event::Severity;
use crate::grid::values::time::{Offset, Timestamp};

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
}

/// Resolves the alert on the wall clock.
pub(in crate::grid) fn cleared(state: &State) -> Option<Effect> {
    let kind = FindingKind::ClockDiffers;
    state.finding(None, kind).map(|_| Effect::FindingCleared { number: None, kind })
}

fn raised(text: String, now: Timestamp) -> Effect {
    let finding = Finding { severity: Severity::Warn, since: now, text: text.into() };
    Effect::FindingRaised { number: None, kind: FindingKind::ClockDiffers, finding }
}
