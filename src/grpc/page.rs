//! A page of the journal as the contract tells it.
//!
//! Guarantees that records and the numbers that are not there stand in one row, so that whoever
//! breaks off anywhere has heard of everything up to there, and that a page fits into a message
//! that any client takes. Reads nothing itself.

use std::ops::RangeInclusive;

use prost::Message;

use crate::journal::Page;
use crate::wire::proto::{Missing, Record};

/// Most encoded bytes of what a page lists: a gRPC client takes 4 MiB unless told otherwise.
pub(super) const ENCODED_BYTES_MAX: usize = 3 << 20;

/// One thing in the row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry {
    /// A record.
    Record(Box<Record>),
    /// Numbers that are not there.
    Missing(Missing),
}

impl Entry {
    /// The last number that it tells of.
    pub(super) fn last(&self) -> u64 {
        match self {
            Self::Record(record) => record.number,
            Self::Missing(missing) => missing.last,
        }
    }

    fn first(&self) -> u64 {
        match self {
            Self::Record(record) => record.number,
            Self::Missing(missing) => missing.first,
        }
    }
}

/// Numbers that the reader met and found gone, in any order.
pub(super) fn met(page: &Page) -> Vec<Missing> {
    let lost = page.missing.iter().map(|range| missing(range, false));
    lost.chain(page.trimmed.iter().map(|range| missing(range, true))).collect()
}

/// What a page read upwards from `from` does not tell, since the grid log begins behind it.
///
/// `first_kept` is asked for after the page was read: what was read before a trim is not trimmed.
pub(super) fn trimmed_below(page: &Page, from: u64, first_kept: u64) -> Option<Missing> {
    let told = first_told(page).unwrap_or(u64::MAX).min(page.reached.saturating_add(1));
    let from = from.max(1);
    let behind = first_kept.min(told);
    (from < behind).then(|| missing(&(from..=behind - 1), true))
}

/// The same for a page read downwards from `from` to the end.
pub(super) fn trimmed_behind(page: &Page, from: u64, first_kept: u64) -> Option<Missing> {
    let told = first_told(page).unwrap_or(u64::MAX).min(from.saturating_add(1));
    let behind = first_kept.min(told);
    (page.next.is_none() && behind > 1).then(|| missing(&(1..=behind - 1), true))
}

fn first_told(page: &Page) -> Option<u64> {
    let records = page.records.iter().map(|record| record.number);
    let gone = page.missing.iter().chain(&page.trimmed).map(|range| *range.start());
    records.chain(gone).min()
}

fn missing(range: &RangeInclusive<u64>, trimmed: bool) -> Missing {
    Missing { first: *range.start(), last: *range.end(), trimmed }
}

/// Records and what is missing between them, by number.
pub(super) fn row(
    records: Vec<Record>,
    missing: Vec<Missing>,
    is_newest_first: bool,
) -> Vec<Entry> {
    let records = records.into_iter().map(|record| Entry::Record(Box::new(record)));
    let mut row: Vec<_> = records.chain(missing.into_iter().map(Entry::Missing)).collect();
    row.sort_by_key(Entry::first);
    if is_newest_first {
        row.reverse();
    }
    row
}

/// Cuts a row to what a message may hold; gives the number of the first record that was cut off.
pub(super) fn cut(row: &mut Vec<Entry>, most_bytes: usize) -> Option<u64> {
    let mut bytes = 0;
    for (at, entry) in row.iter().enumerate() {
        let Entry::Record(record) = entry else { continue };
        bytes += record.encoded_len() + 5;
        if bytes > most_bytes && at > 0 {
            let next = record.number;
            row.truncate(at);
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

    fn page(missing: &[RangeInclusive<u64>], reached: u64, next: Option<u64>) -> Page {
        Page { records: Vec::new(), next, reached, missing: missing.to_vec(), trimmed: None }
    }

    fn places(row: &[Entry]) -> Vec<(u64, u64)> {
        row.iter().map(|entry| (entry.first(), entry.last())).collect()
    }

    #[test]
    fn what_is_missing_stands_where_it_would_have_been() {
        let missing = met(&page(&[3..=5, 8..=8], 9, None));
        let upwards = row([1, 2, 6, 7, 9].map(record).into(), missing.clone(), false);
        assert_eq!(places(&upwards), [(1, 1), (2, 2), (3, 5), (6, 6), (7, 7), (8, 8), (9, 9)]);
        let downwards = row([9, 7, 6, 2, 1].map(record).into(), missing, true);
        assert_eq!(places(&downwards), [(9, 9), (8, 8), (7, 7), (6, 6), (3, 5), (2, 2), (1, 1)]);
        assert!(upwards.windows(2).all(|two| two[0].last() < two[1].last()), "cursors go on");
    }

    #[test]
    fn what_was_trimmed_before_the_first_kept_record_is_told_and_no_more() {
        let below = |page: &Page, from, first| {
            trimmed_below(page, from, first).map(|it| (it.first, it.last, it.trimmed))
        };
        assert_eq!(below(&page(&[], 30, None), 1, 21), Some((1, 20, true)));
        assert_eq!(below(&page(&[], 30, None), 7, 21), Some((7, 20, true)));
        assert_eq!(below(&page(&[], 30, None), 21, 21), None);
        assert_eq!(below(&page(&[], 30, None), 1, 1), None);
        // Trimmed after it was read.
        assert_eq!(below(&page(&[21..=22], 30, None), 1, 28), Some((1, 20, true)));
        let behind = |page: &Page, from, first| {
            trimmed_behind(page, from, first).map(|it| (it.first, it.last))
        };
        assert_eq!(behind(&page(&[], 21, None), u64::MAX, 21), Some((1, 20)));
        assert_eq!(behind(&page(&[], 6, None), 5, 21), Some((1, 5)));
        assert_eq!(behind(&page(&[], 25, Some(24)), 30, 21), None, "not there yet");
        assert_eq!(behind(&page(&[], 1, None), u64::MAX, 1), None);
    }

    #[test]
    fn a_row_is_cut_before_the_record_that_is_too_much_but_has_one() {
        let size = record(1).encoded_len() + 5;
        let whole = row([1, 2, 6].map(record).into(), vec![lost(3, 5)], false);
        let mut cut_row = whole.clone();
        assert_eq!(cut(&mut cut_row, 2 * size), Some(6));
        assert_eq!(places(&cut_row), [(1, 1), (2, 2), (3, 5)]);
        let mut downwards = row([6, 2, 1].map(record).into(), vec![lost(3, 5)], true);
        assert_eq!(cut(&mut downwards, size), Some(2));
        assert_eq!(places(&downwards), [(6, 6), (3, 5)]);
        let mut one = whole.clone();
        assert_eq!(cut(&mut one, 1), Some(2));
        let mut all = whole.clone();
        assert_eq!(cut(&mut all, 3 * size), None);
        assert_eq!(all, whole);
    }
}
