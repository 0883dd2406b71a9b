//! Reads the journal and converts its records to encoded messages, a batch at a time.
//!
//! Guarantees that a batch has everything from the end of the one before to its own end, gaps in their
//! place, and that it is bounded in bytes and in what was read for it. Blocks on the disk: it belongs on
//! a blocking thread. Does not know the stream.

use std::collections::VecDeque;
use std::vec::IntoIter;

use bytes::Bytes;
use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};
use tonic::Status;

use super::ExportRange;
use crate::broker::NameIndex;
use crate::codec;
use crate::contract::encode;
use crate::contract::proto::{ExportRecordsResponse, Missing};
use crate::grid::values::id::ApplianceIndex;
use crate::grpc::filter::RecordMatcher;
use crate::grpc::page;
use crate::grpc::status;
use crate::journal::{EncodedRecord, HeaderFilter, JournalReader, PageLimit};

/// Bytes of records in a message, and one record more.
const BATCH_BYTES: usize = 512 << 10;

/// Bytes of the journal read at once, and one block more: whole blocks, so that none is unpacked twice.
const PAGE_BYTES: u64 = 256 << 10;

/// Bytes of the journal read for one message: one that finds little still shows how far it is.
const SCAN_BYTES: u64 = 16 << 20;

/// The key of `ExportRecordsResponse.records`: field 1, with a length.
const RECORDS_KEY: u8 = 1 << 3 | 2;

/// A batch of encoded records, and the gaps between them.
pub(super) struct RecordBatch {
    /// Fields `records`, encoded.
    records: Vec<u8>,
    missing: Vec<Missing>,
    /// Everything up to this number was examined.
    pub(super) reached: u64,
}

impl RecordBatch {
    /// The encoded `ExportRecordsResponse`.
    pub(super) fn into_message(self, cursor: String, range: ExportRange) -> Bytes {
        let Self { mut records, missing, reached } = self;
        let rest = ExportRecordsResponse {
            records: Vec::new(),
            missing,
            cursor,
            reached,
            first: range.first,
            last: range.last,
        };
        records.reserve(rest.encoded_len());
        // A message is its fields, one after the other.
        rest.encode_raw(&mut records);
        records.into()
    }
}

/// What was read of the journal, but is in no batch yet.
struct UnsentPage {
    records: IntoIter<EncodedRecord>,
    /// Ascending.
    gaps: VecDeque<Missing>,
    /// The last number that was read.
    reached: u64,
}

/// Reads one export.
pub(super) struct BatchReader {
    reader: JournalReader,
    filter: RecordMatcher,
    wanted: HeaderFilter,
    names: NameCache,
    /// The next number to read.
    next: u64,
    last: u64,
    /// Gaps before the first record are told.
    tells_first_gap: bool,
    page: Option<UnsentPage>,
}

impl BatchReader {
    /// A reader of the range.
    pub(super) fn new(
        reader: JournalReader,
        names: NameIndex,
        filter: RecordMatcher,
        range: ExportRange,
    ) -> Self {
        let (wanted, _) = filter.journal_filter(&names);
        Self {
            reader,
            tells_first_gap: range.has_start || filter.includes_oldest(),
            filter,
            wanted,
            names: NameCache { index: names, known: Vec::new() },
            next: range.first,
            last: range.last,
            page: None,
        }
    }

    /// Whether everything was read and is in a batch.
    pub(super) fn is_at_end(&self) -> bool {
        self.page.is_none() && self.next > self.last
    }

    /// The next batch.
    ///
    /// # Errors
    ///
    /// If a part of the journal cannot be read, or a record not decoded.
    pub(super) fn next_batch(&mut self) -> Result<RecordBatch, Status> {
        let mut batch = RecordBatch {
            records: Vec::with_capacity(BATCH_BYTES + BATCH_BYTES / 8),
            missing: Vec::new(),
            reached: self.next.saturating_sub(1),
        };
        let mut scanned = 0;
        while batch.records.len() < BATCH_BYTES && scanned < SCAN_BYTES && !self.is_at_end() {
            let mut page = match self.page.take() {
                Some(page) => page,
                None => {
                    scanned += PAGE_BYTES;
                    self.read_page()?
                }
            };
            self.convert(&mut page, &mut batch)?;
            if batch.reached < page.reached {
                self.page = Some(page);
            }
        }
        Ok(batch)
    }

    fn read_page(&mut self) -> Result<UnsentPage, Status> {
        let limit = PageLimit { records: usize::MAX, bytes: PAGE_BYTES };
        let from = self.next;
        let page = self
            .reader
            .forward(from, &self.wanted, limit)
            .map_err(|error| status::journal_unreadable(&error))?;
        let mut gaps = page::skipped_gaps(&page);
        if std::mem::replace(&mut self.tells_first_gap, true) {
            gaps.extend(page::trimmed_before_ascending(&page, from, self.reader.first()));
        }
        // What became durable after the call is of another export.
        gaps.retain_mut(|gap| {
            gap.last = gap.last.min(self.last);
            gap.first <= gap.last
        });
        gaps.sort_unstable_by_key(|gap| gap.first);
        let mut records = page.records;
        records.truncate(records.partition_point(|record| record.number <= self.last));
        // A journal without a record to read ends the export.
        let reached = if page.next.is_none() { self.last } else { page.reached.min(self.last) };
        self.next = reached + 1;
        Ok(UnsentPage { records: records.into_iter(), gaps: gaps.into(), reached })
    }

    /// Moves what fits from the page into the batch.
    fn convert(&mut self, page: &mut UnsentPage, batch: &mut RecordBatch) -> Result<(), Status> {
        while batch.records.len() < BATCH_BYTES {
            let Some(encoded) = page.records.next() else {
                batch.missing.extend(page.gaps.drain(..));
                batch.reached = page.reached;
                return Ok(());
            };
            let before = page.gaps.partition_point(|gap| gap.first < encoded.number);
            batch.missing.extend(page.gaps.drain(..before));
            batch.reached = encoded.number;
            self.push(&encoded, &mut batch.records)?;
        }
        Ok(())
    }

    fn push(&mut self, encoded: &EncodedRecord, out: &mut Vec<u8>) -> Result<(), Status> {
        let record = codec::decode_record(&encoded.bytes)
            .map_err(|error| Status::internal(format!("record {}: {error}", encoded.number)))?;
        let name = record.subject().map_or("", |number| self.names.name(number));
        let record = encode::record(&record, |_| name.to_owned());
        if self.filter.matches(&record) {
            let length = record.encoded_len();
            out.reserve(length + 1 + encoded_len_varint(length as u64));
            out.push(RECORDS_KEY);
            encode_varint(length as u64, out);
            record.encode_raw(out);
        }
        Ok(())
    }
}

/// The names of appliances that were asked for: the index is locked once for each.
struct NameCache {
    index: NameIndex,
    /// By index; empty: not asked for.
    known: Vec<Box<str>>,
}

impl NameCache {
    /// The name of an appliance; empty if it has none.
    fn name(&mut self, number: ApplianceIndex) -> &str {
        let at = number.0 as usize;
        if self.known.get(at).is_none_or(|name| name.is_empty()) {
            let name = self.index.name(number);
            if name.is_empty() {
                // Of an index that is lost, or of a damaged record: no room for it.
                return "";
            }
            if at >= self.known.len() {
                self.known.resize(at + 1, Box::default());
            }
            self.known[at] = name.into_boxed_str();
        }
        &self.known[at]
    }
}
