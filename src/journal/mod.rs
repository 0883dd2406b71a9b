//! Stores records durably: an appended record is read again, exactly once, unless the disk is lost.
//!
//! Works on opaque records with a [`RecordHeader`]. [`Journal::append`] returns when its records
//! are durable in the commit log. An archiver then packs them into sled. A checkpoint saves the
//! start from reading everything. [`JournalReader`]s see both as one sequence of numbers.
//! Guarantees that numbers are dense, that none is assigned twice, and that missing ones are
//! reported at the start.
//!
//! ```text
//! append --> commits/<first>.log --archiver--> archive/span-<first>  --seal-->  .sealed
//!                 |  (the ack)                 (a segment, in sled)                |
//!                 +<-- truncated through min(sealed, older checkpoint) <-----------+
//! ```
//!
//! Does not know the content of a record or a state, reads no clock, and decides nothing about
//! retention. The callers decide which failure ends the process.

mod archive;
mod backup;
mod checkpoint;
mod commit_batch;
mod commit_log;
mod disk;
mod disk_state;
mod error;
pub mod frame;
mod growth;
mod identity;
mod log_truncation;
mod query;
mod reader;
pub mod record;
mod record_headers;
mod recovery;
pub mod rescue;
pub mod scan;
mod search;
pub mod stream;
#[cfg(test)]
mod tests;
mod threads;

use std::fs::File;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use self::commit_log::CommitLog;
use crate::journal::disk_state::{ArchiveLimits, DiskState};
use crate::journal::log_truncation::LogTruncation;
use crate::journal::threads::BackgroundThreads;

pub use self::archive::{Retention, TrimDue};
pub use self::backup::{BackupProgress, JournalBackupError};
pub use self::checkpoint::{CheckpointContent, FailedCheckpoint, decode as decode_checkpoint};
pub use self::commit_batch::CommitBatch;
pub use self::commit_log::TruncatedTail;
pub use self::error::JournalError;
pub use self::growth::{DiskUsage, GrowthRate, SAMPLE_EVERY};
pub use self::identity::Identity;
pub use self::query::{
    ContentFilter, CountBy, HeaderFilter, PageLimit, RecordCounts, RecordPage, RecordQuery,
    ScanStatistics, SearchPage, TimeBuckets,
};
pub use self::reader::JournalReader;
pub use self::record::{EncodedRecord, RecordHeader, RecordSlice};
pub use crate::journal::recovery::{OpenJournal, Recovered};
pub use crate::journal::threads::CheckpointStart;

/// Folder, file sizes and limits of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalSettings {
    /// The data folder; one process at a time.
    pub dir: PathBuf,
    /// Bytes that a file of the commit log reserves.
    pub commit_file_bytes: u64,
    /// Size at which a segment of the archive is sealed, in bytes of compressed blocks.
    pub segment_bytes: u64,
    /// Limits by age and size; never more than half of the disk.
    pub retention: Retention,
    /// Bytes reserved for a full disk.
    pub ballast_bytes: u64,
    /// The archive is not written while less than half of this is free, in bytes.
    pub low_water: u64,
    /// Number of records after which the owner of the state writes a checkpoint.
    pub checkpoint_records: u64,
}

impl JournalSettings {
    /// The defaults: 32 MiB a commit-log file, 256 MiB a segment, 90 days and 10 GiB retained, 8
    /// MiB ballast, 256 MiB free, 200,000 records a checkpoint.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            commit_file_bytes: 32 << 20,
            segment_bytes: 256 << 20,
            checkpoint_records: 200_000,
            retention: Retention { age: Duration::from_secs(90 * 86_400), bytes: 10 << 30 },
            ballast_bytes: 8 << 20,
            low_water: 256 << 20,
        }
    }
}

/// The archiver is woken at once when so many records are not archived.
const ARCHIVE_RECORDS_MIN: u64 = 64;

/// The writing end; owned by one ordinary thread.
#[derive(Debug)]
pub struct Journal {
    identity: Identity,
    term: u64,
    log: CommitLog,
    durable: watch::Sender<u64>,
    log_truncation: Arc<LogTruncation>,
    threads: BackgroundThreads,
    disk_state: Arc<DiskState>,
    retention: Retention,
    /// Upper limit of the retention, in bytes.
    half_of_disk: u64,
    /// Locked until all else is closed: then another process may open the folder.
    _lock: File,
}

/// Sizes, positions and failures of the journal, for administrators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalStatus {
    /// Bytes that the commit log reserves.
    pub commit_log_bytes: u64,
    /// Bytes that the archive uses.
    pub archive_bytes: u64,
    /// Bytes that the checkpoints use.
    pub checkpoint_bytes: u64,
    /// The newest checkpoint: its last record, and when it was written, since 1970.
    pub checkpoint: Option<(u64, Duration)>,
    /// Bytes that are available to us on the file system.
    pub free_bytes: u64,
    /// Number of sealed segments.
    pub sealed_segments: usize,
    /// All numbers up to this one are sealed.
    pub sealed_through: u64,
    /// All numbers up to this one are in the archive.
    pub archived_through: u64,
    /// The last durable number.
    pub durable: u64,
    /// No new event is accepted while less than this is free, in bytes.
    pub low_water: u64,
    /// Bytes that retention allows for the sealed segments.
    pub retention_bytes: u64,
    /// Growth of the archive; `None` until it was measured for ten minutes.
    pub growth: Option<GrowthRate>,
    /// Background threads that failed, with the reason: the commit log grows until a restart.
    pub background_failures: Vec<String>,
}

impl Journal {
    /// Opens the journal in `settings.dir`, or creates one there, and starts its threads.
    ///
    /// # Errors
    ///
    /// If another process has it open, a newer gridd wrote it, or the disk fails. Damage is no
    /// error: it is reported in [`OpenJournal::recovered`].
    pub fn open(settings: &JournalSettings) -> Result<OpenJournal, JournalError> {
        match recovery::open(settings) {
            Err(error) if error.is_out_of_space() => {
                DiskState::new(&settings.dir, ArchiveLimits::from_settings(settings, u64::MAX))
                    .release_ballast();
                recovery::open(settings)
            }
            opened => opened,
        }
    }

    /// Refuses a folder that has files of others and no journal, before anything is written.
    ///
    /// # Errors
    ///
    /// [`JournalError::ForeignFiles`], or the folder cannot be read.
    pub fn refuse_foreign_files(settings: &JournalSettings) -> Result<(), JournalError> {
        recovery::refuse_foreign_files(&settings.dir)
    }

    /// Appends records as one commit and returns when they are durable.
    ///
    /// # Errors
    ///
    /// If they are not durable. The same records may be appended again, unless a sync failed: then
    /// every further call returns [`JournalError::SyncFailed`].
    ///
    /// # Panics
    ///
    /// If the numbers do not follow the last one without gaps, or a header is out of range.
    pub fn append(&mut self, records: &[EncodedRecord]) -> Result<(), JournalError> {
        self.append_batch(&mut CommitBatch::from_records(records))
    }

    /// The same for records that are encoded already.
    ///
    /// # Errors
    ///
    /// As [`Self::append`].
    ///
    /// # Panics
    ///
    /// As [`Self::append`].
    pub fn append_batch(&mut self, batch: &mut CommitBatch) -> Result<(), JournalError> {
        self.log.append(batch)?;
        if let Some(last) = batch.last() {
            self.durable.send_replace(last);
            // The archiver packs no fewer records than that; it is woken once a second in any case.
            if last >= self.log_truncation.archive.archived_through() + ARCHIVE_RECORDS_MIN {
                self.threads.notify();
            }
        }
        Ok(())
    }

    /// Reserves space in the commit log, so that a commit of this size needs no new disk space.
    ///
    /// # Errors
    ///
    /// If the disk is full, or fails.
    pub fn reserve(&mut self, bytes: u64) -> Result<(), JournalError> {
        self.log.reserve(bytes)
    }

    /// Passes the state after record `through` to the thread that takes its parts and saves them.
    ///
    /// # Panics
    ///
    /// If `through` is not durable.
    pub fn checkpoint(&self, through: u64, state: impl Into<CheckpointContent>) -> CheckpointStart {
        assert!(through <= *self.durable.borrow(), "a state is made of durable records");
        self.threads.checkpoint((through, self.term, state.into()))
    }

    /// Sets the lived time of this journal, by which all ages are measured. To be called at
    /// least once in a minute or so.
    pub fn set_lived(&self, lived: Duration) {
        self.disk_state.set_lived(lived);
        self.threads.notify();
    }

    /// What the disk still has for us, in bytes.
    ///
    /// # Errors
    ///
    /// If the file system does not report it.
    pub fn free_bytes(&self) -> Result<u64, JournalError> {
        self.disk_state.free_bytes()
    }

    /// The retention limits in force.
    pub fn retention(&self) -> Retention {
        self.retention
    }

    /// Applies the retention, the ballast and the low-water mark of `settings` at once; all else of
    /// them applies from the next start, including the size of segments.
    pub fn reconfigure(&mut self, settings: &JournalSettings) {
        self.retention = settings.retention.capped_at(self.half_of_disk);
        self.disk_state.set_limits(ArchiveLimits::from_settings(settings, self.half_of_disk));
        self.threads.notify();
    }

    /// The oldest records, if they exceed the retention at the lived time `lived`. The caller first
    /// writes a durable record of it, then calls [`Journal::trim`].
    pub fn trim_due(&self, lived: Duration) -> Option<TrimDue> {
        let checkpoint = self.log_truncation.older_checkpoint.load(Ordering::Acquire);
        let requested = self.disk_state.trim_through();
        self.log_truncation.archive.trim_due(self.retention, lived, checkpoint, requested)
    }

    /// Ranges of acknowledged records that were found unreadable since the last call.
    pub fn take_newly_lost(&self) -> Vec<RangeInclusive<u64>> {
        self.log_truncation.archive.take_newly_lost()
    }

    /// Deletes all records up to `last`, in the background; the next start finishes an interrupted
    /// trim.
    pub fn trim(&self, last: u64) {
        self.disk_state.request_trim(last);
        self.threads.notify();
    }

    /// Releases the ballast on a full disk; `false` if there is none. It is reserved
    /// again when there is space.
    pub fn release_ballast(&self) -> bool {
        self.disk_state.release_ballast()
    }

    /// The term of all that is appended.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The ids of this journal and its broker.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Stops the threads and closes the archive; further reads return an error.
    ///
    /// # Errors
    ///
    /// The failure of a background thread. The journal is closed nevertheless.
    pub fn close(mut self) -> Result<(), JournalError> {
        self.stop()
    }

    fn stop(&mut self) -> Result<(), JournalError> {
        let stopped = self.threads.stop();
        self.log_truncation.archive.close();
        stopped
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // After `close` there is nothing left to do; otherwise the failure was logged where it
        // occurred.
        let _ = self.stop();
    }
}
