//! Finds by the indexes of sealed segments where a search goes on, without reading a record.
//!
//! Guarantees that no number is skipped whose record may match, and none that is missing, trimmed,
//! or not sealed: those are answered with themselves, so that the reader finds out what they are.
//! A segment is skipped as a whole where its times, masks or appliances allow. Memory: the totals
//! of each segment that was searched, at most 32 KiB. Does not read blocks of records.

use std::fs::File;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::Archive;
use crate::journal::archive::pack::INDEX;
use crate::journal::archive::segment_index::SegmentTotals;
use crate::journal::error::JournalError;
use crate::journal::query::HeaderFilter;

/// Bytes read for the totals of a segment: the map of appliances has 32 KiB at most.
const TOTALS_BYTES_MAX: usize = 33 << 10;

/// How the search goes on in a segment.
enum Step {
    /// At this number.
    Candidate(u64),
    /// At the next number beyond the range that was searched.
    Beyond,
}

impl Archive {
    /// The nearest number at or beyond `from`, downwards if `descending`, whose record may match by
    /// the indexes; `None` if there is none down to number 1. Beyond `until` nothing is looked at:
    /// then the answer is any number beyond it.
    pub(in crate::journal) fn next_candidate(
        &self,
        from: u64,
        filter: &HeaderFilter,
        descending: bool,
        until: u64,
    ) -> Result<Option<u64>, JournalError> {
        let mut number = from;
        let is_beyond = |number: u64| if descending { number < until } else { number > until };
        while !is_beyond(number)
            && let Some((first, present)) = self.present_range_with(number)
        {
            match self.step(first, number, &present, filter, descending) {
                Ok(Step::Candidate(found)) => return Ok(Some(found)),
                Err(error @ JournalError::Closed { .. }) => return Err(error),
                // The reader meets it at this number: damage is repaired, and what the commit log has
                // is read there.
                Err(_) => return Ok(Some(number)),
                Ok(Step::Beyond) if !descending => number = *present.end() + 1,
                Ok(Step::Beyond) => match present.start() - 1 {
                    0 => return Ok(None),
                    below => number = below,
                },
            }
        }
        Ok(Some(number))
    }

    /// The blocks of a sealed segment, as its index describes them.
    #[cfg(test)]
    pub(in crate::journal) fn indexed_blocks(
        &self,
        first: u64,
    ) -> Result<Vec<crate::journal::archive::segment_index::IndexedBlock>, JournalError> {
        Ok(self.block_index(first)?.blocks().to_vec())
    }

    /// The segment with `number`, and the range of present numbers around it.
    fn present_range_with(&self, number: u64) -> Option<(u64, RangeInclusive<u64>)> {
        let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        let (first, segment) = sealed.range(..=number).next_back()?;
        let mut present = segment.seal.present_ranges(*first).into_iter();
        present.find(|range| range.contains(&number)).map(|range| (*first, range))
    }

    fn step(
        &self,
        first: u64,
        number: u64,
        present: &RangeInclusive<u64>,
        filter: &HeaderFilter,
        descending: bool,
    ) -> Result<Step, JournalError> {
        if self.is_skipped(first, filter) {
            return Ok(Step::Beyond);
        }
        let index = self.block_index(first)?;
        let Some(at) = index.position(number) else { return Ok(Step::Candidate(number)) };
        let Some(found) = index.next_candidate(at, filter, descending) else {
            return Ok(Step::Beyond);
        };
        let block = &index.blocks()[found];
        let candidate = if descending { block.last.min(number) } else { block.first.max(number) };
        let is_present = present.contains(&candidate);
        Ok(if is_present { Step::Candidate(candidate) } else { Step::Beyond })
    }

    /// Whether a segment has an index by which no record in it matches.
    fn is_skipped(&self, first: u64, filter: &HeaderFilter) -> bool {
        let totals = {
            let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
            sealed.get(&first).map(|segment| Arc::clone(&segment.totals))
        };
        let read = || {
            let bytes = read_totals(&self.segment_path(first)).ok()?;
            SegmentTotals::decode(&bytes.into(), self.journal, first).ok()
        };
        totals.is_some_and(|totals| {
            totals.get_or_init(read).as_ref().is_some_and(|totals| !totals.may_match(filter))
        })
    }
}

fn read_totals(segment: &Path) -> std::io::Result<Vec<u8>> {
    let index = File::open(segment.join(INDEX))?;
    let mut bytes = vec![0; TOTALS_BYTES_MAX];
    let mut read = 0;
    while read < bytes.len() {
        match index.read_at(&mut bytes[read..], read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    bytes.truncate(read);
    Ok(bytes)
}
