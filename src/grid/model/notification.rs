//! Decides whether an alert causes a notification now: the one precedence of all rules.
//!
//! ```text
//! not configured < silenced < acknowledged < grouped (it flaps, or is told of already) < repeat interval
//! graver than all notifications so far: always, except for what was silenced before any
//! ```
//!
//! Guarantees that [`decide`] is a pure function of its facts, and that it names its reason. What a
//! rate limit suppresses does not come here. Knows no alert, no receiver and no clock.

use std::time::Duration;

use crate::grid::values::event::Severity;

/// How long after a notification the next one on the same alert may follow, if the alert was open,
/// over, and open again: DESIGN's "next".
pub const NEXT_AFTER: Duration = Duration::from_secs(5 * 60);

/// The intervals between notifications on an alert that goes on, by their count.
pub const REPEAT_AFTER: [Duration; 3] = [
    Duration::from_secs(4 * 3_600),
    Duration::from_secs(24 * 3_600),
    Duration::from_secs(7 * 24 * 3_600),
];

/// How long what flapped must be over until that is its final state.
pub const SETTLES_AFTER: Duration = Duration::from_secs(3_600);

/// From this many times on that an alert was opened again it counts as flapping.
pub const FLAPS_FROM: u32 = 2;

/// What a decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotificationFacts {
    /// Mails on this kind are configured, and somebody receives them.
    pub is_configured: bool,
    /// The alert is open.
    pub is_open: bool,
    /// Its severity.
    pub severity: Severity,
    /// The last notification; `None`: there was none.
    pub last: Option<LastNotification>,
    /// A silence matches.
    pub is_silenced: bool,
    /// Somebody takes care of it.
    pub is_acknowledged: bool,
    /// Somebody was notified of another alert of the same cause on its appliance, as grave.
    pub is_covered: bool,
    /// It was opened again several times, or belongs to what flaps.
    pub is_flapping: bool,
    /// It was reported since the last notification, or is a condition that holds.
    pub goes_on: bool,
    /// The interval since the last notification is over, or what flapped has settled.
    pub is_due: bool,
}

/// The last notification of the alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastNotification {
    /// The gravest severity of all so far.
    pub severity: Severity,
    /// It said that the alert is over.
    pub is_end: bool,
}

/// Why there is a notification, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationReason {
    /// It is new.
    New,
    /// It is graver than all notifications on it so far.
    Graver,
    /// It is open again.
    Reopened,
    /// It goes on.
    Repeated,
    /// It is over.
    Resolved,
    /// `mail.on` does not have its kind, or nobody receives it.
    NotConfigured,
    /// A silence matches.
    Silenced,
    /// Somebody takes care of it.
    Acknowledged,
    /// It flaps: what holds in the end is reported.
    Grouped,
    /// The last notification is not long enough ago.
    RepeatInterval,
    /// The last notification says what holds.
    Unchanged,
    /// It is over, and nobody was notified of it.
    NeverNotified,
}

impl NotificationReason {
    /// Whether there is a notification.
    pub fn notifies(self) -> bool {
        match self {
            Self::New | Self::Graver | Self::Reopened | Self::Repeated | Self::Resolved => true,
            Self::NotConfigured
            | Self::Silenced
            | Self::Acknowledged
            | Self::Grouped
            | Self::RepeatInterval
            | Self::Unchanged
            | Self::NeverNotified => false,
        }
    }

    /// Its identifier, as users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Graver => "graver",
            Self::Reopened => "open_again",
            Self::Repeated => "repeated",
            Self::Resolved => "resolved",
            Self::NotConfigured => "not_configured",
            Self::Silenced => "silenced",
            Self::Acknowledged => "acknowledged",
            Self::Grouped => "grouped",
            Self::RepeatInterval => "repeat_interval",
            Self::Unchanged => "unchanged",
            Self::NeverNotified => "never_notified",
        }
    }

    /// The reason in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::New => "notified: it is new",
            Self::Graver => "notified: it is graver than all notifications on it so far",
            Self::Reopened => "notified: it is open again",
            Self::Repeated => "notified: it goes on",
            Self::Resolved => "notified: it is over",
            Self::NotConfigured => {
                "not notified: mail.on does not have its kind, or no route has a receiver for it"
            }
            Self::Silenced => "not notified: a silence matches",
            Self::Acknowledged => "not notified: somebody takes care of it",
            Self::Grouped => "not notified yet: it flaps, and what holds in the end is reported",
            Self::RepeatInterval => "not notified: the last notification is not long enough ago",
            Self::Unchanged => "not notified: the last notification says what holds",
            Self::NeverNotified => "not notified: it is over, and nobody was notified of it",
        }
    }
}

/// Decides, with the reason.
pub fn decide(facts: &NotificationFacts) -> NotificationReason {
    use NotificationReason as R;
    let graver = facts.is_open && facts.last.is_some_and(|last| facts.severity > last.severity);
    if !facts.is_configured {
        return R::NotConfigured;
    }
    if graver {
        return R::Graver;
    }
    if facts.is_silenced {
        return R::Silenced;
    }
    let Some(last) = facts.last else {
        return match (facts.is_open, facts.is_acknowledged) {
            (true, true) => R::Acknowledged,
            (true, false) if facts.is_covered && !facts.is_due => R::Grouped,
            (true, false) => R::New,
            (false, _) => R::NeverNotified,
        };
    };
    match (facts.is_open, last.is_end) {
        (false, true) => R::Unchanged,
        (false, false) if facts.is_flapping && !facts.is_due => R::Grouped,
        (false, false) => R::Resolved,
        (true, _) if facts.is_acknowledged => R::Acknowledged,
        (true, true) if facts.is_due => R::Reopened,
        (true, true) if facts.is_flapping => R::Grouped,
        (true, true) => R::RepeatInterval,
        (true, false) if !facts.goes_on => R::Unchanged,
        (true, false) if facts.is_due => R::Repeated,
        (true, false) => R::RepeatInterval,
    }
}

/// The interval after that many notifications on an alert that goes on.
pub fn repeat_after(repeats: u32) -> Duration {
    let at = usize::try_from(repeats).unwrap_or(usize::MAX);
    REPEAT_AFTER[at.min(REPEAT_AFTER.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::NotificationReason as R;
    use super::*;

    /// A fact that a row changes.
    #[derive(Clone, Copy)]
    enum Set {
        Silenced,
        Acknowledged,
        Covered,
        Flapping,
        GoesOn,
        Due,
        Over,
        LastOpen,
        LastOver,
        Fatal,
        NobodyReceives,
    }

    fn facts(set: &[Set]) -> NotificationFacts {
        let last = |is_end| Some(LastNotification { severity: Severity::Error, is_end });
        let mut facts = NotificationFacts {
            is_configured: true,
            is_open: true,
            severity: Severity::Error,
            last: None,
            is_silenced: false,
            is_acknowledged: false,
            is_covered: false,
            is_flapping: false,
            goes_on: false,
            is_due: false,
        };
        for it in set {
            match it {
                Set::Silenced => facts.is_silenced = true,
                Set::Acknowledged => facts.is_acknowledged = true,
                Set::Covered => facts.is_covered = true,
                Set::Flapping => facts.is_flapping = true,
                Set::GoesOn => facts.goes_on = true,
                Set::Due => facts.is_due = true,
                Set::Over => facts.is_open = false,
                Set::LastOpen => facts.last = last(false),
                Set::LastOver => facts.last = last(true),
                Set::Fatal => facts.severity = Severity::Fatal,
                Set::NobodyReceives => facts.is_configured = false,
            }
        }
        facts
    }

    #[test]
    fn each_row_of_the_precedence_has_its_reason() {
        use Set::{
            Acknowledged, Covered, Due, Fatal, Flapping, GoesOn, LastOpen, LastOver,
            NobodyReceives, Over, Silenced,
        };
        let rows: &[(&[Set], R)] = &[
            (&[], R::New),
            (&[Fatal], R::New),
            (&[Flapping], R::New),
            (&[Covered], R::Grouped),
            (&[Covered, Due], R::New),
            (&[Covered, LastOpen, Fatal], R::Graver),
            (&[Silenced], R::Silenced),
            (&[Silenced, Fatal], R::Silenced),
            (&[Acknowledged], R::Acknowledged),
            (&[Over], R::NeverNotified),
            (&[Over, Silenced], R::Silenced),
            (&[NobodyReceives, LastOpen, Fatal], R::NotConfigured),
            (&[LastOpen], R::Unchanged),
            (&[LastOpen, Due], R::Unchanged),
            (&[LastOpen, GoesOn], R::RepeatInterval),
            (&[LastOpen, GoesOn, Due], R::Repeated),
            (&[LastOpen, GoesOn, Due, Acknowledged], R::Acknowledged),
            (&[LastOpen, GoesOn, Due, Silenced], R::Silenced),
            (&[LastOpen, GoesOn, Due, Silenced, Acknowledged], R::Silenced),
            (&[LastOpen, Fatal], R::Graver),
            (&[LastOpen, Fatal, Silenced, Acknowledged, Flapping], R::Graver),
            (&[LastOver, Fatal], R::Graver),
            (&[LastOpen, Over], R::Resolved),
            (&[LastOpen, Over, Acknowledged], R::Resolved),
            (&[LastOpen, Over, Silenced], R::Silenced),
            (&[LastOpen, Over, Flapping], R::Grouped),
            (&[LastOpen, Over, Flapping, Due], R::Resolved),
            (&[LastOver, Over], R::Unchanged),
            (&[LastOver], R::RepeatInterval),
            (&[LastOver, Due], R::Reopened),
            (&[LastOver, Flapping], R::Grouped),
            (&[LastOver, Flapping, Due], R::Reopened),
            (&[LastOver, Due, Acknowledged], R::Acknowledged),
            (&[LastOver, Due, Silenced], R::Silenced),
        ];
        for (at, (set, reason)) in rows.iter().enumerate() {
            assert_eq!(decide(&facts(set)), *reason, "row {at}");
        }
    }

    /// Every combination of facts: what is grave and new is never held back by a mild rule.
    #[test]
    fn graver_than_all_before_passes_whatever_else_holds() {
        for bits in 0_u32..64 {
            let is = |bit: u32| bits & (1 << bit) != 0;
            let facts = NotificationFacts {
                is_silenced: is(0),
                is_acknowledged: is(1),
                is_flapping: is(2),
                goes_on: is(3),
                is_due: is(4),
                last: Some(LastNotification { severity: Severity::Error, is_end: is(5) }),
                ..facts(&[Set::Fatal])
            };
            assert_eq!(decide(&facts), R::Graver, "{facts:?}");
        }
    }

    #[test]
    fn repeats_become_rarer() {
        let hours = [0, 1, 2, 3, 99].map(|repeats| repeat_after(repeats).as_secs() / 3_600);
        assert_eq!(hours, [4, 24, 168, 168, 168]);
    }
}
