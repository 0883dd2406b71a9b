//! Collects the records that a search finds.
//!
//! Guarantees no more than the limit, and one record at least. Copies their bytes: their block is
//! not kept. Reads nothing.

use bytes::Bytes;

use super::Sink;
use crate::journal::record::{BlockSummary, EncodedRecord, RecordHeader};

/// Records up to a number and a size.
#[derive(Debug)]
pub(in crate::journal) struct RecordSink {
    records_max: usize,
    bytes_max: usize,
    bytes: usize,
    pub(in crate::journal) records: Vec<EncodedRecord>,
}

impl RecordSink {
    pub(in crate::journal) fn new(records_max: usize, bytes_max: usize) -> Self {
        Self { records_max, bytes_max, bytes: 0, records: Vec::new() }
    }

    fn add(&mut self, record: EncodedRecord) {
        self.bytes += record.bytes.len();
        self.records.push(record);
    }
}

impl Sink for RecordSink {
    fn empty(&self) -> Self {
        Self::new(self.records_max, self.bytes_max)
    }

    fn push_block(&mut self, _records: u64, _summary: &BlockSummary) -> bool {
        false
    }

    fn push(&mut self, number: u64, header: &RecordHeader, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.add(EncodedRecord { number, header: *header, bytes });
    }

    fn is_full(&self) -> bool {
        self.records.len() >= self.records_max || self.bytes >= self.bytes_max
    }

    fn append(&mut self, later: Self) -> Option<u64> {
        for record in later.records {
            if self.is_full() {
                return Some(record.number);
            }
            self.add(record);
        }
        None
    }
}
