//! Walks the headers of the records in a payload, without a value per record.
//!
//! Guarantees that the ranges of bytes are within the payload, follow each other without gaps, and
//! that no payload makes it panic. Does not know the content of a record.

use std::ops::Range;

use super::frame::FrameError;
use super::record::{RecordHeader, short_varint};

/// The headers of the records of a payload, in order; ends after the first error.
#[derive(Debug)]
pub(super) struct RecordHeaders<'a> {
    payload: &'a [u8],
    at: usize,
}

impl<'a> RecordHeaders<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self { payload, at: 0 }
    }
}

impl Iterator for RecordHeaders<'_> {
    /// The header, and the range of all bytes of the record in the payload, its length included.
    type Item = Result<(RecordHeader, Range<usize>), FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.payload.get(self.at..).filter(|rest| !rest.is_empty())?;
        let start = self.at;
        match split(rest) {
            Some((header, bytes)) => {
                self.at += bytes;
                Some(Ok((header, start..self.at)))
            }
            None => {
                self.at = self.payload.len();
                Some(Err(FrameError::ImpossibleLength))
            }
        }
    }
}

/// The header of the first record, and the bytes of the record with its length.
fn split(payload: &[u8]) -> Option<(RecordHeader, usize)> {
    let mut rest = payload;
    let length = usize::try_from(short_varint(&mut rest)?).ok()?;
    let prefix = payload.len() - rest.len();
    let record = rest.get(..length)?;
    let (at_us, record) = record.split_first_chunk()?;
    let (severity_kind, mut record) = record.split_first()?;
    let appliance = u32::try_from(short_varint(&mut record)?).ok()?;
    let at_us = i64::from_le_bytes(*at_us);
    let (severity, kind) = (severity_kind >> 5, severity_kind & 31);
    Some((RecordHeader { at_us, severity, kind, appliance }, prefix + length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::journal::record::EncodedRecord;

    proptest! {
        #[test]
        fn each_record_has_its_header_and_its_bytes(
            contents in prop::collection::vec(
                ((any::<i64>(), 0..6_u8, 0..32_u8, any::<u32>()), any::<Vec<u8>>()),
                1..50,
            ),
        ) {
            let mut payload = Vec::new();
            let mut expected = Vec::new();
            for ((at_us, severity, kind, appliance), bytes) in contents {
                let header = RecordHeader { at_us, severity, kind, appliance };
                let start = payload.len();
                EncodedRecord { number: 1, header, bytes: bytes.into() }.encode_into(&mut payload);
                expected.push((header, start..payload.len()));
            }
            let found: Result<Vec<_>, _> = RecordHeaders::new(&payload).collect();
            prop_assert_eq!(found, Ok(expected));
            payload.pop();
            prop_assert!(RecordHeaders::new(&payload).any(|found| found.is_err()));
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_end(bytes: Vec<u8>) {
            prop_assert!(RecordHeaders::new(&bytes).count() <= bytes.len());
        }
    }
}
