//! Repairs a sealed segment that can't be read.
//!
//! Renames it and scans it for intact blocks, without sled. What is found, and what the commit log
//! still has, becomes a new segment in its place; the rest is reported missing. Guarantees that
//! nothing is deleted, that an interrupted repair starts again, and that one reader at a time
//! repairs. Memory is bounded: a location per block, not the blocks. Does not know the content of a
//! record.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use super::archiver::encode_block;
use super::seal::{self, Seal};
use super::{Archive, SealedSegment};
use crate::journal::archive::block_index::BlockIndex;
use crate::journal::archive::segment::Segment;
use crate::journal::commit_log::LogFiles;
use crate::journal::disk;
use crate::journal::error::JournalError;
use crate::journal::frame::{Block, BlockInfo};
use crate::journal::record::{EncodedRecord, records_in_block};

/// Limits of a block of records from the commit log: its records, and its bytes before compression.
const RECORDS_PER_BLOCK: usize = 64;
const BYTES_PER_BLOCK: usize = 13 << 10;

impl Archive {
    /// Makes the sealed segment around `number` readable again as far as possible.
    pub(in crate::journal) fn repair(
        &self,
        number: u64,
        error: &JournalError,
        log: &LogFiles,
    ) -> Result<(), JournalError> {
        let is_closed = self.repair_lock.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_closed {
            return Err(JournalError::Closed { path: self.folder.clone() });
        }
        // Another reader may have repaired it meanwhile, or it may have been trimmed.
        let Some(first) = self.sealed_segment_with(number) else { return Ok(()) };
        if self.sealed_block(first, number).is_ok() {
            return Ok(());
        }
        tracing::error!(
            error = error as &dyn std::error::Error,
            "a segment is damaged: salvaging it"
        );
        self.close_segment(first);
        let old_seal = {
            let segments = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
            segments.get(&first).map(|segment| segment.seal.clone())
        };
        let Some(old_seal) = old_seal else { return Ok(()) };
        let path = self.segment_path(first);
        let damaged = path.with_added_extension("damaged");
        // While the segment itself is not there, the damaged folder is all there is of it.
        if path.exists() {
            // An older damaged folder has nothing that was not salvaged then.
            let _ = fs::remove_dir_all(&damaged);
            disk::rename(&path, &damaged)?;
        }
        let numbers = first..=old_seal.last;
        let index = BlockIndex::scan(&damaged, self.journal, &numbers, &self.is_closing)?;
        let rebuilt = self.rebuild(&index, first, &old_seal, log)?;
        let present =
            rebuilt.as_ref().map_or_else(Vec::new, |segment| segment.seal.present_ranges(first));
        let lost = difference(&old_seal.present_ranges(first), &present);
        {
            let mut segments = self.sealed.write().unwrap_or_else(PoisonError::into_inner);
            match rebuilt {
                Some(segment) => drop(segments.insert(first, segment)),
                None => drop(segments.remove(&first)),
            }
        }
        let blocks = index.blocks().count();
        tracing::error!(blocks, lost_records = ?lost, path = %damaged.display(), "a segment was salvaged");
        self.lost_ranges.lock().unwrap_or_else(PoisonError::into_inner).extend(lost);
        Ok(())
    }

    /// The ranges that repairs found missing since the last call.
    pub(in crate::journal) fn take_newly_lost(&self) -> Vec<RangeInclusive<u64>> {
        std::mem::take(&mut *self.lost_ranges.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Builds the new segment; `None` if nothing is left of it.
    fn rebuild(
        &self,
        index: &BlockIndex,
        first: u64,
        old_seal: &Seal,
        log: &LogFiles,
    ) -> Result<Option<SealedSegment>, JournalError> {
        let path = self.segment_path(first);
        let new_path = path.with_added_extension("rebuilt");
        let _ = fs::remove_dir_all(&new_path);
        disk::create_folder(&new_path)?;
        let segment = Segment::open(new_path.clone())?;
        let mut builder =
            SegmentBuilder { archive: self, segment: &segment, next: first, gaps: Vec::new() };
        for numbers in index.blocks() {
            let number = *numbers.start();
            // A block that overlaps with the previous one is from an older build of the segment.
            let bytes = index.bytes_at(number)?.filter(|_| number >= builder.next);
            let Some((bytes, block)) =
                bytes.and_then(|it| Some((it.clone(), Block::parse(&it).ok()?)))
            else {
                continue;
            };
            if records_in_block(&block).is_ok() {
                builder.copy_from_log(number - 1, log)?;
                builder.push_block(block.header.info, &bytes)?;
            }
        }
        builder.copy_from_log(old_seal.last, log)?;
        let (last, missing) = builder.finish(old_seal.last);
        segment.flush()?;
        segment.close();
        let seal_path = self.seal_path(first);
        if last < first {
            // First the seal: with it the next start would restore the damaged segment.
            fs::remove_file(&seal_path).map_err(JournalError::io("remove", &seal_path))?;
            fs::remove_dir_all(&new_path).map_err(JournalError::io("remove", &new_path))?;
            disk::sync_folder(&self.folder)?;
            return Ok(None);
        }
        let (term, lived) = (old_seal.term, old_seal.lived);
        let mut seal = Seal { last, term, newest_us: None, lived, missing };
        disk::sync_tree(&new_path)?;
        let built = BlockIndex::scan(&new_path, self.journal, &(first..=last), &self.is_closing)?;
        seal.newest_us = Some(seal::check_blocks(&built, first, &seal)?);
        seal.write(&seal_path, self.journal, first)?;
        disk::rename(&new_path, &path)?;
        Ok(Some(SealedSegment { seal, bytes: disk::allocated_below(&path) }))
    }
}

/// A new segment, built from its first number upwards.
struct SegmentBuilder<'a> {
    archive: &'a Archive,
    segment: &'a Segment,
    next: u64,
    gaps: Vec<RangeInclusive<u64>>,
}

impl SegmentBuilder<'_> {
    /// Adds a block; numbers in between are a gap.
    fn push_block(&mut self, info: BlockInfo, bytes: &[u8]) -> Result<(), JournalError> {
        if info.first > self.next {
            self.gaps.push(self.next..=info.first - 1);
        }
        self.segment.insert(info.first, bytes)?;
        self.next = info.last() + 1;
        Ok(())
    }

    /// Copies the records that the commit log still has from the next number up to `through`.
    fn copy_from_log(&mut self, through: u64, log: &LogFiles) -> Result<(), JournalError> {
        let mut number = self.next;
        while let Some(at) = log.at_or_above(number).filter(|at| *at <= through) {
            let Ok(Some(blocks)) = log.blocks_at(at) else { break };
            let mut records = Vec::new();
            for block in &blocks {
                let term = block.header.info.term;
                let of_block = records_in_block(block).unwrap_or_default();
                records.extend(of_block.into_iter().map(|record| (term, record)));
            }
            records.retain(|(_, record)| (at..=through).contains(&record.number));
            let Some((_, last)) = records.last() else { break };
            number = last.number + 1;
            for part in split_into_blocks(&records) {
                let (info, block) = encode_block(self.archive.journal, part);
                self.push_block(info, &block)?;
            }
        }
        Ok(())
    }

    /// The last number present, and the gaps before it.
    fn finish(self, last: u64) -> (u64, Vec<RangeInclusive<u64>>) {
        (last.min(self.next - 1), self.gaps)
    }
}

/// Splits dense records into parts of small blocks.
fn split_into_blocks(mut rest: &[(u64, EncodedRecord)]) -> Vec<&[(u64, EncodedRecord)]> {
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let mut bytes = 0;
        let small = rest.iter().take(RECORDS_PER_BLOCK).take_while(|(_, record)| {
            bytes += record.bytes.len();
            bytes <= BYTES_PER_BLOCK
        });
        let (part, others) = rest.split_at(small.count().max(1));
        parts.push(part);
        rest = others;
    }
    parts
}

/// The numbers of `all` that are not in `present`; both ascending, and `present` within `all`.
fn difference(
    all: &[RangeInclusive<u64>],
    present: &[RangeInclusive<u64>],
) -> Vec<RangeInclusive<u64>> {
    let mut lost = Vec::new();
    for range in all {
        let mut next = *range.start();
        for found in
            present.iter().filter(|it| it.end() >= range.start() && it.start() <= range.end())
        {
            if *found.start() > next {
                lost.push(next..=*found.start() - 1);
            }
            next = next.max(*found.end() + 1);
        }
        if next <= *range.end() {
            lost.push(next..=*range.end());
        }
    }
    lost
}

/// Undoes interrupted repairs: the damage is then found again.
pub(super) fn undo_unfinished(folder: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let mut trash = Vec::new();
    for path in disk::paths_in(folder)? {
        if disk::number_in_name(&path, "span-", ".rebuilt").is_some() {
            let discarded = path.with_added_extension("trash");
            let _ = fs::remove_dir_all(&discarded);
            disk::rename(&path, &discarded)?;
            trash.push(discarded);
        } else if disk::number_in_name(&path, "span-", ".damaged").is_some() {
            let segment = path.with_extension("");
            if !segment.exists() && segment.with_added_extension("sealed").exists() {
                disk::rename(&path, &segment)?;
            }
        }
    }
    Ok(trash)
}

#[cfg(test)]
#[test]
fn the_difference_is_what_was_present_and_is_not() {
    assert_eq!(difference(&[1..=10, 20..=30], &[3..=4, 6..=30]), [1..=2, 5..=5]);
    assert_eq!(difference(&[1..=10], &[]), [1..=10]);
    assert_eq!(difference(&[1..=10], &[1..=10]), []);
}
