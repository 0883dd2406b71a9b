//! Defines queries and their results: filters, limits, and pages with what was read for them.
//!
//! Plain values, which do not know files.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::record::{BlockSummary, EncodedRecord, RecordHeader, RecordSlice};

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
        self.includes_time(header.at_us) && self.matches_at_any_time(header)
    }

    /// Whether a record received at that time may match.
    pub fn includes_time(&self, at_us: i64) -> bool {
        (self.since_us..=self.until_us).contains(&at_us)
    }

    /// Whether a record with this header matches, if its time does.
    pub fn matches_at_any_time(&self, header: &RecordHeader) -> bool {
        self.severity_mask & 1 << header.severity != 0
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
                // The shorter list is looked up in the longer one: that of a block is sorted.
                if appliances.len() < summary.appliances.len() / 4 {
                    appliances.iter().any(|one| summary.appliances.binary_search(one).is_ok())
                } else {
                    summary.appliances.iter().any(|one| appliances.contains(one))
                }
            })
    }

    /// Whether every record of a block with this summary matches.
    pub fn matches_all(&self, summary: &BlockSummary) -> bool {
        summary.at_us_min >= self.since_us
            && summary.at_us_max <= self.until_us
            && summary.severity_mask & !self.severity_mask == 0
            && summary.kind_mask & !self.kind_mask == 0
            && self.appliances.as_ref().is_none_or(|appliances| {
                summary.appliances.iter().all(|one| appliances.contains(one))
            })
    }
}

/// A condition on the content of records, of somebody who knows it: the journal does not.
pub trait ContentFilter: Debug + Send + Sync {
    /// Keeps those of `records` that match. They lie in `payload`, in ascending order; `scratch` is
    /// kept from block to block.
    fn retain(&self, payload: &[u8], records: &mut Vec<RecordSlice>, scratch: &mut Vec<u8>);
}

/// A search that may read many blocks for few records.
#[derive(Clone, Debug)]
pub struct RecordQuery {
    /// The condition on headers, by which blocks are skipped.
    pub filter: HeaderFilter,
    /// The condition on the content of what is left.
    pub content: Option<Arc<dyn ContentFilter>>,
    /// The last number that is looked at, if it is durable.
    pub through: u64,
    /// Downwards from the start, else upwards.
    pub is_newest_first: bool,
    /// Once it is true, the search ends with the block that it reads.
    pub stop: Arc<AtomicBool>,
}

/// By what records are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountBy {
    /// By time.
    Time(TimeBuckets),
    /// By the number of the severity.
    Severity,
    /// By the number of the kind.
    Kind,
    /// By the index of the appliance; 0 for records without one.
    Appliance,
}

/// Times of equal length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeBuckets {
    /// Where one of them begins, in microseconds since the epoch.
    pub origin_us: i64,
    /// How long each is, in microseconds, 1 at least.
    pub width_us: i64,
}

/// How many records were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// All.
    pub records: u64,
    /// By the start of the bucket, by the number or by the index: see [`CountBy`].
    pub by_key: BTreeMap<i64, u64>,
}

/// What was read for a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanStatistics {
    /// Blocks whose records were examined.
    pub blocks: u64,
    /// Blocks that were skipped since their summary or an index tells that nothing in them matches.
    pub blocks_skipped: u64,
    /// Records in the blocks that were examined.
    pub records: u64,
    /// Bytes of the blocks that were read, as they are on the disk.
    pub bytes: u64,
}

impl ScanStatistics {
    /// Adds what was read for another part.
    pub fn add(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.blocks_skipped += other.blocks_skipped;
        self.records += other.records;
        self.bytes += other.bytes;
    }
}

/// The result of a search: `T` is what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPage<T> {
    /// What was found.
    pub found: T,
    /// The `from` of the next page; `None` at the end.
    pub next: Option<u64>,
    /// The last number that was examined.
    pub reached: u64,
    /// Numbers in between that the journal has lost.
    pub missing: Vec<RangeInclusive<u64>>,
    /// Numbers in between that were trimmed while the page was read.
    pub trimmed: Option<RangeInclusive<u64>>,
    /// What was read for it.
    pub statistics: ScanStatistics,
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
