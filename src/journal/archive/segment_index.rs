//! Encodes the index of a sealed segment: where its blocks are, and what is in each.
//!
//! The file `index` beside the pack has blocks of content `SegmentIndex`: the first describes the
//! whole segment, the others are parts of the list of blocks and of the postings. Guarantees that
//! an index that decodes belongs to this segment and to a pack of this length. Whatever else it is,
//! the segment is scanned instead: nothing depends on an index. Does not read or write files.

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{decode_varint, encode_varint};
use uuid::Uuid;

use crate::journal::archive::postings::Postings;
use crate::journal::frame::{Block, BlockContent, BlockInfo, Compression, encode};
use crate::journal::query::HeaderFilter;

/// The layout of the file that this program reads and writes.
const LAYOUT: u8 = 1;
/// Bytes of a part before compression.
const PART_BYTES: usize = 4 << 20;
/// Bits of the map of appliances; with more appliances, several share a bit.
const APPLIANCE_BITS_MAX: u32 = 1 << 18;
const APPLIANCE_BITS_MIN: u32 = 64;

/// The location of a block of records, and what its summary says, but for the appliances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct IndexedBlock {
    /// The number of its first record.
    pub(in crate::journal) first: u64,
    /// The number of its last record.
    pub(in crate::journal) last: u64,
    /// Where it begins, in bytes.
    pub(super) offset: u64,
    /// Its length in bytes.
    pub(super) bytes: u32,
    /// The position of its file in the list of files; 0 in a pack.
    pub(super) file: u32,
    /// The smallest time, in microseconds since the epoch.
    pub(in crate::journal) at_us_min: i64,
    /// The largest time, in microseconds since the epoch.
    pub(in crate::journal) at_us_max: i64,
    /// Bit `n` for severity `n`.
    pub(in crate::journal) severity_mask: u8,
    /// Bit `n` for kind `n`.
    pub(in crate::journal) kind_mask: u32,
}

impl IndexedBlock {
    /// Whether the block may contain a matching record, whatever its appliances.
    pub(super) fn may_match(&self, filter: &HeaderFilter) -> bool {
        self.at_us_min <= filter.until_us
            && self.at_us_max >= filter.since_us
            && self.severity_mask & filter.severity_mask != 0
            && self.kind_mask & filter.kind_mask != 0
    }
}

/// What is in a whole segment, small enough to be kept for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentTotals {
    last: u64,
    pack_bytes: u64,
    body_bytes: u64,
    at_us_min: i64,
    at_us_max: i64,
    severity_mask: u8,
    kind_mask: u32,
    /// Bit `n` for appliance `n`, modulo the number of bits, which is a power of two.
    appliances: Vec<u8>,
}

impl SegmentTotals {
    /// The totals of these blocks; an empty list matches nothing.
    pub(super) fn new(blocks: &[IndexedBlock], postings: &Postings) -> Self {
        let largest = postings.appliances().last().copied().unwrap_or(0);
        let bits = largest.saturating_add(1).min(APPLIANCE_BITS_MAX).next_power_of_two();
        let bits = bits.max(APPLIANCE_BITS_MIN);
        let mut appliances = vec![0; bits as usize / 8];
        for appliance in postings.appliances() {
            let bit = appliance % bits;
            appliances[bit as usize / 8] |= 1 << (bit % 8);
        }
        Self {
            last: blocks.last().map_or(0, |block| block.last),
            pack_bytes: blocks.last().map_or(0, |block| block.offset + u64::from(block.bytes)),
            body_bytes: 0,
            at_us_min: blocks.iter().map(|block| block.at_us_min).min().unwrap_or(i64::MAX),
            at_us_max: blocks.iter().map(|block| block.at_us_max).max().unwrap_or(i64::MIN),
            severity_mask: blocks.iter().fold(0, |mask, block| mask | block.severity_mask),
            kind_mask: blocks.iter().fold(0, |mask, block| mask | block.kind_mask),
            appliances,
        }
    }

    /// Whether the segment may contain a matching record.
    pub(super) fn may_match(&self, filter: &HeaderFilter) -> bool {
        self.at_us_min <= filter.until_us
            && self.at_us_max >= filter.since_us
            && self.severity_mask & filter.severity_mask != 0
            && self.kind_mask & filter.kind_mask != 0
            && filter.appliances.as_ref().is_none_or(|some| some.iter().any(|it| self.has(*it)))
    }

    fn has(&self, appliance: u32) -> bool {
        let bit = appliance as usize % (8 * self.appliances.len());
        self.appliances[bit / 8] & 1 << (bit % 8) != 0
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![LAYOUT];
        out.put_u64_le(self.last);
        out.put_u64_le(self.pack_bytes);
        out.put_u64_le(self.body_bytes);
        out.put_i64_le(self.at_us_min);
        out.put_i64_le(self.at_us_max);
        out.put_u8(self.severity_mask);
        out.put_u32_le(self.kind_mask);
        out.extend_from_slice(&self.appliances);
        out
    }

    /// Reads the totals of a segment from the front of its index.
    pub(super) fn decode(file: &Bytes, journal: Uuid, first: u64) -> Result<Self, &'static str> {
        let payload = part(file, journal, first, 0).ok_or("its first block is damaged")?.0;
        let mut rest = &payload[..];
        let read = |rest: &mut &[u8]| -> Option<Self> {
            Some(Self {
                last: rest.try_get_u64_le().ok()?,
                pack_bytes: rest.try_get_u64_le().ok()?,
                body_bytes: rest.try_get_u64_le().ok()?,
                at_us_min: rest.try_get_i64_le().ok()?,
                at_us_max: rest.try_get_i64_le().ok()?,
                severity_mask: rest.try_get_u8().ok()?,
                kind_mask: rest.try_get_u32_le().ok()?,
                appliances: rest.to_vec(),
            })
        };
        match rest.try_get_u8() {
            Ok(LAYOUT) => {}
            Ok(_) | Err(_) => return Err("it has another layout"),
        }
        let totals = read(&mut rest).ok_or("its first block is too short")?;
        if totals.appliances.is_empty() { Err("it has no appliances") } else { Ok(totals) }
    }
}

/// Encodes the index of the blocks of one pack; `first` is the first number of the segment.
pub(super) fn encode_index(
    journal: Uuid,
    first: u64,
    blocks: &[IndexedBlock],
    postings: &Postings,
) -> Vec<u8> {
    let mut body = Vec::new();
    encode_varint(blocks.len() as u64, &mut body);
    let (mut next, mut at_us) = (first, 0_i64);
    for block in blocks {
        encode_varint(block.first - next, &mut body);
        encode_varint(block.last - block.first, &mut body);
        encode_varint(u64::from(block.bytes), &mut body);
        let step = block.at_us_min.wrapping_sub(at_us);
        encode_varint((step << 1 ^ step >> 63).cast_unsigned(), &mut body);
        encode_varint(block.at_us_max.wrapping_sub(block.at_us_min).cast_unsigned(), &mut body);
        body.put_u8(block.severity_mask);
        encode_varint(u64::from(block.kind_mask), &mut body);
        (next, at_us) = (block.last + 1, block.at_us_min);
    }
    postings.encode_into(&mut body);
    let mut totals = SegmentTotals::new(blocks, postings);
    totals.body_bytes = body.len() as u64;
    let mut out = Vec::new();
    let totals = totals.encode();
    let parts = std::iter::once(&totals[..]).chain(body.chunks(PART_BYTES));
    for (count, payload) in (0..).zip(parts) {
        let content = BlockContent::SegmentIndex;
        let info = BlockInfo { content, journal, term: 0, first, count };
        encode(&mut out, &info, Compression::Zstd, &[], payload)
            .expect("4 MiB are within the limits of a block");
    }
    out
}

/// Decodes an index; `last` is the last number of the segment, `pack_bytes` the length of its pack.
pub(super) fn decode_index(
    mut file: Bytes,
    journal: Uuid,
    (first, last): (u64, u64),
    pack_bytes: u64,
) -> Result<(Vec<IndexedBlock>, Postings), &'static str> {
    let totals = SegmentTotals::decode(&file, journal, first)?;
    if totals.last != last || totals.pack_bytes != pack_bytes {
        return Err("it is the index of another pack");
    }
    let mut body = Vec::new();
    let mut count = 0;
    while !file.is_empty() {
        let (payload, bytes) = part(&file, journal, first, count).ok_or("a part is damaged")?;
        if count > 0 {
            body.extend_from_slice(&payload);
        }
        file.advance(bytes);
        count += 1;
    }
    if body.len() as u64 != totals.body_bytes {
        return Err("a part is missing");
    }
    let mut rest = &body[..];
    let blocks = decode_blocks(&mut rest, first).ok_or("its list of blocks is wrong")?;
    let end = blocks.last().map(|block| (block.last, block.offset + u64::from(block.bytes)));
    if end != Some((last, pack_bytes)) {
        return Err("its list of blocks does not end with the pack");
    }
    let postings = Postings::decode(rest, blocks.len()).ok_or("its list of appliances is wrong")?;
    Ok((blocks, postings))
}

fn decode_blocks(rest: &mut &[u8], first: u64) -> Option<Vec<IndexedBlock>> {
    let count = usize::try_from(decode_varint(rest).ok()?).ok()?;
    // Each takes seven bytes at least.
    let mut blocks = Vec::with_capacity(count.min(rest.len() / 7));
    let (mut next, mut offset, mut at_us) = (first, 0_u64, 0_i64);
    for _ in 0..count {
        let first = next.checked_add(decode_varint(rest).ok()?)?;
        let last = first.checked_add(decode_varint(rest).ok()?)?;
        let bytes = u32::try_from(decode_varint(rest).ok()?).ok()?;
        let step = decode_varint(rest).ok()?;
        let step = (step >> 1).cast_signed() ^ -(step & 1).cast_signed();
        let at_us_min = at_us.wrapping_add(step);
        let at_us_max = at_us_min.wrapping_add(decode_varint(rest).ok()?.cast_signed());
        let severity_mask = rest.try_get_u8().ok()?;
        let kind_mask = u32::try_from(decode_varint(rest).ok()?).ok()?;
        blocks.push(IndexedBlock {
            first,
            last,
            offset,
            bytes,
            file: 0,
            at_us_min,
            at_us_max,
            severity_mask,
            kind_mask,
        });
        (next, at_us) = (last.checked_add(1)?, at_us_min);
        offset = offset.checked_add(u64::from(bytes))?;
    }
    Some(blocks)
}

/// The payload and the length of the block at the front of `file`, if it is this part.
fn part(file: &Bytes, journal: Uuid, first: u64, count: u32) -> Option<(Bytes, usize)> {
    let block = Block::parse(file).ok()?;
    let info = &block.header.info;
    let is_ours = info.content == BlockContent::SegmentIndex
        && (info.journal, info.first, info.count) == (journal, first, count);
    let payload = block.payload().ok().filter(|_| is_ours)?;
    Some((payload, block.header.block_bytes()))
}
