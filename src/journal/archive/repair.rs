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

use bytes::Bytes;

use super::seal::Seal;
use super::{Archive, SealedSegment};
use crate::journal::archive::block_index::BlockIndex;
use crate::journal::archive::pack::PackWriter;
use crate::journal::archive::record_buffer::{LARGE, RecordBuffer};
use crate::journal::commit_log::LogFiles;
use crate::journal::disk;
use crate::journal::error::JournalError;
use crate::journal::frame::Block;
use crate::journal::record::records_in_block;

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
        let blocks = index.blocks().len();
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
        let pack = PackWriter::create(&new_path, self.journal)?;
        let mut builder = SegmentBuilder { archive: self, pack, next: first, gaps: Vec::new() };
        for number in index.blocks().iter().map(|block| block.first) {
            // A block that overlaps with the previous one is from an older build of the segment.
            let bytes = index.bytes_at(number)?.filter(|_| number >= builder.next);
            let Some((bytes, block)) =
                bytes.and_then(|it| Some((it.clone(), Block::parse(&it).ok()?)))
            else {
                continue;
            };
            if records_in_block(&block).is_ok() {
                builder.copy_from_log(number - 1, log)?;
                builder.push_block(&block, &bytes)?;
            }
        }
        builder.copy_from_log(old_seal.last, log)?;
        let (last, missing) = builder.finish(old_seal.last)?;
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
        self.index_pack(&new_path, first, &mut seal)?;
        seal.write(&seal_path, self.journal, first)?;
        disk::rename(&new_path, &path)?;
        Ok(Some(SealedSegment::new(seal, disk::allocated_below(&path))))
    }
}

/// A new segment, built from its first number upwards.
struct SegmentBuilder<'a> {
    archive: &'a Archive,
    pack: PackWriter,
    next: u64,
    gaps: Vec<RangeInclusive<u64>>,
}

impl SegmentBuilder<'_> {
    /// Adds a block; numbers in between are a gap.
    fn push_block(&mut self, block: &Block, bytes: &[u8]) -> Result<(), JournalError> {
        let info = &block.header.info;
        if info.first > self.next {
            self.gaps.push(self.next..=info.first - 1);
        }
        self.pack.push(block, bytes)?;
        self.next = info.last() + 1;
        Ok(())
    }

    /// Copies the records that the commit log still has from the next number up to `through`.
    fn copy_from_log(&mut self, through: u64, log: &LogFiles) -> Result<(), JournalError> {
        let mut number = self.next;
        while let Some(at) = log.at_or_above(number).filter(|at| *at <= through) {
            let Ok(Some(blocks)) = log.blocks_at(at) else { break };
            let mut records = RecordBuffer::default();
            if blocks.iter().any(|block| records.push_block(block, &(at..=through)).is_err())
                || records.is_empty()
            {
                break;
            }
            while !records.is_empty() {
                let (info, block) = records.take_block(LARGE, self.archive.journal);
                number = info.last() + 1;
                let bytes = Bytes::from(block);
                let block = Block::parse(&bytes)
                    .map_err(|source| JournalError::Unreadable { number: info.first, source })?;
                self.push_block(&block, &bytes)?;
            }
        }
        Ok(())
    }

    /// Finishes the pack; returns the last number present, and the gaps before it.
    fn finish(self, last: u64) -> Result<(u64, Vec<RangeInclusive<u64>>), JournalError> {
        self.pack.finish()?;
        Ok((last.min(self.next - 1), self.gaps))
    }
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
