//! Joins the results of stretches to a page, in their order.
//!
//! Guarantees that a page ends where its sink is full, that what was found beyond is dropped, and
//! that a gap is named as one even if stretches divided it. Reads nothing.

use std::ops::RangeInclusive;

use super::Sink;
use crate::journal::query::{PageLimit, RecordQuery, ScanStatistics, SearchPage};

/// The page so far.
pub(super) struct MergedStretches<S> {
    pub(super) page: SearchPage<S>,
    count: u64,
    is_newest_first: bool,
}

impl<S: Sink> MergedStretches<S> {
    /// A page without stretches; `origin` is the number before its first.
    pub(super) fn new(query: &RecordQuery, origin: u64, sink: S) -> Self {
        let page = SearchPage {
            found: sink,
            next: None,
            reached: origin,
            missing: Vec::new(),
            trimmed: None,
            statistics: ScanStatistics::default(),
        };
        Self { page, count: 0, is_newest_first: query.is_newest_first }
    }

    /// How many stretches are in it.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Adds the next stretch; returns whether the page ends with it.
    pub(super) fn push(&mut self, later: SearchPage<S>, limit: &PageLimit) -> bool {
        let SearchPage { found, next, reached, missing, trimmed, statistics } = later;
        self.count += 1;
        self.page.statistics.add(statistics);
        (self.page.next, self.page.reached) = (next, reached);
        if let Some(number) = self.page.found.append(found) {
            self.page.next = Some(number);
            self.page.reached = if self.is_newest_first { number + 1 } else { number - 1 };
        }
        let is_reached = |gap: &RangeInclusive<u64>| match (self.page.next, self.is_newest_first) {
            (Some(next), true) => *gap.start() > next,
            (Some(next), false) => *gap.end() < next,
            (None, true | false) => true,
        };
        let missing: Vec<_> = missing.into_iter().filter(is_reached).collect();
        let trimmed = trimmed.filter(is_reached);
        for gap in missing {
            match self.page.missing.last_mut() {
                Some(last) if are_adjacent(last, &gap) => *last = union(last, &gap),
                Some(_) | None => self.page.missing.push(gap),
            }
        }
        if let Some(gap) = trimmed {
            let before = self.page.trimmed.take();
            self.page.trimmed = Some(before.map_or(gap.clone(), |before| union(&before, &gap)));
        }
        self.page.next.is_some()
            || self.page.found.is_full()
            || self.page.statistics.bytes >= limit.bytes
    }
}

fn are_adjacent(one: &RangeInclusive<u64>, other: &RangeInclusive<u64>) -> bool {
    one.end().checked_add(1) == Some(*other.start())
        || other.end().checked_add(1) == Some(*one.start())
}

fn union(one: &RangeInclusive<u64>, other: &RangeInclusive<u64>) -> RangeInclusive<u64> {
    *one.start().min(other.start())..=*one.end().max(other.end())
}
