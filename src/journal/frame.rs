//! How does a block of the journal look in bytes?
//!
//! Every file of the journal is a row of these frames, and so is a backup: a header of 64 bytes,
//! a summary, a payload. Guarantees that a block that parses is the block that was written
//! (CRC32C over header and content), that no input makes it panic, and that no length is believed
//! before it was checked. It does not know what a payload means.
//!
//! | bytes | field | | bytes | field |
//! |---|---|---|---|---|
//! | 0..4 | magic `GRJB` | | 40..44 | count of records (or chunk index) |
//! | 4..6 | format, 1 | | 44..48 | summary length |
//! | 6 | codec: 0 none, 1 zstd | | 48..52 | stored payload length |
//! | 7 | content, see [`Content`] | | 52..56 | raw payload length |
//! | 8..24 | journal id | | 56..60 | CRC32C of summary and stored payload |
//! | 24..32 | term | | 60..64 | CRC32C of bytes 0..60 |
//! | 32..40 | first number | | | all little endian |
//!
//! Later formats keep the magic, the format's place and the header's checksum.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use uuid::Uuid;

/// The length of a header in bytes.
pub const HEADER_BYTES: usize = 64;
/// The most a payload may have before packing, in bytes.
pub const RAW_PAYLOAD_BYTES_MAX: usize = 8 << 20;
/// The most a summary may have, in bytes: 10,000 appliances at their worst.
pub const SUMMARY_BYTES_MAX: usize = 64 << 10;
/// The newest format this program writes and reads.
pub const FORMAT: u16 = 1;

pub(super) const MAGIC: [u8; 4] = *b"GRJB";
/// Level 1 packs realistic records 2.6 times for a third of a microsecond each.
const ZSTD_LEVEL: i32 = 1;

/// Why some bytes are not a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Fewer bytes than the block says it has.
    #[error("the block is cut short")]
    TooShort,
    /// Another magic.
    #[error("no block begins here")]
    NotABlock,
    /// Whole, but of a later format, codec or content.
    #[error("the block was written by a newer gridd")]
    NewerFormat,
    /// The header does not agree with its checksum.
    #[error("the header's checksum does not hold")]
    HeaderChecksum,
    /// Summary or payload do not agree with their checksum.
    #[error("the payload's checksum does not hold")]
    PayloadChecksum,
    /// A length or a number that no writer of ours makes.
    #[error("a length in the block is impossible")]
    ImpossibleLength,
    /// The block is whole, and is not the one that belongs here.
    #[error("another block than expected lies here")]
    OutOfPlace,
}

/// How the payload is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// As it is.
    None,
    /// Packed with zstd.
    Zstd,
}

/// What a block is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Records of the archive, with a summary of them.
    Records,
    /// A part of a checkpoint; the count is the part's index.
    Checkpoint,
    /// Records of one commit; the summary is the first number of that commit, 8 bytes.
    Commit,
    /// The seal of a span.
    Seal,
    /// The end of a checkpoint: length and checksum of all its parts.
    CheckpointEnd,
    /// The beginning of a stream: whose it is and what it holds.
    StreamHead,
    /// The end of a stream: the same again, count and checksum.
    StreamEnd,
}

impl Content {
    fn code(self) -> u8 {
        match self {
            Self::Records => 0,
            Self::Checkpoint => 1,
            Self::Commit => 2,
            Self::Seal => 3,
            Self::CheckpointEnd => 4,
            Self::StreamHead => 5,
            Self::StreamEnd => 6,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        const ALL: [Content; 7] = [
            Content::Records,
            Content::Checkpoint,
            Content::Commit,
            Content::Seal,
            Content::CheckpointEnd,
            Content::StreamHead,
            Content::StreamEnd,
        ];
        ALL.get(usize::from(code)).copied()
    }
}

/// What the writer of a block decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What the block is about.
    pub content: Content,
    /// The journal it belongs to.
    pub journal: Uuid,
    /// The term it was written in.
    pub term: u64,
    /// The number of its first record.
    pub first: u64,
    /// How many records it has.
    pub count: u32,
}

impl Draft {
    /// The number of the last record; below `first` if there is none.
    pub fn last(&self) -> u64 {
        self.first.wrapping_add(u64::from(self.count)).wrapping_sub(1)
    }
}

/// A header whose checksum holds and whose lengths are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the writer decided.
    pub draft: Draft,
    /// How the payload is stored.
    pub codec: Codec,
    summary_bytes: usize,
    stored_bytes: usize,
    raw_bytes: usize,
    payload_crc: u32,
}

impl Header {
    /// Reads a header from the front of `bytes`.
    ///
    /// # Errors
    ///
    /// When these bytes are not a header of ours.
    pub fn parse(bytes: &[u8]) -> Result<Self, FrameError> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(FrameError::TooShort)?;
        if header[..4] != MAGIC {
            return Err(FrameError::NotABlock);
        }
        if u32_at(header, 60) != crc32c::crc32c(&header[..60]) {
            return Err(FrameError::HeaderChecksum);
        }
        let codec = match (u16::from_le_bytes([header[4], header[5]]), header[6]) {
            (FORMAT, 0) => Codec::None,
            (FORMAT, 1) => Codec::Zstd,
            _ => return Err(FrameError::NewerFormat),
        };
        let content = Content::from_code(header[7]).ok_or(FrameError::NewerFormat)?;
        let parsed = Self {
            draft: Draft {
                content,
                journal: Uuid::from_slice(&header[8..24]).expect("16 bytes make a UUID"),
                term: u64_at(header, 24),
                first: u64_at(header, 32),
                count: u32_at(header, 40),
            },
            codec,
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
            && (self.codec == Codec::Zstd || self.stored_bytes == self.raw_bytes)
            && self.draft.first.checked_add(u64::from(self.draft.count)).is_some()
    }

    /// The length of the whole block in bytes, header included.
    pub fn block_bytes(&self) -> usize {
        HEADER_BYTES + self.summary_bytes + self.stored_bytes
    }

    fn check(bytes: &[u8]) -> Result<Self, FrameError> {
        let header = Self::parse(bytes)?;
        let body = bytes.get(HEADER_BYTES..header.block_bytes()).ok_or(FrameError::TooShort)?;
        if crc32c::crc32c(body) == header.payload_crc {
            Ok(header)
        } else {
            Err(FrameError::PayloadChecksum)
        }
    }
}

/// A block whose checksums hold; cheap to clone.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its header.
    pub header: Header,
    /// Its summary, as written.
    pub summary: Bytes,
    stored: Bytes,
}

impl Block {
    /// Reads the block at the front of `bytes`, without copying.
    ///
    /// # Errors
    ///
    /// When no whole block begins there.
    pub fn parse(bytes: &Bytes) -> Result<Self, FrameError> {
        let header = Header::check(bytes)?;
        let body = HEADER_BYTES + header.summary_bytes;
        Ok(Self {
            header,
            summary: bytes.slice(HEADER_BYTES..body),
            stored: bytes.slice(body..header.block_bytes()),
        })
    }

    /// The payload as it was given to the writer; without copying if it was not packed.
    ///
    /// # Errors
    ///
    /// When it does not unpack to the length it should have.
    pub fn payload(&self) -> Result<Bytes, FrameError> {
        match self.header.codec {
            Codec::None => Ok(self.stored.clone()),
            Codec::Zstd => {
                let raw = zstd::bulk::decompress(&self.stored, self.header.raw_bytes)
                    .map_err(|_| FrameError::ImpossibleLength)?;
                if raw.len() == self.header.raw_bytes {
                    Ok(raw.into())
                } else {
                    Err(FrameError::ImpossibleLength)
                }
            }
        }
    }
}

/// Appends a block to `out`, packed if `codec` says so and it helps.
///
/// # Errors
///
/// [`FrameError::ImpossibleLength`] when summary or payload are larger than a block may hold;
/// `out` is then as it was.
pub fn encode(
    out: &mut Vec<u8>,
    draft: &Draft,
    codec: Codec,
    summary: &[u8],
    payload: &[u8],
) -> Result<(), FrameError> {
    if payload.len() > RAW_PAYLOAD_BYTES_MAX {
        return Err(FrameError::ImpossibleLength);
    }
    let opening = Opening::new(out, summary);
    let packed = match codec {
        Codec::Zstd => zstd::bulk::compress(payload, ZSTD_LEVEL).ok(),
        Codec::None => None,
    };
    match packed.filter(|packed| packed.len() < payload.len()) {
        Some(packed) => {
            out.extend_from_slice(&packed);
            opening.finish(out, draft, Codec::Zstd, payload.len())
        }
        None => {
            out.extend_from_slice(payload);
            opening.finish(out, draft, Codec::None, payload.len())
        }
    }
}

/// A block under way at the end of a buffer: what is appended to the buffer is its payload.
///
/// It saves the commit a second copy of its records.
#[derive(Debug)]
pub struct Opening {
    start: usize,
    body: usize,
}

impl Opening {
    /// Begins a block at the end of `out`.
    pub fn new(out: &mut Vec<u8>, summary: &[u8]) -> Self {
        let start = out.len();
        out.resize(start + HEADER_BYTES, 0);
        out.extend_from_slice(summary);
        Self { start, body: out.len() }
    }

    /// Ends the block with the unpacked payload that `out` has got since.
    ///
    /// # Errors
    ///
    /// As [`encode`].
    pub fn close(self, out: &mut Vec<u8>, draft: &Draft) -> Result<(), FrameError> {
        let raw_bytes = out.len() - self.body;
        self.finish(out, draft, Codec::None, raw_bytes)
    }

    fn finish(
        self,
        out: &mut Vec<u8>,
        draft: &Draft,
        codec: Codec,
        raw_bytes: usize,
    ) -> Result<(), FrameError> {
        let header = Header {
            draft: *draft,
            codec,
            summary_bytes: self.body - self.start - HEADER_BYTES,
            stored_bytes: out.len() - self.body,
            raw_bytes,
            payload_crc: crc32c::crc32c(&out[self.start + HEADER_BYTES..]),
        };
        if !header.is_possible() {
            out.truncate(self.start);
            return Err(FrameError::ImpossibleLength);
        }
        out[self.start..self.start + HEADER_BYTES].copy_from_slice(&header_bytes(&header));
        Ok(())
    }
}

fn header_bytes(header: &Header) -> [u8; HEADER_BYTES] {
    let length = |bytes: usize| u32::try_from(bytes).expect("lengths of a block fit 32 bits");
    let codec = match header.codec {
        Codec::None => 0,
        Codec::Zstd => 1,
    };
    let draft = &header.draft;
    let mut out = [0; HEADER_BYTES];
    out[..4].copy_from_slice(&MAGIC);
    out[4..6].copy_from_slice(&FORMAT.to_le_bytes());
    out[6] = codec;
    out[7] = draft.content.code();
    out[8..24].copy_from_slice(draft.journal.as_bytes());
    out[24..32].copy_from_slice(&draft.term.to_le_bytes());
    out[32..40].copy_from_slice(&draft.first.to_le_bytes());
    out[40..44].copy_from_slice(&draft.count.to_le_bytes());
    out[44..48].copy_from_slice(&length(header.summary_bytes).to_le_bytes());
    out[48..52].copy_from_slice(&length(header.stored_bytes).to_le_bytes());
    out[52..56].copy_from_slice(&length(header.raw_bytes).to_le_bytes());
    out[56..60].copy_from_slice(&header.payload_crc.to_le_bytes());
    let crc = crc32c::crc32c(&out[..60]);
    out[60..].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Finds the next whole block in raw bytes: its offset in bytes, or `None`.
pub fn find_next(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let rest = bytes.get(from..)?;
        let offset = from + rest.windows(MAGIC.len()).position(|window| window == MAGIC)?;
        if Header::check(&bytes[offset..]).is_ok() {
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
