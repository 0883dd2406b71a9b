//! Encodes records into a block, and the summary by which a search skips blocks.
//!
//! A record is opaque bytes with a number and a [`RecordHeader`]. The header is stored before the
//! bytes, so that blocks can be summarised and searched without decoding any record. Guarantees a
//! round trip, and never panics on any payload. Does not know the content of a record.

use std::ops::Range;

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{decode_varint, encode_varint};

use super::frame::{Block, BlockInfo, FrameError, RAW_PAYLOAD_BYTES_MAX};

/// The largest length of a record with which its block is within the limits, in bytes.
pub const RECORD_BYTES_MAX: usize = RAW_PAYLOAD_BYTES_MAX - 64;

/// Time, severity and kind take 9 bytes before the appliance.
const FIXED_HEADER_BYTES: usize = 9;

/// The fields of a record that are known without decoding it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordHeader {
    /// When it was received, in microseconds since the epoch.
    pub at_us: i64,
    /// Its severity, 0 to 5.
    pub severity: u8,
    /// Its kind, below 32.
    pub kind: u8,
    /// The index of the appliance that it is about; 0 for none.
    pub appliance: u32,
}

/// A record as the journal stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedRecord {
    /// The number; without gaps, from 1.
    pub number: u64,
    /// The fields that are known without decoding.
    pub header: RecordHeader,
    /// The encoded record.
    pub bytes: Bytes,
}

impl RecordHeader {
    /// Appends the length of a record of `len` bytes, and this header; the bytes follow.
    ///
    /// # Panics
    ///
    /// If the severity of the header is above 5 or its kind above 31.
    pub fn encode_into(&self, payload: &mut Vec<u8>, len: usize) {
        assert!(self.severity <= 5, "severities are 0 to 5");
        assert!(self.kind < 32, "a kind has 5 bits");
        let appliance = u64::from(self.appliance);
        let length = FIXED_HEADER_BYTES + prost::encoding::encoded_len_varint(appliance) + len;
        encode_varint(length as u64, payload);
        payload.put_i64_le(self.at_us);
        payload.put_u8(self.severity << 5 | self.kind);
        encode_varint(appliance, payload);
    }
}

impl EncodedRecord {
    /// Appends the record to a payload.
    ///
    /// # Panics
    ///
    /// As [`RecordHeader::encode_into`].
    pub fn encode_into(&self, payload: &mut Vec<u8>) {
        self.header.encode_into(payload, self.bytes.len());
        payload.extend_from_slice(&self.bytes);
    }
}

/// Reads all records of a block, without copying their bytes out of the payload.
///
/// # Errors
///
/// If the payload does not contain as many records as the block's header says.
pub fn records_in_block(block: &Block) -> Result<Vec<EncodedRecord>, FrameError> {
    let mut payload = block.payload()?;
    let info = &block.header.info;
    let mut records = Vec::with_capacity((info.count as usize).min(payload.len() / 11));
    for index in 0..u64::from(info.count) {
        let (header, bytes) = split_record(&mut payload).ok_or(FrameError::ImpossibleLength)?;
        records.push(EncodedRecord { number: info.first + index, header, bytes });
    }
    if payload.is_empty() { Ok(records) } else { Err(FrameError::ImpossibleLength) }
}

/// Where a record lies in the payload of its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSlice {
    /// The number.
    pub number: u64,
    /// The fields that are known without decoding.
    pub header: RecordHeader,
    /// Its bytes in the payload.
    pub range: Range<usize>,
}

/// Replaces `records` by those in a payload of `info` that `is_wanted` selects.
///
/// # Errors
///
/// If the payload does not contain as many records as the block's header says.
pub fn locate_records(
    info: &BlockInfo,
    payload: &[u8],
    mut is_wanted: impl FnMut(u64, &RecordHeader) -> bool,
    records: &mut Vec<RecordSlice>,
) -> Result<(), FrameError> {
    records.clear();
    let mut rest = payload;
    for number in (info.first..).take(info.count as usize) {
        let (header, bytes) = split_slice(&mut rest).ok_or(FrameError::ImpossibleLength)?;
        if is_wanted(number, &header) {
            let end = payload.len() - rest.len();
            records.push(RecordSlice { number, header, range: end - bytes.len()..end });
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(FrameError::ImpossibleLength) }
}

fn split_slice<'a>(payload: &mut &'a [u8]) -> Option<(RecordHeader, &'a [u8])> {
    let length = usize::try_from(short_varint(payload)?).ok()?;
    let (mut record, rest) = payload.split_at_checked(length)?;
    *payload = rest;
    let (at_us, after) = record.split_first_chunk()?;
    let (severity_kind, after) = after.split_first()?;
    record = after;
    let appliance = u32::try_from(short_varint(&mut record)?).ok()?;
    let (severity, kind) = (severity_kind >> 5, severity_kind & 31);
    let at_us = i64::from_le_bytes(*at_us);
    Some((RecordHeader { at_us, severity, kind, appliance }, record))
}

/// A varint, which mostly is short.
pub(super) fn short_varint(bytes: &mut &[u8]) -> Option<u64> {
    match **bytes {
        [low, ref rest @ ..] if low < 0x80 => {
            *bytes = rest;
            Some(low.into())
        }
        [low, high, ref rest @ ..] if high < 0x80 => {
            *bytes = rest;
            Some(u64::from(low & 0x7f) | u64::from(high) << 7)
        }
        _ => decode_varint(bytes).ok(),
    }
}

fn split_record(payload: &mut Bytes) -> Option<(RecordHeader, Bytes)> {
    let length = usize::try_from(decode_varint(payload).ok()?).ok()?;
    if length > payload.len() {
        return None;
    }
    let mut record = payload.split_to(length);
    let header = read_header(&mut record)?;
    Some((header, record))
}

fn read_header(record: &mut impl Buf) -> Option<RecordHeader> {
    let at_us = record.try_get_i64_le().ok()?;
    let severity_kind = record.try_get_u8().ok()?;
    let appliance = u32::try_from(decode_varint(record).ok()?).ok()?;
    let (severity, kind) = (severity_kind >> 5, severity_kind & 31);
    Some(RecordHeader { at_us, severity, kind, appliance })
}

/// The summary of the records of a block of the archive, so that a search can skip it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockSummary {
    /// The smallest time, in microseconds since the epoch.
    pub at_us_min: i64,
    /// The largest time, in microseconds since the epoch.
    pub at_us_max: i64,
    /// Bit `n` for severity `n`.
    pub severity_mask: u8,
    /// Bit `n` for kind `n`.
    pub kind_mask: u32,
    /// The appliances, sorted, each once; 0 stands for records without one.
    pub appliances: Vec<u32>,
}

impl BlockSummary {
    /// Summarises `records`.
    pub fn from_records(records: &[EncodedRecord]) -> Self {
        Self::from_headers(records.iter().map(|record| record.header))
    }

    /// Summarises records by their headers, in one pass.
    pub(super) fn from_headers(headers: impl Iterator<Item = RecordHeader>) -> Self {
        let mut summary = Self {
            at_us_min: i64::MAX,
            at_us_max: i64::MIN,
            severity_mask: 0,
            kind_mask: 0,
            appliances: Vec::new(),
        };
        for header in headers {
            summary.at_us_min = summary.at_us_min.min(header.at_us);
            summary.at_us_max = summary.at_us_max.max(header.at_us);
            summary.severity_mask |= 1 << header.severity;
            summary.kind_mask |= 1 << header.kind;
            // An appliance often has several records in a row.
            if summary.appliances.last() != Some(&header.appliance) {
                summary.appliances.push(header.appliance);
            }
        }
        summary.appliances.sort_unstable();
        summary.appliances.dedup();
        summary
    }

    /// The summary in bytes: fixed fields, then the appliances as varint differences.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24 + 2 * self.appliances.len());
        out.put_i64_le(self.at_us_min);
        out.put_i64_le(self.at_us_max);
        out.put_u8(self.severity_mask);
        out.put_u32_le(self.kind_mask);
        let mut previous = 0;
        for &appliance in &self.appliances {
            encode_varint(u64::from(appliance - previous), &mut out);
            previous = appliance;
        }
        out
    }

    /// Decodes the output of [`Self::encode`]; `None` for anything else.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut summary = Self {
            at_us_min: bytes.try_get_i64_le().ok()?,
            at_us_max: bytes.try_get_i64_le().ok()?,
            severity_mask: bytes.try_get_u8().ok()?,
            kind_mask: bytes.try_get_u32_le().ok()?,
            appliances: Vec::new(),
        };
        let mut previous = 0_u32;
        while bytes.has_remaining() {
            let step = u32::try_from(decode_varint(&mut bytes).ok()?).ok()?;
            previous = previous.checked_add(step)?;
            summary.appliances.push(previous);
        }
        Some(summary)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::journal::frame::{BlockContent, Compression, encode};

    fn headers() -> impl Strategy<Value = RecordHeader> {
        (any::<i64>(), 0..6_u8, 0..32_u8, any::<u32>()).prop_map(
            |(at_us, severity, kind, appliance)| RecordHeader { at_us, severity, kind, appliance },
        )
    }

    fn block(count: u32, payload: &[u8]) -> Block {
        let draft = BlockInfo {
            content: BlockContent::Records,
            journal: Uuid::nil(),
            term: 1,
            first: 10,
            count,
        };
        let mut out = Vec::new();
        encode(&mut out, &draft, Compression::Zstd, b"", payload).unwrap();
        Block::parse(&out.into()).unwrap()
    }

    proptest! {
        #[test]
        fn records_and_their_summary_come_back(
            contents in prop::collection::vec((headers(), any::<Vec<u8>>()), 1..50),
        ) {
            let records: Vec<EncodedRecord> = (10..)
                .zip(contents)
                .map(|(number, (header, bytes))| EncodedRecord { number, header, bytes: bytes.into() })
                .collect();
            let mut payload = Vec::new();
            records.iter().for_each(|record| record.encode_into(&mut payload));
            let block = block(u32::try_from(records.len()).unwrap(), &payload);
            prop_assert_eq!(records_in_block(&block).unwrap(), records.clone());
            let mut located = Vec::new();
            locate_records(&block.header.info, &payload, |_, _| true, &mut located).unwrap();
            for (located, record) in located.iter().zip(&records) {
                prop_assert_eq!((located.number, located.header), (record.number, record.header));
                prop_assert_eq!(&payload[located.range.clone()], &record.bytes[..]);
            }
            prop_assert_eq!(located.len(), records.len());
            let summary = BlockSummary::from_records(&records);
            prop_assert_eq!(BlockSummary::decode(&summary.encode()), Some(summary));
        }

        #[test]
        fn arbitrary_payloads_and_summaries_never_panic(count: u32, bytes: Vec<u8>) {
            let block = block(count, &bytes);
            let read = records_in_block(&block);
            let located = locate_records(&block.header.info, &bytes, |_, _| true, &mut Vec::new());
            prop_assert_eq!(read.map(drop), located);
            let _ = BlockSummary::decode(&bytes);
        }
    }
}
