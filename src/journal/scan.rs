//! Finds the intact blocks in a sequence of bytes, wherever they begin.
//!
//! Reads from front to back through a window of little more than one block, so that memory does not
//! depend on the size of the file. Guarantees that every returned block is intact, that a block
//! inside another block is never returned, and that no input makes it panic. Does not know
//! which blocks should be there, nor what is between them.

use std::io::{self, Read};

use bytes::Bytes;

use super::frame::{Block, BlockHeader, FrameError, HEADER_BYTES, MAGIC};

/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;
/// Zeros that are skipped at once.
const ZEROS: [u8; 4096] = [0; 4096];

/// A finding of the scan.
#[derive(Debug)]
pub enum ScanItem {
    /// An intact block.
    Block {
        /// Where it begins, in bytes.
        offset: u64,
        /// The block.
        block: Block,
        /// Its bytes in the input.
        bytes: Bytes,
    },
    /// A valid header of a format, compression or content that this program does not know.
    Newer {
        /// Where it begins, in bytes.
        offset: u64,
    },
}

/// The bytes between two blocks, before the first, or after the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnreadableRange {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// How many of its bytes are not zero.
    pub not_zero: u64,
    /// Why the first candidate in it is no block.
    pub reason: Option<FrameError>,
}

/// A running scan.
#[derive(Debug)]
pub struct BlockScan<R> {
    input: R,
    buffer: Vec<u8>,
    /// The part of the buffer that was scanned.
    position: usize,
    /// Where the buffer begins in the input, in bytes.
    base: u64,
    is_at_end: bool,
    gap: UnreadableRange,
}

impl<R: Read> BlockScan<R> {
    /// A scan of the whole input.
    pub fn new(input: R) -> Self {
        let (buffer, gap) = (Vec::new(), UnreadableRange::default());
        Self { input, buffer, position: 0, base: 0, is_at_end: false, gap }
    }

    /// The next intact block; `None` at the end.
    ///
    /// # Errors
    ///
    /// If the input can't be read.
    pub fn next_block(&mut self) -> io::Result<Option<ScanItem>> {
        self.gap = UnreadableRange { offset: self.offset(), ..UnreadableRange::default() };
        while self.skip_to_magic()? {
            let offset = self.offset();
            match self.parse_block()? {
                Ok((block, bytes)) => {
                    self.position += bytes.len();
                    return Ok(Some(ScanItem::Block { offset, block, bytes }));
                }
                Err(FrameError::NewerFormat) => {
                    self.skip(MAGIC.len());
                    return Ok(Some(ScanItem::Newer { offset }));
                }
                Err(reason) => {
                    self.gap.reason.get_or_insert(reason);
                    self.skip(1);
                }
            }
        }
        Ok(None)
    }

    /// The gap before the last finding, or after it once the end is reached.
    pub fn gap(&self) -> UnreadableRange {
        self.gap
    }

    /// The position in the input, in bytes.
    pub fn offset(&self) -> u64 {
        self.base + self.position as u64
    }

    fn parse_block(&mut self) -> io::Result<Result<(Block, Bytes), FrameError>> {
        self.fill(HEADER_BYTES)?;
        let header = match BlockHeader::parse(&self.buffer[self.position..]) {
            Ok(header) => header,
            Err(error) => return Ok(Err(error)),
        };
        let length = header.block_bytes();
        if !self.fill(length)? {
            return Ok(Err(FrameError::TooShort));
        }
        let bytes = Bytes::copy_from_slice(&self.buffer[self.position..self.position + length]);
        Ok(Block::parse(&bytes).map(|block| (block, bytes)))
    }

    /// Skips to the next magic; `false` at the end of the input.
    fn skip_to_magic(&mut self) -> io::Result<bool> {
        loop {
            if !self.fill(MAGIC.len())? {
                self.skip(self.buffer.len() - self.position);
                return Ok(false);
            }
            while self.buffer[self.position..].starts_with(&ZEROS) {
                self.position += ZEROS.len();
                self.gap.bytes += ZEROS.len() as u64;
            }
            let rest = &self.buffer[self.position..];
            let window = &rest[..rest.len().min(ZEROS.len() + MAGIC.len() - 1)];
            match window.windows(MAGIC.len()).position(|bytes| bytes == MAGIC) {
                Some(ahead) => {
                    self.skip(ahead);
                    return Ok(true);
                }
                // The magic may begin in the last three bytes.
                None => self.skip(window.len().saturating_sub(MAGIC.len() - 1)),
            }
        }
    }

    fn skip(&mut self, bytes: usize) {
        let skipped = &self.buffer[self.position..self.position + bytes];
        self.gap.not_zero += skipped.iter().filter(|byte| **byte != 0).count() as u64;
        self.gap.bytes += bytes as u64;
        self.position += bytes;
    }

    /// Fills the buffer to at least so many unread bytes; `false` if the input has fewer.
    fn fill(&mut self, needed: usize) -> io::Result<bool> {
        while self.buffer.len() - self.position < needed && !self.is_at_end {
            if self.position > 0 {
                self.buffer.drain(..self.position);
                self.base += self.position as u64;
                self.position = 0;
            }
            let more = READ_BYTES.max(needed) as u64;
            let read = self.input.by_ref().take(more).read_to_end(&mut self.buffer)?;
            self.is_at_end = (read as u64) < more;
        }
        Ok(self.buffer.len() - self.position >= needed)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::journal::frame::{BlockContent, BlockInfo, Compression, encode};

    fn block(first: u64, payload: &[u8]) -> Vec<u8> {
        let (content, journal) = (BlockContent::Records, Uuid::from_u128(1));
        let draft = BlockInfo { content, journal, term: 1, first, count: 1 };
        let mut out = Vec::new();
        encode(&mut out, &draft, Compression::None, &[], payload).unwrap();
        out
    }

    fn found(bytes: &[u8]) -> (Vec<(u64, u64)>, UnreadableRange) {
        // One byte at a time is the hardest reader.
        struct Slow<'a>(&'a [u8]);
        impl Read for Slow<'_> {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                let short = out.len().min(7);
                self.0.read(&mut out[..short])
            }
        }
        let mut scan = BlockScan::new(Slow(bytes));
        let mut found = Vec::new();
        while let Some(ScanItem::Block { offset, block, .. }) = scan.next_block().unwrap() {
            found.push((offset, block.header.info.first));
        }
        assert_eq!(scan.offset(), bytes.len() as u64);
        (found, scan.gap())
    }

    #[test]
    fn whole_blocks_are_found_between_anything() {
        let large = vec![7; 600_000];
        let parts: [&[u8]; 7] = [
            b"GRJGRJBGRJ",
            &block(1, b"one"),
            &[0; 20_000],
            &block(2, &large),
            b"xGRJB",
            &block(3, b""),
            &block(4, b"cut")[..66],
        ];
        let (found, gap) = found(&parts.concat());
        let at = |index: usize| parts[..index].iter().map(|part| part.len() as u64).sum::<u64>();
        assert_eq!(found, [(at(1), 1), (at(3), 2), (at(5), 3)]);
        assert_eq!((gap.offset, gap.bytes, gap.reason), (at(6), 66, Some(FrameError::TooShort)));
    }

    #[test]
    fn a_block_within_a_block_is_not_taken_for_one() {
        let outer = block(1, &block(2, b"an appliance sent this"));
        assert_eq!(found(&outer).0, [(0, 1)]);
    }
}
