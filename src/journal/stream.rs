//! Defines the stream of a journal: one sequence of blocks, for backup, salvage and restore.
//!
//! ```text
//! head | checkpoint parts, checkpoint end | blocks of records, ascending | end
//! ```
//!
//! Head and end both contain the identity of the journal and the range of numbers. The end also
//! contains the number of records and a checksum over all blocks before it. Guarantees that writer
//! and reader need the memory of a few blocks, whatever the length. Later formats keep the block
//! format of the head and the position of the stream's format in it. Does not know the content of a
//! record or a state, nor where a stream is stored.

mod file;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use bytes::{Buf, BufMut};
use uuid::Uuid;

use super::frame::HEADER_BYTES;
use super::identity::Identity;

pub use self::file::{AtomicFile, FileError};
pub use self::reader::{StreamDefect, StreamError, StreamItem, StreamReader, StreamSummary};
pub use self::writer::{StreamTotals, StreamWriter};

/// The newest format of a stream that this program writes and reads.
pub const STREAM_FORMAT: u32 = 1;

/// The description at the head of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamHead {
    /// Whose journal it is.
    pub identity: Identity,
    /// The newest term of anything in it.
    pub term: u64,
    /// The number of its first record; one above `last` if it has none.
    pub first: u64,
    /// The number of its last record.
    pub last: u64,
    /// The last record of the checkpoint in it.
    pub checkpoint: Option<u64>,
    /// Approximate length of the stream, in bytes.
    pub estimated_bytes: u64,
}

impl StreamHead {
    /// The number of records, if none is missing.
    pub fn expected_records(&self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        out.put_u32_le(STREAM_FORMAT);
        out.put_slice(self.identity.broker.as_bytes());
        out.put_u64_le(self.first);
        out.put_u64_le(self.last);
        // No checkpoint ends at record 0, so 0 means none.
        out.put_u64_le(self.checkpoint.unwrap_or(0));
        out.put_u64_le(self.estimated_bytes);
    }

    /// Decodes the output of [`Self::encode_into`]: `Err` contains a later format, or `None` for no
    /// head.
    fn decode(payload: &mut impl Buf, journal: Uuid, term: u64) -> Result<Self, Option<u32>> {
        let format = payload.try_get_u32_le().map_err(|_| None)?;
        if format > STREAM_FORMAT {
            return Err(Some(format));
        }
        let mut broker = [0; 16];
        payload.try_copy_to_slice(&mut broker).map_err(|_| None)?;
        let mut number = || payload.try_get_u64_le().map_err(|_| None);
        let (first, last, checkpoint, estimate) = (number()?, number()?, number()?, number()?);
        if last == u64::MAX {
            return Err(None);
        }
        let identity = Identity { journal, broker: Uuid::from_bytes(broker) };
        let checkpoint = (checkpoint > 0).then_some(checkpoint);
        Ok(Self { identity, term, first, last, checkpoint, estimated_bytes: estimate })
    }
}

/// The checksum over a stream, including one more block.
///
/// Over each header without its own checksum: a CRC over bytes that end with their CRC is the same
/// whatever the bytes are. The header contains the checksum of the rest.
fn update_checksum(crc: u32, block: &[u8]) -> u32 {
    let header = block.get(..HEADER_BYTES - 4).unwrap_or(block);
    crc32c::crc32c_append(crc, header)
}
