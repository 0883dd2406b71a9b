//! Remembers which alerts an Alertmanager got from us, to end them under the labels that it knows.
//!
//! Guarantees that an alert whose severity changed is ended under its old labels, since labels are
//! what Alertmanager tells alerts apart by; and that an old message that comes late changes nothing.
//! What it remembers is lost at a restart: until then pushed alerts end as they were told to.

use std::collections::BTreeMap;

use super::entries::{AlertEntry, AlertIdentity};

/// Most alerts that are remembered for one Alertmanager.
const PUSHED_ALERTS_MAX: usize = 4_096;

/// What one Alertmanager got.
#[derive(Debug, Default)]
pub(super) struct PushedAlerts(BTreeMap<AlertIdentity, AlertEntry>);

impl PushedAlerts {
    /// What is to be pushed of these alerts.
    pub(super) fn changes(&self, entries: Vec<AlertEntry>) -> Vec<AlertEntry> {
        let mut changes = Vec::new();
        for entry in entries {
            match self.0.get(&entry.identity) {
                Some(known) if known.at > entry.at => {}
                Some(known) if known.ends_at.is_none() && known.labels != entry.labels => {
                    changes.push(AlertEntry { ends_at: Some(entry.at), ..known.clone() });
                    changes.push(entry);
                }
                Some(_) | None => changes.push(entry),
            }
        }
        changes
    }

    /// Alertmanager accepted these.
    pub(super) fn remember(&mut self, entries: Vec<AlertEntry>) {
        for entry in entries {
            if !self.0.contains_key(&entry.identity) && self.0.len() >= PUSHED_ALERTS_MAX {
                self.forget_one();
            }
            self.0.insert(entry.identity.clone(), entry);
        }
    }

    /// Those that are open.
    pub(super) fn open(&self) -> impl Iterator<Item = &AlertEntry> {
        self.0.values().filter(|it| it.ends_at.is_none())
    }

    /// Rather one that ended, and the oldest.
    fn forget_one(&mut self) {
        let oldest = self.0.values().min_by_key(|it| (it.ends_at.is_none(), it.at));
        if let Some(identity) = oldest.map(|it| it.identity.clone()) {
            self.0.remove(&identity);
        }
    }
}
