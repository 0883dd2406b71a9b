//! Streams stored records and all new ones, each once and without gaps.
//!
//! Reads what is stored by number, by itself, until it is near the end; then it is live: one follower
//! reads for all tails (`follower`). Guarantees that by joining behind an exact record. A client that
//! does not read is not waited for: its tail is told that it is behind, and reads the store again until it
//! can be live. Each message's cursor is after everything sent so far and before everything else.

mod follower;
mod groups;
mod membership;
mod messages;
mod pace;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use tonic::Status;

use self::follower::response;
use self::groups::{Departure, TailFilter};
pub(super) use self::membership::SharedTails;
use self::messages::{BatchBuilder, MessageBatch, append_message};
use super::Services;
use super::encoded_body::EncodedMessages;
use super::filter::RecordMatcher;
use super::page::{self, PageItem};
use crate::clock::monotonic_now;
use crate::contract::proto::TailRecordsResponse;
use crate::grid::values::time::Timestamp;
use crate::grpc::panic_guard;
use crate::grpc::status;
use crate::grpc::stream_sender::{StreamEnd, StreamSender};
use crate::journal::{HeaderFilter, PageLimit};
use crate::tasks;

/// Records read at once.
const BATCH: usize = 256;

/// Most bytes of the journal read for them.
const BATCH_READ_BYTES: u64 = 32 << 20;

/// Where a tail starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TailStart {
    /// With so many of the newest records.
    History(usize),
    /// After this record.
    After(u64),
    /// With the first record received then or later.
    At(Timestamp),
}

/// Opens a tail.
pub(super) fn open(services: Services, filter: RecordMatcher, start: TailStart) -> EncodedMessages {
    let room = services.tails.limits.queued_batches;
    let (sender, stream) = StreamSender::with_room(room, services.stopping.clone());
    panic_guard::spawn_stream("tail", sender.error_sender(), async move {
        let filter = TailFilter::new(filter, services.broker.name_index());
        let mut tail = RecordTail { services, filter, sender };
        let result = tail.run(start).await;
        tail.sender.finish(result).await;
    });
    stream
}

struct RecordTail {
    services: Services,
    filter: TailFilter,
    sender: StreamSender<Bytes>,
}

/// What one read of the store found.
struct StoredBatches {
    batches: Vec<MessageBatch>,
    /// The last number that was read.
    reached: u64,
}

impl RecordTail {
    async fn run(&mut self, start: TailStart) -> Result<(), StreamEnd> {
        let mut reached = match start {
            TailStart::After(number) => number,
            TailStart::At(time) => self.first_since(time).await?.saturating_sub(1),
            TailStart::History(count) => {
                let end = self.services.reader.durable();
                // Records up to there of appliances added since the filter was made are not read again.
                self.filter.add_new_names(self.services.broker.name_index());
                self.send_newest(count, end).await?;
                end
            }
        };
        // A cursor from the start on, so that a client can resume even a quiet tail.
        self.send(&response(None, reached, &self.services)).await?;
        loop {
            reached = self.catch_up(reached).await?;
            let (shared, queue) = (&self.services.tails, self.sender.error_sender());
            let joining = shared.join(&self.services, self.filter.clone(), reached, queue);
            let mut membership = joining?;
            let departed = tokio::select! {
                departed = membership.departed() => departed,
                end = self.sender.closed() => return Err(end),
            };
            drop(membership);
            reached = match departed {
                Some(Departure::Behind(number)) => {
                    let behind = self.services.reader.durable().saturating_sub(number);
                    let told = response(None, number, &self.services);
                    self.send(&TailRecordsResponse { behind, ..told }).await?;
                    number
                }
                Some(Departure::TooLate(number)) => number,
                Some(Departure::Failed(status)) => return Err(status.into()),
                None => {
                    let text = "the thread that follows the grid log ended: bug in gridd";
                    return Err(self
                        .sender
                        .ensure_open()
                        .err()
                        .unwrap_or_else(|| StreamEnd::Failed(Status::internal(text))));
                }
            };
        }
    }

    /// Sends what is stored after `reached`, until the tail can be live; returns the last number read.
    async fn catch_up(&mut self, mut reached: u64) -> Result<u64, StreamEnd> {
        while reached < self.services.tails.joins_from(self.services.reader.durable()) {
            self.sender.ensure_open()?;
            let read = self.read(reached).await?;
            for batch in &read.batches {
                if let Some(bytes) = batch.after(reached) {
                    self.sender.send(bytes).await?;
                }
            }
            if read.reached <= reached {
                break;
            }
            reached = read.reached;
        }
        Ok(reached)
    }

    /// Reads one page when it is this tail's turn, on a thread that may block on the disk.
    async fn read(&mut self, behind: u64) -> Result<StoredBatches, StreamEnd> {
        let turn = tokio::select! {
            turn = self.services.tails.pace.reader_turn() => turn,
            end = self.sender.closed() => return Err(end),
        };
        self.sender.ensure_open()?;
        let began = monotonic_now();
        let (services, filter) = (self.services.clone(), self.filter.clone());
        let read = tasks::spawn_blocking("read for a tail", move || {
            let batch_bytes = services.tails.limits.batch_bytes;
            services.read_batches(&filter, behind, batch_bytes)
        });
        let read = read.await.map_err(|_| status::reader_panicked())?;
        tokio::select! {
            () = self.services.tails.pace.rest(began.elapsed()) => {}
            end = self.sender.closed() => return Err(end),
        }
        drop(turn);
        Ok(read?)
    }

    /// The number of the first record received at that time or later; the next number if there is none.
    async fn first_since(&self, time: Timestamp) -> Result<u64, StreamEnd> {
        let wanted =
            Arc::new(HeaderFilter { since_us: time.as_micros(), ..HeaderFilter::default() });
        let mut from = self.services.reader.first();
        loop {
            self.sender.ensure_open()?;
            let page = self.services.read_page(Arc::clone(&wanted), from, 1, false).await?;
            if let Some(record) = page.records.first() {
                return Ok(record.number);
            }
            match page.next {
                Some(next) => from = next,
                None => return Ok(page.reached + 1),
            }
        }
    }

    /// Sends the newest matching records up to `end` and the gaps between them, oldest first.
    async fn send_newest(&mut self, count: usize, end: u64) -> Result<(), StreamEnd> {
        let wanted = &self.filter.wanted;
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        let mut from = (count > 0 && end > 0).then_some(end);
        while let Some(number) = from {
            self.sender.ensure_open()?;
            let page =
                self.services.read_page(wanted.clone(), number, count - found.len(), true).await?;
            missing.extend(page::skipped_gaps(&page));
            found.extend(self.services.encode_records(&self.filter.matcher, &page.records)?);
            from = page.next.filter(|_| found.len() < count);
        }
        let items = page::merge(found, missing, false);
        for batch in self.services.batches(items, self.services.tails.limits.batch_bytes) {
            if let Some(bytes) = batch.after(0) {
                self.sender.send(bytes).await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self, message: &TailRecordsResponse) -> Result<(), StreamEnd> {
        let mut framed = Vec::new();
        append_message(&mut framed, message);
        self.sender.send(framed.into()).await
    }
}

impl Services {
    /// Reads the records and gaps after `behind`, one page, as messages. Blocks on the disk.
    fn read_batches(
        &self,
        filter: &TailFilter,
        behind: u64,
        batch_bytes: usize,
    ) -> Result<StoredBatches, Status> {
        let from = behind + 1;
        let limit = PageLimit { records: BATCH, bytes: BATCH_READ_BYTES };
        let mut filter = filter.clone();
        let page = loop {
            let page = self.reader.forward(from, &filter.wanted, limit);
            let page = page.map_err(|error| status::journal_unreadable(&error))?;
            // A record of an appliance that was added after the filter was made would be left out.
            if !filter.add_new_names(self.broker.name_index()) {
                break page;
            }
        };
        let mut missing = page::skipped_gaps(&page);
        missing.extend(page::trimmed_before_ascending(&page, from, self.reader.first()));
        let records = self.encode_records(&filter.matcher, &page.records)?;
        let batches = self.batches(page::merge(records, missing, false), batch_bytes);
        Ok(StoredBatches { batches, reached: page.reached })
    }

    /// Messages of ascending items.
    fn batches(&self, items: Vec<PageItem>, batch_bytes: usize) -> Vec<MessageBatch> {
        let (mut batches, mut builder) = (Vec::new(), BatchBuilder::default());
        let mut framed = Vec::new();
        for item in items {
            let last = item.last();
            framed.clear();
            append_message(&mut framed, &response(Some(item.into_message()), last, self));
            builder.push(last, &framed);
            if builder.is_full(batch_bytes) {
                batches.extend(builder.take());
            }
        }
        batches.extend(builder.take());
        batches
    }
}
