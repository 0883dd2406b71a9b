//! Fills one segment with sled: the only file that uses sled.
//!
//! Values are blocks, keys their first numbers. Guarantees that errors and panics of sled become
//! ours, and that a value which is not an intact block is never returned. Does not guarantee
//! durability: the flush of sled 0.34 is no fsync, so `seal` syncs the files itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use crate::journal::disk_state::is_disk_full;
use crate::journal::error::JournalError;
use crate::journal::frame::Block;
use crate::resources::is_temporary;

/// The largest value, in bytes, unless a single record is larger.
pub(super) const VALUE_BYTES_MAX: usize = 24 << 10;
const SLED_SEGMENT_BYTES: usize = 2 << 20;
// sled writes a leaf of up to 17 values as one message, and one above a quarter of a segment as a
// file of its own that it never syncs. (`seal` syncs those too: a large record may make one.)
const _: () = assert!(17 * VALUE_BYTES_MAX < SLED_SEGMENT_BYTES / 4);
const CACHE_BYTES: u64 = 4 << 20;
/// The background threads of sled may hold its lock for a moment after it was dropped.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const LOCK_POLL: Duration = Duration::from_millis(5);

/// The sled of one segment, open until closed.
#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    db: RwLock<Option<sled::Db>>,
}

impl Segment {
    /// Opens the sled in the folder `path`, or creates one there; waits up to 5 s for its lock.
    pub(super) fn open(path: PathBuf) -> Result<Self, JournalError> {
        let mut waited = Duration::ZERO;
        let db = loop {
            let config = sled::Config::default()
                .path(&path)
                .segment_size(SLED_SEGMENT_BYTES)
                .cache_capacity(CACHE_BYTES)
                .use_compression(false);
            match catch_sled("open", &path, || config.open()) {
                Err(JournalError::Archive { reason, .. })
                    if reason.contains("could not acquire lock") && waited < LOCK_TIMEOUT =>
                {
                    thread::sleep(LOCK_POLL);
                    waited += LOCK_POLL;
                }
                opened => break opened?,
            }
        };
        Ok(Self { path, db: RwLock::new(Some(db)) })
    }

    /// Inserts a block under its first number.
    pub(super) fn insert(&self, first: u64, block: &[u8]) -> Result<(), JournalError> {
        self.with_db("write to", |db| db.insert(first.to_be_bytes(), block)).map(drop)
    }

    /// The block around `number`; `None` if it is not in the segment, or the segment is closed.
    pub(super) fn block_at(&self, number: u64) -> Result<Option<Block>, JournalError> {
        let entry = self.with_db("read", |db| match number.checked_add(1) {
            Some(next) => db.get_lt(next.to_be_bytes()),
            None => db.last(),
        })?;
        let block = self.parse_entry(entry.flatten())?;
        Ok(block.filter(|block| block.header.info.last() >= number))
    }

    /// Writes everything to the operating system, without a sync.
    pub(super) fn flush(&self) -> Result<(), JournalError> {
        self.with_db("flush", |db| db.flush()).map(drop)
    }

    /// Closes the segment, after running reads have finished.
    pub(super) fn close(&self) {
        let db = self.db.write().unwrap_or_else(PoisonError::into_inner).take();
        let _ = catch_sled("close", &self.path, || {
            drop(db);
            Ok(())
        });
    }

    fn with_db<T>(
        &self,
        action: &'static str,
        call: impl FnOnce(&sled::Db) -> sled::Result<T>,
    ) -> Result<Option<T>, JournalError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        db.as_ref().map(|db| catch_sled(action, &self.path, || call(db))).transpose()
    }

    fn parse_entry(
        &self,
        entry: Option<(sled::IVec, sled::IVec)>,
    ) -> Result<Option<Block>, JournalError> {
        let Some((key, value)) = entry else { return Ok(None) };
        let damaged = |reason: String| JournalError::Archive {
            action: "read",
            path: self.path.clone(),
            reason,
        };
        let block = Block::parse(&Bytes::copy_from_slice(&value))
            .map_err(|error| damaged(error.to_string()))?;
        if block.header.info.first.to_be_bytes() == *key {
            Ok(Some(block))
        } else {
            Err(damaged("a block has the key of another number".to_owned()))
        }
    }
}

/// Runs a call of sled, which panics on some damage instead of returning an error.
fn catch_sled<T>(
    action: &'static str,
    path: &Path,
    call: impl FnOnce() -> sled::Result<T>,
) -> Result<T, JournalError> {
    let reason = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(result)) => return Ok(result),
        // Space and descriptors may become available again, so these errors are kept apart.
        Ok(Err(sled::Error::Io(source))) if is_disk_full(&source) || is_temporary(&source) => {
            return Err(JournalError::io(action, path)(source));
        }
        Ok(Err(error)) => error.to_string(),
        Err(panic) => panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
            .unwrap_or_else(|| "a panic without a message".to_owned()),
    };
    Err(JournalError::Archive { action, path: path.to_owned(), reason })
}
