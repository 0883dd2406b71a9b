//! Follows the commit log and fills the archive, in a thread of its own.
//!
//! Guarantees that blocks are dense within a span, that a hole in the numbers ends a span, and
//! that the commit log is only released through what is sealed. It is never waited for: when it
//! falls behind, or fails, the commit log grows and readers read that.

use std::collections::VecDeque;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use tokio::sync::watch;
use uuid::Uuid;

use super::span::VALUE_BYTES_MAX;
use super::{ActiveSpan, Archive};
use crate::journal::commit_log::Files;
use crate::journal::error::JournalError;
use crate::journal::frame::{Codec, Content, Draft, encode};
use crate::journal::record::{EncodedRecord, Summary, records_of};
use crate::journal::release::Release;
use crate::journal::upkeep::Upkeep;
use crate::sparing::Sparing;

/// How large a block is made.
#[derive(Clone, Copy)]
struct BlockSize {
    records: usize,
    /// Before packing: realistic records pack 2.6 times.
    raw_bytes: usize,
    packed_bytes: usize,
}

/// Small blocks keep sled's pages, and with them its memory, small.
const SMALL: BlockSize = BlockSize { records: 64, raw_bytes: 13 << 10, packed_bytes: 5 << 10 };
/// When many records wait, larger ones cost a third of the work.
const LARGE: BlockSize =
    BlockSize { records: 256, raw_bytes: 62 << 10, packed_bytes: VALUE_BYTES_MAX };

/// How often the span being filled may fail before something else than the span must be wrong.
const FAILURES_MAX: u32 = 3;

/// The archiver's side of the journal.
#[derive(Debug)]
pub(in crate::journal) struct Archiver {
    archive: Arc<Archive>,
    files: Arc<Files>,
    release: Arc<Release>,
    durable: watch::Receiver<u64>,
    upkeep: Arc<Upkeep>,
    span_bytes: u64,
    trash: Vec<PathBuf>,
    stop: Arc<AtomicBool>,
    active: Option<Arc<ActiveSpan>>,
    /// What is in the active span, in bytes of blocks.
    active_bytes: u64,
    /// Dense records with their terms, read from the log and not yet in the archive.
    waiting: VecDeque<(u64, EncodedRecord)>,
    /// The number to read next.
    next: u64,
    /// The newest term in the active span.
    term: u64,
    /// How often the active span failed since the last seal.
    failures: u32,
    /// What is not sealed has yet to be moved out of the way.
    gives_up: bool,
}

impl Archiver {
    /// Makes an archiver that goes on behind what is sealed.
    pub(in crate::journal) fn new(
        release: Arc<Release>,
        durable: watch::Receiver<u64>,
        upkeep: Arc<Upkeep>,
        span_bytes: u64,
        trash: Vec<PathBuf>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self {
            archive: Arc::clone(&release.archive),
            files: Arc::clone(&release.files),
            durable,
            upkeep,
            span_bytes,
            trash,
            stop,
            active: None,
            active_bytes: 0,
            waiting: VecDeque::new(),
            next: release.archive.sealed_through() + 1,
            term: 0,
            failures: 0,
            gives_up: false,
            release,
        }
    }

    /// Works until it is stopped, or all senders of `pokes` are gone, or something fails.
    pub(in crate::journal) fn run(mut self, pokes: &Receiver<()>) -> Result<(), JournalError> {
        loop {
            match self.turn() {
                // All of it is done again at the next occasion.
                Err(error) if error.is_for_now() => later(&error),
                done => done?,
            }
            if self.is_stopped() || pokes.recv().is_err() {
                break;
            }
        }
        // An unsealed span is built again at the next start; an orderly end is still kinder.
        match self.active.map_or(Ok(()), |active| active.span.flush()) {
            Err(error) if error.is_for_now() => Ok(()),
            flushed => flushed,
        }
    }

    fn turn(&mut self) -> Result<(), JournalError> {
        if self.gives_up {
            self.give_up_active()?;
        }
        let trash = self.archive.trim(self.upkeep.trim_through())?;
        self.trash.extend(trash);
        self.empty_trash()?;
        self.upkeep.keep_ballast();
        match self.catch_up().and_then(|()| self.end_old_span()) {
            Err(error) => self.begin_again(error),
            done => done,
        }
    }

    /// Moves what is not sealed out of the way, however often that takes.
    fn give_up_active(&mut self) -> Result<(), JournalError> {
        self.gives_up = true;
        self.trash.extend(self.archive.give_up_active()?);
        self.gives_up = false;
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

    /// Throws away the span that is being filled: the commit log still has all of it. A full disk,
    /// or a system that grants no descriptors, is waited for, however long; otherwise a span that fails again and again ends the archiver.
    fn begin_again(&mut self, error: JournalError) -> Result<(), JournalError> {
        let is_for_now = error.is_for_now();
        self.failures += u32::from(!is_for_now);
        let is_spans =
            matches!(error, JournalError::Archive { .. }) && self.failures < FAILURES_MAX;
        if !is_spans && !is_for_now {
            return Err(error);
        }
        later(&error);
        self.active = None;
        self.waiting.clear();
        self.next = self.archive.sealed_through() + 1;
        self.give_up_active()
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn catch_up(&mut self) -> Result<(), JournalError> {
        while !self.is_stopped() && self.upkeep.has_room() {
            let durable = *self.durable.borrow();
            let unread = usize::try_from((durable + 1).saturating_sub(self.next))
                .expect("there are fewer records than bytes of memory could count");
            let behind = self.waiting.len().saturating_add(unread);
            if behind < SMALL.records {
                break;
            }
            let size = if behind < LARGE.records { SMALL } else { LARGE };
            if self.waiting.len() < size.records && unread > 0 {
                self.read(durable)?;
            } else {
                self.write_block(size)?;
            }
        }
        Ok(())
    }

    /// Seals what is older than a span may grow, however little it is, so that it can be forgotten
    /// by its age.
    fn end_old_span(&mut self) -> Result<(), JournalError> {
        let durable = *self.durable.borrow();
        let Some(lived) = self.upkeep.lived().filter(|_| self.upkeep.has_room()) else {
            return Ok(());
        };
        if self.active.is_none() && self.waiting.is_empty() && self.next <= durable {
            self.read(durable)?;
        }
        let is_any = self.active.is_some() || !self.waiting.is_empty();
        // Its first record came behind the span before, so it is no older than that one's seal.
        let oldest = self.archive.newest_lived();
        if !is_any || lived.saturating_sub(oldest) <= self.upkeep.span_age() {
            return Ok(());
        }
        while self.next <= durable && !self.is_stopped() {
            self.read(durable)?;
            while self.waiting.len() >= LARGE.records {
                self.write_block(LARGE)?;
            }
        }
        while !self.waiting.is_empty() {
            self.write_block(LARGE)?;
        }
        self.seal()
    }

    /// Takes over the next run of the log; a hole before it ends the span.
    fn read(&mut self, durable: u64) -> Result<(), JournalError> {
        let Some(number) = self.files.at_or_above(self.next).filter(|number| *number <= durable)
        else {
            // What was said to be durable and is not in the log is a hole known from the start.
            self.next = durable + 1;
            return Ok(());
        };
        if number > self.next {
            while !self.waiting.is_empty() {
                self.write_block(LARGE)?;
            }
            self.seal()?;
            self.next = number;
        }
        for block in self.files.blocks_at(number)?.into_iter().flatten() {
            let term = block.header.draft.term;
            let number = block.header.draft.first;
            let records =
                records_of(&block).map_err(|source| JournalError::Unreadable { number, source })?;
            let new = records.into_iter().filter(|record| record.number >= self.next);
            self.waiting.extend(new.map(|record| (term, record)));
            self.next = self.next.max(block.header.draft.last() + 1);
        }
        Ok(())
    }

    fn write_block(&mut self, size: BlockSize) -> Result<(), JournalError> {
        let mut count = self.fitting(size);
        let (draft, block) = loop {
            let waiting = self.waiting.make_contiguous();
            let (draft, block) = encode_block(self.archive.journal, &waiting[..count]);
            if block.len() <= size.packed_bytes || count == 1 {
                break (draft, block);
            }
            count = count.div_ceil(2);
        };
        let active = match &self.active {
            Some(active) => Arc::clone(active),
            None => {
                let active = self.archive.begin(draft.first)?;
                (self.active, self.active_bytes) = (Some(Arc::clone(&active)), 0);
                active
            }
        };
        active.span.insert(draft.first, &block)?;
        active.through.store(draft.last(), Ordering::Release);
        self.archive.archived_through.store(draft.last(), Ordering::Release);
        self.waiting.drain(..count);
        self.term = draft.term;
        self.active_bytes += block.len() as u64;
        if self.active_bytes >= self.span_bytes { self.seal() } else { Ok(()) }
    }

    /// How many of those waiting go into a block of this size; one at least.
    fn fitting(&self, size: BlockSize) -> usize {
        let mut raw_bytes = 0;
        let fitting = self.waiting.iter().take(size.records).take_while(|(_, record)| {
            raw_bytes += record.bytes.len();
            raw_bytes <= size.raw_bytes
        });
        fitting.count().max(1)
    }

    fn seal(&mut self) -> Result<(), JournalError> {
        match self.active.take() {
            Some(active) => {
                let lived = self.upkeep.lived().unwrap_or_else(|| self.archive.newest_lived());
                self.archive.seal(&active, self.term, lived)?;
                self.failures = 0;
                self.release.release()
            }
            None => Ok(()),
        }
    }
}

/// Tells of what is done again; a shortage may last.
fn later(error: &JournalError) {
    static LINE: Sparing = Sparing::new();
    if let Some(left_out) = LINE.turn() {
        let error = error as &dyn std::error::Error;
        tracing::warn!(error, left_out, "a span is filled anew");
    }
}

/// A block of the archive, of at least one record with its term.
pub(super) fn encode_block(journal: Uuid, records: &[(u64, EncodedRecord)]) -> (Draft, Vec<u8>) {
    let (terms, records): (Vec<u64>, Vec<EncodedRecord>) = records.iter().cloned().unzip();
    let draft = Draft {
        content: Content::Records,
        journal,
        // Terms do not fall, so the last is the newest.
        term: *terms.last().expect("a block has at least one record"),
        first: records[0].number,
        count: u32::try_from(records.len()).expect("a block has at most 256 records"),
    };
    let mut payload = Vec::new();
    records.iter().for_each(|record| record.put(&mut payload));
    let mut block = Vec::new();
    encode(&mut block, &draft, Codec::Zstd, &Summary::of(&records).encode(), &payload)
        .expect("records that fitted a commit's block fit a block of the archive");
    (draft, block)
}
