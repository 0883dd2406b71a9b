//! Defines queries and their results: a filter over headers and summaries, a limit, and a page.
//!
//! Plain values, which do not know files.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use super::record::{BlockSummary, EncodedRecord, RecordHeader};

/// A filter of records; the default matches all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderFilter {
    /// The earliest time, inclusive, in microseconds since the epoch.
    pub since_us: i64,
    /// The latest time, inclusive, in microseconds since the epoch.
    pub until_us: i64,
    /// Bit `n` for severity `n`.
    pub severity_mask: u8,
    /// Bit `n` for kind `n`.
    pub kind_mask: u32,
    /// The appliances by index, 0 for records without one; `None` for any.
    pub appliances: Option<HashSet<u32>>,
}

impl Default for HeaderFilter {
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

impl HeaderFilter {
    /// Whether a record with this header matches.
    pub fn matches(&self, header: &RecordHeader) -> bool {
        (self.since_us..=self.until_us).contains(&header.at_us)
            && self.severity_mask & 1 << header.severity != 0
            && self.kind_mask & 1 << header.kind != 0
            && self
                .appliances
                .as_ref()
                .is_none_or(|appliances| appliances.contains(&header.appliance))
    }

    /// Whether a block with this summary may contain a matching record.
    pub fn may_match(&self, summary: &BlockSummary) -> bool {
        summary.at_us_min <= self.until_us
            && summary.at_us_max >= self.since_us
            && self.severity_mask & summary.severity_mask != 0
            && self.kind_mask & summary.kind_mask != 0
            && self.appliances.as_ref().is_none_or(|appliances| {
                summary.appliances.iter().any(|one| appliances.contains(one))
            })
    }
}

/// The limits of one page; at least one block is read whatever they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit {
    /// The most records on the page.
    pub records: usize,
    /// The most bytes of blocks to read, as they are on the disk.
    pub bytes: u64,
}

/// A page of records, in the order of the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordPage {
    /// The records.
    pub records: Vec<EncodedRecord>,
    /// The `from` of the next page; `None` at the end.
    pub next: Option<u64>,
    /// The last number that was read: a reader that follows the journal continues after it.
    pub reached: u64,
    /// Numbers in between that the journal has lost.
    pub missing: Vec<RangeInclusive<u64>>,
    /// Numbers in between that were trimmed while the page was read.
    pub trimmed: Option<RangeInclusive<u64>>,
}
