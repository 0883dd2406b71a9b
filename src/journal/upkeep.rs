//! What keeps the journal's folder within its bounds? Room on the disk, the ballast, told time.
//!
//! Shared by the writing end, which tells, and the archiver, which does: nothing here is waited
//! for by a commit but [`Upkeep::give_up_ballast`], when there is no room left. It decides nothing
//! about records.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::disk;
use super::error::JournalError;

/// What the writing end tells the archiver.
#[derive(Debug)]
pub(super) struct Upkeep {
    dir: PathBuf,
    ballast: PathBuf,
    ballast_bytes: u64,
    low_water: u64,
    /// Told time in microseconds since the epoch; the journal reads no clock.
    told_us: AtomicI64,
    /// All records up to this one are to be forgotten.
    trim_through: AtomicU64,
}

impl Upkeep {
    pub(super) fn new(dir: &Path, ballast_bytes: u64, low_water: u64) -> Self {
        Self {
            dir: dir.to_owned(),
            ballast: dir.join("ballast"),
            ballast_bytes,
            low_water,
            told_us: AtomicI64::new(i64::MIN),
            trim_through: AtomicU64::new(0),
        }
    }

    /// What the file system still has for us, in bytes.
    pub(super) fn free_bytes(&self) -> Result<u64, JournalError> {
        disk::free_bytes(&self.dir)
    }

    /// Whether the archiver may write: half of what is kept free belongs to the commit log alone,
    /// because sled does not recover from a failed write. A disk that does not tell counts as full.
    pub(super) fn has_room(&self) -> bool {
        self.free_bytes().is_ok_and(|free| free >= self.low_water / 2)
    }

    /// Gives the reserve back to the disk; `false` if there was none any more.
    pub(super) fn give_up_ballast(&self) -> bool {
        fs::remove_file(&self.ballast).is_ok()
    }

    /// Makes the reserve, or makes it anew once there is room for it. A reserve that can't be made
    /// is tried again; what is missing is room, and that is watched elsewhere.
    pub(super) fn keep_ballast(&self) {
        let there = fs::metadata(&self.ballast).map_or(0, |found| found.len());
        let wanted = self.low_water.saturating_add(self.ballast_bytes);
        if there == self.ballast_bytes || self.free_bytes().is_ok_and(|free| free < wanted) {
            return;
        }
        // Not synced: one that a power cut takes away is made anew.
        let made = File::create(&self.ballast)
            .map_err(JournalError::io("create", &self.ballast))
            .and_then(|file| disk::preallocate(&file, self.ballast_bytes, &self.ballast));
        if let Err(error) = made {
            tracing::warn!(error = &error as &dyn std::error::Error, "no ballast for a full disk");
            let _ = fs::remove_file(&self.ballast);
        }
    }

    /// Tells the time.
    pub(super) fn tell(&self, now_us: i64) {
        self.told_us.fetch_max(now_us, Ordering::AcqRel);
    }

    /// The time last told; `None` before the first.
    pub(super) fn told_us(&self) -> Option<i64> {
        Some(self.told_us.load(Ordering::Acquire)).filter(|told| *told > i64::MIN)
    }

    /// Orders that all records up to `number` be forgotten.
    pub(super) fn trim(&self, number: u64) {
        self.trim_through.fetch_max(number, Ordering::AcqRel);
    }

    /// Up to which number records are to be forgotten.
    pub(super) fn trim_through(&self) -> u64 {
        self.trim_through.load(Ordering::Acquire)
    }
}

/// Whether the system says that the disk, or our share of it, is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
