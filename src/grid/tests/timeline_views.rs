//! Reads a timeline: the state of DB1, its alerts, and the last record.

use super::super::explain;
use super::driver::*;
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::input::Input;
use crate::grid::log::record::Record;
use crate::grid::model::finding::{Finding, FindingKind};
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::state::appliance::Appliance;
use crate::grid::values::event::Severity;
use crate::grid::values::time::Timestamp;

impl Timeline {
    pub(super) fn db1(&self) -> &Appliance {
        self.grid().state().appliance(DB1).expect("db1 is there")
    }

    /// The label of DB1's state.
    pub(super) fn state(&self) -> &'static str {
        self.db1().lifecycle.as_str()
    }

    /// The label of DB1's failure; empty: it did not fail.
    pub(super) fn failure(&self) -> &'static str {
        match &self.db1().lifecycle {
            Lifecycle::Failed(failed) => failed.failure.as_str(),
            Lifecycle::Idle
            | Lifecycle::Starting { .. }
            | Lifecycle::Maintenance(_)
            | Lifecycle::Running
            | Lifecycle::Dumping { .. } => "",
        }
    }

    /// DB1's deadline, in seconds after the beginning.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.db1().lifecycle.deadline().map(|deadline| deadline.since(at(0)).as_secs())
    }

    /// Since when DB1 is in its state, in seconds after the beginning.
    pub(super) fn since(&self) -> u64 {
        self.db1().since.since(at(0)).as_secs()
    }

    pub(super) fn alert(&self, kind: FindingKind) -> Option<&Finding> {
        self.grid().state().finding(Some(DB1), kind)
    }

    /// The severity of an open alert of DB1.
    pub(super) fn severity(&self, kind: FindingKind) -> Option<Severity> {
        self.alert(kind).map(|alert| alert.severity)
    }

    /// The text of an open alert of DB1; empty: it is not open.
    pub(super) fn text(&self, kind: FindingKind) -> &str {
        self.alert(kind).map_or("", |alert| &alert.text)
    }

    pub(super) fn is_open(&self, kind: FindingKind) -> bool {
        self.alert(kind).is_some()
    }

    /// What the last record changed, besides what it cost.
    pub(super) fn changes(&self) -> Vec<Effect> {
        let effects = self.last().effects.iter();
        effects
            .filter(|effect| {
                !matches!(effect.of_appliance(), Some(ApplianceEffect::RateLimitState { .. }))
            })
            .cloned()
            .collect()
    }

    /// The description of the last record that is no tally; times as seconds after the beginning.
    pub(super) fn description(&self) -> String {
        let clock = |moment: Timestamp| format!("+{} s", moment.since(at(0)).as_secs());
        let last = self.records.iter().rfind(|record| record.input != Input::Tally);
        last.map_or_else(String::new, |last| explain::describe_record(last).render(clock))
    }

    /// The last record.
    pub(super) fn last(&self) -> &Record {
        self.records.last().expect("something was recorded")
    }
}
