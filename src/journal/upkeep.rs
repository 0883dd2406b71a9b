//! What keeps the journal's folder within its bounds? Room on the disk, the ballast, lived time.
//!
//! Shared by the writing end, which tells, and the archiver, which does: nothing here is waited
//! for by a commit but [`Upkeep::give_up_ballast`], when there is no room left. It decides nothing
//! about records.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Settings;
use super::disk;
use super::error::JournalError;

/// About so many spans are kept, so that whole ones can go one by one.
pub(super) const SPANS_KEPT: u32 = 30;

/// Limits that may change while the journal is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// What is reserved for a full disk, in bytes.
    pub(super) ballast_bytes: u64,
    /// With less free than half of this, in bytes, the archive is not written to.
    pub(super) low_water: u64,
    /// Of how long a time a span may hold records.
    pub(super) span_age: Duration,
    /// Retention lets the sealed spans take so many bytes.
    pub(super) retention_bytes: u64,
}

impl Limits {
    /// Those of `settings`, on a disk of which `half_of_disk` bytes may be kept at most.
    pub(super) fn of(settings: &Settings, half_of_disk: u64) -> Self {
        Self {
            ballast_bytes: settings.ballast_bytes,
            low_water: settings.low_water,
            span_age: settings.retention.age / SPANS_KEPT,
            retention_bytes: settings.retention.at_most(half_of_disk).bytes,
        }
    }
}

/// What the writing end tells the archiver.
#[derive(Debug)]
pub(super) struct Upkeep {
    dir: PathBuf,
    ballast: PathBuf,
    ballast_bytes: AtomicU64,
    low_water: AtomicU64,
    retention_bytes: AtomicU64,
    /// A span holds records of no longer time, in microseconds.
    span_age_us: AtomicU64,
    /// For how long brokers were at work, in microseconds, and one more; 0: not told yet. The
    /// journal reads no clock.
    told_us: AtomicU64,
    /// All records up to this one are to be forgotten.
    trim_through: AtomicU64,
}

impl Upkeep {
    pub(super) fn new(dir: &Path, limits: Limits) -> Self {
        let Limits { ballast_bytes, low_water, span_age, retention_bytes } = limits;
        Self {
            dir: dir.to_owned(),
            ballast: dir.join("ballast"),
            ballast_bytes: ballast_bytes.into(),
            low_water: low_water.into(),
            retention_bytes: retention_bytes.into(),
            span_age_us: micros(span_age).into(),
            told_us: AtomicU64::new(0),
            trim_through: AtomicU64::new(0),
        }
    }

    /// Sets other limits, for whatever goes by them next.
    pub(super) fn set(&self, limits: Limits) {
        let Limits { ballast_bytes, low_water, span_age, retention_bytes } = limits;
        self.retention_bytes.store(retention_bytes, Ordering::Release);
        self.ballast_bytes.store(ballast_bytes, Ordering::Release);
        self.low_water.store(low_water, Ordering::Release);
        self.span_age_us.store(micros(span_age), Ordering::Release);
    }

    /// With less free than this, in bytes, nothing new is taken.
    pub(super) fn low_water(&self) -> u64 {
        self.low_water.load(Ordering::Acquire)
    }

    /// Retention lets the sealed spans take so many bytes.
    pub(super) fn retention_bytes(&self) -> u64 {
        self.retention_bytes.load(Ordering::Acquire)
    }

    /// Of how long a time a span may hold records.
    pub(super) fn span_age(&self) -> Duration {
        Duration::from_micros(self.span_age_us.load(Ordering::Acquire))
    }

    /// What the file system still has for us, in bytes.
    pub(super) fn free_bytes(&self) -> Result<u64, JournalError> {
        disk::free_bytes(&self.dir)
    }

    /// Whether the archiver may write: half of what is kept free belongs to the commit log alone,
    /// because sled does not recover from a failed write. A disk that does not tell counts as full.
    pub(super) fn has_room(&self) -> bool {
        let low_water = self.low_water.load(Ordering::Acquire);
        self.free_bytes().is_ok_and(|free| free >= low_water / 2)
    }

    /// Gives the reserve back to the disk; `false` if there was none any more.
    pub(super) fn give_up_ballast(&self) -> bool {
        fs::remove_file(&self.ballast).is_ok()
    }

    /// Makes the reserve, or makes it anew once there is room for it. A reserve that can't be made
    /// is tried again; what is missing is room, and that is watched elsewhere.
    pub(super) fn keep_ballast(&self) {
        let there = fs::metadata(&self.ballast).map_or(0, |found| found.len());
        let ballast_bytes = self.ballast_bytes.load(Ordering::Acquire);
        let wanted = self.low_water.load(Ordering::Acquire).saturating_add(ballast_bytes);
        if there == ballast_bytes || self.free_bytes().is_ok_and(|free| free < wanted) {
            return;
        }
        // Not synced: one that a power cut takes away is made anew.
        let made = File::create(&self.ballast)
            .map_err(JournalError::io("create", &self.ballast))
            .and_then(|file| disk::preallocate(&file, ballast_bytes, &self.ballast));
        if let Err(error) = made {
            tracing::warn!(error = &error as &dyn std::error::Error, "no ballast for a full disk");
            let _ = fs::remove_file(&self.ballast);
        }
    }

    /// Tells for how long brokers were at work.
    pub(super) fn tell(&self, lived: Duration) {
        self.told_us.fetch_max(micros(lived).saturating_add(1), Ordering::AcqRel);
    }

    /// What was last told; `None` before the first.
    pub(super) fn lived(&self) -> Option<Duration> {
        self.told_us.load(Ordering::Acquire).checked_sub(1).map(Duration::from_micros)
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

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Whether the system says that the disk, or our share of it, is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
