//! Reads a stream, complete or damaged.
//!
//! Continues after damage as far as intact blocks are found. Guarantees that what it returns was
//! written so and ascends, that a stream that it reports whole is whole, and that all else is
//! reported as a [`StreamDefect`] with its position. A stream that is no journal's, or newer, is an error.

use std::io::{self, Read};
use std::ops::RangeInclusive;

use bytes::{Buf, Bytes};
use uuid::Uuid;

use super::{Head, STREAM_FORMAT, add_block};
use crate::journal::frame::{Block, Content, FORMAT};
use crate::journal::record::{EncodedRecord, records_of};
use crate::journal::scan::{Found, Gap, Scan};
use crate::system_error::Explained;

/// The reason why a stream can't be read at all.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// A read failed.
    #[error("cannot read the stream: {}", Explained(.0))]
    Read(#[from] io::Error),
    /// It contains no block of a journal.
    #[error(
        "this is no stream of a journal: give a file made by `gridctl journal backup` or `gridd journal salvage`"
    )]
    NotAStream,
    /// Probably a file out of a data folder.
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

/// A defect of a stream that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Bytes that are no block.
    #[error("damaged from byte {} to {}{}", .0.offset, .0.offset + .0.bytes, because(.0))]
    Damaged(Gap),
    /// The end is missing.
    #[error("truncated: the end is missing after byte {at}")]
    CutShort {
        /// Its length, in bytes.
        at: u64,
    },
    /// An intact block of another journal.
    #[error("the block at byte {offset} belongs to the journal {found}, not to {expected}")]
    Foreign {
        /// Where it begins, in bytes.
        offset: u64,
        /// The journal it belongs to.
        found: Uuid,
        /// The journal of the stream.
        expected: Uuid,
    },
    /// An intact block in a wrong position.
    #[error("the block at byte {offset} is out of place")]
    OutOfPlace {
        /// Where it begins, in bytes.
        offset: u64,
    },
    /// The number of records differs from the one in the end.
    #[error("it should have {expected} records and has {found}")]
    Count {
        /// The number in the end.
        expected: u64,
        /// The number that was read.
        found: u64,
    },
    /// The checksum in the end is wrong, though no other defect was found.
    #[error("the checksum of the whole stream is wrong")]
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
    /// A block of the checkpoint, as in its file.
    Checkpoint {
        /// The block.
        block: Block,
        /// Its bytes.
        bytes: Bytes,
    },
    /// A defect; the next item may still be intact.
    Fault(Fault),
}

/// The totals of what was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamSummary {
    /// Records returned.
    pub records: u64,
    /// The first and the last of them.
    pub range: Option<RangeInclusive<u64>>,
    /// Numbers that the stream should have, or that are between those it has.
    pub missing: Vec<RangeInclusive<u64>>,
    /// Length of the stream, in bytes.
    pub bytes: u64,
}

/// A stream that is being read.
#[derive(Debug)]
pub struct StreamReader<R> {
    scan: Scan<R>,
    head: Option<Head>,
    journal: Uuid,
    term: u64,
    /// Found and not yet returned, the last first.
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
    /// If no block of a stream is found, or a newer one.
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

    /// The description of the stream; if the head is damaged, from the end once that was read.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// The journal that the blocks belong to.
    pub fn journal(&self) -> Uuid {
        self.journal
    }

    /// The newest term of its blocks so far.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The next item; `None` at the end.
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

    /// The totals; complete once [`Self::next_item`] returned `None`.
    pub fn summary(&self) -> &StreamSummary {
        &self.summary
    }

    /// Whether it was whole; known once [`Self::next_item`] returned `None`.
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

    fn fault(&mut self, defect: Fault) {
        self.faults += 1;
        self.waiting.push(Item::Fault(defect));
    }

    fn take(&mut self, offset: u64, block: &Block, bytes: Bytes) -> Result<(), StreamError> {
        let info = block.header.draft;
        if info.journal != self.journal {
            let (found, expected) = (info.journal, self.journal);
            self.fault(Fault::Foreign { offset, found, expected });
            return Ok(());
        }
        self.term = self.term.max(info.term);
        if self.has_end {
            self.fault(Fault::OutOfPlace { offset });
            return Ok(());
        }
        match info.content {
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
        let info = block.header.draft;
        let mut payload = block.payload().unwrap_or_default();
        match Head::take(&mut payload, info.journal, info.term) {
            Ok(head) => self.head = Some(head),
            Err(Some(found)) => return Err(StreamError::NewerStream { found }),
            Err(None) => self.fault(Fault::OutOfPlace { offset: 0 }),
        }
        Ok(())
    }

    fn take_records(&mut self, offset: u64, block: &Block) {
        let next = self.summary.range.as_ref().map(|range| *range.end() + 1);
        let info = block.header.draft;
        match records_of(block) {
            Ok(records) if info.count > 0 && next.is_none_or(|next| info.first >= next) => {
                let expected = next.or(self.head.map(|head| head.first));
                if let Some(expected) = expected.filter(|expected| *expected < info.first) {
                    self.summary.missing.push(expected..=info.first - 1);
                }
                let first = self.summary.range.as_ref().map_or(info.first, |range| *range.start());
                self.summary.range = Some(first..=info.last());
                self.summary.records += records.len() as u64;
                self.waiting.push(Item::Records(records));
            }
            Ok(_) | Err(_) => self.fault(Fault::OutOfPlace { offset }),
        }
    }

    fn take_end(&mut self, offset: u64, block: &Block) {
        let info = block.header.draft;
        let mut payload = block.payload().unwrap_or_default();
        let head = Head::take(&mut payload, info.journal, info.term);
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
