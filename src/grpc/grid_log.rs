//! Implements `GridLogService`: administrators read the grid log.

use std::pin::Pin;
use std::sync::Arc;

use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::filter::RecordMatcher;
use super::page::{self, PageItem};
use super::tail::{self, TailStart};
use super::{Services, encoded_body, export, principal, status};
use crate::codec;
use crate::contract::encoded::EncodedExport;
use crate::contract::proto::{
    CountRecordsRequest, CountRecordsResponse, ExplainRecordRequest, ExplainRecordResponse,
    ExportRecordsRequest, GetRecordRequest, GetRecordResponse, ListRecordsRequest,
    ListRecordsResponse, Record, TailRecordsRequest, TailRecordsResponse,
};
use crate::contract::servers::grid_log_service_server::GridLogService;
use crate::contract::{decode_timestamp, encode};
use crate::grid;
use crate::grid::values::id::{ApplianceIndex, RecordNumber};
use crate::journal::{EncodedRecord, HeaderFilter, PageLimit, RecordPage};
use crate::tasks;

/// Records on a page by default.
const PAGE_SIZE: u32 = 100;

/// Most records on a page.
pub(super) const PAGE_SIZE_MAX: u32 = 1_000;

/// Most bytes of the journal read for one page of a tail: a page may therefore be short.
const PAGE_BYTES: u64 = 32 << 20;

#[tonic::async_trait]
impl GridLogService for Services {
    async fn list_records(
        &self,
        request: Request<ListRecordsRequest>,
    ) -> Result<Response<ListRecordsResponse>, Status> {
        principal::administrator(&request)?;
        let request = request.into_inner();
        let filter = RecordMatcher::new(request.filter)?;
        let size = check_page_size(request.page_size)?;
        let is_newest_first = request.newest_first;
        let token = RecordCursor::decode("page_token", &request.page_token, self)?;
        let from = token.unwrap_or(if is_newest_first { u64::MAX } else { 1 });
        let (page, scan) = self.search_page(&filter, from, size, is_newest_first).await?;
        let mut missing = page::skipped_gaps(&page);
        let first_kept = self.reader.first();
        // A request for records since a time is not told of gaps long before it.
        let (has_token, includes_oldest) = (token.is_some(), filter.includes_oldest());
        missing.extend(match is_newest_first {
            true if includes_oldest => page::trimmed_before_descending(&page, from, first_kept),
            false if includes_oldest || has_token => {
                page::trimmed_before_ascending(&page, from, first_kept)
            }
            true | false => None,
        });
        let records = self.encode_records(&RecordMatcher::any(), &page.records)?;
        let mut items = page::merge(records, missing, is_newest_first);
        let next = page::truncate(&mut items, page::ENCODED_BYTES_MAX).or(page.next);
        let mut response = ListRecordsResponse {
            next_page_token: next.map_or_else(String::new, |next| RecordCursor::encode(next, self)),
            scan: Some(scan),
            ..ListRecordsResponse::default()
        };
        for item in items {
            match item {
                PageItem::Record(record) => response.records.push(*record),
                PageItem::Missing(missing) => response.missing.push(missing),
            }
        }
        Ok(Response::new(response))
    }

    async fn get_record(
        &self,
        request: Request<GetRecordRequest>,
    ) -> Result<Response<GetRecordResponse>, Status> {
        principal::administrator(&request)?;
        let found = self.existing_record(request.into_inner().number).await?;
        let record = self.encode_record(&found);
        Ok(Response::new(GetRecordResponse { record: Some(record) }))
    }

    async fn explain_record(
        &self,
        request: Request<ExplainRecordRequest>,
    ) -> Result<Response<ExplainRecordResponse>, Status> {
        principal::administrator(&request)?;
        let found = self.existing_record(request.into_inner().number).await?;
        let decisions = self.explain(&found, None).await?;
        let record = Some(self.encode_record(&found));
        Ok(Response::new(ExplainRecordResponse { record, decisions }))
    }

    async fn count_records(
        &self,
        request: Request<CountRecordsRequest>,
    ) -> Result<Response<CountRecordsResponse>, Status> {
        principal::administrator(&request)?;
        Ok(Response::new(self.count_page(request.into_inner()).await?))
    }

    /// Without messages: they are encoded once for all tails, and passed to the response as they are.
    type TailRecordsStream = tokio_stream::Empty<Result<TailRecordsResponse, Status>>;

    async fn tail_records(
        &self,
        request: Request<TailRecordsRequest>,
    ) -> Result<Response<Self::TailRecordsStream>, Status> {
        principal::administrator(&request)?;
        let request = request.into_inner();
        let filter = RecordMatcher::new(request.filter)?;
        if request.history > PAGE_SIZE_MAX {
            return Err(status::invalid_field("history", "at most 1000 records are allowed"));
        }
        let time = request.from_time.as_ref().map(|time| {
            let outside = || status::invalid_field("from_time", "is outside the years 1 to 9999");
            decode_timestamp(time).ok_or_else(outside)
        });
        let time = time.transpose()?;
        let behind = RecordCursor::decode("cursor", &request.cursor, self)?;
        let start = match (behind, request.from_number, time) {
            (Some(number), _, _) => TailStart::After(number),
            (None, number @ 1.., _) => TailStart::After((number - 1).min(self.reader.durable())),
            (None, 0, Some(time)) => TailStart::At(time),
            (None, 0, None) => TailStart::History(request.history as usize),
        };
        Ok(encoded_body::respond(tail::open(self.clone(), filter, start), tokio_stream::empty()))
    }

    type ExportRecordsStream = Pin<Box<dyn Stream<Item = Result<EncodedExport, Status>> + Send>>;

    async fn export_records(
        &self,
        request: Request<ExportRecordsRequest>,
    ) -> Result<Response<Self::ExportRecordsStream>, Status> {
        principal::administrator(&request)?;
        let request = request.into_inner();
        let filter = RecordMatcher::new(request.filter)?;
        let behind = RecordCursor::decode("cursor", &request.cursor, self)?;
        let range = export::range(request.first, request.last, behind, self.reader.durable())?;
        Ok(Response::new(Box::pin(export::open(self.clone(), filter, range))))
    }
}

impl Services {
    /// Reads a page of the journal, on a thread that may block on the disk.
    pub(super) async fn read_page(
        &self,
        wanted: Arc<HeaderFilter>,
        from: u64,
        records: usize,
        is_newest_first: bool,
    ) -> Result<RecordPage, Status> {
        let reader = self.reader.clone();
        let budget = PageLimit { records, bytes: PAGE_BYTES };
        let read = tasks::spawn_blocking("read the grid log", move || {
            if is_newest_first {
                reader.backward(from, &wanted, budget)
            } else {
                reader.forward(from, &wanted, budget)
            }
        });
        match read.await {
            Ok(page) => page.map_err(|error| status::journal_unreadable(&error)),
            Err(_) => Err(Status::internal("reading the grid log was interrupted")),
        }
    }

    /// The record of that number; `None`: it is not there.
    pub(super) async fn record_at(
        &self,
        number: RecordNumber,
    ) -> Result<Option<grid::log::record::Record>, Status> {
        let page = self.read_page(Arc::new(HeaderFilter::default()), number, 1, false).await?;
        let Some(encoded) = page.records.first().filter(|it| it.number == number) else {
            return Ok(None);
        };
        let record = codec::decode_record(&encoded.bytes)
            .map_err(|error| Status::internal(format!("record {number}: {error}")))?;
        Ok(Some(record))
    }

    /// The record of that number, or why there is none.
    async fn existing_record(
        &self,
        number: RecordNumber,
    ) -> Result<grid::log::record::Record, Status> {
        let newest = self.reader.durable();
        if !(1..=newest).contains(&number) {
            let text = format!("there is no record {number} yet: the newest is {newest}");
            return Err(status::not_found("NOT_YET", text));
        }
        let found = self.record_at(number).await?;
        // Asked after the read, so that what existed until then is not called missing.
        let first = self.reader.first();
        match found {
            Some(record) => Ok(record),
            None if number < first => {
                let text = format!("record {number} was trimmed: the oldest is {first}");
                Err(status::not_found("TRIMMED", text))
            }
            None => Err(status::not_found("MISSING", format!("record {number} is missing"))),
        }
    }

    fn encode_record(&self, record: &grid::log::record::Record) -> Record {
        let names = self.broker.name_index();
        encode::record(record, |number: ApplianceIndex| names.name(number))
    }

    /// Encodes the records that match the filter.
    pub(super) fn encode_records(
        &self,
        filter: &RecordMatcher,
        records: &[EncodedRecord],
    ) -> Result<Vec<Record>, Status> {
        let names = self.broker.name_index();
        let name = |number: ApplianceIndex| names.name(number);
        let mut shown = Vec::with_capacity(records.len());
        for encoded in records {
            let record = codec::decode_record(&encoded.bytes)
                .map_err(|error| Status::internal(format!("record {}: {error}", encoded.number)))?;
            let record = encode::record(&record, name);
            if filter.matches(&record) {
                shown.push(record);
            }
        }
        Ok(shown)
    }
}

pub(super) fn check_page_size(requested: u32) -> Result<usize, Status> {
    match requested {
        0 => Ok(PAGE_SIZE as usize),
        1..=PAGE_SIZE_MAX => Ok(requested as usize),
        _ => {
            let text = format!("is {requested}; 1 to {PAGE_SIZE_MAX} are allowed");
            Err(status::invalid_field("page_size", text))
        }
    }
}

/// A position in the grid log, as an opaque token that is valid for this journal only.
pub(super) struct RecordCursor;

impl RecordCursor {
    pub(super) fn encode(number: u64, services: &Services) -> String {
        format!("{:08x}.{number:x}", services.journal_tag())
    }

    /// # Errors
    ///
    /// If the token is of another journal, or of records that this journal has not or no longer.
    pub(super) fn decode(
        field: &str,
        token: &str,
        services: &Services,
    ) -> Result<Option<u64>, Status> {
        if token.is_empty() {
            return Ok(None);
        }
        let parsed = token.split_once('.').and_then(|(mark, number)| {
            Some((u32::from_str_radix(mark, 16).ok()?, u64::from_str_radix(number, 16).ok()?))
        });
        match parsed {
            Some((mark, number)) if mark == services.journal_tag() => {
                let end = services.reader.durable();
                if number <= end {
                    return Ok(Some(number));
                }
                // Waiting for it would hide all records that get the numbers up to there again.
                let text = format!(
                    "{field}: is at record {number}, but this grid log ends with record {end}: it \
                     was restored from an older copy; start again without it"
                );
                Err(status::precondition("CURSOR_AHEAD", text))
            }
            Some(_) | None => {
                Err(status::invalid_field(field, "is not of this grid log; start again without it"))
            }
        }
    }
}

impl Services {
    fn journal_tag(&self) -> u32 {
        self.identity.journal.as_fields().0
    }
}
