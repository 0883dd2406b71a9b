//! Gathers dense records as they are encoded, and packs them into blocks of the archive.
//!
//! A block of the commit log has the encoding of a block of the archive, so its records are copied
//! as one range of bytes; only their headers are read. Guarantees that numbers are dense and terms
//! do not decrease within a block. Does not know where the blocks go.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use uuid::Uuid;

use crate::journal::archive::segment::VALUE_BYTES_MAX;
use crate::journal::frame::{Block, BlockContent, BlockInfo, Compression, FrameError, encode};
use crate::journal::record::{BlockSummary, RecordHeader};
use crate::journal::record_headers::RecordHeaders;

/// The limits of a block.
#[derive(Clone, Copy)]
pub(super) struct BlockSize {
    pub(super) records: usize,
    /// Before compression: realistic records compress 2.5 to 3 times.
    pub(super) raw_bytes: usize,
    packed_bytes: usize,
}

/// Small blocks keep the pages of sled, and with them its memory, small.
pub(super) const SMALL: BlockSize =
    BlockSize { records: 64, raw_bytes: 13 << 10, packed_bytes: 5 << 10 };
/// When many records are pending, larger ones cost a third of the work, and a fifth less space.
pub(super) const LARGE: BlockSize =
    BlockSize { records: 256, raw_bytes: 62 << 10, packed_bytes: VALUE_BYTES_MAX };

/// Dense records with their terms, as bytes.
#[derive(Debug, Default)]
pub(super) struct RecordBuffer {
    /// The encoded records, after `consumed` bytes that were packed already.
    payload: Vec<u8>,
    consumed: usize,
    records: VecDeque<BufferedRecord>,
    /// The number of the first record.
    first: u64,
}

#[derive(Clone, Copy, Debug)]
struct BufferedRecord {
    header: RecordHeader,
    bytes: usize,
    term: u64,
}

impl RecordBuffer {
    /// The number of records.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The number that the next record must have; `None`: any.
    pub(super) fn next(&self) -> Option<u64> {
        (!self.is_empty()).then(|| self.first + self.records.len() as u64)
    }

    /// Bytes of all records, before compression.
    pub(super) fn raw_bytes(&self) -> usize {
        self.payload.len() - self.consumed
    }

    /// Discards all records.
    pub(super) fn clear(&mut self) {
        (self.payload, self.records) = (Vec::new(), VecDeque::new());
        self.consumed = 0;
    }

    /// Adds the records of `block` with these numbers; if it has none of them, nothing.
    ///
    /// # Errors
    ///
    /// If the payload is not as many records as its header says, or they do not follow the last
    /// one. The buffer is unchanged then.
    pub(super) fn push_block(
        &mut self,
        block: &Block,
        numbers: &RangeInclusive<u64>,
    ) -> Result<(), FrameError> {
        let payload = block.payload()?;
        let info = &block.header.info;
        let (held, mut number) = (self.records.len(), info.first);
        let (mut first, mut range) = (None, 0..0);
        for found in RecordHeaders::new(&payload) {
            let Ok((header, bytes)) = found else { break };
            if numbers.contains(&number) {
                if first.is_none() {
                    (first, range.start) = (Some(number), bytes.start);
                }
                range.end = bytes.end;
                let bytes = bytes.len();
                self.records.push_back(BufferedRecord { header, bytes, term: info.term });
            }
            number += 1;
        }
        let is_whole = number == info.first + u64::from(info.count);
        let follows = first.is_none_or(|first| held == 0 || first == self.first + held as u64);
        if !is_whole || !follows {
            self.records.truncate(held);
            return Err(if is_whole {
                FrameError::OutOfPlace
            } else {
                FrameError::ImpossibleLength
            });
        }
        if let Some(first) = first.filter(|_| held == 0) {
            self.first = first;
        }
        self.payload.drain(..self.consumed);
        self.consumed = 0;
        self.payload.extend_from_slice(&payload[range]);
        Ok(())
    }

    /// Takes the next block out; at least one record must be there.
    pub(super) fn take_block(&mut self, size: BlockSize, journal: Uuid) -> (BlockInfo, Vec<u8>) {
        let mut count = self.count_fitting(size);
        loop {
            let (info, raw_bytes, block) = self.encode_first(count, journal);
            if block.len() <= size.packed_bytes || count == 1 {
                self.records.drain(..count);
                self.consumed += raw_bytes;
                self.first = info.last() + 1;
                return (info, block);
            }
            count = count.div_ceil(2);
        }
    }

    /// The number of records that are within this block size; at least one.
    fn count_fitting(&self, size: BlockSize) -> usize {
        let mut raw_bytes = 0;
        let fitting = self.records.iter().take(size.records).take_while(|record| {
            raw_bytes += record.bytes;
            raw_bytes <= size.raw_bytes
        });
        fitting.count().max(1)
    }

    /// Encodes a block of the first `count` records; also returns their bytes before compression.
    fn encode_first(&self, count: usize, journal: Uuid) -> (BlockInfo, usize, Vec<u8>) {
        let records = || self.records.iter().take(count);
        let raw_bytes = records().map(|record| record.bytes).sum();
        let info = BlockInfo {
            content: BlockContent::Records,
            journal,
            // Terms do not decrease, so the last is the newest.
            term: records().next_back().expect("a block has at least one record").term,
            first: self.first,
            count: u32::try_from(count).expect("a block has at most 256 records"),
        };
        let payload = &self.payload[self.consumed..self.consumed + raw_bytes];
        let summary = BlockSummary::from_headers(records().map(|record| record.header)).encode();
        let mut block = Vec::new();
        encode(&mut block, &info, Compression::Zstd, &summary, payload).expect(
            "records of a block of a commit are within the limits of a block of the archive",
        );
        (info, raw_bytes, block)
    }
}
