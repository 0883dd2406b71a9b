//! The ceiling: a bare tonic server that appends the bytes of events to a file, and acknowledges after
//! `fdatasync`. It checks nothing, decides nothing, and can read nothing back.
//!
//! Serves `gridctl bench`, so that the client is the same. The file is written with zeros before, and used
//! again from its beginning when it is full: nothing but the events' bytes has to become durable. One thread
//! takes all that waits as one commit.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use grid_broker::contract::encoded::EncodedExport;
use grid_broker::contract::event_server::event_service_server::{EventService, EventServiceServer};
use grid_broker::contract::proto::{
    CountRecordsRequest, CountRecordsResponse, ExplainRecordRequest, ExplainRecordResponse,
    ExportRecordsRequest, GetRecordRequest, GetRecordResponse, GetReportRequest, GetReportResponse,
    GetStatusRequest, GetStatusResponse, ListRecordsRequest, ListRecordsResponse, ReportResponse,
    TailRecordsRequest, TailRecordsResponse,
};
use grid_broker::contract::raw::{ClientMessage, RawReportRequest, RawSessionRequest};
use grid_broker::contract::raw_response::{BrokerMessage, RawAck, RawSessionResponse};
use grid_broker::contract::servers::broker_service_server::{BrokerService, BrokerServiceServer};
use grid_broker::contract::servers::grid_log_service_server::{
    GridLogService, GridLogServiceServer,
};
use grid_broker::process_stats::ProcessStats;
use grid_broker::tasks;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::Failure;

/// The size of the file.
const FILE_BYTES: u64 = 256 << 20;

/// Bytes of a commit at most.
const COMMIT_BYTES: usize = 8 << 20;

/// Events that a session hands over at once.
const BATCH_EVENTS: u64 = 1_024;

/// Batches that wait for a commit.
const WAITING: usize = 1_024;

type Replies = mpsc::Sender<Result<RawSessionResponse, Status>>;

/// A stream that ends at once.
type Nothing<T> = tokio_stream::Empty<Result<T, Status>>;

/// Events that wait for a commit.
struct Batch {
    bytes: Vec<u8>,
    events: u64,
    through: u64,
    replies: Replies,
}

/// The server.
#[derive(Clone)]
struct Ceiling {
    batches: mpsc::Sender<Batch>,
    stored: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

/// Serves until the process is ended.
pub(crate) async fn serve(port: u16, path: &Path) -> Result<(), Failure> {
    let file = File::options().create(true).truncate(true).read(true).write(true).open(path)?;
    let zeros = vec![0; 1 << 20];
    for at in 0..FILE_BYTES >> 20 {
        file.write_all_at(&zeros, at << 20)?;
    }
    file.sync_all()?;
    let (batches, waiting) = mpsc::channel(WAITING);
    let (stored, bytes) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let server = Ceiling { batches, stored: Arc::clone(&stored), bytes: Arc::clone(&bytes) };
    tasks::spawn_thread("commits", move || commit_all(&file, waiting, &stored, &bytes))?;
    tonic::transport::Server::builder()
        .initial_stream_window_size(512 << 10)
        .initial_connection_window_size(2 << 20)
        .add_service(EventServiceServer::new(server.clone()))
        .add_service(BrokerServiceServer::new(server.clone()))
        .add_service(GridLogServiceServer::new(server))
        .serve(([127, 0, 0, 1], port).into())
        .await?;
    Ok(())
}

/// Commits what waits, until all senders are gone.
fn commit_all(
    file: &File,
    mut waiting: mpsc::Receiver<Batch>,
    stored: &AtomicU64,
    bytes: &AtomicU64,
) -> std::io::Result<()> {
    let (mut end, mut commit, mut batches) = (0, Vec::with_capacity(COMMIT_BYTES), Vec::new());
    while let Some(first) = waiting.blocking_recv() {
        let mut next = Some(first);
        while let Some(batch) = next {
            commit.extend_from_slice(&batch.bytes);
            batches.push((batch.events, batch.through, batch.replies));
            next = (commit.len() < COMMIT_BYTES).then(|| waiting.try_recv().ok()).flatten();
        }
        let length = commit.len() as u64;
        if end + length > FILE_BYTES {
            end = 0;
        }
        file.write_all_at(&commit, end)?;
        file.sync_data()?;
        end += length;
        bytes.fetch_add(length, Ordering::Relaxed);
        commit.clear();
        for (events, through, replies) in batches.drain(..) {
            stored.fetch_add(events, Ordering::Relaxed);
            let message = Some(BrokerMessage::Ack(RawAck { through, ..RawAck::default() }));
            // A client that is gone, or does not read, gets no reply.
            let _ = replies.try_send(Ok(RawSessionResponse { message }));
        }
    }
    Ok(())
}

async fn receive(
    mut inbound: Streaming<RawSessionRequest>,
    replies: Replies,
    batches: mpsc::Sender<Batch>,
) -> Result<(), Status> {
    let mut through = 0;
    while let Some(first) = inbound.message().await? {
        let (mut bytes, mut events, mut next) = (Vec::new(), 0, Some(first));
        while let Some(request) = next {
            match request.message {
                Some(ClientMessage::Event(event)) => {
                    bytes.extend_from_slice(&event);
                    events += 1;
                }
                Some(ClientMessage::Hello(_)) => {
                    let message = Some(BrokerMessage::Welcome(Box::default()));
                    let _ = replies.send(Ok(RawSessionResponse { message })).await;
                }
                Some(_) | None => {}
            }
            next = None;
            if events < BATCH_EVENTS {
                next = std::future::poll_fn(|context| {
                    use std::task::Poll;
                    Poll::Ready(match std::pin::Pin::new(&mut inbound).poll_next(context) {
                        Poll::Ready(Some(request)) => request.map(Some),
                        Poll::Ready(None) | Poll::Pending => Ok(None),
                    })
                })
                .await?;
            }
        }
        if events > 0 {
            through += events;
            let batch = Batch { bytes, events, through, replies: replies.clone() };
            batches.send(batch).await.map_err(|_| Status::unavailable("the file failed"))?;
        }
    }
    Ok(())
}

#[tonic::async_trait]
impl EventService for Ceiling {
    type SessionStream = ReceiverStream<Result<RawSessionResponse, Status>>;

    async fn report(
        &self,
        _: Request<RawReportRequest>,
    ) -> Result<Response<ReportResponse>, Status> {
        Err(Status::unimplemented("the ceiling has sessions only"))
    }

    async fn session(
        &self,
        request: Request<Streaming<RawSessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (replies, stream) = mpsc::channel(WAITING);
        tasks::spawn("session", receive(request.into_inner(), replies, self.batches.clone()));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

#[tonic::async_trait]
impl BrokerService for Ceiling {
    async fn get_status(
        &self,
        _: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        let (process, stored) = (ProcessStats::read(), self.stored.load(Ordering::Relaxed));
        Ok(Response::new(GetStatusResponse {
            benchmark: true,
            trust: "everyone on loopback".to_owned(),
            last_record: stored,
            archived_through: stored,
            archive_bytes: self.bytes.load(Ordering::Relaxed),
            cpu_time_us: process.cpu_time_us(),
            resident_bytes: process.resident_bytes,
            written_bytes: process.written_bytes,
            ..GetStatusResponse::default()
        }))
    }

    async fn get_report(
        &self,
        _: Request<GetReportRequest>,
    ) -> Result<Response<GetReportResponse>, Status> {
        Err(Status::unimplemented("the ceiling writes no reports"))
    }
}

/// Reads nothing back: there are no records of other kinds than events.
#[tonic::async_trait]
impl GridLogService for Ceiling {
    type TailRecordsStream = Nothing<TailRecordsResponse>;
    type ExportRecordsStream = Nothing<EncodedExport>;

    async fn list_records(
        &self,
        _: Request<ListRecordsRequest>,
    ) -> Result<Response<ListRecordsResponse>, Status> {
        Err(Status::unimplemented("the ceiling reads nothing"))
    }

    async fn export_records(
        &self,
        _: Request<ExportRecordsRequest>,
    ) -> Result<Response<Self::ExportRecordsStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }

    async fn count_records(
        &self,
        _: Request<CountRecordsRequest>,
    ) -> Result<Response<CountRecordsResponse>, Status> {
        Err(Status::unimplemented("the ceiling reads nothing"))
    }

    async fn explain_record(
        &self,
        _: Request<ExplainRecordRequest>,
    ) -> Result<Response<ExplainRecordResponse>, Status> {
        Err(Status::unimplemented("the ceiling reads nothing"))
    }

    async fn get_record(
        &self,
        _: Request<GetRecordRequest>,
    ) -> Result<Response<GetRecordResponse>, Status> {
        Err(Status::unimplemented("the ceiling reads nothing"))
    }

    async fn tail_records(
        &self,
        _: Request<TailRecordsRequest>,
    ) -> Result<Response<Self::TailRecordsStream>, Status> {
        Err(Status::unimplemented("the ceiling reads nothing"))
    }
}
