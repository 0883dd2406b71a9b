//! Streams the newest records and all new ones, each once and without gaps.
//!
//! Guarantees that by reading the journal by number, woken by each commit: what a client has not read
//! yet waits on disk, not in memory. Each message's cursor is after everything sent so far and before
//! everything else. Does not wait for slow clients in the loop.

use std::sync::Arc;

use tokio_stream::Stream;
use tonic::Status;

use super::Services;
use super::filter::RecordMatcher;
use super::grid_log::RecordCursor;
use super::page::{self, PageItem};
use crate::contract::proto::TailRecordsResponse;
use crate::contract::proto::tail_records_response::Message;
use crate::grpc::panic_guard;
use crate::grpc::stream_sender::{StreamEnd, StreamSender};
use crate::journal::HeaderFilter;

/// Records read at once.
const BATCH: usize = 256;

/// Opens a tail after the record `behind`, or with `history` records.
pub(super) fn open(
    services: Services,
    filter: RecordMatcher,
    history: usize,
    behind: Option<u64>,
) -> impl Stream<Item = Result<TailRecordsResponse, Status>> + Send + use<> {
    let (sender, stream) = StreamSender::new(services.stopping.clone());
    panic_guard::spawn_stream("tail", sender.error_sender(), async move {
        let mut tail = RecordTail { services, filter, sender };
        let result = tail.run(history, behind).await;
        tail.sender.finish(result).await;
    });
    stream
}

struct RecordTail {
    services: Services,
    filter: RecordMatcher,
    sender: StreamSender<TailRecordsResponse>,
}

impl RecordTail {
    async fn run(&mut self, history: usize, behind: Option<u64>) -> Result<(), StreamEnd> {
        let mut durable = self.services.reader.watch_durable();
        let (wanted, mut names_seen) =
            self.filter.journal_filter(self.services.broker.name_index());
        let mut wanted = Arc::new(wanted);
        let mut reached = match behind {
            Some(number) => number,
            None => {
                let end = *durable.borrow_and_update();
                for item in self.newest(&wanted, history, end).await? {
                    self.send_item(item).await?;
                }
                end
            }
        };
        // A cursor from the start on, so that a client can resume even a quiet tail.
        self.send(None, reached).await?;
        loop {
            let end = *durable.borrow_and_update();
            let names = self.services.broker.name_index();
            self.filter.add_new_names(Arc::make_mut(&mut wanted), &mut names_seen, names);
            while reached < end {
                let page_reached = self.send_page(&wanted, reached + 1).await?;
                if page_reached <= reached {
                    break;
                }
                reached = page_reached;
            }
            tokio::select! {
                changed = durable.changed() => if changed.is_err() { return Ok(()) },
                end = self.sender.closed() => return Err(end),
            }
        }
    }

    /// Sends the records and gaps of one page from `from` on; returns the last number read.
    async fn send_page(&mut self, wanted: &Arc<HeaderFilter>, from: u64) -> Result<u64, StreamEnd> {
        self.sender.ensure_open()?;
        let page = self.services.read_page(wanted.clone(), from, BATCH, false).await?;
        let mut missing = page::skipped_gaps(&page);
        missing.extend(page::trimmed_before_ascending(&page, from, self.services.reader.first()));
        let records = self.services.encode_records(&self.filter, &page.records)?;
        for item in page::merge(records, missing, false) {
            self.send_item(item).await?;
        }
        Ok(page.reached)
    }

    /// The newest matching records up to `end` and the gaps between them, oldest first.
    async fn newest(
        &self,
        wanted: &Arc<HeaderFilter>,
        count: usize,
        end: u64,
    ) -> Result<Vec<PageItem>, StreamEnd> {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        let mut from = (count > 0 && end > 0).then_some(end);
        while let Some(number) = from {
            self.sender.ensure_open()?;
            let page =
                self.services.read_page(wanted.clone(), number, count - found.len(), true).await?;
            missing.extend(page::skipped_gaps(&page));
            found.extend(self.services.encode_records(&self.filter, &page.records)?);
            from = page.next.filter(|_| found.len() < count);
        }
        Ok(page::merge(found, missing, false))
    }

    async fn send_item(&mut self, item: PageItem) -> Result<(), StreamEnd> {
        let through = item.last();
        let message = match item {
            PageItem::Record(record) => Message::Record(*record),
            PageItem::Missing(missing) => Message::Missing(missing),
        };
        self.send(Some(message), through).await
    }

    async fn send(&mut self, message: Option<Message>, through: u64) -> Result<(), StreamEnd> {
        let cursor = RecordCursor::encode(through, &self.services);
        self.sender.send(TailRecordsResponse { message, cursor }).await
    }
}
