//! Begins, seals or discards the active segment.
//!
//! Sealing copies the blocks into a pack, syncs it, reads all of it back, writes its index, then the
//! seal, and removes the files of sled at last. Guarantees that a crash before the seal leaves a
//! segment that the commit log has all of, and one after it a pack that was checked. Does not know
//! when a segment is full.

use std::fs;
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::pack::{self, PackWriter};
use super::seal::{self, Seal};
use super::{ActiveSegment, Archive, SealedSegment};
use crate::journal::archive::block_index::BlockIndex;
use crate::journal::archive::segment::Segment;
use crate::journal::disk;
use crate::journal::error::JournalError;

impl Archive {
    /// Begins an empty segment.
    pub(super) fn begin_segment(&self, first: u64) -> Result<Arc<ActiveSegment>, JournalError> {
        let path = self.segment_path(first);
        self.remove_seal(first)?;
        disk::create_folder(&path)?;
        let segment = Segment::open(path)?;
        let active = Arc::new(ActiveSegment { first, through: AtomicU64::new(first - 1), segment });
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&active));
        Ok(active)
    }

    /// Begins a segment with the blocks of `numbers` that a stop left unsealed in `folder`; `None` if
    /// there are none. Also returns their bytes and their newest term.
    ///
    /// sled is not asked what it has: a scan of the files finds the blocks, by their checksums. All
    /// are checked again when the segment is sealed.
    pub(super) fn take_over(
        &self,
        folder: &Path,
        numbers: &RangeInclusive<u64>,
    ) -> Result<Option<(Arc<ActiveSegment>, u64, u64)>, JournalError> {
        let found = BlockIndex::scan(folder, self.journal, numbers, &self.is_closing)?;
        let first = *numbers.start();
        if found.position(first).is_none() {
            return Ok(None);
        }
        let active = self.begin_segment(first)?;
        let mut pack = PackWriter::create(&self.segment_path(first), self.journal)?;
        let (mut next, mut term) = (first, 0);
        while let Some((block, bytes)) = found.block_with_bytes_at(next)? {
            if block.header.info.first != next {
                break;
            }
            pack.push(&block, &bytes)?;
            (next, term) = (block.header.info.last() + 1, block.header.info.term);
        }
        let bytes = pack.finish_unsealed()?;
        active.through.store(next - 1, Ordering::Release);
        self.archived_through.store(next - 1, Ordering::Release);
        Ok(Some((active, bytes, term)))
    }

    /// Discards all that is not sealed; returns the folders to delete.
    pub(super) fn discard_active(&self) -> Result<Vec<PathBuf>, JournalError> {
        let active = self.active.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(active) = active {
            active.segment.close();
        }
        let through = self.sealed_through();
        self.archived_through.store(through, Ordering::Release);
        let mut trash = Vec::new();
        for path in disk::paths_in(&self.folder)? {
            let first = disk::number_in_name(&path, "span-", "");
            if let Some(first) = first.filter(|first| *first > through) {
                // The seal may be there already, if only the sync of its name failed: it must not
                // remain for what is filled next.
                self.remove_seal(first)?;
                let discarded = path.with_added_extension("trash");
                let _ = fs::remove_dir_all(&discarded);
                disk::rename(&path, &discarded)?;
                trash.push(discarded);
            }
        }
        Ok(trash)
    }

    /// Removes a seal, durably.
    pub(super) fn remove_seal(&self, first: u64) -> Result<(), JournalError> {
        let path = self.seal_path(first);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => {
                removed.map_err(JournalError::io("remove", &path))?;
                disk::sync_folder(&self.folder)
            }
        }
    }

    /// Makes a full segment durable, checks all of it, and seals it with the lived time `lived`.
    ///
    /// Meanwhile readers read the commit log.
    pub(super) fn seal_segment(
        &self,
        active: &ActiveSegment,
        term: u64,
        lived: Duration,
    ) -> Result<(), JournalError> {
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = None;
        let last = active.through.load(Ordering::Acquire);
        active.segment.flush()?;
        active.segment.close();
        let (first, path) = (active.first, self.segment_path(active.first));
        let mut seal = Seal { last, term, newest_us: None, lived, missing: Vec::new() };
        // From the files, not from sled's memory; sled never opens them again.
        let filled = BlockIndex::scan(&path, self.journal, &(first..=last), &self.is_closing)?;
        self.pack(&path, &filled, first, &mut seal)?;
        seal.write(&self.seal_path(first), self.journal, first)?;
        if let Err(error) = pack::remove_leftovers(&path) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "files of sled remain; the next start removes them");
        }
        let segment = SealedSegment::new(seal, disk::allocated_below(&path));
        self.sealed.write().unwrap_or_else(PoisonError::into_inner).insert(first, segment);
        self.sealed_through.store(last, Ordering::Release);
        Ok(())
    }

    /// Copies the blocks of a segment into a pack in `folder`, and makes its index.
    fn pack(
        &self,
        folder: &Path,
        blocks: &BlockIndex,
        first: u64,
        seal: &mut Seal,
    ) -> Result<(), JournalError> {
        let mut pack = PackWriter::create(folder, self.journal)?;
        for range in seal.present_ranges(first) {
            let mut next = *range.start();
            while next <= *range.end() {
                let found = blocks.block_with_bytes_at(next)?;
                let found = found.filter(|(block, _)| block.header.info.first == next);
                let (block, bytes) = found.ok_or_else(|| JournalError::Archive {
                    action: "seal",
                    path: folder.to_owned(),
                    reason: format!("record {next} is not in it"),
                })?;
                pack.push(&block, &bytes)?;
                next = block.header.info.last() + 1;
            }
        }
        pack.finish()?;
        self.index_pack(folder, first, seal)
    }

    /// Reads back the pack in `folder`, checks all of it against `seal`, whose newest time it sets,
    /// and writes its index.
    pub(super) fn index_pack(
        &self,
        folder: &Path,
        first: u64,
        seal: &mut Seal,
    ) -> Result<(), JournalError> {
        let numbers = first..=seal.last;
        let index = BlockIndex::scan_pack(folder, self.journal, &numbers, &self.is_closing)?;
        seal.newest_us = Some(seal::check_blocks(&index, first, seal)?);
        if index.write(self.journal, first)? {
            return Ok(());
        }
        Err(JournalError::Archive {
            action: "seal",
            path: folder.to_owned(),
            reason: "its pack has more than its blocks".to_owned(),
        })
    }
}
