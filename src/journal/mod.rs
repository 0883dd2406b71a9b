//! Stores records durably: an appended record is read again, exactly once, unless the disk is lost.
//!
//! Works on opaque records with a [`RecordHeader`]. [`Journal::append`] returns when its records are
//! durable in the commit log. An archiver then packs them into sled. A checkpoint saves the
//! start from reading everything. [`JournalReader`]s see both as one sequence of numbers. Guarantees
//! that numbers are dense, that none is assigned twice, and that missing ones are reported at the start.
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
mod background;
mod backup;
mod checkpoint;
mod commit_log;
mod disk;
pub mod encoding;
mod error;
pub mod frame;
mod growth;
mod identity;
mod opening;
mod query;
mod reader;
pub mod record;
mod release;
pub mod rescue;
pub mod scan;
pub mod stream;
#[cfg(test)]
mod tests;
mod upkeep;

use std::fs::File;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use self::background::Background;
use self::commit_log::CommitLog;
use self::release::Release;
use self::upkeep::{Limits, Upkeep};

pub use self::archive::{Retention, TrimDue};
pub use self::background::CheckpointStart;
pub use self::backup::{BackupError, Progress};
pub use self::checkpoint::{FailedCheckpoint, decode as decode_checkpoint};
pub use self::commit_log::Cut;
pub use self::error::JournalError;
pub use self::growth::{Rate, Room, SAMPLE_EVERY};
pub use self::identity::Identity;
pub use self::opening::{Opened, Recovered};
pub use self::query::{Budget, Page, Wanted};
pub use self::reader::Reader;
pub use self::record::{EncodedRecord, Mark};

/// Folder, file sizes and limits of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The data folder; one process at a time.
    pub dir: PathBuf,
    /// Bytes that a file of the commit log reserves.
    pub commit_file_bytes: u64,
    /// Size at which a segment of the archive is sealed, in bytes of compressed blocks.
    pub span_bytes: u64,
    /// Limits by age and size; never more than half of the disk.
    pub retention: Retention,
    /// Bytes reserved for a full disk.
    pub ballast_bytes: u64,
    /// The archive is not written while less than half of this is free, in bytes.
    pub low_water: u64,
    /// Number of records after which the owner of the state writes a checkpoint.
    pub checkpoint_records: u64,
}

impl Settings {
    /// The defaults: 32 MiB a commit-log file, 256 MiB a segment, 90 days and 10 GiB retained, 8 MiB
    /// ballast, 256 MiB free, 200,000 records a checkpoint.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            commit_file_bytes: 32 << 20,
            span_bytes: 256 << 20,
            checkpoint_records: 200_000,
            retention: Retention { age: Duration::from_secs(90 * 86_400), bytes: 10 << 30 },
            ballast_bytes: 8 << 20,
            low_water: 256 << 20,
        }
    }
}

/// The writing end; owned by one ordinary thread.
#[derive(Debug)]
pub struct Journal {
    identity: Identity,
    term: u64,
    log: CommitLog,
    durable: watch::Sender<u64>,
    release: Arc<Release>,
    background: Background,
    upkeep: Arc<Upkeep>,
    retention: Retention,
    /// Upper limit of the retention, in bytes.
    half_of_disk: u64,
    /// Locked until all else is closed: then another process may open the folder.
    _lock: File,
}

/// Sizes, positions and failures of the journal, for administrators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
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
    pub sealed_spans: usize,
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
    pub growth: Option<Rate>,
    /// Background threads that failed, with the reason: the commit log grows until a restart.
    pub trouble: Vec<String>,
}

impl Journal {
    /// Opens the journal in `settings.dir`, or creates one there, and starts its threads.
    ///
    /// # Errors
    ///
    /// If another process has it open, a newer gridd wrote it, or the disk fails. Damage is no
    /// error: it is reported in [`OpenJournal::recovered`].
    pub fn open(settings: &Settings) -> Result<Opened, JournalError> {
        match opening::open(settings) {
            Err(error) if error.is_out_of_space() => {
                Upkeep::new(&settings.dir, Limits::of(settings, u64::MAX)).give_up_ballast();
                opening::open(settings)
            }
            opened => opened,
        }
    }

    /// Refuses a folder that has files of others and no journal, before anything is written.
    ///
    /// # Errors
    ///
    /// [`JournalError::ForeignFiles`], or the folder cannot be read.
    pub fn refuse_strangers(settings: &Settings) -> Result<(), JournalError> {
        opening::refuse_strangers(&settings.dir)
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
        self.log.append(records)?;
        if let Some(last) = records.last() {
            self.durable.send_replace(last.number);
            self.background.poke();
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

    /// Passes the state after record `through` to the thread that saves it.
    ///
    /// # Panics
    ///
    /// If `through` is not durable.
    pub fn checkpoint(&self, through: u64, state: Vec<u8>) -> CheckpointStart {
        assert!(through <= *self.durable.borrow(), "a state is made of durable records");
        self.background.checkpoint((through, self.term, state))
    }

    /// Sets the lived time of this journal, by which all ages are measured. To be called at
    /// least once in a minute or so.
    pub fn tell(&self, lived: Duration) {
        self.upkeep.tell(lived);
        self.background.poke();
    }

    /// What the disk still has for us, in bytes.
    ///
    /// # Errors
    ///
    /// If the file system does not report it.
    pub fn free_bytes(&self) -> Result<u64, JournalError> {
        self.upkeep.free_bytes()
    }

    /// The retention limits in force.
    pub fn retention(&self) -> Retention {
        self.retention
    }

    /// Applies the retention, the ballast and the low-water mark of `settings` at once; all else of
    /// them applies from the next start, including the size of segments.
    pub fn keep(&mut self, settings: &Settings) {
        self.retention = settings.retention.at_most(self.half_of_disk);
        self.upkeep.set(Limits::of(settings, self.half_of_disk));
        self.background.poke();
    }

    /// The oldest records, if they exceed the retention at the lived time `lived`. The caller first
    /// writes a durable record of it, then calls [`Journal::trim`].
    pub fn trim_due(&self, lived: Duration) -> Option<TrimDue> {
        let checkpoint = self.release.older_checkpoint.load(Ordering::Acquire);
        let requested = self.upkeep.trim_through();
        self.release.archive.trim_due(self.retention, lived, checkpoint, requested)
    }

    /// Ranges of acknowledged records that were found unreadable since the last call.
    pub fn take_lost(&self) -> Vec<RangeInclusive<u64>> {
        self.release.archive.take_lost()
    }

    /// Deletes all records up to `last`, in the background; the next start finishes an interrupted trim.
    pub fn trim(&self, last: u64) {
        self.upkeep.trim(last);
        self.background.poke();
    }

    /// Releases the ballast on a full disk; `false` if there is none. It is reserved
    /// again when there is space.
    pub fn give_up_ballast(&self) -> bool {
        self.upkeep.give_up_ballast()
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
        let stopped = self.background.stop();
        self.release.archive.close();
        stopped
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // After `close` there is nothing left to do; otherwise the failure was logged where it occurred.
        let _ = self.stop();
    }
}
