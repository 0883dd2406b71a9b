//! A tail: the newest records and those to come, each once and without gap.
//!
//! Guarantees that by reading from the journal by number, woken by each commit: what a client has
//! not read yet waits on the disk, not in memory.

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Desk;
use super::filter::Filter;
use super::grid_log::{Cursor, missing};
use crate::journal::EncodedRecord;
use crate::tasks;
use crate::wire::proto::tail_records_response::Message;
use crate::wire::proto::{Missing, TailRecordsResponse};

/// Messages that may wait for a client to read them.
const WAITING: usize = 64;

/// Records read at once.
const BATCH: usize = 256;

type Told = mpsc::Sender<Result<TailRecordsResponse, Status>>;

/// Opens a tail behind the record `behind`, or with `history` records.
pub(super) fn open(
    desk: Desk,
    filter: Filter,
    history: usize,
    behind: Option<u64>,
) -> impl Stream<Item = Result<TailRecordsResponse, Status>> + Send + use<> {
    let (told, stream) = mpsc::channel(WAITING);
    drop(tasks::spawn("tail", async move {
        if let Err(Ended::Failed(status)) = follow(desk, filter, history, behind, &told).await {
            let _ = told.send(Err(status)).await;
        }
    }));
    ReceiverStream::new(stream)
}

/// Why a tail ends.
enum Ended {
    /// The client has gone.
    Gone,
    /// Something broke.
    Failed(Status),
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::Failed(status)
    }
}

async fn follow(
    desk: Desk,
    filter: Filter,
    history: usize,
    behind: Option<u64>,
    told: &Told,
) -> Result<(), Ended> {
    let mut durable = desk.reader.watch_durable();
    let mut stopping = desk.stopping.clone();
    let mut reached = match behind {
        Some(number) => number,
        None => {
            let end = *durable.borrow_and_update();
            for record in newest(&desk, &filter, history, end).await? {
                tell_record(&desk, &filter, &record, told).await?;
            }
            end
        }
    };
    // A cursor from the start on, so that a client can come back even to a quiet tail.
    tell(told, None, Cursor::write(reached, &desk)).await?;
    let mut wanted = filter.wanted(desk.broker.names());
    loop {
        let end = *durable.borrow_and_update();
        if filter.looks_at_names() {
            wanted = filter.wanted(desk.broker.names());
        }
        while reached < end {
            let page = desk.read(wanted.clone(), reached + 1, BATCH, false).await?;
            for lost in missing(&page) {
                let cursor = Cursor::write(lost.last, &desk);
                let Missing { first, last } = lost;
                tell(told, Some(Message::Missing(Missing { first, last })), cursor).await?;
            }
            for record in &page.records {
                tell_record(&desk, &filter, record, told).await?;
            }
            if page.reached <= reached {
                break;
            }
            reached = page.reached;
        }
        tokio::select! {
            changed = durable.changed() => if changed.is_err() { return Ok(()) },
            () = told.closed() => return Err(Ended::Gone),
            () = super::serve::stopped(&mut stopping) => {
                return Err(Ended::Failed(super::status::unavailable(crate::broker::Unavailable::Stopping)));
            }
        }
    }
}

/// The newest wanted records up to `end`, oldest first.
async fn newest(
    desk: &Desk,
    filter: &Filter,
    count: usize,
    end: u64,
) -> Result<Vec<EncodedRecord>, Status> {
    let mut found = Vec::new();
    let mut from = (count > 0 && end > 0).then_some(end);
    while let Some(number) = from {
        let page = desk.page(filter, number, count - found.len(), true).await?;
        for (record, shown) in page.records.iter().zip(desk.show(&page.records)?) {
            if filter.takes(&shown) {
                found.push(record.clone());
            }
        }
        from = page.next.filter(|_| found.len() < count);
    }
    found.reverse();
    Ok(found)
}

async fn tell_record(
    desk: &Desk,
    filter: &Filter,
    record: &EncodedRecord,
    told: &Told,
) -> Result<(), Ended> {
    for shown in desk.show(std::slice::from_ref(record))? {
        if filter.takes(&shown) {
            let cursor = Cursor::write(shown.number, desk);
            tell(told, Some(Message::Record(shown)), cursor).await?;
        }
    }
    Ok(())
}

async fn tell(told: &Told, message: Option<Message>, cursor: String) -> Result<(), Ended> {
    told.send(Ok(TailRecordsResponse { message, cursor })).await.map_err(|_| Ended::Gone)
}
