//! Reads a stream, complete or damaged.
//!
//! Continues after damage as far as intact blocks are found. Guarantees that what it returns was
//! written so and ascends, that a stream that it reports whole is whole, and that all else is
//! reported as a [`StreamDefect`] with its position. A newer stream, or none at all, is an error.

use std::io::{self, Read};
use std::ops::RangeInclusive;

use bytes::{Buf, Bytes};
use uuid::Uuid;

use super::{
    Attachment, AttachmentError, AttachmentName, STREAM_FORMAT, StreamHead, update_checksum,
};
use crate::journal::frame::{Block, BlockContent, FORMAT};
use crate::journal::record::{EncodedRecord, records_in_block};
use crate::journal::scan::{BlockScan, ScanItem, UnreadableRange};
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
pub enum StreamDefect {
    /// Bytes that are no block.
    #[error("damaged from byte {} to {}{}", .0.offset, .0.offset + .0.bytes, reason_suffix(.0))]
    Damaged(UnreadableRange),
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
    /// An intact block with an attachment that can't be one.
    #[error("the attachment at byte {offset} can't be used: {reason}")]
    Attachment {
        /// Where its block begins, in bytes.
        offset: u64,
        /// The reason.
        reason: AttachmentError,
    },
    /// The number of attachments differs from the one in the head.
    #[error("it should have {expected} attachments and has {found}")]
    Attachments {
        /// The number in the head.
        expected: u32,
        /// The number that was read.
        found: u32,
    },
    /// The checksum in the end is wrong, though no other defect was found.
    #[error("the checksum of the whole stream is wrong")]
    Checksum,
}

fn reason_suffix(gap: &UnreadableRange) -> String {
    gap.reason.map_or_else(String::new, |reason| format!(" ({reason})"))
}

/// The next thing in a stream.
#[derive(Debug)]
pub enum StreamItem {
    /// Records with ascending numbers, dense within.
    Records(Vec<EncodedRecord>),
    /// A small file; these come first.
    Attachment(Attachment),
    /// A block of the checkpoint, as in its file.
    Checkpoint {
        /// The block.
        block: Block,
        /// Its bytes.
        bytes: Bytes,
    },
    /// A defect; the next item may still be intact.
    Defect(StreamDefect),
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
    /// The names of the attachments returned.
    pub attachments: Vec<AttachmentName>,
    /// Length of the stream, in bytes.
    pub bytes: u64,
}

/// A stream that is being read.
#[derive(Debug)]
pub struct StreamReader<R> {
    scan: BlockScan<R>,
    head: Option<StreamHead>,
    journal: Uuid,
    term: u64,
    /// Found and not yet returned, the last first.
    pending: Vec<StreamItem>,
    crc: u32,
    defects: u64,
    is_ended: bool,
    has_end: bool,
    summary: StreamSummary,
}

impl<R: Read> StreamReader<R> {
    /// Reads up to the head, or to the first block after a damaged head.
    ///
    /// # Errors
    ///
    /// If no block of a stream is found, or a newer one.
    pub fn open(read: R) -> Result<Self, StreamError> {
        let mut reader = Self {
            scan: BlockScan::new(read),
            head: None,
            journal: Uuid::nil(),
            term: 0,
            pending: Vec::new(),
            crc: 0,
            defects: 0,
            is_ended: false,
            has_end: false,
            summary: StreamSummary::default(),
        };
        let Some((offset, block, bytes)) = reader.next_block()? else {
            return Err(StreamError::NotAStream);
        };
        reader.journal = block.header.info.journal;
        let is_head = block.header.info.content == BlockContent::StreamHead;
        if offset == 0 && !is_head {
            return Err(StreamError::PartOfAJournal);
        }
        reader.note_gap();
        reader.handle_block(offset, &block, bytes)?;
        Ok(reader)
    }

    /// The description of the stream; if the head is damaged, from the end once that was read.
    pub fn head(&self) -> Option<&StreamHead> {
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
    pub fn next_item(&mut self) -> Result<Option<StreamItem>, StreamError> {
        loop {
            if let Some(item) = self.pending.pop() {
                return Ok(Some(item));
            }
            if self.is_ended {
                return Ok(None);
            }
            match self.next_block()? {
                Some((offset, block, bytes)) => {
                    self.note_gap();
                    self.handle_block(offset, &block, bytes)?;
                }
                None => self.finish(),
            }
            self.pending.reverse();
        }
    }

    /// The totals; complete once [`Self::next_item`] returned `None`.
    pub fn summary(&self) -> &StreamSummary {
        &self.summary
    }

    /// Whether it was whole; known once [`Self::next_item`] returned `None`.
    pub fn is_intact(&self) -> bool {
        self.is_ended && self.defects == 0
    }

    fn next_block(&mut self) -> Result<Option<(u64, Block, Bytes)>, StreamError> {
        match self.scan.next_block()? {
            Some(ScanItem::Block { offset, block, bytes }) => Ok(Some((offset, block, bytes))),
            Some(ScanItem::Newer { offset }) => Err(StreamError::NewerBlock { offset }),
            None => Ok(None),
        }
    }

    fn note_gap(&mut self) {
        let gap = self.scan.gap();
        if gap.bytes > 0 {
            self.push_defect(StreamDefect::Damaged(gap));
        }
    }

    fn push_defect(&mut self, defect: StreamDefect) {
        self.defects += 1;
        self.pending.push(StreamItem::Defect(defect));
    }

    fn handle_block(
        &mut self,
        offset: u64,
        block: &Block,
        bytes: Bytes,
    ) -> Result<(), StreamError> {
        let info = block.header.info;
        if info.journal != self.journal {
            let (found, expected) = (info.journal, self.journal);
            self.push_defect(StreamDefect::Foreign { offset, found, expected });
            return Ok(());
        }
        self.term = self.term.max(info.term);
        if self.has_end {
            self.push_defect(StreamDefect::OutOfPlace { offset });
            return Ok(());
        }
        match info.content {
            BlockContent::StreamHead if offset == 0 => self.handle_head(block)?,
            BlockContent::StreamEnd => self.handle_end(offset, block),
            BlockContent::Checkpoint | BlockContent::CheckpointEnd
                if self.summary.range.is_none() =>
            {
                self.pending
                    .push(StreamItem::Checkpoint { block: block.clone(), bytes: bytes.clone() });
            }
            BlockContent::Records => self.handle_records(offset, block),
            BlockContent::Attachment if self.summary.range.is_none() => {
                self.handle_attachment(offset, block)
            }
            BlockContent::StreamHead
            | BlockContent::Attachment
            | BlockContent::Checkpoint
            | BlockContent::CheckpointEnd
            | BlockContent::Commit
            | BlockContent::Seal
            | BlockContent::SegmentIndex => self.push_defect(StreamDefect::OutOfPlace { offset }),
        }
        self.crc = update_checksum(self.crc, &bytes);
        Ok(())
    }

    fn handle_head(&mut self, block: &Block) -> Result<(), StreamError> {
        let info = block.header.info;
        let mut payload = block.payload().unwrap_or_default();
        match StreamHead::decode(&mut payload, info.journal, info.term) {
            Ok(head) => self.head = Some(head),
            Err(Some(found)) => return Err(StreamError::NewerStream { found }),
            Err(None) => self.push_defect(StreamDefect::OutOfPlace { offset: 0 }),
        }
        Ok(())
    }

    fn handle_records(&mut self, offset: u64, block: &Block) {
        let next = self.summary.range.as_ref().map(|range| *range.end() + 1);
        let info = block.header.info;
        match records_in_block(block) {
            Ok(records) if info.count > 0 && next.is_none_or(|next| info.first >= next) => {
                let expected = next.or(self.head.map(|head| head.first));
                if let Some(expected) = expected.filter(|expected| *expected < info.first) {
                    self.summary.missing.push(expected..=info.first - 1);
                }
                let first = self.summary.range.as_ref().map_or(info.first, |range| *range.start());
                self.summary.range = Some(first..=info.last());
                self.summary.records += records.len() as u64;
                self.pending.push(StreamItem::Records(records));
            }
            Ok(_) | Err(_) => self.push_defect(StreamDefect::OutOfPlace { offset }),
        }
    }

    fn handle_attachment(&mut self, offset: u64, block: &Block) {
        let name = String::from_utf8_lossy(&block.summary);
        let Ok(content) = block.payload() else {
            return self.push_defect(StreamDefect::OutOfPlace { offset });
        };
        let before = &self.summary.attachments;
        match Attachment::new(&name, content.into())
            .and_then(|it| it.check_after(before).map(|()| it))
        {
            Ok(attachment) => {
                self.summary.attachments.push(attachment.name().clone());
                self.pending.push(StreamItem::Attachment(attachment));
            }
            Err(reason) => self.push_defect(StreamDefect::Attachment { offset, reason }),
        }
    }

    fn handle_end(&mut self, offset: u64, block: &Block) {
        let info = block.header.info;
        let mut payload = block.payload().unwrap_or_default();
        let head = StreamHead::decode(&mut payload, info.journal, info.term);
        let (Ok(head), Ok(expected), Ok(crc)) =
            (head, payload.try_get_u64_le(), payload.try_get_u32_le())
        else {
            self.push_defect(StreamDefect::OutOfPlace { offset });
            return;
        };
        self.has_end = true;
        if self.head.is_some_and(|known| known != head) {
            self.push_defect(StreamDefect::OutOfPlace { offset });
        }
        if self.head.is_none() {
            self.head = Some(head);
            if let Some(range) = self.summary.range.clone().filter(|r| *r.start() > head.first) {
                self.summary.missing.insert(0, head.first..=*range.start() - 1);
            }
        }
        let found = self.summary.records;
        if found != expected {
            self.push_defect(StreamDefect::Count { expected, found });
        } else if self.defects == 0 && crc != self.crc {
            self.push_defect(StreamDefect::Checksum);
        }
    }

    fn finish(&mut self) {
        self.is_ended = true;
        self.summary.bytes = self.scan.offset();
        self.note_gap();
        if !self.has_end {
            self.push_defect(StreamDefect::CutShort { at: self.scan.offset() });
        }
        if let Some(head) = self.head {
            let found = u32::try_from(self.summary.attachments.len()).unwrap_or(u32::MAX);
            if found != head.attachments {
                self.push_defect(StreamDefect::Attachments { expected: head.attachments, found });
            }
            let reached = self.summary.range.as_ref().map_or(head.first, |range| range.end() + 1);
            if reached <= head.last {
                self.summary.missing.push(reached..=head.last);
            }
        }
    }
}
