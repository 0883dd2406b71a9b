//! Remembers: what was appended here is there, once, after anything short of losing the disk.
//!
//! Works on opaque records with a [`Mark`]. [`Journal::append`] returns when its records are
//! durable in the commit log; behind it an archiver packs them into sled; a checkpoint saves the
//! start from reading everything; [`Reader`]s see both as one row of numbers. Guarantees that
//! numbers are dense, that none is given twice, and that what is missing is named at the start.
//!
//! ```text
//! append --> commits/<first>.log --archiver--> archive/span-<first>  --seal-->  .sealed
//!                 |  (the ack)                       (sled)                        |
//!                 +<-- released through min(sealed, older checkpoint) <-----------+
//! ```
//!
//! It does not know what a record or a state says, reads no clock, and decides nothing about
//! retention. Which failure ends the process is its callers' business.

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

/// Where the journal lies and how it is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The data folder; one process at a time.
    pub dir: PathBuf,
    /// What a file of the commit log reserves, in bytes.
    pub commit_file_bytes: u64,
    /// How large a span of the archive grows, in bytes of packed blocks.
    pub span_bytes: u64,
    /// How much is kept; never more than half of the disk.
    pub retention: Retention,
    /// What is reserved for a full disk, in bytes.
    pub ballast_bytes: u64,
    /// With less free than half of this, in bytes, the archive is not written to.
    pub low_water: u64,
    /// After how many records the owner of the state is to hand over a checkpoint.
    pub checkpoint_records: u64,
}

impl Settings {
    /// The defaults: 32 MiB a commit-log file, 256 MiB a span, 90 days and 10 GiB kept, 8 MiB in
    /// reserve, 256 MiB free, 200,000 records a checkpoint.
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
    /// No more is ever kept, in bytes.
    half_of_disk: u64,
    /// Held until all else is closed: another process may open the folder then.
    _lock: File,
}

/// What the journal takes and has, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What the commit log reserves, in bytes.
    pub commit_log_bytes: u64,
    /// What the archive takes, in bytes.
    pub archive_bytes: u64,
    /// What the checkpoints take, in bytes.
    pub checkpoint_bytes: u64,
    /// The newest checkpoint: after which record, and when it was written, since 1970.
    pub checkpoint: Option<(u64, Duration)>,
    /// What the file system still has for us, in bytes.
    pub free_bytes: u64,
    /// How many spans are sealed.
    pub sealed_spans: usize,
    /// All numbers up to this one are sealed.
    pub sealed_through: u64,
    /// All numbers up to this one are in the archive.
    pub archived_through: u64,
    /// The last durable number.
    pub durable: u64,
    /// With less free than this, in bytes, nothing new is taken.
    pub low_water: u64,
    /// Retention lets the sealed spans take so many bytes.
    pub retention_bytes: u64,
    /// How fast the archive grows; `None` until it was measured for ten minutes.
    pub growth: Option<Rate>,
    /// Background threads that failed, and of what: the commit log grows until a restart.
    pub trouble: Vec<String>,
}

impl Journal {
    /// Opens the journal in `settings.dir`, or makes one there, and starts its threads.
    ///
    /// # Errors
    ///
    /// When another process has it, a newer gridd wrote it, or the disk fails. Damage is no
    /// error: it is told in [`Opened::recovered`].
    pub fn open(settings: &Settings) -> Result<Opened, JournalError> {
        match opening::open(settings) {
            Err(error) if error.is_out_of_space() => {
                Upkeep::new(&settings.dir, Limits::of(settings, u64::MAX)).give_up_ballast();
                opening::open(settings)
            }
            opened => opened,
        }
    }

    /// Refuses a folder that has somebody else's files and no journal, before anything is written.
    ///
    /// # Errors
    ///
    /// [`JournalError::Strangers`], or what keeps it from being looked at.
    pub fn refuse_strangers(settings: &Settings) -> Result<(), JournalError> {
        opening::refuse_strangers(&settings.dir)
    }

    /// Appends records as one commit and returns when they are durable.
    ///
    /// # Errors
    ///
    /// When they are not. The same records may be appended again, unless a sync failed: then
    /// every further call is [`JournalError::Broken`].
    ///
    /// # Panics
    ///
    /// When the numbers do not follow the last one densely, or a mark is out of its range.
    pub fn append(&mut self, records: &[EncodedRecord]) -> Result<(), JournalError> {
        self.log.append(records)?;
        if let Some(last) = records.last() {
            self.durable.send_replace(last.number);
            self.background.poke();
        }
        Ok(())
    }

    /// Makes sure that a commit of so many bytes finds room without asking the disk.
    ///
    /// # Errors
    ///
    /// When the disk is full, or fails.
    pub fn reserve(&mut self, bytes: u64) -> Result<(), JournalError> {
        self.log.reserve(bytes)
    }

    /// Hands the state after record `through` to the thread that saves it.
    ///
    /// # Panics
    ///
    /// When `through` is not durable.
    pub fn checkpoint(&self, through: u64, state: Vec<u8>) -> CheckpointStart {
        assert!(through <= *self.durable.borrow(), "a state is made of durable records");
        self.background.checkpoint((through, self.term, state))
    }

    /// Tells for how long brokers were at work on this journal, by which all ages are measured; at
    /// least once in a minute or so.
    pub fn tell(&self, lived: Duration) {
        self.upkeep.tell(lived);
        self.background.poke();
    }

    /// What the disk still has for us, in bytes.
    ///
    /// # Errors
    ///
    /// When the file system does not tell.
    pub fn free_bytes(&self) -> Result<u64, JournalError> {
        self.upkeep.free_bytes()
    }

    /// How much is kept.
    pub fn retention(&self) -> Retention {
        self.retention
    }

    /// Lets the retention, the reserve and the room of `settings` hold from now on; all else of them
    /// holds from the next opening, the size of spans included.
    pub fn keep(&mut self, settings: &Settings) {
        self.retention = settings.retention.at_most(self.half_of_disk);
        self.upkeep.set(Limits::of(settings, self.half_of_disk));
        self.background.poke();
    }

    /// The oldest records, if they are to be forgotten when brokers were at work for `lived`. First
    /// that must be a durable record, then comes [`Journal::trim`].
    pub fn trim_due(&self, lived: Duration) -> Option<TrimDue> {
        let checkpoint = self.release.older_checkpoint.load(Ordering::Acquire);
        let ordered = self.upkeep.trim_through();
        self.release.archive.trim_due(self.retention, lived, checkpoint, ordered)
    }

    /// Ranges of numbers, acknowledged once, that were found unreadable since this was last asked.
    pub fn take_lost(&self) -> Vec<RangeInclusive<u64>> {
        self.release.archive.take_lost()
    }

    /// Forgets all records up to `last`, in the background; cut short, the next start ends it.
    pub fn trim(&self, last: u64) {
        self.upkeep.trim(last);
        self.background.poke();
    }

    /// Gives what is reserved back to a full disk; `false` if nothing is left of it. It is reserved
    /// anew when there is room.
    pub fn give_up_ballast(&self) -> bool {
        self.upkeep.give_up_ballast()
    }

    /// The term of all that is appended.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The names of this journal and its broker.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Ends the threads and closes the archive; readers that go on get an error for it.
    ///
    /// # Errors
    ///
    /// What a background thread failed of. The journal is closed all the same.
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
        // After `close` this finds nothing to do; otherwise the failure was logged where it rose.
        let _ = self.stop();
    }
}
