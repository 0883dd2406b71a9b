//! Merges records and gaps of the journal into pages of the contract.
//!
//! Guarantees that records and gaps are in one sequence, so that a client that stops anywhere has
//! everything up to there, and that a page fits into a message that any client accepts. Reads nothing
//! itself.

use std::ops::RangeInclusive;
use std::time::Duration;

use prost::Message as _;

use crate::contract::proto::tail_records_response::Message;
use crate::contract::proto::{Missing, PageScan, Record};
use crate::journal::{RecordPage, ScanStatistics};

/// Most encoded bytes of a page's items: a gRPC client accepts 4 MiB by default.
pub(super) const ENCODED_BYTES_MAX: usize = 3 << 20;

/// One item of a page.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PageItem {
    /// A record.
    Record(Box<Record>),
    /// Numbers without records.
    Missing(Missing),
}

impl PageItem {
    /// The last number it covers.
    pub(super) fn last(&self) -> u64 {
        match self {
            Self::Record(record) => record.number,
            Self::Missing(missing) => missing.last,
        }
    }

    /// As a message of a tail.
    pub(super) fn into_message(self) -> Message {
        match self {
            Self::Record(record) => Message::Record(*record),
            Self::Missing(missing) => Message::Missing(missing),
        }
    }

    fn first(&self) -> u64 {
        match self {
            Self::Record(record) => record.number,
            Self::Missing(missing) => missing.first,
        }
    }
}

/// Gaps that the reader found, in any order.
pub(super) fn skipped_gaps(page: &RecordPage) -> Vec<Missing> {
    let lost = page.missing.iter().map(|range| missing(range, false));
    lost.chain(page.trimmed.iter().map(|range| missing(range, true))).collect()
}

/// The gap before a page read upwards from `from`, if the grid log starts after `from`.
///
/// `first_kept` is determined after the page was read: a record read before a trim is not in a gap.
pub(super) fn trimmed_before_ascending(
    page: &RecordPage,
    from: u64,
    first_kept: u64,
) -> Option<Missing> {
    let first = first_number(page).unwrap_or(u64::MAX).min(page.reached.saturating_add(1));
    let from = from.max(1);
    let behind = first_kept.min(first);
    (from < behind).then(|| missing(&(from..=behind - 1), true))
}

/// The same for a page read downwards from `from` to the end of the pages.
pub(super) fn trimmed_before_descending(
    page: &RecordPage,
    from: u64,
    first_kept: u64,
) -> Option<Missing> {
    let first = first_number(page).unwrap_or(u64::MAX).min(from.saturating_add(1));
    let behind = first_kept.min(first);
    (page.next.is_none() && behind > 1).then(|| missing(&(1..=behind - 1), true))
}

/// The numbers of a page, in the order in which it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct PagedRange {
    /// Where it began.
    pub(super) from: u64,
    /// Where it ended.
    pub(super) reached: u64,
    /// It was read downwards.
    pub(super) is_newest_first: bool,
}

/// What was read for a page, for the client.
pub(super) fn scan_statistics(range: PagedRange, read: ScanStatistics, took: Duration) -> PageScan {
    let PagedRange { from, reached, is_newest_first } = range;
    let ScanStatistics { blocks, blocks_skipped, records, bytes } = read;
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let (first, last) = if is_newest_first { (reached, from) } else { (from.max(1), reached) };
    PageScan { first, last, records, blocks, blocks_skipped, bytes, took_us }
}

fn first_number(page: &RecordPage) -> Option<u64> {
    let records = page.records.iter().map(|record| record.number);
    let gaps = page.missing.iter().chain(&page.trimmed).map(|range| *range.start());
    records.chain(gaps).min()
}

fn missing(range: &RangeInclusive<u64>, trimmed: bool) -> Missing {
    Missing { first: *range.start(), last: *range.end(), trimmed }
}

/// Merges records and the gaps between them, by number.
pub(super) fn merge(
    records: Vec<Record>,
    missing: Vec<Missing>,
    is_newest_first: bool,
) -> Vec<PageItem> {
    let records = records.into_iter().map(|record| PageItem::Record(Box::new(record)));
    let mut items: Vec<_> = records.chain(missing.into_iter().map(PageItem::Missing)).collect();
    items.sort_by_key(PageItem::first);
    if is_newest_first {
        items.reverse();
    }
    items
}

/// Truncates items to the size of a message; returns the number of the first record removed.
pub(super) fn truncate(items: &mut Vec<PageItem>, most_bytes: usize) -> Option<u64> {
    let mut bytes = 0;
    for (at, item) in items.iter().enumerate() {
        let PageItem::Record(record) = item else { continue };
        bytes += record.encoded_len() + 5;
        if bytes > most_bytes && at > 0 {
            let next = record.number;
            items.truncate(at);
            return Some(next);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64) -> Record {
        Record { number, text: "x".repeat(95), ..Record::default() }
    }

    fn lost(first: u64, last: u64) -> Missing {
        Missing { first, last, trimmed: false }
    }

    fn page(missing: &[RangeInclusive<u64>], reached: u64, next: Option<u64>) -> RecordPage {
        RecordPage { records: Vec::new(), next, reached, missing: missing.to_vec(), trimmed: None }
    }

    fn ranges(items: &[PageItem]) -> Vec<(u64, u64)> {
        items.iter().map(|item| (item.first(), item.last())).collect()
    }

    #[test]
    fn gaps_are_listed_where_their_records_would_be() {
        let missing = skipped_gaps(&page(&[3..=5, 8..=8], 9, None));
        let upwards = merge([1, 2, 6, 7, 9].map(record).into(), missing.clone(), false);
        assert_eq!(ranges(&upwards), [(1, 1), (2, 2), (3, 5), (6, 6), (7, 7), (8, 8), (9, 9)]);
        let downwards = merge([9, 7, 6, 2, 1].map(record).into(), missing, true);
        assert_eq!(ranges(&downwards), [(9, 9), (8, 8), (7, 7), (6, 6), (3, 5), (2, 2), (1, 1)]);
        assert!(upwards.windows(2).all(|two| two[0].last() < two[1].last()), "cursors increase");
    }

    #[test]
    fn records_trimmed_before_the_first_are_listed_and_no_others() {
        let below = |page: &RecordPage, from, first| {
            trimmed_before_ascending(page, from, first).map(|it| (it.first, it.last, it.trimmed))
        };
        assert_eq!(below(&page(&[], 30, None), 1, 21), Some((1, 20, true)));
        assert_eq!(below(&page(&[], 30, None), 7, 21), Some((7, 20, true)));
        assert_eq!(below(&page(&[], 30, None), 21, 21), None);
        assert_eq!(below(&page(&[], 30, None), 1, 1), None);
        // Trimmed after the page was read.
        assert_eq!(below(&page(&[21..=22], 30, None), 1, 28), Some((1, 20, true)));
        let behind = |page: &RecordPage, from, first| {
            trimmed_before_descending(page, from, first).map(|it| (it.first, it.last))
        };
        assert_eq!(behind(&page(&[], 21, None), u64::MAX, 21), Some((1, 20)));
        assert_eq!(behind(&page(&[], 6, None), 5, 21), Some((1, 5)));
        assert_eq!(behind(&page(&[], 25, Some(24)), 30, 21), None, "not there yet");
        assert_eq!(behind(&page(&[], 1, None), u64::MAX, 1), None);
    }

    #[test]
    fn a_page_is_truncated_before_the_record_that_exceeds_it_but_is_not_empty() {
        let size = record(1).encoded_len() + 5;
        let whole = merge([1, 2, 6].map(record).into(), vec![lost(3, 5)], false);
        let mut truncated = whole.clone();
        assert_eq!(truncate(&mut truncated, 2 * size), Some(6));
        assert_eq!(ranges(&truncated), [(1, 1), (2, 2), (3, 5)]);
        let mut downwards = merge([6, 2, 1].map(record).into(), vec![lost(3, 5)], true);
        assert_eq!(truncate(&mut downwards, size), Some(2));
        assert_eq!(ranges(&downwards), [(6, 6), (3, 5)]);
        let mut one = whole.clone();
        assert_eq!(truncate(&mut one, 1), Some(2));
        let mut all = whole.clone();
        assert_eq!(truncate(&mut all, 3 * size), None);
        assert_eq!(all, whole);
    }
}
