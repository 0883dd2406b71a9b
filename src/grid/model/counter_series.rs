//! Keeps the last values of an appliance's counters.
//!
//! Guarantees at most [`COUNTERS_MAX`] counters with at most [`COUNTER_VALUES_MAX`] values each, that
//! a new counter replaces the one that was longest without a value, and that storing a sample twice
//! is the same as once: it names its place. Does not know thresholds or records.

use crate::grid::model::threshold::CrossedLimit;
use crate::grid::values::time::Timestamp;

/// The most counters of an appliance.
pub const COUNTERS_MAX: usize = 16;

/// The most values of a counter: a day of one in five minutes.
pub const COUNTER_VALUES_MAX: usize = 288;

/// A value of a counter at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CounterValue {
    /// When the broker received it.
    pub at: Timestamp,
    /// The value, finite.
    pub value: f64,
}

// The value is finite, so equality is reflexive.
impl Eq for CounterValue {}

/// A new value with its place: what a record keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterSample {
    /// The place of its series, below [`COUNTERS_MAX`].
    pub series: usize,
    /// The place of the value in the series, below [`COUNTER_VALUES_MAX`].
    pub position: usize,
    /// The counter's name. A series of another name at that place ends.
    pub name: Box<str>,
    /// The value.
    pub value: CounterValue,
    /// Which limit of its threshold is crossed from now on.
    pub crossed: Option<CrossedLimit>,
}

/// The last values of one counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterSeries {
    name: Box<str>,
    /// A ring: `last` is the place of the newest one.
    values: Vec<CounterValue>,
    last: usize,
    crossed: Option<CrossedLimit>,
}

impl CounterSeries {
    /// The counter's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which limit of its threshold is crossed.
    pub fn crossed(&self) -> Option<CrossedLimit> {
        self.crossed
    }

    /// Its values, oldest first.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = CounterValue> + '_ {
        let (newer, older) = self.values.split_at((self.last + 1).min(self.values.len()));
        older.iter().chain(newer).copied()
    }

    /// Its newest value.
    pub fn newest(&self) -> Option<CounterValue> {
        self.values.get(self.last).copied()
    }
}

/// The counters of an appliance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CounterTable {
    series: Vec<CounterSeries>,
}

impl CounterTable {
    /// The counters, by their places.
    pub fn iter(&self) -> impl Iterator<Item = &CounterSeries> {
        self.series.iter()
    }

    /// The series of that counter.
    pub fn get(&self, name: &str) -> Option<&CounterSeries> {
        self.series.iter().find(|it| &*it.name == name)
    }

    /// Where a value of that counter is to be stored, with what is crossed from now on.
    pub fn sample(
        &self,
        name: &str,
        value: CounterValue,
        crossed: Option<CrossedLimit>,
    ) -> CounterSample {
        let known = self.series.iter().position(|it| &*it.name == name);
        let (series, position) = match known {
            Some(place) => (place, self.next_position(place)),
            None if self.series.len() < COUNTERS_MAX => (self.series.len(), 0),
            None => (self.least_recent(), 0),
        };
        CounterSample { series, position, name: name.into(), value, crossed }
    }

    fn next_position(&self, place: usize) -> usize {
        self.series.get(place).map_or(0, |it| (it.last + 1) % COUNTER_VALUES_MAX)
    }

    fn least_recent(&self) -> usize {
        let newest_of = |it: &CounterSeries| it.newest().map(|it| it.at);
        let places = self.series.iter().enumerate();
        places.min_by_key(|(_, it)| newest_of(it)).map_or(0, |(place, _)| place)
    }

    /// Stores a sample. One whose place is beyond the next free one is stored there: after a loss of
    /// records the series goes on.
    pub fn store(&mut self, sample: CounterSample) {
        let CounterSample { series, position, name, value, crossed } = sample;
        let place = series.min(self.series.len()).min(COUNTERS_MAX - 1);
        let fresh = CounterSeries { name, values: Vec::new(), last: 0, crossed };
        match self.series.get_mut(place) {
            Some(known) if known.name == fresh.name => {}
            Some(other) => *other = fresh,
            None => self.series.push(fresh),
        }
        let Some(series) = self.series.get_mut(place) else { return };
        let position = position.min(series.values.len()).min(COUNTER_VALUES_MAX - 1);
        match series.values.get_mut(position) {
            Some(older) => *older = value,
            None => series.values.push(value),
        }
        series.last = position;
        series.crossed = crossed;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(second: u64, value: f64) -> CounterValue {
        CounterValue { at: Timestamp::EPOCH.after(Duration::from_secs(second)), value }
    }

    fn add(table: &mut CounterTable, name: &str, value: CounterValue) {
        let sample = table.sample(name, value, None);
        table.store(sample.clone());
        let once = table.clone();
        table.store(sample);
        assert_eq!(*table, once, "stored twice is stored once");
    }

    #[test]
    fn the_last_values_are_kept_in_order() {
        let mut table = CounterTable::default();
        for count in [0.0, 1.0, 287.0, 288.0, 1_000.0] {
            let stored =
                table.get("n").and_then(CounterSeries::newest).map_or(0, |it| it.at.as_micros());
            let from = u64::try_from(stored / 1_000_000).expect("is positive");
            for second in from + 1.. {
                add(&mut table, "n", at(second, second as f64));
                if second as f64 >= count {
                    break;
                }
            }
            let values: Vec<f64> =
                table.get("n").expect("is stored").values().map(|it| it.value).collect();
            assert!(values.len() <= COUNTER_VALUES_MAX);
            assert!(values.windows(2).all(|it| it[0] + 1.0 == it[1]), "{values:?}");
            assert_eq!(
                values.last().copied(),
                table.get("n").and_then(CounterSeries::newest).map(|it| it.value)
            );
        }
        assert_eq!(table.get("n").expect("is stored").values().count(), COUNTER_VALUES_MAX);
    }

    #[test]
    fn a_new_counter_replaces_the_one_longest_without_a_value() {
        let mut table = CounterTable::default();
        let name = |it: u64| format!("n{it}");
        (0..16).for_each(|it| add(&mut table, &name(it), at(it, 1.0)));
        add(&mut table, "n0", at(100, 2.0));
        add(&mut table, "new", at(101, 3.0));
        assert!(
            table.get("n1").is_none() && table.get("n0").is_some() && table.get("new").is_some()
        );
        assert_eq!(
            (table.iter().count(), table.get("new").map(|it| it.values().count())),
            (16, Some(1))
        );
    }

    #[test]
    fn a_sample_from_anywhere_is_stored_within_bounds() {
        let mut table = CounterTable::default();
        let (series, position) = (usize::MAX, usize::MAX);
        let value = at(1, 1.0);
        let sample = CounterSample {
            series,
            position,
            name: "n".into(),
            value,
            crossed: Some(CrossedLimit::Above),
        };
        table.store(sample);
        let stored = table.get("n").expect("is stored");
        assert_eq!(
            (stored.values().collect::<Vec<_>>(), stored.crossed()),
            (vec![value], Some(CrossedLimit::Above))
        );
    }
}
