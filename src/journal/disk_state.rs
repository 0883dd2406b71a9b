//! Shares limits, ballast and lived time between the writer of the journal and the archiver.
//!
//! The writer sets them, the archiver acts on them. A commit waits for nothing here but
//! [`DiskState::release_ballast`], when the disk is full. Does not decide about records.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::JournalSettings;
use super::disk;
use super::error::JournalError;

/// About so many segments are retained, so that whole ones can be trimmed one by one.
pub(super) const SEGMENTS_RETAINED: u32 = 30;

/// Limits that may change while the journal is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct ArchiveLimits {
    /// Bytes reserved for a full disk.
    pub(super) ballast_bytes: u64,
    /// The archive is not written while less than half of this is free, in bytes.
    pub(super) low_water: u64,
    /// The longest lived time that a segment covers.
    pub(super) segment_age: Duration,
    /// Bytes that retention allows for the sealed segments.
    pub(super) retention_bytes: u64,
}

impl ArchiveLimits {
    /// The limits of `settings`, with at most `half_of_disk` bytes of retention.
    pub(super) fn from_settings(settings: &JournalSettings, half_of_disk: u64) -> Self {
        Self {
            ballast_bytes: settings.ballast_bytes,
            low_water: settings.low_water,
            segment_age: settings.retention.age / SEGMENTS_RETAINED,
            retention_bytes: settings.retention.capped_at(half_of_disk).bytes,
        }
    }
}

/// The values that the writer sets for the archiver.
#[derive(Debug)]
pub(super) struct DiskState {
    dir: PathBuf,
    ballast_path: PathBuf,
    ballast_bytes: AtomicU64,
    low_water: AtomicU64,
    retention_bytes: AtomicU64,
    /// The longest lived time that a segment covers, in microseconds.
    segment_age_us: AtomicU64,
    /// The lived time in microseconds, plus one; 0: not set yet. The
    /// journal reads no clock.
    lived_us: AtomicU64,
    /// All records up to this one are to be trimmed.
    trim_through: AtomicU64,
}

impl DiskState {
    pub(super) fn new(dir: &Path, limits: ArchiveLimits) -> Self {
        let ArchiveLimits { ballast_bytes, low_water, segment_age, retention_bytes } = limits;
        Self {
            dir: dir.to_owned(),
            ballast_path: dir.join("ballast"),
            ballast_bytes: ballast_bytes.into(),
            low_water: low_water.into(),
            retention_bytes: retention_bytes.into(),
            segment_age_us: micros(segment_age).into(),
            lived_us: AtomicU64::new(0),
            trim_through: AtomicU64::new(0),
        }
    }

    /// Sets other limits, which apply from the next use.
    pub(super) fn set_limits(&self, limits: ArchiveLimits) {
        let ArchiveLimits { ballast_bytes, low_water, segment_age, retention_bytes } = limits;
        self.retention_bytes.store(retention_bytes, Ordering::Release);
        self.ballast_bytes.store(ballast_bytes, Ordering::Release);
        self.low_water.store(low_water, Ordering::Release);
        self.segment_age_us.store(micros(segment_age), Ordering::Release);
    }

    /// No new event is accepted while less than this is free, in bytes.
    pub(super) fn low_water(&self) -> u64 {
        self.low_water.load(Ordering::Acquire)
    }

    /// Bytes that retention allows for the sealed segments.
    pub(super) fn retention_bytes(&self) -> u64 {
        self.retention_bytes.load(Ordering::Acquire)
    }

    /// The longest lived time that a segment covers.
    pub(super) fn segment_age(&self) -> Duration {
        Duration::from_micros(self.segment_age_us.load(Ordering::Acquire))
    }

    /// Bytes that are available to us on the file system.
    pub(super) fn free_bytes(&self) -> Result<u64, JournalError> {
        disk::free_bytes(&self.dir)
    }

    /// Whether the archiver may write so many bytes: half of the low-water mark is reserved for the
    /// commit log alone, because sled does not recover from a failed write. If the free space is
    /// unknown, the disk counts as full.
    pub(super) fn has_room_for(&self, bytes: u64) -> bool {
        let low_water = self.low_water.load(Ordering::Acquire);
        self.free_bytes().is_ok_and(|free| free >= (low_water / 2).saturating_add(bytes))
    }

    /// Frees the space of the ballast; `false` if there was none.
    pub(super) fn release_ballast(&self) -> bool {
        fs::remove_file(&self.ballast_path).is_ok()
    }

    /// Creates the ballast, also again once there is space for it. A ballast that can't be created
    /// is tried again; free space is monitored elsewhere.
    pub(super) fn ensure_ballast(&self) {
        let present = fs::metadata(&self.ballast_path).map_or(0, |found| found.len());
        let ballast_bytes = self.ballast_bytes.load(Ordering::Acquire);
        let needed = self.low_water.load(Ordering::Acquire).saturating_add(ballast_bytes);
        if present == ballast_bytes || self.free_bytes().is_ok_and(|free| free < needed) {
            return;
        }
        // Not synced: after a power failure it is created again.
        let created = File::create(&self.ballast_path)
            .map_err(JournalError::io("create", &self.ballast_path))
            .and_then(|file| disk::preallocate(&file, ballast_bytes, &self.ballast_path));
        if let Err(error) = created {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the ballast for a full disk can't be created"
            );
            let _ = fs::remove_file(&self.ballast_path);
        }
    }

    /// Sets the lived time.
    pub(super) fn set_lived(&self, lived: Duration) {
        self.lived_us.fetch_max(micros(lived).saturating_add(1), Ordering::AcqRel);
    }

    /// The lived time that was last set; `None` before.
    pub(super) fn lived(&self) -> Option<Duration> {
        self.lived_us.load(Ordering::Acquire).checked_sub(1).map(Duration::from_micros)
    }

    /// Requests that all records up to `number` be trimmed.
    pub(super) fn request_trim(&self, number: u64) {
        self.trim_through.fetch_max(number, Ordering::AcqRel);
    }

    /// The number up to which records are to be trimmed.
    pub(super) fn trim_through(&self) -> u64 {
        self.trim_through.load(Ordering::Acquire)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Whether the error means that the disk, or our quota of it, is full.
pub(super) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
