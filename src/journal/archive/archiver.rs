//! Follows the commit log and fills the archive, in a thread of its own.
//!
//! Guarantees that blocks are dense within a segment, that a gap in the numbers ends a segment, and
//! that the commit log is only truncated through what is sealed. No commit waits for it: if it
//! falls behind, or fails, the commit log grows and readers read that. Does not know the content of
//! a record.

use std::fs;
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use tokio::sync::watch;

use super::{ActiveSegment, Archive};
use crate::journal::archive::record_buffer::{BlockSize, LARGE, RecordBuffer, SMALL};
use crate::journal::commit_log::LogFiles;
use crate::journal::disk_state::DiskState;
use crate::journal::error::JournalError;
use crate::journal::log_truncation::LogTruncation;
use crate::log_limiter::LogLimiter;

/// Space that a seal needs besides the pack: its index, and names.
const SEAL_ROOM_BYTES: u64 = 8 << 20;

/// After so many failures of the active segment, the cause must be something else than the segment.
const FAILURES_MAX: u32 = 3;

/// The archiver.
#[derive(Debug)]
pub(in crate::journal) struct Archiver {
    archive: Arc<Archive>,
    files: Arc<LogFiles>,
    log_truncation: Arc<LogTruncation>,
    durable: watch::Receiver<u64>,
    disk_state: Arc<DiskState>,
    segment_bytes: u64,
    trash: Vec<PathBuf>,
    stop: Arc<AtomicBool>,
    active: Option<Arc<ActiveSegment>>,
    /// Size of the active segment, in bytes of blocks.
    active_bytes: u64,
    /// Records that were read from the log and are not yet in the archive.
    pending: RecordBuffer,
    /// The number to read next.
    next: u64,
    /// The newest term in the active segment.
    term: u64,
    /// Failures of the active segment since the last seal.
    failures: u32,
    /// Whether what is not sealed has yet to be discarded.
    is_discarding: bool,
    /// Numbers that an unsealed segment of an earlier start may have, and the commit log has; `None`
    /// once it was looked at.
    left_unsealed: Option<RangeInclusive<u64>>,
}

impl Archiver {
    /// An archiver that continues after what is sealed.
    pub(in crate::journal) fn new(
        release: Arc<LogTruncation>,
        durable: watch::Receiver<u64>,
        upkeep: Arc<DiskState>,
        span_bytes: u64,
        trash: Vec<PathBuf>,
        rebuilt: &[u64],
        stop: Arc<AtomicBool>,
    ) -> Self {
        let next = release.archive.sealed_through() + 1;
        // Only what this start set aside: what an earlier one did may be of records that are lost, and
        // whose numbers were assigned again.
        let is_of_last_run = rebuilt.contains(&next);
        let left_unsealed = dense_range(next, release.files.ranges()).filter(|_| is_of_last_run);
        Self {
            archive: Arc::clone(&release.archive),
            files: Arc::clone(&release.files),
            durable,
            disk_state: upkeep,
            segment_bytes: span_bytes,
            trash,
            stop,
            active: None,
            active_bytes: 0,
            pending: RecordBuffer::default(),
            next,
            term: 0,
            failures: 0,
            is_discarding: false,
            left_unsealed,
            log_truncation: release,
        }
    }

    /// Runs until it is stopped, or all senders of `wakeups` are dropped, or something fails.
    pub(in crate::journal) fn run(mut self, wakeups: &Receiver<()>) -> Result<(), JournalError> {
        loop {
            match self.run_once() {
                // All of it is tried again at the next wakeup.
                Err(error) if error.is_transient() => warn_of_retry(&error),
                done => done?,
            }
            if self.is_stopped() || wakeups.recv().is_err() {
                break;
            }
        }
        // The next start rebuilds an unsealed segment, but an orderly end costs less.
        match self.active.map_or(Ok(()), |active| active.segment.flush()) {
            Err(error) if error.is_transient() => Ok(()),
            flushed => flushed,
        }
    }

    fn run_once(&mut self) -> Result<(), JournalError> {
        if self.is_discarding {
            self.discard_active()?;
        }
        let trash = self.archive.trim(self.disk_state.trim_through())?;
        self.trash.extend(trash);
        if let Err(error) = self.take_over() {
            // Whatever is wrong with them, the records are packed again.
            warn_of_retry(&error);
            self.forget_active();
            self.discard_active()?;
        }
        self.empty_trash()?;
        self.disk_state.ensure_ballast();
        match self.catch_up().and_then(|()| self.seal_if_old()) {
            Err(error) => self.restart_segment(error),
            done => done,
        }
    }

    /// Discards what is not sealed; retried until it succeeds.
    fn discard_active(&mut self) -> Result<(), JournalError> {
        self.is_discarding = true;
        self.trash.extend(self.archive.discard_active()?);
        self.is_discarding = false;
        Ok(())
    }

    /// Continues with the blocks of the segment that the last stop left unsealed, instead of packing
    /// their records again; whatever is wrong with them, they are in the commit log, too.
    fn take_over(&mut self) -> Result<(), JournalError> {
        let Some(numbers) = self.left_unsealed.take() else { return Ok(()) };
        let folder = self.archive.segment_path(*numbers.start()).with_added_extension("trash");
        if !self.trash.contains(&folder) || !self.disk_state.has_room_for(self.segment_bytes) {
            return Ok(());
        }
        if let Some((active, bytes, term)) = self.archive.take_over(&folder, &numbers)? {
            self.next = active.through.load(Ordering::Acquire) + 1;
            (self.active, self.active_bytes, self.term) = (Some(active), bytes, term);
        }
        if self.active_bytes >= self.segment_bytes { self.seal_active() } else { Ok(()) }
    }

    fn empty_trash(&mut self) -> Result<(), JournalError> {
        while let Some(path) = self.trash.last() {
            match fs::remove_dir_all(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                removed => removed.map_err(JournalError::io("remove", path))?,
            }
            self.trash.pop();
        }
        Ok(())
    }

    /// Discards the active segment: the commit log still has all of it. A full disk, or a lack of
    /// descriptors, is waited for without limit; otherwise repeated failures end the archiver.
    fn restart_segment(&mut self, error: JournalError) -> Result<(), JournalError> {
        let is_transient = error.is_transient();
        self.failures += u32::from(!is_transient);
        let is_of_segment =
            matches!(error, JournalError::Archive { .. }) && self.failures < FAILURES_MAX;
        if !is_of_segment && !is_transient {
            return Err(error);
        }
        warn_of_retry(&error);
        self.forget_active();
        self.discard_active()
    }

    fn forget_active(&mut self) {
        (self.active, self.active_bytes) = (None, 0);
        self.pending.clear();
        self.next = self.archive.sealed_through() + 1;
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Whether there is space for the pack of the active segment, which needs it beside sled's files.
    fn has_room(&self) -> bool {
        self.disk_state.has_room_for(self.active_bytes)
    }

    fn catch_up(&mut self) -> Result<(), JournalError> {
        while !self.is_stopped() {
            if !self.has_room() {
                return self.seal_before_full_disk();
            }
            let durable = *self.durable.borrow();
            let unread = usize::try_from((durable + 1).saturating_sub(self.next))
                .expect("there are fewer records than bytes of memory could count");
            let backlog = self.pending.len().saturating_add(unread);
            if backlog < SMALL.records {
                break;
            }
            let size = if backlog < LARGE.records { SMALL } else { LARGE };
            if self.pending.len() < size.records && unread > 0 {
                self.read_log(durable)?;
            } else {
                self.write_block(size)?;
            }
        }
        Ok(())
    }

    /// Seals the active segment while there is still space for its pack: then sled's files and a part of
    /// the commit log are removed.
    fn seal_before_full_disk(&mut self) -> Result<(), JournalError> {
        let needed = self.active_bytes.saturating_add(SEAL_ROOM_BYTES);
        if self.active.is_some() && self.disk_state.free_bytes()? >= needed {
            return self.seal_active();
        }
        Ok(())
    }

    /// Seals a segment that covers its longest lived time, however small it is, so that it can be
    /// trimmed by age.
    fn seal_if_old(&mut self) -> Result<(), JournalError> {
        let durable = *self.durable.borrow();
        let Some(lived) = self.disk_state.lived().filter(|_| self.has_room()) else {
            return Ok(());
        };
        if self.active.is_none() && self.pending.is_empty() && self.next <= durable {
            self.read_log(durable)?;
        }
        let has_records = self.active.is_some() || !self.pending.is_empty();
        // Its first record came after the previous segment, so it is no older than the seal of
        // that.
        let oldest = self.archive.newest_lived();
        if !has_records || lived.saturating_sub(oldest) <= self.disk_state.segment_age() {
            return Ok(());
        }
        while self.next <= durable && !self.is_stopped() {
            self.read_log(durable)?;
            while self.pending.len() >= LARGE.records {
                self.write_block(LARGE)?;
            }
        }
        while !self.pending.is_empty() {
            self.write_block(LARGE)?;
        }
        self.seal_active()
    }

    /// Reads the next run of the log; a gap before it ends the segment.
    fn read_log(&mut self, durable: u64) -> Result<(), JournalError> {
        let Some(number) = self.files.at_or_above(self.next).filter(|number| *number <= durable)
        else {
            // Durable numbers that are not in the log are a gap that was found at the start.
            return self.end_segment_before(durable + 1);
        };
        if number > self.next {
            self.end_segment_before(number)?;
        }
        for block in self.files.blocks_at(number)?.into_iter().flatten() {
            let number = block.header.info.first;
            self.pending
                .push_block(&block, &(self.next..=u64::MAX))
                .map_err(|source| JournalError::Unreadable { number, source })?;
            self.next = self.next.max(block.header.info.last() + 1);
        }
        Ok(())
    }

    /// Seals what there is before a gap, and goes on behind it.
    fn end_segment_before(&mut self, number: u64) -> Result<(), JournalError> {
        while !self.pending.is_empty() {
            self.write_block(LARGE)?;
        }
        self.seal_active()?;
        self.next = number;
        Ok(())
    }

    fn write_block(&mut self, size: BlockSize) -> Result<(), JournalError> {
        let (info, block) = self.pending.take_block(size, self.archive.journal);
        let active = match &self.active {
            Some(active) => Arc::clone(active),
            None => {
                let active = self.archive.begin_segment(info.first)?;
                (self.active, self.active_bytes) = (Some(Arc::clone(&active)), 0);
                active
            }
        };
        active.segment.insert(info.first, &block)?;
        active.through.store(info.last(), Ordering::Release);
        self.archive.archived_through.store(info.last(), Ordering::Release);
        self.term = info.term;
        self.active_bytes += block.len() as u64;
        if self.active_bytes >= self.segment_bytes { self.seal_active() } else { Ok(()) }
    }

    fn seal_active(&mut self) -> Result<(), JournalError> {
        match self.active.take() {
            Some(active) => {
                self.active_bytes = 0;
                let lived = self.disk_state.lived().unwrap_or_else(|| self.archive.newest_lived());
                self.archive.seal_segment(&active, self.term, lived)?;
                self.failures = 0;
                self.log_truncation.truncate()
            }
            None => Ok(()),
        }
    }
}

/// The numbers from `first` on that are in `ranges`, which ascend, without a gap.
fn dense_range(first: u64, ranges: Vec<RangeInclusive<u64>>) -> Option<RangeInclusive<u64>> {
    let mut next = first;
    for range in ranges.iter().filter(|range| *range.end() >= first) {
        if *range.start() > next {
            break;
        }
        next = range.end() + 1;
    }
    (next > first).then(|| first..=next - 1)
}

/// Logs that a segment is filled again, at a limited rate: a shortage may last.
fn warn_of_retry(error: &JournalError) {
    static LIMIT: LogLimiter = LogLimiter::new();
    if let Some(left_out) = LIMIT.allow() {
        let error = error as &dyn std::error::Error;
        tracing::warn!(error, left_out, "a segment is filled again from the commit log");
    }
}
