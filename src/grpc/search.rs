//! Runs searches and counts of the grid log, a page at a time.
//!
//! Guarantees that a page ends after about a second with what was found until then, and that a search
//! ends with the block that it reads once its caller goes: an administrator who closes a page burdens
//! nobody. Of those that may read much a few run at one time. Does not know gaps (`page`) or filters
//! (`filter`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::Status;

use super::filter::RecordMatcher;
use super::grid_log::RecordCursor;
use super::page::{self, PagedRange};
use super::{Services, status};
use crate::broker::Unavailable;
use crate::clock::monotonic_now;
use crate::contract::decode::violation;
use crate::contract::proto::record_count::Key;
use crate::contract::proto::{
    CountKey, CountRecordsRequest, CountRecordsResponse, PageScan, RecordCount,
};
use crate::contract::{decode_timestamp, encode_timestamp};
use crate::grid::values::id::ApplianceIndex;
use crate::grid::values::time::Timestamp;
use crate::journal::{
    CountBy, JournalError, JournalReader, PageLimit, RecordCounts, RecordPage, RecordQuery,
    SearchPage, TimeBuckets,
};
use crate::{listener, tasks};

/// Most bytes of the journal read for one page: a page may therefore be short.
const PAGE_BYTES: u64 = 1 << 30;

/// A page ends after so long with what was found: it may therefore be empty.
const PAGE_TIME: Duration = Duration::from_secs(1);

/// A reply ends with so many counts, and those of a few more blocks.
const COUNTS_MAX: usize = 10_000;

/// Searches for a text or a boot and counts that run at one time; others wait for their turn.
const SEARCHES_MAX: usize = 4;

static SEARCHES: Semaphore = Semaphore::const_new(SEARCHES_MAX);

/// Stops a search whose caller went.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Services {
    /// Searches a page: it ends with `records` of them, or after [`PAGE_TIME`].
    pub(super) async fn search_page(
        &self,
        filter: &RecordMatcher,
        from: u64,
        records: usize,
        is_newest_first: bool,
    ) -> Result<(RecordPage, PageScan), Status> {
        let turn = match filter.has_content_condition() {
            true => Some(self.search_turn().await?),
            false => None,
        };
        let began = monotonic_now();
        let from = from.min(self.reader.durable());
        let limit = PageLimit { records, bytes: PAGE_BYTES };
        let search = move |reader: &JournalReader, query: &RecordQuery| {
            reader.search(from, query, limit, page::ENCODED_BYTES_MAX)
        };
        let (page, read) = self.run_search(filter, is_newest_first, turn, search).await?;
        let range = PagedRange { from, reached: page.reached, is_newest_first };
        Ok((page, page::scan_statistics(range, read, began.elapsed())))
    }

    /// Counts a page of records, oldest first.
    pub(super) async fn count_page(
        &self,
        request: CountRecordsRequest,
    ) -> Result<CountRecordsResponse, Status> {
        let by = count_by(&request)?;
        let filter = RecordMatcher::new(request.filter)?;
        let token = RecordCursor::decode("page_token", &request.page_token, self)?;
        let from = token.unwrap_or(1);
        let limit = PageLimit { records: COUNTS_MAX, bytes: PAGE_BYTES };
        let turn = self.search_turn().await?;
        let began = monotonic_now();
        let count =
            move |reader: &JournalReader, query: &RecordQuery| reader.count(from, query, by, limit);
        let counted: SearchPage<RecordCounts> =
            self.run_search(&filter, false, Some(turn), count).await?;
        let SearchPage { found, next, reached, missing, trimmed, statistics } = counted;
        let page = RecordPage { records: Vec::new(), next, reached, missing, trimmed };
        let mut missing = page::skipped_gaps(&page);
        if filter.includes_oldest() || token.is_some() {
            let first_kept = self.reader.first();
            missing.extend(page::trimmed_before_ascending(&page, from, first_kept));
        }
        missing.sort_by_key(|gap| gap.first);
        let range = PagedRange { from, reached, is_newest_first: false };
        let counts = found.by_key.into_iter();
        Ok(CountRecordsResponse {
            counts: counts.map(|(key, records)| self.encode_count(by, key, records)).collect(),
            next_page_token: next.map_or_else(String::new, |next| RecordCursor::encode(next, self)),
            missing,
            scan: Some(page::scan_statistics(range, statistics, began.elapsed())),
        })
    }

    fn encode_count(&self, by: CountBy, key: i64, records: u64) -> RecordCount {
        let number = i32::try_from(key).unwrap_or_default();
        let key = match by {
            CountBy::Time(_) => Key::BucketStart(encode_timestamp(Timestamp::from_micros(key))),
            CountBy::Severity => Key::Severity(number),
            CountBy::Kind => Key::Kind(number),
            CountBy::Appliance => {
                let index = ApplianceIndex(u32::try_from(key).unwrap_or_default());
                Key::Appliance(self.broker.name_index().name(index))
            }
        };
        RecordCount { key: Some(key), records }
    }

    /// The turn of a search that may read much; to be released after it.
    async fn search_turn(&self) -> Result<SemaphorePermit<'static>, Status> {
        let mut stopping = self.stopping.clone();
        let stopped = || status::unavailable(Unavailable::Stopping);
        tokio::select! {
            turn = SEARCHES.acquire() => turn.map_err(|_| stopped()),
            () = listener::shutdown_requested(&mut stopping) => Err(stopped()),
        }
    }

    /// Runs a search on a thread that may block on the disk, and that keeps `turn` to its end.
    async fn run_search<T: Send + 'static>(
        &self,
        filter: &RecordMatcher,
        is_newest_first: bool,
        turn: Option<SemaphorePermit<'static>>,
        search: impl FnOnce(&JournalReader, &RecordQuery) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, Status> {
        // Before the names: a record of an appliance that is added later is after it.
        let through = self.reader.durable();
        let names = self.broker.name_index();
        let content = filter.content_filter(names);
        let (filter, _) = filter.journal_filter(names);
        let stop = Arc::new(AtomicBool::new(false));
        let stop_on_drop = StopOnDrop(Arc::clone(&stop));
        let query = RecordQuery { filter, content, through, is_newest_first, stop };
        let reader = self.reader.clone();
        let mut search = tasks::spawn_blocking("search the grid log", move || {
            let _turn = turn;
            search(&reader, &query)
        });
        let result = tokio::select! {
            result = &mut search => result,
            () = tokio::time::sleep(PAGE_TIME) => {
                stop_on_drop.0.store(true, Ordering::Relaxed);
                search.await
            }
        };
        match result {
            Ok(page) => page.map_err(|error| status::journal_unreadable(&error)),
            Err(_) => Err(Status::internal("searching the grid log was interrupted")),
        }
    }
}

/// By what to count.
fn count_by(request: &CountRecordsRequest) -> Result<CountBy, Status> {
    let invalid = |field: &str, text: &str| Err(status::invalid(vec![violation(field, text)]));
    match CountKey::try_from(request.by) {
        Ok(CountKey::Time) => {
            let origin = request.bucket_origin.as_ref().map(decode_timestamp);
            let Some(origin) = origin.unwrap_or(Some(Timestamp::EPOCH)) else {
                return invalid("bucket_origin", "is outside the years 1 to 9999");
            };
            let width_us = request.bucket_ms.checked_mul(1_000).and_then(|it| it.try_into().ok());
            match width_us {
                Some(width_us @ 1..) => {
                    let origin_us = origin.as_micros();
                    Ok(CountBy::Time(TimeBuckets { origin_us, width_us }))
                }
                Some(_) | None => {
                    invalid("bucket_ms", "is no length of time; at least 1 is needed")
                }
            }
        }
        Ok(CountKey::Severity) => Ok(CountBy::Severity),
        Ok(CountKey::Kind) => Ok(CountBy::Kind),
        Ok(CountKey::Appliance) => Ok(CountBy::Appliance),
        Ok(CountKey::Unspecified) | Err(_) => invalid("by", "is not a key of counts"),
    }
}
