//! Names the timers of an appliance: what a deadline was set for.
//!
//! Guarantees that the record of a timeout names its timer. Knows no clock and sets nothing.

use super::effect::Effect;
use crate::grid::log::effect::ApplianceEffect;
use crate::grid::model::finding::FindingKind;

/// What a deadline of an appliance was set for. Each may end once in one call of
/// [`Grid::handle_timeout`](crate::grid::Grid::handle_timeout), in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The boot deadline, the report deadline, stuck progress, or the dump deadline.
    Start,
    /// The time that an appliance without a session may be silent.
    Contact,
    /// The time that sessions of two boots may overlap under one name.
    NameConflict,
    /// The next summary of a suppression, or its end.
    Suppression,
    /// The end of a run of repeats.
    Repeats,
    /// The next mail about an alert that goes on, or about alerts that were suppressed.
    Reminder,
    /// The time after which a running appliance no longer counts as flapping.
    Flapping,
    /// The time when its certificate should have been renewed, and its end.
    Certificate,
}

impl Timer {
    /// All of them, in the order in which they are handled.
    pub const ALL: [Self; 8] = [
        Self::Start,
        Self::Contact,
        Self::NameConflict,
        Self::Suppression,
        Self::Repeats,
        Self::Reminder,
        Self::Flapping,
        Self::Certificate,
    ];

    /// Whether its records sum up a suppression or a run of repeats.
    pub fn is_of_admission(self) -> bool {
        matches!(self, Self::Suppression | Self::Repeats)
    }

    /// The timer of a record that was written before records named it, by what followed.
    pub fn guess(effects: &[Effect]) -> Self {
        let is_suppression =
            |it: &Effect| matches!(it.of_appliance(), Some(ApplianceEffect::Suppression { .. }));
        let is_summary = |it: &Effect| {
            is_suppression(it)
                || matches!(it.of_appliance(), Some(ApplianceEffect::RepeatsReported { .. }))
        };
        if !effects.is_empty() && effects.iter().all(is_summary) {
            return match effects.iter().any(is_suppression) {
                true => Self::Suppression,
                false => Self::Repeats,
            };
        }
        if effects
            .iter()
            .any(|it| matches!(it.of_appliance(), Some(ApplianceEffect::Lifecycle { .. })))
        {
            return Self::Start;
        }
        let concerns = |alert: FindingKind| {
            effects.iter().any(|it| {
                let (Effect::FindingRaised { kind, .. } | Effect::FindingCleared { kind, .. }) = it
                else {
                    return false;
                };
                *kind == alert
            })
        };
        let timers = [
            (FindingKind::NoContact, Self::Contact),
            (FindingKind::NameConflict, Self::NameConflict),
        ];
        timers.into_iter().find(|(alert, _)| concerns(*alert)).map_or(Self::Start, |it| it.1)
    }
}
