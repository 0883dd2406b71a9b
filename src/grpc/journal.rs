//! Implements `JournalService`: administrators back up the journal of a running broker.
//!
//! Guarantees chunks of a bounded size, of which at most a few wait: a slow reader slows the copy,
//! never the broker. The stream ends with an error unless it is complete. Does not know frames.

use std::io::{self, Write};
use std::pin::Pin;

use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::principal::{Role, administrator};
use super::{Desk, status};
use crate::broker::Unavailable;
use crate::journal::{BackupError, Progress};
use crate::tasks;
use crate::wire::proto::{BackUpRequest, BackUpResponse};
use crate::wire::servers::journal_service_server::JournalService;

/// Most bytes in a chunk.
const CHUNK_BYTES: usize = 64 << 10;

/// Chunks that may wait for a client to read them.
const WAITING: usize = 8;

type Told = mpsc::Sender<Result<BackUpResponse, Status>>;

#[tonic::async_trait]
impl JournalService for Desk {
    type BackUpStream = Pin<Box<dyn Stream<Item = Result<BackUpResponse, Status>> + Send>>;

    async fn back_up(
        &self,
        request: Request<BackUpRequest>,
    ) -> Result<Response<Self::BackUpStream>, Status> {
        let by = administrator(request.metadata(), Role::Admin)?;
        let (told, chunks) = mpsc::channel(WAITING);
        let desk = self.clone();
        tracing::info!(administrator = %by, records = desk.reader.durable(), "a backup started");
        drop(tasks::spawn_blocking("backup", move || back_up(&desk, told)));
        Ok(Response::new(Box::pin(ReceiverStream::new(chunks))))
    }
}

fn back_up(desk: &Desk, told: Told) {
    let stopping = desk.stopping.clone();
    let chunks = Chunks { told: told.clone(), stopping, waiting: Vec::new(), message: start() };
    let result = desk
        .reader
        .back_up(desk.identity, desk.term, chunks, |chunks, progress| chunks.progress(progress));
    let failed = match result {
        Ok((mut chunks, written)) => match chunks.send() {
            Ok(()) => {
                tracing::info!(
                    records = written.records,
                    bytes = written.bytes,
                    "a backup is complete"
                );
                return;
            }
            Err(error) => BackupError::Write(error),
        },
        Err(error) => error,
    };
    tracing::warn!(error = %failed, "a backup ended early");
    let status = match failed {
        BackupError::Journal(error) => status::unreadable(&error),
        BackupError::Write(_) => status::unavailable(Unavailable::Stopping),
    };
    // A client that is gone is fine.
    let _ = told.blocking_send(Err(status));
}

fn start() -> BackUpResponse {
    BackUpResponse { chunk: Vec::new(), records_done: 0, records_total: 0, bytes_estimate: 0 }
}

/// Splits the written bytes into messages.
struct Chunks {
    told: Told,
    stopping: watch::Receiver<bool>,
    waiting: Vec<u8>,
    /// The next message, without its chunk.
    message: BackUpResponse,
}

impl Chunks {
    fn progress(&mut self, progress: Progress) -> io::Result<()> {
        let Progress { head, reached } = progress;
        self.message.records_total = head.records();
        self.message.records_done = (reached + 1).saturating_sub(head.first);
        self.message.bytes_estimate = head.estimate;
        if self.waiting.is_empty() { Ok(()) } else { self.send() }
    }

    fn send(&mut self) -> io::Result<()> {
        if *self.stopping.borrow() {
            return Err(io::Error::other("the broker is stopping"));
        }
        let chunk = std::mem::take(&mut self.waiting);
        let message = BackUpResponse { chunk, ..self.message.clone() };
        let closed = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.told.blocking_send(Ok(message)).map_err(closed)
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.waiting.len() == CHUNK_BYTES {
            self.send()?;
        }
        let copied = bytes.len().min(CHUNK_BYTES - self.waiting.len());
        self.waiting.extend_from_slice(&bytes[..copied]);
        Ok(copied)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
