//! Writes a stream.
//!
//! Guarantees that records are written in ascending order, each once, in blocks that any scan finds; a
//! gap in the numbers ends a block. Its reader reports a stream without [`StreamWriter::finish`] as
//! truncated.

use std::io::{self, Write};

use bytes::BufMut;

use super::{Head, add_block};
use crate::journal::frame::{Codec, Content, Draft, encode};
use crate::journal::record::{EncodedRecord, Summary};

/// A block of records ends at this many bytes before compression, or at this many records:
const BLOCK_BYTES: usize = 256 << 10;
/// with 4096, the summary is within its limit however many appliances they are about.
const BLOCK_RECORDS: usize = 4096;

/// A stream that is being written.
#[derive(Debug)]
pub struct StreamWriter<W> {
    out: W,
    head: Head,
    waiting: Vec<EncodedRecord>,
    waiting_bytes: usize,
    buffer: Vec<u8>,
    crc: u32,
    written: Written,
}

/// Totals of what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Records.
    pub records: u64,
    /// Bytes.
    pub bytes: u64,
}

impl<W: Write> StreamWriter<W> {
    /// Begins a stream.
    ///
    /// # Errors
    ///
    /// Those of `out`, here and below.
    pub fn new(out: W, head: Head) -> io::Result<Self> {
        let mut writer = Self {
            out,
            head,
            waiting: Vec::new(),
            waiting_bytes: 0,
            buffer: Vec::new(),
            crc: 0,
            written: Written::default(),
        };
        let mut payload = Vec::new();
        head.put(&mut payload);
        writer.block(Content::StreamHead, &payload)?;
        Ok(writer)
    }

    /// Writes a block of a checkpoint as it is in its file.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn checkpoint_block(&mut self, block: &[u8]) -> io::Result<()> {
        self.out.write_all(block)?;
        self.crc = add_block(self.crc, block);
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
    pub fn record(&mut self, record: EncodedRecord) -> io::Result<()> {
        if let Some(last) = self.waiting.last() {
            assert!(record.number > last.number, "the numbers of a stream ascend");
            let is_full = self.waiting_bytes + record.bytes.len() > BLOCK_BYTES
                || self.waiting.len() == BLOCK_RECORDS;
            if is_full || record.number != last.number + 1 {
                self.write_waiting()?;
            }
        }
        self.waiting_bytes += record.bytes.len();
        self.waiting.push(record);
        Ok(())
    }

    /// The output.
    pub fn out(&mut self) -> &mut W {
        &mut self.out
    }

    /// The totals so far; records that wait for their block are not counted.
    pub fn written(&self) -> Written {
        self.written
    }

    /// Finishes the stream and returns the output.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn finish(mut self) -> io::Result<(W, Written)> {
        self.write_waiting()?;
        let mut payload = Vec::new();
        self.head.put(&mut payload);
        payload.put_u64_le(self.written.records);
        payload.put_u32_le(self.crc);
        self.block(Content::StreamEnd, &payload)?;
        self.out.flush()?;
        Ok((self.out, self.written))
    }

    fn write_waiting(&mut self) -> io::Result<()> {
        let Some(first) = self.waiting.first() else { return Ok(()) };
        let info = Draft {
            content: Content::Records,
            journal: self.head.identity.journal,
            term: self.head.term,
            first: first.number,
            count: u32::try_from(self.waiting.len()).expect("a block has at most 4096 records"),
        };
        let mut payload = Vec::with_capacity(self.waiting_bytes + 32 * self.waiting.len());
        self.waiting.iter().for_each(|record| record.put(&mut payload));
        let summary = Summary::of(&self.waiting).encode();
        self.buffer.clear();
        encode(&mut self.buffer, &info, Codec::Zstd, &summary, &payload)
            .expect("records of a block of the journal are within the limits of one of a stream");
        self.written.records += self.waiting.len() as u64;
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.write_buffer()
    }

    fn block(&mut self, content: Content, payload: &[u8]) -> io::Result<()> {
        let Head { identity, term, first, .. } = self.head;
        let info = Draft { content, journal: identity.journal, term, first, count: 0 };
        self.buffer.clear();
        encode(&mut self.buffer, &info, Codec::None, &[], payload)
            .expect("a few bytes are within the limits of a block");
        self.write_buffer()
    }

    fn write_buffer(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.crc = add_block(self.crc, &self.buffer);
        self.written.bytes += self.buffer.len() as u64;
        Ok(())
    }
}
