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

use super::{Services, principal, status};
use crate::broker::Unavailable;
use crate::contract::proto::{BackUpRequest, BackUpResponse};
use crate::contract::servers::journal_service_server::JournalService;
use crate::identity::ca_backup::{self, AuthorityFiles};
use crate::identity::peer::Peer;
use crate::journal::stream::Attachment;
use crate::journal::{BackupProgress, JournalBackupError};
use crate::tasks;

/// Most bytes in a chunk.
const CHUNK_BYTES: usize = 64 << 10;

/// Chunks that may wait for a client to read them.
const CHUNKS_BUFFERED: usize = 8;

type ChunkSender = mpsc::Sender<Result<BackUpResponse, Status>>;

#[tonic::async_trait]
impl JournalService for Services {
    type BackUpStream = Pin<Box<dyn Stream<Item = Result<BackUpResponse, Status>> + Send>>;

    async fn back_up(
        &self,
        request: Request<BackUpRequest>,
    ) -> Result<Response<Self::BackUpStream>, Status> {
        let by = principal::administrator(&request)?;
        self.refuse_key_in_clear(&request)?;
        self.record_access(by.clone(), "a backup of the journal was made").await?;
        let (responses, chunks) = mpsc::channel(CHUNKS_BUFFERED);
        let services = self.clone();
        tracing::info!(administrator = %by, records = services.reader.durable(), "a backup started");
        drop(tasks::spawn_blocking("backup", move || back_up(&services, responses)));
        Ok(Response::new(Box::pin(ReceiverStream::new(chunks))))
    }
}

/// The CA as attachments. A backup without it would lock everybody out, so it fails if that cannot be
/// read.
fn attachments(services: &Services) -> Result<Vec<Attachment>, String> {
    let AuthorityFiles { files, defect } = ca_backup::read(services.reader.data_folder());
    if let Some(defect) = defect {
        return Err(defect.to_string());
    }
    let attach = |(name, content): (String, _)| Attachment::new(&name, content);
    let attached: Result<_, _> = files.into_iter().map(attach).collect();
    attached.map_err(|error| format!("the broker's CA cannot be in a backup: {error}"))
}

impl Services {
    /// A backup has the private key of the CA: it leaves by TLS, or stays on the machine.
    fn refuse_key_in_clear<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let peer = request.extensions().get::<Peer>();
        let is_safe = peer.is_none_or(|peer| peer.is_tls || peer.address.is_loopback());
        if self.authority.is_none() || is_safe {
            return Ok(());
        }
        let text = "a backup has the private key of the broker's CA, and this connection has no TLS; make \
                    the backup on the broker's machine";
        Err(status::denied("KEY_IN_CLEAR", text))
    }
}

fn back_up(services: &Services, responses: ChunkSender) {
    let attachments = match attachments(services) {
        Ok(attachments) => attachments,
        Err(error) => {
            tracing::warn!(error, "a backup did not begin");
            let _ = responses.blocking_send(Err(status::precondition("CA", error)));
            return;
        }
    };
    let stopping = services.stopping.clone();
    let chunks = ChunkWriter {
        sender: responses.clone(),
        stopping,
        buffer: Vec::new(),
        message: empty_message(),
    };
    let result = services.reader.back_up(
        services.identity,
        services.term,
        &attachments,
        chunks,
        |chunks, progress| chunks.progress(progress),
    );
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
            Err(error) => JournalBackupError::Write(error),
        },
        Err(error) => error,
    };
    tracing::warn!(error = %failed, "a backup ended early");
    let status = match failed {
        JournalBackupError::Journal(error) => status::journal_unreadable(&error),
        JournalBackupError::Write(_) => status::unavailable(Unavailable::Stopping),
    };
    // A client that is gone is fine.
    let _ = responses.blocking_send(Err(status));
}

fn empty_message() -> BackUpResponse {
    BackUpResponse { chunk: Vec::new(), records_done: 0, records_total: 0, bytes_estimate: 0 }
}

/// Splits the written bytes into messages.
struct ChunkWriter {
    sender: ChunkSender,
    stopping: watch::Receiver<bool>,
    buffer: Vec<u8>,
    /// The next message, without its chunk.
    message: BackUpResponse,
}

impl ChunkWriter {
    fn progress(&mut self, progress: BackupProgress) -> io::Result<()> {
        let BackupProgress { head, reached } = progress;
        self.message.records_total = head.expected_records();
        self.message.records_done = (reached + 1).saturating_sub(head.first);
        self.message.bytes_estimate = head.estimated_bytes;
        if self.buffer.is_empty() { Ok(()) } else { self.send() }
    }

    fn send(&mut self) -> io::Result<()> {
        if *self.stopping.borrow() {
            return Err(io::Error::other("the broker is stopping"));
        }
        let chunk = std::mem::take(&mut self.buffer);
        let message = BackUpResponse { chunk, ..self.message.clone() };
        let closed = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.sender.blocking_send(Ok(message)).map_err(closed)
    }
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() == CHUNK_BYTES {
            self.send()?;
        }
        let copied = bytes.len().min(CHUNK_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..copied]);
        Ok(copied)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
