//! Selects the alert or silence on which something is to be decided next.
//!
//! Guarantees that a change of one alert costs the same however many there are. Made of the alerts,
//! not part of the state. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::Grid;
use crate::grid::log::alert_effect::AlertEffect;
use crate::grid::log::effect::Effect;
use crate::grid::log::record::Record;
use crate::grid::state::alerts::Alerts;
use crate::grid::values::id::{AlertId, SilenceId};
use crate::grid::values::time::Timestamp;

/// What may be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DueItem {
    Alert(AlertId),
    Silence(SilenceId),
}

/// The alerts and silences by when something is to be decided on them.
#[derive(Clone, Debug, Default)]
pub(super) struct AlertQueue {
    due: BTreeSet<(Timestamp, DueItem)>,
    listed: BTreeMap<DueItem, Timestamp>,
}

impl AlertQueue {
    fn new(alerts: &Alerts) -> Self {
        let mut queue = Self::default();
        alerts.iter().for_each(|alert| queue.set(DueItem::Alert(alert.id), alert.due_at()));
        for silence in alerts.silences() {
            queue.set(DueItem::Silence(silence.id), Some(silence.due_at()));
        }
        queue
    }

    fn set(&mut self, id: DueItem, due: Option<Timestamp>) {
        if let Some(before) = self.listed.remove(&id) {
            self.due.remove(&(before, id));
        }
        if let Some(due) = due.filter(|due| *due < Timestamp::MAX) {
            self.due.insert((due, id));
            self.listed.insert(id, due);
        }
    }

    fn follow(&mut self, record: &Record, alerts: &Alerts) {
        for effect in &record.effects {
            let Effect::Alert(change) = effect else { continue };
            let item = match change {
                AlertEffect::Changed { alert } => DueItem::Alert(alert.id),
                AlertEffect::Forgotten { id } => DueItem::Alert(*id),
                AlertEffect::Silence { silence } => DueItem::Silence(silence.id),
                AlertEffect::SilenceForgotten { id } => DueItem::Silence(*id),
                AlertEffect::Decided(_) | AlertEffect::LastNumbers { .. } => continue,
            };
            let due = match item {
                DueItem::Alert(id) => alerts.get(id).and_then(|alert| alert.due_at()),
                DueItem::Silence(id) => alerts.silence(id).map(|silence| silence.due_at()),
            };
            self.set(item, due);
        }
    }

    pub(super) fn next_due_at(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }

    pub(super) fn next_at(&self, now: Timestamp) -> Option<DueItem> {
        self.due.first().filter(|(due, _)| *due <= now).map(|(_, id)| *id)
    }
}

impl Grid {
    /// Lists all alerts anew.
    pub(super) fn list_all_alerts(&mut self) {
        self.alert_queue = AlertQueue::new(self.state.alerts());
    }

    /// Follows the changes of a record that was applied.
    pub(super) fn follow_alerts(&mut self, record: &Record) {
        self.alert_queue.follow(record, self.state.alerts());
    }
}
