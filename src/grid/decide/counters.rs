//! Decides what a new value of a counter changes: its series, and whether a threshold is crossed.
//!
//! Guarantees that a counter without a threshold is kept and crosses nothing, and that the sample to
//! store says what is crossed from now on, so that replay asks no threshold. Pure. Does not open or
//! resolve alerts.

use std::collections::BTreeMap;

use crate::grid::model::counter_series::{CounterSample, CounterTable, CounterValue};
use crate::grid::model::threshold::{CrossedLimit, Threshold, ThresholdChange};
use crate::grid::values::event::{Counter, Severity};
use crate::grid::values::time::Timestamp;

/// The thresholds of a class by the names of counters.
pub type Thresholds = BTreeMap<Box<str>, Threshold>;

/// What a new value changes.
#[derive(Clone, Debug, PartialEq)]
pub struct CounterDecision {
    /// What is to be stored.
    pub sample: CounterSample,
    /// What happens to the alert of the counter; `None`: nothing.
    pub crossing: Option<Crossing>,
}

/// What happens to the alert of a counter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Crossing {
    /// It opens, or goes on for another limit.
    Opens {
        /// Which limit is crossed.
        crossed: CrossedLimit,
        /// The value of the limit; `None` never with a threshold of the settings.
        limit: Option<f64>,
        /// The severity.
        severity: Severity,
    },
    /// It is over.
    Resolves,
}

/// Decides on the values of counters received at `now`, in their order.
pub fn crossings(
    table: &CounterTable,
    thresholds: &Thresholds,
    received: &[Counter],
    now: Timestamp,
) -> Vec<CounterDecision> {
    let mut table = table.clone();
    let mut decisions = Vec::with_capacity(received.len());
    for counter in received {
        let decision = decide_counter(&table, thresholds.get(counter.name()), counter, now);
        table.store(decision.sample.clone());
        decisions.push(decision);
    }
    decisions
}

fn decide_counter(
    table: &CounterTable,
    threshold: Option<&Threshold>,
    counter: &Counter,
    now: Timestamp,
) -> CounterDecision {
    let before = table.get(counter.name()).and_then(|it| it.crossed());
    let change = match (threshold, before) {
        (Some(threshold), before) => threshold.change(before, counter.value()),
        // The settings have lost the threshold: nothing else would end its alert.
        (None, Some(_)) => ThresholdChange::Cleared,
        (None, None) => ThresholdChange::Unchanged,
    };
    let (crossed, crossing) = match change {
        ThresholdChange::Crossed(crossed) => {
            let limit = threshold.and_then(|it| it.limit(crossed));
            let severity = threshold.map_or(Severity::Warn, Threshold::severity);
            (Some(crossed), Some(Crossing::Opens { crossed, limit, severity }))
        }
        ThresholdChange::Cleared => (None, Some(Crossing::Resolves)),
        ThresholdChange::Unchanged => (before, None),
    };
    let value = CounterValue { at: now, value: counter.value() };
    CounterDecision { sample: table.sample(counter.name(), value, crossed), crossing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::model::threshold::ThresholdKeys;

    fn changes(
        thresholds: &Thresholds,
        table: &mut CounterTable,
        values: &[f64],
    ) -> Vec<Option<bool>> {
        let received: Vec<_> = values.iter().filter_map(|it| Counter::new("n", *it)).collect();
        let decisions = crossings(table, thresholds, &received, Timestamp::EPOCH);
        let opens = |it: Crossing| {
            matches!(it, Crossing::Opens { limit: Some(_), severity: Severity::Warn, .. })
        };
        let changes = decisions.iter().map(|it| it.crossing.map(opens)).collect();
        decisions.into_iter().for_each(|it| table.store(it.sample));
        changes
    }

    #[test]
    fn an_alert_opens_once_and_resolves_once() {
        let keys = ThresholdKeys { above: Some(10.0), ..ThresholdKeys::default() };
        let threshold = Threshold::new(keys).expect("is valid");
        let thresholds = Thresholds::from([("n".into(), threshold)]);
        let mut table = CounterTable::default();
        let all = changes(&thresholds, &mut table, &[5.0, 11.0, 12.0, 9.9, 9.5, 9.0]);
        assert_eq!(all, [None, Some(true), None, None, Some(false), None]);
        assert_eq!(table.get("n").map(|it| it.values().count()), Some(6));
        assert_eq!(
            changes(&thresholds, &mut table, &[11.0]),
            [Some(true)],
            "the state is in the table"
        );
        assert_eq!(changes(&Thresholds::new(), &mut table, &[11.0, 11.0]), [Some(false), None]);
    }

    #[test]
    fn a_counter_without_a_threshold_is_only_kept() {
        let mut table = CounterTable::default();
        assert_eq!(changes(&Thresholds::new(), &mut table, &[1.0, 1e9]), [None, None]);
        assert_eq!(table.get("n").map(|it| it.values().count()), Some(2));
    }
}
