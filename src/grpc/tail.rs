//! A tail: the newest records and those to come, each once and without gap.
//!
//! Guarantees that by reading from the journal by number, woken by each commit: what a client has
//! not read yet waits on the disk, not in memory. Each message's cursor lies behind everything told
//! so far and before everything else.

use std::sync::Arc;

use tokio_stream::Stream;
use tonic::Status;

use super::filter::Filter;
use super::grid_log::Cursor;
use super::page::{self, Entry};
use super::telling::{Ended, Teller};
use super::{Desk, guard};
use crate::journal::Wanted;
use crate::wire::proto::TailRecordsResponse;
use crate::wire::proto::tail_records_response::Message;

/// Records read at once.
const BATCH: usize = 256;

/// Opens a tail behind the record `behind`, or with `history` records.
pub(super) fn open(
    desk: Desk,
    filter: Filter,
    history: usize,
    behind: Option<u64>,
) -> impl Stream<Item = Result<TailRecordsResponse, Status>> + Send + use<> {
    let (teller, stream) = Teller::new(desk.stopping.clone());
    guard::spawn_telling("tail", teller.sender(), async move {
        let mut tail = Tail { desk, filter, teller };
        let ended = tail.follow(history, behind).await;
        tail.teller.close(ended).await;
    });
    stream
}

struct Tail {
    desk: Desk,
    filter: Filter,
    teller: Teller<TailRecordsResponse>,
}

impl Tail {
    async fn follow(&mut self, history: usize, behind: Option<u64>) -> Result<(), Ended> {
        let mut durable = self.desk.reader.watch_durable();
        let (wanted, mut names_seen) = self.filter.wanted(self.desk.broker.names());
        let mut wanted = Arc::new(wanted);
        let mut reached = match behind {
            Some(number) => number,
            None => {
                let end = *durable.borrow_and_update();
                for entry in self.newest(&wanted, history, end).await? {
                    self.tell_entry(entry).await?;
                }
                end
            }
        };
        // A cursor from the start on, so that a client can come back even to a quiet tail.
        self.tell(None, reached).await?;
        loop {
            let end = *durable.borrow_and_update();
            let names = self.desk.broker.names();
            self.filter.want_new(Arc::make_mut(&mut wanted), &mut names_seen, names);
            while reached < end {
                let page_reached = self.tell_page(&wanted, reached + 1).await?;
                if page_reached <= reached {
                    break;
                }
                reached = page_reached;
            }
            tokio::select! {
                changed = durable.changed() => if changed.is_err() { return Ok(()) },
                ended = self.teller.ended() => return Err(ended),
            }
        }
    }

    /// Tells what there is from `from` on; gives how far that goes.
    async fn tell_page(&mut self, wanted: &Arc<Wanted>, from: u64) -> Result<u64, Ended> {
        self.teller.go_on()?;
        let page = self.desk.read(wanted.clone(), from, BATCH, false).await?;
        let mut missing = page::met(&page);
        missing.extend(page::trimmed_below(&page, from, self.desk.reader.first()));
        let records = self.desk.show(&self.filter, &page.records)?;
        for entry in page::row(records, missing, false) {
            self.tell_entry(entry).await?;
        }
        Ok(page.reached)
    }

    /// The newest wanted records up to `end` and what is missing between them, oldest first.
    async fn newest(
        &self,
        wanted: &Arc<Wanted>,
        count: usize,
        end: u64,
    ) -> Result<Vec<Entry>, Ended> {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        let mut from = (count > 0 && end > 0).then_some(end);
        while let Some(number) = from {
            self.teller.go_on()?;
            let page = self.desk.read(wanted.clone(), number, count - found.len(), true).await?;
            missing.extend(page::met(&page));
            found.extend(self.desk.show(&self.filter, &page.records)?);
            from = page.next.filter(|_| found.len() < count);
        }
        Ok(page::row(found, missing, false))
    }

    async fn tell_entry(&mut self, entry: Entry) -> Result<(), Ended> {
        let through = entry.last();
        let message = match entry {
            Entry::Record(record) => Message::Record(*record),
            Entry::Missing(missing) => Message::Missing(missing),
        };
        self.tell(Some(message), through).await
    }

    async fn tell(&mut self, message: Option<Message>, through: u64) -> Result<(), Ended> {
        let cursor = Cursor::write(through, &self.desk);
        self.teller.tell(TailRecordsResponse { message, cursor }).await
    }
}
