//! Reads one stretch of a search.
//!
//! Guarantees that every number of the stretch up to `reached` is examined, skipped by a summary, or
//! named as missing or trimmed. Unpacks blocks one after the other into one buffer. Does not know
//! other stretches.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{Search, Sink};
use crate::journal::error::JournalError;
use crate::journal::frame::{Block, BlockContent, Unpacker};
use crate::journal::query::{ScanStatistics, SearchPage};
use crate::journal::reader::Lookup;
use crate::journal::record::{BlockSummary, RecordSlice, locate_records};

/// Consecutive numbers that one thread reads, from one end to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) first: u64,
    pub(super) last: u64,
}

/// Reads stretches, with buffers that are kept.
pub(super) struct StretchReader<'a> {
    search: &'a Arc<Search>,
    /// The next block is read even if the search was stopped: each page gets further.
    must_read: bool,
    unpacker: Unpacker,
    scratch: Vec<u8>,
    records: Vec<RecordSlice>,
}

impl<'a> StretchReader<'a> {
    /// `is_first`: it reads the begin of the page.
    pub(super) fn new(search: &'a Arc<Search>, is_first: bool) -> Self {
        Self {
            search,
            must_read: is_first,
            unpacker: Unpacker::default(),
            scratch: Vec::new(),
            records: Vec::new(),
        }
    }

    /// Reads `stretch`, until the sink is full or the search ends.
    pub(super) fn read<S: Sink>(
        &mut self,
        stretch: &Stretch,
        sink: S,
    ) -> Result<SearchPage<S>, JournalError> {
        let is_newest_first = self.search.query.is_newest_first;
        let mut rest = Rest { first: stretch.first, last: stretch.last, is_newest_first };
        let reached = rest.before();
        let statistics = ScanStatistics::default();
        let (missing, trimmed) = (Vec::new(), None);
        let mut page =
            SearchPage { found: sink, next: None, reached, missing, trimmed, statistics };
        while !rest.is_empty() {
            let number = rest.next();
            if self.should_end(&page) {
                page.next = Some(number);
                break;
            }
            self.skip_by_index(&mut rest)?;
            if rest.is_empty() || rest.next() != number {
                page.reached = rest.before();
                continue;
            }
            match self.search.reader.lookup(number)? {
                Lookup::Blocks(blocks) => {
                    self.read_blocks(&blocks, &mut rest, &mut page)?;
                    if page.next.is_some() {
                        return Ok(page);
                    }
                }
                Lookup::Gap => self.skip_gap(&mut rest, &mut page),
            }
            page.reached = rest.before();
        }
        Ok(page)
    }

    /// Passes the numbers in which nothing matches by the indexes of the archive.
    fn skip_by_index(&self, rest: &mut Rest) -> Result<(), JournalError> {
        let Search { reader, query, .. } = &**self.search;
        let number = rest.next();
        let until = if query.is_newest_first { rest.first } else { rest.last };
        let is_descending = query.is_newest_first;
        let candidate = reader.next_candidate(number, &query.filter, is_descending, until)?;
        let skipped_through = match (candidate, query.is_newest_first) {
            (Some(candidate), _) if candidate == number => return Ok(()),
            (Some(candidate), false) => rest.last.min(candidate - 1),
            (Some(candidate), true) => rest.first.max(candidate + 1),
            (None, false) => rest.last,
            (None, true) => rest.first,
        };
        rest.pass(skipped_through);
        Ok(())
    }

    fn should_end<S: Sink>(&self, page: &SearchPage<S>) -> bool {
        !self.must_read
            && (page.found.is_full()
                || page.statistics.bytes >= self.search.limit.bytes
                || self.search.is_stopped())
    }

    fn read_blocks<S: Sink>(
        &mut self,
        blocks: &[Block],
        rest: &mut Rest,
        page: &mut SearchPage<S>,
    ) -> Result<(), JournalError> {
        let count = blocks.len();
        for at in 0..count {
            let block = &blocks[if rest.is_newest_first { count - 1 - at } else { at }];
            let info = &block.header.info;
            let within = info.first.max(rest.first)..=info.last().min(rest.last);
            if rest.is_empty() || within.is_empty() || !within.contains(&rest.next()) {
                continue;
            }
            if at > 0 && self.should_end(page) {
                return Ok(());
            }
            self.must_read = false;
            page.statistics.bytes += block.header.block_bytes() as u64;
            if let Some(last_taken) = self.read_block(block, &within, page)? {
                page.reached = last_taken;
                rest.pass(last_taken);
                page.next = (!rest.is_empty()).then(|| rest.next());
                return Ok(());
            }
            rest.pass(if rest.is_newest_first { *within.start() } else { *within.end() });
            page.reached = rest.before();
        }
        Ok(())
    }

    /// Reads the records of `within`; returns the number of the last record that the full sink took.
    fn read_block<S: Sink>(
        &mut self,
        block: &Block,
        within: &RangeInclusive<u64>,
        page: &mut SearchPage<S>,
    ) -> Result<Option<u64>, JournalError> {
        let query = &self.search.query;
        let info = &block.header.info;
        // A summary that can't be decoded only costs reading the block.
        let summary = match info.content {
            BlockContent::Records => BlockSummary::decode(&block.summary),
            BlockContent::Commit
            | BlockContent::Checkpoint
            | BlockContent::Seal
            | BlockContent::CheckpointEnd
            | BlockContent::StreamHead
            | BlockContent::StreamEnd
            | BlockContent::Attachment
            | BlockContent::SegmentIndex => None,
        };
        if let Some(summary) = &summary {
            if !query.filter.may_match(summary) {
                page.statistics.blocks_skipped += 1;
                return Ok(None);
            }
            let is_whole = (*within.start(), *within.end()) == (info.first, info.last());
            if is_whole
                && query.content.is_none()
                && query.filter.matches_all(summary)
                && page.found.push_block(info.count.into(), summary)
            {
                page.statistics.blocks_skipped += 1;
                return Ok(None);
            }
        }
        page.statistics.blocks += 1;
        page.statistics.records += within.end() - within.start() + 1;
        let unreadable = |source| JournalError::Unreadable { number: info.first, source };
        let payload = self.unpacker.payload(block).map_err(unreadable)?;
        let filter = &query.filter;
        let is_wanted =
            |number: u64, header: &_| within.contains(&number) && filter.matches(header);
        locate_records(info, payload, is_wanted, &mut self.records).map_err(unreadable)?;
        if let Some(content) = query.content.as_ref().filter(|_| !self.records.is_empty()) {
            content.retain(payload, &mut self.records, &mut self.scratch);
        }
        if query.is_newest_first {
            self.records.reverse();
        }
        for record in &self.records {
            page.found.push(record.number, &record.header, &payload[record.range.clone()]);
            if page.found.is_full() {
                return Ok(Some(record.number));
            }
        }
        Ok(None)
    }

    /// Skips numbers without records, and names them.
    fn skip_gap<S>(&mut self, rest: &mut Rest, page: &mut SearchPage<S>) {
        let reader = &self.search.reader;
        let (number, trimmed) = (rest.next(), reader.trimmed_through());
        let gap = if number <= trimmed {
            let gap = if rest.is_newest_first {
                rest.first..=number
            } else {
                number..=trimmed.min(rest.last)
            };
            page.trimmed = Some(gap.clone());
            gap
        } else if rest.is_newest_first {
            let least = rest.first.max(trimmed + 1);
            let after = reader.at_or_below(number).map_or(least, |it| it + 1).max(least);
            after..=number
        } else {
            let beyond = rest.last + 1;
            number..=reader.at_or_above(number).unwrap_or(beyond).min(beyond) - 1
        };
        // A number that was found meanwhile is no gap.
        if gap.is_empty() {
            return;
        }
        if number > trimmed {
            page.missing.push(gap.clone());
        }
        rest.pass(if rest.is_newest_first { *gap.start() } else { *gap.end() });
    }
}

/// The numbers that are still to be read.
struct Rest {
    first: u64,
    last: u64,
    is_newest_first: bool,
}

impl Rest {
    fn is_empty(&self) -> bool {
        self.first > self.last
    }

    fn next(&self) -> u64 {
        if self.is_newest_first { self.last } else { self.first }
    }

    /// The number before the next one, in the order of the search.
    fn before(&self) -> u64 {
        if self.is_newest_first {
            self.last.saturating_add(1)
        } else {
            self.first.saturating_sub(1)
        }
    }

    /// Removes the numbers up to this one.
    fn pass(&mut self, number: u64) {
        if self.is_newest_first {
            // Numbers begin with 1, so that none is below 0.
            self.last = number.saturating_sub(1);
        } else {
            self.first = number.saturating_add(1);
        }
    }
}
