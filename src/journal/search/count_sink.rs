//! Counts the records that a search finds.
//!
//! Guarantees that a block is counted by its summary only where that gives the same counts. Memory:
//! a number per bucket and appliance. Reads nothing.

use std::collections::BTreeMap;

use super::Sink;
use crate::journal::query::{CountBy, RecordCounts, TimeBuckets};
use crate::journal::record::{BlockSummary, RecordHeader};

/// Counts, and by what.
#[derive(Debug)]
pub(in crate::journal) struct CountSink {
    by: CountBy,
    keys_max: usize,
    pub(in crate::journal) counts: RecordCounts,
}

impl CountSink {
    /// Counts up to `keys_max` different keys, and those of one more block.
    pub(in crate::journal) fn new(by: CountBy, keys_max: usize) -> Self {
        Self { by, keys_max, counts: RecordCounts::default() }
    }

    fn add(&mut self, key: i64, records: u64) {
        self.counts.records += records;
        *self.counts.by_key.entry(key).or_default() += records;
    }
}

impl TimeBuckets {
    /// The start of the bucket of a time, in microseconds since the epoch.
    fn start_of(self, at_us: i64) -> i64 {
        let width = self.width_us.max(1);
        let start = at_us.saturating_sub(self.origin_us).div_euclid(width).saturating_mul(width);
        start.saturating_add(self.origin_us)
    }
}

/// The only bit of a mask, as its number.
fn only_bit(mask: u32) -> Option<i64> {
    mask.is_power_of_two().then(|| mask.trailing_zeros().into())
}

impl Sink for CountSink {
    fn empty(&self) -> Self {
        Self::new(self.by, self.keys_max)
    }

    fn push_block(&mut self, records: u64, summary: &BlockSummary) -> bool {
        let key = match self.by {
            CountBy::Time(buckets) => {
                let first = buckets.start_of(summary.at_us_min);
                (first == buckets.start_of(summary.at_us_max)).then_some(first)
            }
            CountBy::Severity => only_bit(summary.severity_mask.into()),
            CountBy::Kind => only_bit(summary.kind_mask),
            CountBy::Appliance => match summary.appliances[..] {
                [appliance] => Some(appliance.into()),
                _ => None,
            },
        };
        if let Some(key) = key {
            self.add(key, records);
        }
        key.is_some()
    }

    fn push(&mut self, _number: u64, header: &RecordHeader, _bytes: &[u8]) {
        let key = match self.by {
            CountBy::Time(buckets) => buckets.start_of(header.at_us),
            CountBy::Severity => header.severity.into(),
            CountBy::Kind => header.kind.into(),
            CountBy::Appliance => header.appliance.into(),
        };
        self.add(key, 1);
    }

    fn is_full(&self) -> bool {
        self.counts.by_key.len() >= self.keys_max
    }

    fn append(&mut self, later: Self) -> Option<u64> {
        self.counts.records += later.counts.records;
        let by_key: BTreeMap<i64, u64> = later.counts.by_key;
        for (key, records) in by_key {
            *self.counts.by_key.entry(key).or_default() += records;
        }
        None
    }
}
