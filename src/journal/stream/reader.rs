//! The reading end of a stream, whole or not.
//!
//! Goes on behind damage as far as whole blocks are found. Guarantees that what it hands on was
//! written so and ascends, that a stream it calls whole is whole, and that everything else is told
//! as a [`Fault`] with its place. A stream it can't make sense of is an error: not ours, or newer.

use std::io::{self, Read};
use std::ops::RangeInclusive;

use bytes::{Buf, Bytes};
use uuid::Uuid;

use super::{Head, STREAM_FORMAT, add_block};
use crate::journal::frame::{Block, Content, FORMAT};
use crate::journal::record::{EncodedRecord, records_of};
use crate::journal::scan::{Found, Gap, Scan};
use crate::system_error::Explained;

/// Why a stream can't be read at all.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The system says so.
    #[error("cannot read the stream: {}", Explained(.0))]
    Read(#[from] io::Error),
    /// Nothing of ours in it.
    #[error(
        "this is no stream of a journal: give a file made by `gridctl journal backup` or `gridd journal salvage`"
    )]
    NotAStream,
    /// A file out of a data folder, most likely.
    #[error(
        "this is a part of a journal, not a stream of one: give a file made by `gridctl journal backup` or `gridd journal salvage`"
    )]
    PartOfAJournal,
    /// A stream of a later format.
    #[error(
        "the stream has format {found}, this program knows up to {STREAM_FORMAT}: use a newer one"
    )]
    NewerStream {
        /// The format found.
        found: u32,
    },
    /// A block of a later format.
    #[error(
        "the block at byte {offset} was written by a newer gridd, this program knows blocks up to format {FORMAT}: use a newer one"
    )]
    NewerBlock {
        /// Where it begins, in bytes.
        offset: u64,
    },
}

/// What is wrong with a stream that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Bytes that are no block.
    #[error("damaged from byte {} to {}{}", .0.offset, .0.offset + .0.bytes, because(.0))]
    Damaged(Gap),
    /// No end.
    #[error("cut short: the end is missing behind byte {at}")]
    CutShort {
        /// How long it is, in bytes.
        at: u64,
    },
    /// A whole block, of another journal.
    #[error("the block at byte {offset} belongs to the journal {found}, not to {expected}")]
    Foreign {
        /// Where it begins, in bytes.
        offset: u64,
        /// The journal it belongs to.
        found: Uuid,
        /// The journal of the stream.
        expected: Uuid,
    },
    /// A whole block that does not belong there.
    #[error("the block at byte {offset} is out of place")]
    OutOfPlace {
        /// Where it begins, in bytes.
        offset: u64,
    },
    /// The end says something else than what came before it.
    #[error("it should have {expected} records and has {found}")]
    Count {
        /// What the end says.
        expected: u64,
        /// What was there.
        found: u64,
    },
    /// The same, though nothing else was noticed.
    #[error("the checksum over the whole does not hold")]
    Checksum,
}

fn because(gap: &Gap) -> String {
    gap.reason.map_or_else(String::new, |reason| format!(" ({reason})"))
}

/// The next thing in a stream.
#[derive(Debug)]
pub enum Item {
    /// Records with ascending numbers, dense within.
    Records(Vec<EncodedRecord>),
    /// A block of the checkpoint, as it lies in its file.
    Checkpoint {
        /// The block.
        block: Block,
        /// Its bytes.
        bytes: Bytes,
    },
    /// Something is wrong here; the next item may still be good.
    Fault(Fault),
}

/// What was read, all in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamSummary {
    /// Records handed on.
    pub records: u64,
    /// The first and the last of them.
    pub range: Option<RangeInclusive<u64>>,
    /// Numbers that the stream should have, or that lie between those it has.
    pub missing: Vec<RangeInclusive<u64>>,
    /// How long the stream is, in bytes.
    pub bytes: u64,
}

/// A stream being read.
#[derive(Debug)]
pub struct StreamReader<R> {
    scan: Scan<R>,
    head: Option<Head>,
    journal: Uuid,
    term: u64,
    /// Found and not yet handed on, the last first.
    waiting: Vec<Item>,
    crc: u32,
    faults: u64,
    is_ended: bool,
    has_end: bool,
    summary: StreamSummary,
}

impl<R: Read> StreamReader<R> {
    /// Reads up to the head, or to the first block behind a damaged head.
    ///
    /// # Errors
    ///
    /// When no block of a stream is found, or a newer one.
    pub fn open(read: R) -> Result<Self, StreamError> {
        let mut reader = Self {
            scan: Scan::new(read),
            head: None,
            journal: Uuid::nil(),
            term: 0,
            waiting: Vec::new(),
            crc: 0,
            faults: 0,
            is_ended: false,
            has_end: false,
            summary: StreamSummary::default(),
        };
        let Some((offset, block, bytes)) = reader.next_block()? else {
            return Err(StreamError::NotAStream);
        };
        reader.journal = block.header.draft.journal;
        let is_head = block.header.draft.content == Content::StreamHead;
        if offset == 0 && !is_head {
            return Err(StreamError::PartOfAJournal);
        }
        reader.note_gap();
        reader.take(offset, &block, bytes)?;
        Ok(reader)
    }

    /// What the stream says of itself; from its end, once that was read, if the head is damaged.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// The journal that the blocks belong to.
    pub fn journal(&self) -> Uuid {
        self.journal
    }

    /// The newest term that a block of it has so far.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The next thing; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`StreamError::Read`] and [`StreamError::NewerBlock`].
    pub fn next_item(&mut self) -> Result<Option<Item>, StreamError> {
        loop {
            if let Some(item) = self.waiting.pop() {
                return Ok(Some(item));
            }
            if self.is_ended {
                return Ok(None);
            }
            match self.next_block()? {
                Some((offset, block, bytes)) => {
                    self.note_gap();
                    self.take(offset, &block, bytes)?;
                }
                None => self.end(),
            }
            self.waiting.reverse();
        }
    }

    /// What was read; complete once [`Self::next_item`] gave `None`.
    pub fn summary(&self) -> &StreamSummary {
        &self.summary
    }

    /// Whether it was whole; known once [`Self::next_item`] gave `None`.
    pub fn is_whole(&self) -> bool {
        self.is_ended && self.faults == 0
    }

    fn next_block(&mut self) -> Result<Option<(u64, Block, Bytes)>, StreamError> {
        match self.scan.next_block()? {
            Some(Found::Block { offset, block, bytes }) => Ok(Some((offset, block, bytes))),
            Some(Found::Newer { offset }) => Err(StreamError::NewerBlock { offset }),
            None => Ok(None),
        }
    }

    fn note_gap(&mut self) {
        let gap = self.scan.gap();
        if gap.bytes > 0 {
            self.fault(Fault::Damaged(gap));
        }
    }

    fn fault(&mut self, fault: Fault) {
        self.faults += 1;
        self.waiting.push(Item::Fault(fault));
    }

    fn take(&mut self, offset: u64, block: &Block, bytes: Bytes) -> Result<(), StreamError> {
        let draft = block.header.draft;
        if draft.journal != self.journal {
            let (found, expected) = (draft.journal, self.journal);
            self.fault(Fault::Foreign { offset, found, expected });
            return Ok(());
        }
        self.term = self.term.max(draft.term);
        if self.has_end {
            self.fault(Fault::OutOfPlace { offset });
            return Ok(());
        }
        match draft.content {
            Content::StreamHead if offset == 0 => self.take_head(block)?,
            Content::StreamEnd => self.take_end(offset, block),
            Content::Checkpoint | Content::CheckpointEnd if self.summary.range.is_none() => {
                self.waiting.push(Item::Checkpoint { block: block.clone(), bytes: bytes.clone() });
            }
            Content::Records => self.take_records(offset, block),
            Content::StreamHead
            | Content::Checkpoint
            | Content::CheckpointEnd
            | Content::Commit
            | Content::Seal => self.fault(Fault::OutOfPlace { offset }),
        }
        self.crc = add_block(self.crc, &bytes);
        Ok(())
    }

    fn take_head(&mut self, block: &Block) -> Result<(), StreamError> {
        let draft = block.header.draft;
        let mut payload = block.payload().unwrap_or_default();
        match Head::take(&mut payload, draft.journal, draft.term) {
            Ok(head) => self.head = Some(head),
            Err(Some(found)) => return Err(StreamError::NewerStream { found }),
            Err(None) => self.fault(Fault::OutOfPlace { offset: 0 }),
        }
        Ok(())
    }

    fn take_records(&mut self, offset: u64, block: &Block) {
        let next = self.summary.range.as_ref().map(|range| *range.end() + 1);
        let draft = block.header.draft;
        match records_of(block) {
            Ok(records) if draft.count > 0 && next.is_none_or(|next| draft.first >= next) => {
                let expected = next.or(self.head.map(|head| head.first));
                if let Some(expected) = expected.filter(|expected| *expected < draft.first) {
                    self.summary.missing.push(expected..=draft.first - 1);
                }
                let first = self.summary.range.as_ref().map_or(draft.first, |range| *range.start());
                self.summary.range = Some(first..=draft.last());
                self.summary.records += records.len() as u64;
                self.waiting.push(Item::Records(records));
            }
            Ok(_) | Err(_) => self.fault(Fault::OutOfPlace { offset }),
        }
    }

    fn take_end(&mut self, offset: u64, block: &Block) {
        let draft = block.header.draft;
        let mut payload = block.payload().unwrap_or_default();
        let head = Head::take(&mut payload, draft.journal, draft.term);
        let (Ok(head), Ok(expected), Ok(crc)) =
            (head, payload.try_get_u64_le(), payload.try_get_u32_le())
        else {
            self.fault(Fault::OutOfPlace { offset });
            return;
        };
        self.has_end = true;
        if self.head.is_some_and(|known| known != head) {
            self.fault(Fault::OutOfPlace { offset });
        }
        if self.head.is_none() {
            self.head = Some(head);
            if let Some(range) = self.summary.range.clone().filter(|r| *r.start() > head.first) {
                self.summary.missing.insert(0, head.first..=*range.start() - 1);
            }
        }
        let found = self.summary.records;
        if found != expected {
            self.fault(Fault::Count { expected, found });
        } else if self.faults == 0 && crc != self.crc {
            self.fault(Fault::Checksum);
        }
    }

    fn end(&mut self) {
        self.is_ended = true;
        self.summary.bytes = self.scan.offset();
        self.note_gap();
        if !self.has_end {
            self.fault(Fault::CutShort { at: self.scan.offset() });
        }
        if let Some(head) = self.head {
            let reached = self.summary.range.as_ref().map_or(head.first, |range| range.end() + 1);
            if reached <= head.last {
                self.summary.missing.push(reached..=head.last);
            }
        }
    }
}
