//! Follows the commit log and fills the archive, in a thread of its own.
//!
//! Guarantees that blocks are dense within a segment, that a gap in the numbers ends a segment, and
//! that the commit log is only truncated through what is sealed. No commit waits for it: if it
//! falls behind, or fails, the commit log grows and readers read that. Does not know the content of
//! a record.

use std::collections::VecDeque;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use tokio::sync::watch;
use uuid::Uuid;

use super::{ActiveSegment, Archive};
use crate::journal::archive::segment::VALUE_BYTES_MAX;
use crate::journal::commit_log::LogFiles;
use crate::journal::disk_state::DiskState;
use crate::journal::error::JournalError;
use crate::journal::frame::{BlockContent, BlockInfo, Compression, encode};
use crate::journal::log_truncation::LogTruncation;
use crate::journal::record::{BlockSummary, EncodedRecord, records_in_block};
use crate::log_limiter::LogLimiter;

/// The limits of a block.
#[derive(Clone, Copy)]
struct BlockSize {
    records: usize,
    /// Before compression: realistic records compress 2.6 times.
    raw_bytes: usize,
    packed_bytes: usize,
}

/// Small blocks keep the pages of sled, and with them its memory, small.
const SMALL: BlockSize = BlockSize { records: 64, raw_bytes: 13 << 10, packed_bytes: 5 << 10 };
/// When many records are pending, larger ones cost a third of the work.
const LARGE: BlockSize =
    BlockSize { records: 256, raw_bytes: 62 << 10, packed_bytes: VALUE_BYTES_MAX };

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
    /// Dense records with their terms, read from the log and not yet in the archive.
    pending: VecDeque<(u64, EncodedRecord)>,
    /// The number to read next.
    next: u64,
    /// The newest term in the active segment.
    term: u64,
    /// Failures of the active segment since the last seal.
    failures: u32,
    /// Whether what is not sealed has yet to be discarded.
    is_discarding: bool,
}

impl Archiver {
    /// An archiver that continues after what is sealed.
    pub(in crate::journal) fn new(
        release: Arc<LogTruncation>,
        durable: watch::Receiver<u64>,
        upkeep: Arc<DiskState>,
        span_bytes: u64,
        trash: Vec<PathBuf>,
        stop: Arc<AtomicBool>,
    ) -> Self {
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
            pending: VecDeque::new(),
            next: release.archive.sealed_through() + 1,
            term: 0,
            failures: 0,
            is_discarding: false,
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
        self.active = None;
        self.pending.clear();
        self.next = self.archive.sealed_through() + 1;
        self.discard_active()
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn catch_up(&mut self) -> Result<(), JournalError> {
        while !self.is_stopped() && self.disk_state.has_room() {
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

    /// Seals a segment that covers its longest lived time, however small it is, so that it can be
    /// trimmed by age.
    fn seal_if_old(&mut self) -> Result<(), JournalError> {
        let durable = *self.durable.borrow();
        let Some(lived) = self.disk_state.lived().filter(|_| self.disk_state.has_room()) else {
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
            self.next = durable + 1;
            return Ok(());
        };
        if number > self.next {
            while !self.pending.is_empty() {
                self.write_block(LARGE)?;
            }
            self.seal_active()?;
            self.next = number;
        }
        for block in self.files.blocks_at(number)?.into_iter().flatten() {
            let term = block.header.info.term;
            let number = block.header.info.first;
            let records = records_in_block(&block)
                .map_err(|source| JournalError::Unreadable { number, source })?;
            let new = records.into_iter().filter(|record| record.number >= self.next);
            self.pending.extend(new.map(|record| (term, record)));
            self.next = self.next.max(block.header.info.last() + 1);
        }
        Ok(())
    }

    fn write_block(&mut self, size: BlockSize) -> Result<(), JournalError> {
        let mut count = self.count_fitting(size);
        let (info, block) = loop {
            let waiting = self.pending.make_contiguous();
            let (info, block) = encode_block(self.archive.journal, &waiting[..count]);
            if block.len() <= size.packed_bytes || count == 1 {
                break (info, block);
            }
            count = count.div_ceil(2);
        };
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
        self.pending.drain(..count);
        self.term = info.term;
        self.active_bytes += block.len() as u64;
        if self.active_bytes >= self.segment_bytes { self.seal_active() } else { Ok(()) }
    }

    /// The number of pending records that are within this block size; at least one.
    fn count_fitting(&self, size: BlockSize) -> usize {
        let mut raw_bytes = 0;
        let fitting = self.pending.iter().take(size.records).take_while(|(_, record)| {
            raw_bytes += record.bytes.len();
            raw_bytes <= size.raw_bytes
        });
        fitting.count().max(1)
    }

    fn seal_active(&mut self) -> Result<(), JournalError> {
        match self.active.take() {
            Some(active) => {
                let lived = self.disk_state.lived().unwrap_or_else(|| self.archive.newest_lived());
                self.archive.seal_segment(&active, self.term, lived)?;
                self.failures = 0;
                self.log_truncation.truncate()
            }
            None => Ok(()),
        }
    }
}

/// Logs that a segment is filled again, at a limited rate: a shortage may last.
fn warn_of_retry(error: &JournalError) {
    static LIMIT: LogLimiter = LogLimiter::new();
    if let Some(left_out) = LIMIT.allow() {
        let error = error as &dyn std::error::Error;
        tracing::warn!(error, left_out, "a segment is filled again from the commit log");
    }
}

/// Encodes a block of the archive from at least one record with its term.
pub(super) fn encode_block(
    journal: Uuid,
    records: &[(u64, EncodedRecord)],
) -> (BlockInfo, Vec<u8>) {
    let (terms, records): (Vec<u64>, Vec<EncodedRecord>) = records.iter().cloned().unzip();
    let info = BlockInfo {
        content: BlockContent::Records,
        journal,
        // Terms do not decrease, so the last is the newest.
        term: *terms.last().expect("a block has at least one record"),
        first: records[0].number,
        count: u32::try_from(records.len()).expect("a block has at most 256 records"),
    };
    let mut payload = Vec::new();
    records.iter().for_each(|record| record.encode_into(&mut payload));
    let mut block = Vec::new();
    encode(
        &mut block,
        &info,
        Compression::Zstd,
        &BlockSummary::from_records(&records).encode(),
        &payload,
    )
    .expect("records of a block of a commit are within the limits of a block of the archive");
    (info, block)
}
