//! What does a reader want, and what does it get?
//!
//! Plain values: a filter over marks and summaries, a budget, a page. They know no files.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use super::record::{EncodedRecord, Mark, Summary};

/// Which records are wanted; the default is all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The earliest time, inclusive, in microseconds since the epoch.
    pub since_us: i64,
    /// The latest time, inclusive, in microseconds since the epoch.
    pub until_us: i64,
    /// Bit `n` for severity `n`.
    pub severity_mask: u8,
    /// Bit `n` for kind `n`.
    pub kind_mask: u32,
    /// The appliances by row number, 0 for records without one; `None` for any.
    pub appliances: Option<HashSet<u32>>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            since_us: i64::MIN,
            until_us: i64::MAX,
            severity_mask: u8::MAX,
            kind_mask: u32::MAX,
            appliances: None,
        }
    }
}

impl Wanted {
    /// Whether a record with this mark is wanted.
    pub fn takes(&self, mark: &Mark) -> bool {
        (self.since_us..=self.until_us).contains(&mark.at_us)
            && self.severity_mask & 1 << mark.severity != 0
            && self.kind_mask & 1 << mark.kind != 0
            && self.appliances.as_ref().is_none_or(|wanted| wanted.contains(&mark.appliance))
    }

    /// Whether a block with this summary may hold a wanted record.
    pub fn may_take(&self, summary: &Summary) -> bool {
        summary.at_us_min <= self.until_us
            && summary.at_us_max >= self.since_us
            && self.severity_mask & summary.severity_mask != 0
            && self.kind_mask & summary.kind_mask != 0
            && self
                .appliances
                .as_ref()
                .is_none_or(|wanted| summary.appliances.iter().any(|one| wanted.contains(one)))
    }
}

/// How much one page may cost; at least one block is looked at whatever it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The most records on the page.
    pub records: usize,
    /// The most bytes of blocks to look at, as they lie on the disk.
    pub bytes: u64,
}

/// A page of records, in the order they were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The records.
    pub records: Vec<EncodedRecord>,
    /// Where to go on, as the next `from`; `None` at the end.
    pub next: Option<u64>,
    /// The last number that was looked at: whoever follows the journal goes on behind it.
    pub reached: u64,
    /// Numbers on the way that the journal does not have any more.
    pub missing: Vec<RangeInclusive<u64>>,
    /// Numbers on the way that were forgotten on purpose while the page was read.
    pub trimmed: Option<RangeInclusive<u64>>,
}
