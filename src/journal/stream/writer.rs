//! Writes a stream.
//!
//! Guarantees that records are written in ascending order, each once, in blocks that any scan
//! finds; a gap in the numbers ends a block. Its reader reports a stream without
//! [`StreamWriter::finish`] as truncated.

use std::io::{self, Write};

use bytes::BufMut;

use super::{Attachment, StreamHead, update_checksum};
use crate::journal::frame::{BlockContent, BlockInfo, Compression, encode};
use crate::journal::record::{BlockSummary, EncodedRecord};

/// A block of records ends at this many bytes before compression, or at this many records:
const BLOCK_BYTES: usize = 256 << 10;
/// with 4096, the summary is within its limit however many appliances they are about.
const BLOCK_RECORDS: usize = 4096;

/// A stream that is being written.
#[derive(Debug)]
pub struct StreamWriter<W> {
    out: W,
    head: StreamHead,
    pending: Vec<EncodedRecord>,
    pending_bytes: usize,
    buffer: Vec<u8>,
    crc: u32,
    written: StreamTotals,
}

/// Totals of what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamTotals {
    /// Records.
    pub records: u64,
    /// Bytes.
    pub bytes: u64,
}

impl<W: Write> StreamWriter<W> {
    /// Begins a stream with these attachments; sets their number in the head.
    ///
    /// # Errors
    ///
    /// Those of `out`, here and below, and if the attachments are too many or have a name twice.
    pub fn new(out: W, mut head: StreamHead, attachments: &[Attachment]) -> io::Result<Self> {
        let mut names = Vec::new();
        for attachment in attachments {
            attachment.check_after(&names).map_err(io::Error::other)?;
            names.push(attachment.name().clone());
        }
        head.attachments = u32::try_from(names.len()).expect("they are 16 at most");
        let mut writer = Self {
            out,
            head,
            pending: Vec::new(),
            pending_bytes: 0,
            buffer: Vec::new(),
            crc: 0,
            written: StreamTotals::default(),
        };
        let mut payload = Vec::new();
        head.encode_into(&mut payload);
        writer.write_block(BlockContent::StreamHead, 0, &[], &payload)?;
        for (index, attachment) in (0..).zip(attachments) {
            let name = attachment.name().as_str().as_bytes();
            writer.write_block(BlockContent::Attachment, index, name, attachment.content())?;
        }
        Ok(writer)
    }

    /// Writes a block of a checkpoint as it is in its file.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn write_checkpoint_block(&mut self, block: &[u8]) -> io::Result<()> {
        self.out.write_all(block)?;
        self.crc = update_checksum(self.crc, block);
        self.written.bytes += block.len() as u64;
        Ok(())
    }

    /// Puts in a record.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    ///
    /// # Panics
    ///
    /// When its number is not above the last one's.
    pub fn write_record(&mut self, record: EncodedRecord) -> io::Result<()> {
        if let Some(last) = self.pending.last() {
            assert!(record.number > last.number, "the numbers of a stream ascend");
            let is_full = self.pending_bytes + record.bytes.len() > BLOCK_BYTES
                || self.pending.len() == BLOCK_RECORDS;
            if is_full || record.number != last.number + 1 {
                self.write_pending()?;
            }
        }
        self.pending_bytes += record.bytes.len();
        self.pending.push(record);
        Ok(())
    }

    /// The head, as it was written.
    pub fn head(&self) -> &StreamHead {
        &self.head
    }

    /// The output.
    pub fn out(&mut self) -> &mut W {
        &mut self.out
    }

    /// The totals so far; records that wait for their block are not counted.
    pub fn written(&self) -> StreamTotals {
        self.written
    }

    /// Finishes the stream and returns the output.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn finish(mut self) -> io::Result<(W, StreamTotals)> {
        self.write_pending()?;
        let mut payload = Vec::new();
        self.head.encode_into(&mut payload);
        payload.put_u64_le(self.written.records);
        payload.put_u32_le(self.crc);
        self.write_block(BlockContent::StreamEnd, 0, &[], &payload)?;
        self.out.flush()?;
        Ok((self.out, self.written))
    }

    fn write_pending(&mut self) -> io::Result<()> {
        let Some(first) = self.pending.first() else { return Ok(()) };
        let info = BlockInfo {
            content: BlockContent::Records,
            journal: self.head.identity.journal,
            term: self.head.term,
            first: first.number,
            count: u32::try_from(self.pending.len()).expect("a block has at most 4096 records"),
        };
        let mut payload = Vec::with_capacity(self.pending_bytes + 32 * self.pending.len());
        self.pending.iter().for_each(|record| record.encode_into(&mut payload));
        let summary = BlockSummary::from_records(&self.pending).encode();
        self.buffer.clear();
        encode(&mut self.buffer, &info, Compression::Zstd, &summary, &payload)
            .expect("records of a block of the journal are within the limits of one of a stream");
        self.written.records += self.pending.len() as u64;
        self.pending.clear();
        self.pending_bytes = 0;
        self.write_buffer()
    }

    fn write_block(
        &mut self,
        content: BlockContent,
        count: u32,
        summary: &[u8],
        payload: &[u8],
    ) -> io::Result<()> {
        let StreamHead { identity, term, first, .. } = self.head;
        let info = BlockInfo { content, journal: identity.journal, term, first, count };
        self.buffer.clear();
        encode(&mut self.buffer, &info, Compression::None, summary, payload)
            .expect("64 KiB are within the limits of a block");
        self.write_buffer()
    }

    fn write_buffer(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.crc = update_checksum(self.crc, &self.buffer);
        self.written.bytes += self.buffer.len() as u64;
        Ok(())
    }
}
