//! Defines the format of a block of the journal.
//!
//! Every file of the journal is a sequence of blocks, and so is a backup: a header of 64 bytes,
//! a summary, a payload. Guarantees that a block that parses is the block that was written
//! (CRC32C over header and content), that no input makes it panic, and that no length is used
//! before it was checked. Does not know the meaning of a payload.
//!
//! | bytes | field | | bytes | field |
//! |---|---|---|---|---|
//! | 0..4 | magic `GRJB` | | 40..44 | count of records (or chunk index) |
//! | 4..6 | format, 1 | | 44..48 | summary length |
//! | 6 | compression: 0 none, 1 zstd | | 48..52 | stored payload length |
//! | 7 | content, see [`BlockContent`] | | 52..56 | raw payload length |
//! | 8..24 | journal id | | 56..60 | CRC32C of summary and stored payload |
//! | 24..32 | term | | 60..64 | CRC32C of bytes 0..60 |
//! | 32..40 | first number | | | all little endian |
//!
//! Later formats keep the magic, the position of the format and the checksum of the header.

mod compression;
#[cfg(test)]
mod tests;
mod unpacker;

use bytes::Bytes;
use uuid::Uuid;

pub use self::unpacker::Unpacker;

/// The length of a header in bytes.
pub const HEADER_BYTES: usize = 64;
/// The largest payload before compression, in bytes.
pub const RAW_PAYLOAD_BYTES_MAX: usize = 8 << 20;
/// The largest summary, in bytes: 10,000 appliances in the worst case.
pub const SUMMARY_BYTES_MAX: usize = 64 << 10;
/// The newest format this program writes and reads.
pub const FORMAT: u16 = 1;

pub(super) const MAGIC: [u8; 4] = *b"GRJB";

/// Why some bytes are not a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Fewer bytes than its header says.
    #[error("the block is truncated")]
    TooShort,
    /// The magic is missing.
    #[error("no block begins here")]
    NotABlock,
    /// Intact, but of a later format, compression or content.
    #[error("the block was written by a newer gridd")]
    NewerFormat,
    /// The checksum of the header is wrong.
    #[error("the checksum of the header is wrong")]
    HeaderChecksum,
    /// The checksum of summary and payload is wrong.
    #[error("the checksum of the payload is wrong")]
    PayloadChecksum,
    /// A length or a number that gridd never writes.
    #[error("a length in the block is impossible")]
    ImpossibleLength,
    /// The block is intact, but is not the expected one.
    #[error("it is not the expected block")]
    OutOfPlace,
}

/// How the payload is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not compressed.
    None,
    /// Compressed with zstd.
    Zstd,
}

/// The kind of content of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockContent {
    /// Records of the archive, with a summary of them.
    Records,
    /// A part of a checkpoint; the count is the index of the part.
    Checkpoint,
    /// Records of one commit; the summary is the first number of that commit, 8 bytes.
    Commit,
    /// The seal of a segment.
    Seal,
    /// The end of a checkpoint: length and checksum of all its parts.
    CheckpointEnd,
    /// The beginning of a stream: its identity and its contents.
    StreamHead,
    /// The end of a stream: the same again, with count and checksum.
    StreamEnd,
    /// A small file in a stream; the summary is its name, the count its index.
    Attachment,
    /// A part of the index of a sealed segment; the count is the index of the part.
    SegmentIndex,
}

impl BlockContent {
    fn code(self) -> u8 {
        match self {
            Self::Records => 0,
            Self::Checkpoint => 1,
            Self::Commit => 2,
            Self::Seal => 3,
            Self::CheckpointEnd => 4,
            Self::StreamHead => 5,
            Self::StreamEnd => 6,
            Self::Attachment => 7,
            Self::SegmentIndex => 8,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        const ALL: [BlockContent; 9] = [
            BlockContent::Records,
            BlockContent::Checkpoint,
            BlockContent::Commit,
            BlockContent::Seal,
            BlockContent::CheckpointEnd,
            BlockContent::StreamHead,
            BlockContent::StreamEnd,
            BlockContent::Attachment,
            BlockContent::SegmentIndex,
        ];
        ALL.get(usize::from(code)).copied()
    }
}

/// The fields of a header that the writer of a block sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    /// The kind of content.
    pub content: BlockContent,
    /// The journal it belongs to.
    pub journal: Uuid,
    /// The term it was written in.
    pub term: u64,
    /// The number of its first record.
    pub first: u64,
    /// The number of records.
    pub count: u32,
}

impl BlockInfo {
    /// The number of the last record; below `first` if there is none.
    pub fn last(&self) -> u64 {
        self.first.wrapping_add(u64::from(self.count)).wrapping_sub(1)
    }
}

/// A header whose checksum is right and whose lengths are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// The fields that the writer set.
    pub info: BlockInfo,
    /// How the payload is stored.
    pub compression: Compression,
    summary_bytes: usize,
    stored_bytes: usize,
    raw_bytes: usize,
    payload_crc: u32,
}

impl BlockHeader {
    /// Reads a header from the front of `bytes`.
    ///
    /// # Errors
    ///
    /// If these bytes are no header of gridd.
    pub fn parse(bytes: &[u8]) -> Result<Self, FrameError> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(FrameError::TooShort)?;
        if header[..4] != MAGIC {
            return Err(FrameError::NotABlock);
        }
        if u32_at(header, 60) != crc32c::crc32c(&header[..60]) {
            return Err(FrameError::HeaderChecksum);
        }
        let compression = match (u16::from_le_bytes([header[4], header[5]]), header[6]) {
            (FORMAT, 0) => Compression::None,
            (FORMAT, 1) => Compression::Zstd,
            _ => return Err(FrameError::NewerFormat),
        };
        let content = BlockContent::from_code(header[7]).ok_or(FrameError::NewerFormat)?;
        let parsed = Self {
            info: BlockInfo {
                content,
                journal: Uuid::from_slice(&header[8..24]).expect("16 bytes make a UUID"),
                term: u64_at(header, 24),
                first: u64_at(header, 32),
                count: u32_at(header, 40),
            },
            compression,
            summary_bytes: u32_at(header, 44) as usize,
            stored_bytes: u32_at(header, 48) as usize,
            raw_bytes: u32_at(header, 52) as usize,
            payload_crc: u32_at(header, 56),
        };
        parsed.is_possible().then_some(parsed).ok_or(FrameError::ImpossibleLength)
    }

    fn is_possible(&self) -> bool {
        self.summary_bytes <= SUMMARY_BYTES_MAX
            && self.raw_bytes <= RAW_PAYLOAD_BYTES_MAX
            && self.stored_bytes <= self.raw_bytes
            && (self.compression == Compression::Zstd || self.stored_bytes == self.raw_bytes)
            && self.info.first.checked_add(u64::from(self.info.count)).is_some()
    }

    /// The length of the whole block in bytes, header included.
    pub fn block_bytes(&self) -> usize {
        HEADER_BYTES + self.summary_bytes + self.stored_bytes
    }

    fn verify(bytes: &[u8]) -> Result<Self, FrameError> {
        let header = Self::parse(bytes)?;
        let body = bytes.get(HEADER_BYTES..header.block_bytes()).ok_or(FrameError::TooShort)?;
        if crc32c::crc32c(body) == header.payload_crc {
            Ok(header)
        } else {
            Err(FrameError::PayloadChecksum)
        }
    }
}

/// A block whose checksums are right; cheap to clone.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its header.
    pub header: BlockHeader,
    /// Its summary, as written.
    pub summary: Bytes,
    stored: Bytes,
}

impl Block {
    /// Reads the block at the front of `bytes`, without copying.
    ///
    /// # Errors
    ///
    /// If no intact block begins there.
    pub fn parse(bytes: &Bytes) -> Result<Self, FrameError> {
        let header = BlockHeader::verify(bytes)?;
        let body = HEADER_BYTES + header.summary_bytes;
        Ok(Self {
            header,
            summary: bytes.slice(HEADER_BYTES..body),
            stored: bytes.slice(body..header.block_bytes()),
        })
    }

    /// The payload as it was written; without copying if it was not compressed.
    ///
    /// # Errors
    ///
    /// If it does not decompress to the length in the header.
    pub fn payload(&self) -> Result<Bytes, FrameError> {
        match self.header.compression {
            Compression::None => Ok(self.stored.clone()),
            Compression::Zstd => compression::decompress(&self.stored, self.header.raw_bytes)
                .map(Bytes::from)
                .ok_or(FrameError::ImpossibleLength),
        }
    }
}

/// Appends a block to `out`, compressed if `compression` is set and it helps.
///
/// # Errors
///
/// [`FrameError::ImpossibleLength`] if summary or payload are too large for a block;
/// `out` is unchanged then.
pub fn encode(
    out: &mut Vec<u8>,
    info: &BlockInfo,
    compression: Compression,
    summary: &[u8],
    payload: &[u8],
) -> Result<(), FrameError> {
    if payload.len() > RAW_PAYLOAD_BYTES_MAX {
        return Err(FrameError::ImpossibleLength);
    }
    let builder = BlockBuilder::new(out, summary);
    let stored = match compression {
        Compression::Zstd if compression::compress(payload, out) => Compression::Zstd,
        Compression::Zstd | Compression::None => {
            out.extend_from_slice(payload);
            Compression::None
        }
    };
    let written = builder.write_header(out, info, stored, payload.len());
    if written.is_err() {
        out.truncate(builder.start());
    }
    written
}

/// A block that is being built at the end of a buffer: what is appended to the buffer is its
/// payload.
///
/// It saves the commit a second copy of its records.
#[derive(Debug)]
pub struct BlockBuilder {
    start: usize,
    body_start: usize,
}

impl BlockBuilder {
    /// Begins a block at the end of `out`.
    pub fn new(out: &mut Vec<u8>, summary: &[u8]) -> Self {
        let start = out.len();
        out.resize(start + HEADER_BYTES, 0);
        out.extend_from_slice(summary);
        Self { start, body_start: out.len() }
    }

    /// Where the block begins in the buffer.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Finishes the block with the uncompressed payload that was appended since, up to the end of
    /// `out`. May be called again.
    ///
    /// # Errors
    ///
    /// As [`encode`].
    pub fn finish(&self, out: &mut [u8], info: &BlockInfo) -> Result<(), FrameError> {
        let raw_bytes = out.len() - self.body_start;
        self.write_header(out, info, Compression::None, raw_bytes)
    }

    fn write_header(
        &self,
        out: &mut [u8],
        info: &BlockInfo,
        compression: Compression,
        raw_bytes: usize,
    ) -> Result<(), FrameError> {
        let header = BlockHeader {
            info: *info,
            compression,
            summary_bytes: self.body_start - self.start - HEADER_BYTES,
            stored_bytes: out.len() - self.body_start,
            raw_bytes,
            payload_crc: crc32c::crc32c(&out[self.start + HEADER_BYTES..]),
        };
        if !header.is_possible() {
            return Err(FrameError::ImpossibleLength);
        }
        out[self.start..self.start + HEADER_BYTES].copy_from_slice(&header_bytes(&header));
        Ok(())
    }
}

fn header_bytes(header: &BlockHeader) -> [u8; HEADER_BYTES] {
    let length = |bytes: usize| u32::try_from(bytes).expect("lengths of a block fit 32 bits");
    let compression = match header.compression {
        Compression::None => 0,
        Compression::Zstd => 1,
    };
    let info = &header.info;
    let mut out = [0; HEADER_BYTES];
    out[..4].copy_from_slice(&MAGIC);
    out[4..6].copy_from_slice(&FORMAT.to_le_bytes());
    out[6] = compression;
    out[7] = info.content.code();
    out[8..24].copy_from_slice(info.journal.as_bytes());
    out[24..32].copy_from_slice(&info.term.to_le_bytes());
    out[32..40].copy_from_slice(&info.first.to_le_bytes());
    out[40..44].copy_from_slice(&info.count.to_le_bytes());
    out[44..48].copy_from_slice(&length(header.summary_bytes).to_le_bytes());
    out[48..52].copy_from_slice(&length(header.stored_bytes).to_le_bytes());
    out[52..56].copy_from_slice(&length(header.raw_bytes).to_le_bytes());
    out[56..60].copy_from_slice(&header.payload_crc.to_le_bytes());
    let crc = crc32c::crc32c(&out[..60]);
    out[60..].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Finds the next intact block in raw bytes: its offset in bytes, or `None`.
pub fn find_next(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let rest = bytes.get(from..)?;
        let offset = from + rest.windows(MAGIC.len()).position(|window| window == MAGIC)?;
        if BlockHeader::verify(&bytes[offset..]).is_ok() {
            return Some(offset);
        }
        from = offset + 1;
    }
}

fn u32_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the field lies within the header"))
}

fn u64_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("the field lies within the header"))
}
