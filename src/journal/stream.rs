//! Defines the stream of a journal: one sequence of blocks, for backup, salvage and restore.
//!
//! ```text
//! head | attachments | checkpoint parts, checkpoint end | blocks of records, ascending | end
//! ```
//!
//! Head and end both contain the identity of the journal and the range of numbers. The end also
//! contains the number of records and a checksum over all blocks before it. A stream without
//! attachments has format 1, which every gridd reads; one with attachments has format 2, whose head
//! has their number. Guarantees that writer and reader need the memory of a few blocks, whatever the
//! length. Later formats keep the block format of the head and the position of the stream's format in
//! it. Does not know the content of a record, a state or an attachment, nor where a stream is stored.

mod attachment;
mod file;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use bytes::{Buf, BufMut};
use uuid::Uuid;

use super::frame::HEADER_BYTES;
use super::identity::Identity;

pub use self::attachment::{
    ATTACHMENT_BYTES_MAX, ATTACHMENT_FOLDER, ATTACHMENTS_MAX, Attachment, AttachmentError,
    AttachmentName,
};
pub use self::file::{AtomicFile, FileError};
pub use self::reader::{StreamDefect, StreamError, StreamItem, StreamReader, StreamSummary};
pub use self::writer::{StreamTotals, StreamWriter};

/// The newest format of a stream that this program writes and reads.
pub const STREAM_FORMAT: u32 = 2;

/// The format of a stream without attachments.
const FORMAT_WITHOUT_ATTACHMENTS: u32 = 1;

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
    /// The number of attachments.
    pub attachments: u32,
}

impl StreamHead {
    /// The number of records, if none is missing.
    pub fn expected_records(&self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        // What an older program can read has its format.
        out.put_u32_le(match self.attachments {
            0 => FORMAT_WITHOUT_ATTACHMENTS,
            _ => STREAM_FORMAT,
        });
        out.put_slice(self.identity.broker.as_bytes());
        out.put_u64_le(self.first);
        out.put_u64_le(self.last);
        // No checkpoint ends at record 0, so 0 means none.
        out.put_u64_le(self.checkpoint.unwrap_or(0));
        out.put_u64_le(self.estimated_bytes);
        if self.attachments > 0 {
            out.put_u32_le(self.attachments);
        }
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
        let attachments = match format {
            ..=FORMAT_WITHOUT_ATTACHMENTS => 0,
            _ => payload.try_get_u32_le().map_err(|_| None)?,
        };
        let identity = Identity { journal, broker: Uuid::from_bytes(broker) };
        let checkpoint = (checkpoint > 0).then_some(checkpoint);
        let estimated_bytes = estimate;
        Ok(Self { identity, term, first, last, checkpoint, estimated_bytes, attachments })
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
