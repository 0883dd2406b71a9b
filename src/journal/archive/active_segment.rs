//! Begins, seals or discards the active segment.
//!
//! Guarantees that a segment is sealed only after all of it was read back from the files. Until
//! then the commit log has all of it. Does not know when a segment is full.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

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
        disk::create_folder(&path)?;
        let segment = Segment::open(path)?;
        let active = Arc::new(ActiveSegment { first, through: AtomicU64::new(first - 1), segment });
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&active));
        Ok(active)
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
            if first.is_some_and(|first| first > through) {
                let discarded = path.with_added_extension("trash");
                let _ = fs::remove_dir_all(&discarded);
                disk::rename(&path, &discarded)?;
                trash.push(discarded);
            }
        }
        Ok(trash)
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
        let path = self.segment_path(active.first);
        disk::sync_tree(&path)?;
        // From the files, not from sled's memory; sled never opens them again.
        let index =
            BlockIndex::scan(&path, self.journal, &(active.first..=last), &self.is_closing)?;
        let mut seal = Seal { last, term, newest_us: None, lived, missing: Vec::new() };
        seal.newest_us = Some(seal::check_blocks(&index, active.first, &seal)?);
        seal.write(&self.seal_path(active.first), self.journal, active.first)?;
        let segment = SealedSegment { seal, bytes: disk::allocated_below(&path) };
        self.sealed.write().unwrap_or_else(PoisonError::into_inner).insert(active.first, segment);
        self.sealed_through.store(last, Ordering::Release);
        Ok(())
    }
}
