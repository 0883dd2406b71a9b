//! Names the timers of an appliance: what a deadline was set for.
//!
//! Guarantees that the record of a timeout names its timer. Knows no clock and sets nothing.

use super::effect::{AlertKind, Effect};

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
}

impl Timer {
    /// All of them, in the order in which they are handled.
    pub const ALL: [Self; 7] = [
        Self::Start,
        Self::Contact,
        Self::NameConflict,
        Self::Suppression,
        Self::Repeats,
        Self::Reminder,
        Self::Flapping,
    ];

    /// Its name in metrics and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Contact => "contact",
            Self::NameConflict => "name_conflict",
            Self::Suppression => "suppression",
            Self::Repeats => "repeats",
            Self::Reminder => "reminder",
            Self::Flapping => "flapping",
        }
    }

    /// Whether its records sum up a suppression or a run of repeats.
    pub fn is_of_admission(self) -> bool {
        matches!(self, Self::Suppression | Self::Repeats)
    }

    /// The timer of a record that was written before records named it, by what followed.
    pub fn guess(effects: &[Effect]) -> Self {
        let is_suppression = |it: &Effect| matches!(it, Effect::Suppression { .. });
        let is_told =
            |it: &Effect| is_suppression(it) || matches!(it, Effect::RepeatsReported { .. });
        let concerns = |which: AlertKind| {
            effects.iter().any(|it| {
                let (Effect::AlertRaised { kind: matter, .. }
                | Effect::AlertCleared { kind: matter, .. }) = it
                else {
                    return false;
                };
                *matter == which
            })
        };
        if !effects.is_empty() && effects.iter().all(is_told) {
            return if effects.iter().any(is_suppression) {
                Self::Suppression
            } else {
                Self::Repeats
            };
        }
        let by_matter =
            [(AlertKind::NoContact, Self::Contact), (AlertKind::NameConflict, Self::NameConflict)];
        let is_of_start = effects.iter().any(|it| matches!(it, Effect::Lifecycle { .. }));
        if is_of_start {
            return Self::Start;
        }
        by_matter.into_iter().find(|(matter, _)| concerns(*matter)).map_or(Self::Start, |it| it.1)
    }
}
