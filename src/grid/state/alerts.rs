//! Holds the alerts: open ones, and those that ended lately.
//!
//! Guarantees that only effects change it, and that of each source of an appliance at most the newest
//! alert is found. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::grid::log::alert_effect::AlertEffect;
use crate::grid::log::effect::Effect;
use crate::grid::model::alert::{Alert, AlertSource};
use crate::grid::model::silence::Silence;
use crate::grid::state::shared_map::SharedMap;
use crate::grid::values::id::{AlertId, ApplianceIndex, SilenceId};
use crate::grid::values::time::Timestamp;

/// The most alerts of one group that a decision looks at.
pub const GROUP_MEMBERS_MAX: usize = 256;

/// What identifies an alert.
type AlertOrigin = (Option<ApplianceIndex>, AlertSource);

/// A family and a group.
type AlertGroupKey = (Box<str>, Box<str>);

/// The alerts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alerts {
    alerts: SharedMap<AlertId, Alert>,
    /// The newest alert of each source.
    newest: BTreeMap<AlertOrigin, AlertId>,
    /// The alerts of each family and group.
    groups: BTreeMap<AlertGroupKey, BTreeSet<AlertId>>,
    /// Those that ended, by when.
    ended: BTreeSet<(Timestamp, AlertId)>,
    last_id: AlertId,
    silences: BTreeMap<SilenceId, Silence>,
    last_silence: SilenceId,
}

/// The alerts as they were at one record.
#[derive(Debug)]
pub(super) struct AlertsSnapshot {
    alerts: SharedMap<AlertId, Alert>,
    last_id: AlertId,
    silences: BTreeMap<SilenceId, Silence>,
    last_silence: SilenceId,
}

impl Alerts {
    /// The alert of that number.
    pub fn get(&self, id: AlertId) -> Option<&Alert> {
        self.alerts.get(&id)
    }

    /// The newest alert of that source, whether it is open or not.
    pub fn newest(&self, appliance: Option<ApplianceIndex>, source: AlertSource) -> Option<&Alert> {
        self.get(*self.newest.get(&(appliance, source))?)
    }

    /// All alerts by number, open or not.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Alert> {
        self.alerts.values()
    }

    /// The alerts from that number on, open or not.
    pub fn from(&self, first: AlertId) -> impl Iterator<Item = &Alert> {
        self.alerts.range_from(first).map(|(_, alert)| alert)
    }

    /// The open alerts by number.
    pub fn open(&self) -> impl Iterator<Item = &Alert> {
        self.iter().filter(|alert| alert.is_open())
    }

    /// The newest alert of each source of that appliance, or of the broker.
    pub fn of(&self, appliance: Option<ApplianceIndex>) -> impl Iterator<Item = &Alert> {
        let first = AlertSource::Event(uuid::Uuid::nil());
        let its = self.newest.range((appliance, first)..);
        its.take_while(move |((of, _), _)| *of == appliance).filter_map(|(_, id)| self.get(*id))
    }

    /// The alerts of the family and the group of that one, without it: the newest
    /// [`GROUP_MEMBERS_MAX`].
    pub fn kin<'a>(&'a self, alert: &Alert) -> impl Iterator<Item = &'a Alert> {
        let id = alert.id;
        let members = self.groups.get(&group_key(alert)).into_iter().flatten().rev();
        let others = members.take(GROUP_MEMBERS_MAX).filter(move |other| **other != id);
        others.filter_map(|other| self.get(*other))
    }

    /// How many ended.
    pub fn ended_count(&self) -> usize {
        self.ended.len()
    }

    /// The one that ended first.
    pub fn first_ended(&self) -> Option<AlertId> {
        self.ended.first().map(|(_, id)| *id)
    }

    /// The last number used.
    pub fn last_id(&self) -> AlertId {
        self.last_id
    }

    /// All silences by number: those that have not ended, and those that ended lately.
    pub fn silences(&self) -> impl Iterator<Item = &Silence> {
        self.silences.values()
    }

    /// The silence of that number.
    pub fn silence(&self, id: SilenceId) -> Option<&Silence> {
        self.silences.get(&id)
    }

    /// The last number of a silence that was used.
    pub fn last_silence(&self) -> SilenceId {
        self.last_silence
    }

    /// The alerts as they are now.
    pub(super) fn snapshot(&self) -> AlertsSnapshot {
        AlertsSnapshot {
            alerts: self.alerts.clone(),
            last_id: self.last_id,
            silences: self.silences.clone(),
            last_silence: self.last_silence,
        }
    }

    /// Applies an effect.
    pub(in crate::grid) fn apply_effect(&mut self, effect: &AlertEffect) {
        match effect {
            AlertEffect::Changed { alert } => self.put(alert),
            AlertEffect::Forgotten { id } => self.forget(*id),
            AlertEffect::Silence { silence } => {
                self.last_silence = self.last_silence.max(silence.id);
                self.silences.insert(silence.id, (**silence).clone());
            }
            AlertEffect::SilenceForgotten { id } => drop(self.silences.remove(id)),
            AlertEffect::Decided(_) => {}
            AlertEffect::LastNumbers { alert, silence } => {
                self.last_id = self.last_id.max(*alert);
                self.last_silence = self.last_silence.max(*silence);
            }
        }
    }

    fn put(&mut self, alert: &Alert) {
        self.unlist(alert.id);
        self.last_id = self.last_id.max(alert.id);
        let origin = (alert.appliance, alert.source);
        let newest = self.newest.entry(origin).or_insert(alert.id);
        *newest = alert.id.max(*newest);
        if let Some(end) = alert.end {
            self.ended.insert((end.at, alert.id));
        }
        if !alert.group.is_empty() {
            self.groups.entry(group_key(alert)).or_default().insert(alert.id);
        }
        self.alerts.insert(alert.id, alert.clone());
    }

    fn forget(&mut self, id: AlertId) {
        self.unlist(id);
        let Some(alert) = self.alerts.remove(&id) else { return };
        let origin = (alert.appliance, alert.source);
        if self.newest.get(&origin) == Some(&id) {
            self.newest.remove(&origin);
        }
    }

    fn unlist(&mut self, id: AlertId) {
        let Some(alert) = self.alerts.get(&id) else { return };
        if let Some(end) = alert.end {
            self.ended.remove(&(end.at, id));
        }
        let key = group_key(alert);
        if let Some(members) = self.groups.get_mut(&key) {
            members.remove(&id);
            if members.is_empty() {
                self.groups.remove(&key);
            }
        }
    }
}

fn group_key(alert: &Alert) -> AlertGroupKey {
    (alert.family().into(), alert.group.clone())
}

impl AlertsSnapshot {
    /// The alerts as effects, in batches: applied to empty ones they give equal ones.
    pub(super) fn into_effects(self) -> impl Iterator<Item = Vec<Effect>> + Send {
        let last = AlertEffect::LastNumbers { alert: self.last_id, silence: self.last_silence };
        let has_any = self.last_id > AlertId(0) || self.last_silence > SilenceId(0);
        let silences = self.silences.into_values().map(|silence| {
            vec![Effect::Alert(AlertEffect::Silence { silence: Box::new(silence) })]
        });
        let alerts = self.alerts.into_chunks().map(|chunk| {
            let changed = chunk.iter().map(|(_, alert)| {
                Effect::Alert(AlertEffect::Changed { alert: Box::new(alert.clone()) })
            });
            changed.collect()
        });
        alerts.chain(silences).chain(has_any.then(|| vec![Effect::Alert(last)]))
    }
}
