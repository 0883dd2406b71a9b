//! Decompresses the payloads of many blocks into one buffer.
//!
//! Guarantees the same payload as [`Block::payload`]. Memory: the largest payload so far. Does not know
//! which blocks.

use super::{Block, Compression, FrameError};

/// Decompresses payloads one after the other, with one context and one buffer.
#[derive(Default)]
pub struct Unpacker {
    context: zstd::bulk::Decompressor<'static>,
    buffer: Vec<u8>,
}

impl Unpacker {
    /// The payload of `block`, as [`Block::payload`].
    ///
    /// # Errors
    ///
    /// As [`Block::payload`].
    pub fn payload<'a>(&'a mut self, block: &'a Block) -> Result<&'a [u8], FrameError> {
        match block.header.compression {
            Compression::None => Ok(&block.stored),
            Compression::Zstd => {
                let Self { context, buffer } = self;
                buffer.clear();
                buffer.reserve(block.header.raw_bytes);
                let read = context.decompress_to_buffer(&block.stored, buffer);
                if read.is_ok_and(|bytes| bytes == block.header.raw_bytes) {
                    Ok(buffer)
                } else {
                    Err(FrameError::ImpossibleLength)
                }
            }
        }
    }
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Unpacker").field("buffer", &self.buffer.len()).finish_non_exhaustive()
    }
}
