//! Gathers the records of one commit, encoded as the commit log stores them.
//!
//! Each record is written once, where it is sent to the disk from. Guarantees that numbers are dense and
//! that blocks are within their limits. Does not know the content of a record, nor files.

use uuid::Uuid;

use super::commit_log::BlockRun;
use super::error::JournalError;
use super::frame::{BlockBuilder, BlockContent, BlockInfo};
use super::record::{EncodedRecord, RECORD_BYTES_MAX, RecordHeader};

/// A block of a commit ends at this many bytes or records, whichever comes first.
const BLOCK_BYTES: usize = 1 << 20;
pub(super) const BLOCK_RECORDS: u32 = 4096;
/// A buffer that a large commit has grown beyond this is freed.
const BUFFER_BYTES_MAX: usize = 4 << 20;

/// The records of one commit. The same one is used again for the next commit.
#[derive(Debug, Default)]
pub struct CommitBatch {
    buffer: Vec<u8>,
    blocks: Vec<PendingBlock>,
    record_count: usize,
    /// The first record that is longer than a block, and its length: the commit can't be appended.
    too_large: Option<(u64, usize)>,
}

/// A block of the batch, without its header.
#[derive(Debug)]
struct PendingBlock {
    builder: BlockBuilder,
    first: u64,
    count: u32,
}

impl PendingBlock {
    fn next_number(&self) -> u64 {
        self.first + u64::from(self.count)
    }
}

impl CommitBatch {
    /// A batch of these records.
    ///
    /// # Panics
    ///
    /// As [`Self::push`].
    pub fn from_records(records: &[EncodedRecord]) -> Self {
        let mut batch = Self::default();
        for record in records {
            let bytes = &record.bytes;
            batch.push(record.number, record.header, bytes.len(), |out| out.extend(bytes));
        }
        batch
    }

    /// Adds the next record: `write` appends its `len` bytes.
    ///
    /// # Panics
    ///
    /// If the number does not follow the last one, a field of the header is out of range, or `write`
    /// appends another number of bytes.
    pub fn push(
        &mut self,
        number: u64,
        header: RecordHeader,
        len: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        if self.too_large.is_some() {
            return;
        }
        if let Some(last) = self.blocks.last() {
            assert_eq!(number, last.next_number(), "the numbers of records are dense");
        }
        if len > RECORD_BYTES_MAX {
            self.too_large.get_or_insert((number, len));
            return;
        }
        let is_full = self.blocks.last().is_none_or(|block| {
            let payload_bytes = self.buffer.len() - block.builder.start();
            block.count > 0 && (block.count == BLOCK_RECORDS || payload_bytes + len > BLOCK_BYTES)
        });
        if is_full {
            let commit = self.blocks.first().map_or(number, |block| block.first);
            let builder = BlockBuilder::new(&mut self.buffer, &commit.to_le_bytes());
            self.blocks.push(PendingBlock { builder, first: number, count: 0 });
        }
        header.encode_into(&mut self.buffer, len);
        let end = self.buffer.len() + len;
        write(&mut self.buffer);
        assert_eq!(self.buffer.len(), end, "a record has the length that was announced");
        if let Some(block) = self.blocks.last_mut() {
            block.count += 1;
        }
        self.record_count += 1;
    }

    /// Whether it has no records.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.too_large.is_none()
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.record_count
    }

    /// Bytes of the records so far, with their headers.
    pub fn byte_count(&self) -> usize {
        self.buffer.len()
    }

    /// The number of the last record.
    pub fn last(&self) -> Option<u64> {
        self.blocks.last().map(|block| block.next_number() - 1)
    }

    /// Empties it for the next commit.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_MAX);
        self.blocks.clear();
        self.record_count = 0;
        self.too_large = None;
    }

    /// Completes the blocks: their bytes, and where each is in them. May be called again.
    ///
    /// # Errors
    ///
    /// [`JournalError::RecordTooLarge`].
    ///
    /// # Panics
    ///
    /// If the first record does not have the number `first`.
    pub(super) fn finish(
        &mut self,
        journal: Uuid,
        term: u64,
        first: u64,
    ) -> Result<(&[u8], Vec<BlockRun>), JournalError> {
        if let Some((number, bytes)) = self.too_large {
            return Err(JournalError::RecordTooLarge { number, bytes, limit: RECORD_BYTES_MAX });
        }
        if let Some(block) = self.blocks.first() {
            assert_eq!(block.first, first, "the numbers of records are dense");
        }
        let mut runs = Vec::with_capacity(self.blocks.len());
        let mut end = self.buffer.len();
        for block in self.blocks.iter().rev() {
            let (first, count) = (block.first, block.count);
            let info = BlockInfo { content: BlockContent::Commit, journal, term, first, count };
            let start = block.builder.start();
            block
                .builder
                .finish(&mut self.buffer[..end], &info)
                .expect("a block of bounded records is within its limits");
            runs.push(BlockRun { first, last: info.last(), offset: start as u64, end: end as u64 });
            end = start;
        }
        runs.reverse();
        Ok((&self.buffer, runs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_can_be_used_again_and_finished_twice() {
        let (header, journal) = (RecordHeader::default(), Uuid::from_u128(1));
        let mut batch = CommitBatch::default();
        let push = |batch: &mut CommitBatch, numbers: std::ops::RangeInclusive<u64>| {
            for number in numbers {
                batch.push(number, header, 3, |out| out.extend([1, 2, 3]));
            }
        };
        push(&mut batch, 5..=9);
        let (bytes, runs) = batch.finish(journal, 2, 5).unwrap();
        let first = (bytes.to_vec(), runs);
        let (bytes, runs) = batch.finish(journal, 2, 5).unwrap();
        assert_eq!((bytes.to_vec(), runs), first);
        assert_eq!((batch.len(), batch.last(), batch.is_empty()), (5, Some(9), false));
        batch.clear();
        assert_eq!((batch.len(), batch.last(), batch.is_empty()), (0, None, true));
        push(&mut batch, 10..=11);
        let (_, runs) = batch.finish(journal, 2, 10).unwrap();
        assert_eq!((runs[0].first, runs[0].last), (10, 11));
    }

    #[test]
    fn a_large_commit_has_several_blocks_that_name_its_first_number() {
        let journal = Uuid::from_u128(1);
        let records: Vec<_> = (1..=u64::from(BLOCK_RECORDS) + 10)
            .map(|number| EncodedRecord {
                number,
                header: RecordHeader::default(),
                bytes: vec![7; 300].into(),
            })
            .collect();
        let mut batch = CommitBatch::from_records(&records);
        let (bytes, runs) = batch.finish(journal, 2, 1).unwrap();
        assert!(runs.len() >= 2);
        assert!(runs.iter().all(|run| run.end - run.offset <= 64 + 8 + BLOCK_BYTES as u64));
        let mut numbers = Vec::new();
        for run in &runs {
            let at = usize::try_from(run.offset).unwrap()..usize::try_from(run.end).unwrap();
            let bytes = bytes::Bytes::copy_from_slice(&bytes[at]);
            let block = super::super::frame::Block::parse(&bytes).unwrap();
            assert_eq!(*block.summary, 1_u64.to_le_bytes());
            let records = super::super::record::records_in_block(&block).unwrap();
            numbers.extend(records.iter().map(|record| record.number));
        }
        assert!(numbers.into_iter().eq(1..=u64::from(BLOCK_RECORDS) + 10));
    }

    #[test]
    fn a_record_beyond_the_limit_is_named_whatever_follows_it() {
        let mut batch = CommitBatch::default();
        let header = RecordHeader::default();
        batch.push(1, header, 1, |out| out.push(7));
        batch.push(2, header, RECORD_BYTES_MAX + 1, |_| {});
        batch.push(3, header, 1, |out| out.push(7));
        let refused = batch.finish(Uuid::nil(), 1, 1);
        assert!(matches!(refused, Err(JournalError::RecordTooLarge { number: 2, .. })));
    }

    #[test]
    #[should_panic(expected = "dense")]
    fn a_gap_is_refused() {
        let mut batch = CommitBatch::default();
        batch.push(1, RecordHeader::default(), 0, |_| {});
        batch.push(3, RecordHeader::default(), 0, |_| {});
    }
}
