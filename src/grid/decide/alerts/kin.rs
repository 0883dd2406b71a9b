//! Finds what an alert has in common with others: those of its family and group.
//!
//! Guarantees that at most the newest of a group are looked at. Decides nothing about notifications.

use super::AlertChanges;
use crate::grid::model::alert::{Alert, REOPEN_WITHIN};
use crate::grid::model::notification::{FLAPS_FROM, NEXT_AFTER, SETTLES_AFTER, repeat_after};
use crate::grid::values::time::Timestamp;

/// What is known of an alert and of those that have one cause with it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KinFacts {
    /// One of them was opened again: they flap.
    pub(super) is_flapping: bool,
    /// Another one of the same appliance, as grave, was notified.
    pub(super) is_covered: bool,
    /// One of them is open.
    pub(super) has_open: bool,
    /// The last notification of any of them, and the most that one of them had after its first.
    pub(super) last: Option<(Timestamp, u32)>,
    /// When one of them was opened or ended last.
    pub(super) changed_at: Option<Timestamp>,
    /// When another one with the same text was notified last.
    pub(super) same_text_at: Option<Timestamp>,
}

impl KinFacts {
    /// Texts of findings begin with the name of the appliance, in some form: what follows the first colon
    /// is the reason.
    fn is_same_text(self, alert: &Alert, other: &Alert) -> bool {
        let reason = |text: &'_ str| text.split_once(": ").map(|(_, reason)| reason.to_owned());
        alert.kind == other.kind && reason(&alert.text) == reason(&other.text)
    }

    fn take(&mut self, alert: &Alert, other: &Alert) {
        let is_other = alert.id != other.id;
        self.is_flapping |= is_other && (other.reopenings > 0 || other.kind == "flapping");
        self.is_covered |= is_other
            && other.appliance == alert.appliance
            && other.notified.is_some_and(|it| it.severity >= alert.severity);
        self.has_open |= other.is_open();
        if let Some(it) = other.notified {
            let (at, repeats) = self.last.unwrap_or_default();
            self.last = Some((at.max(it.at), repeats.max(it.repeats)));
            if is_other && self.is_same_text(alert, other) {
                self.same_text_at = self.same_text_at.max(Some(it.at));
            }
        }
        let changed = other.end.map_or(other.opened_at, |end| end.at);
        self.changed_at = self.changed_at.max(Some(changed));
    }
}

impl AlertChanges<'_> {
    /// What is known of the alerts that have one cause with it.
    pub(super) fn kin(&self, alert: &Alert) -> KinFacts {
        let mut kin =
            KinFacts { is_flapping: alert.reopenings >= FLAPS_FROM, ..KinFacts::default() };
        kin.take(alert, alert);
        if alert.group.is_empty() || alert.reopenings == 0 && alert.family() != "start" {
            return kin;
        }
        for other in self.state.alerts().kin(alert) {
            let other = self.changed.get(&other.id).unwrap_or(other);
            if other.end.is_none_or(|end| self.now < end.at.after(REOPEN_WITHIN)) {
                kin.take(alert, other);
            }
        }
        let new = self.changed.values().filter(|other| {
            other.id != alert.id
                && other.group == alert.group
                && other.family() == alert.family()
                && self.state.alerts().get(other.id).is_none()
        });
        new.for_each(|other| kin.take(alert, other));
        kin
    }

    /// When the next notification may follow the last one.
    pub(super) fn due_time(&self, alert: &Alert, kin: &KinFacts) -> Option<Timestamp> {
        let Some(last) = &alert.notified else {
            let (at, repeats) = kin.last?;
            let pause = if kin.is_flapping { repeat_after(repeats) } else { NEXT_AFTER };
            return kin.is_covered.then(|| at.after(pause));
        };
        let (group_at, repeats) = kin.last.unwrap_or((last.at, last.repeats));
        Some(match (&alert.end, last.is_end) {
            (None, true) if !kin.is_flapping => last.at.after(NEXT_AFTER),
            (None, _) if kin.is_flapping => group_at.after(repeat_after(repeats)),
            (None, _) => last.at.after(repeat_after(last.repeats)),
            (Some(_), _) if kin.is_flapping => {
                let settled = kin.changed_at.unwrap_or(last.at).after(SETTLES_AFTER);
                if kin.has_open { group_at.after(repeat_after(repeats)) } else { settled }
            }
            (Some(end), _) => end.at,
        })
    }
}
