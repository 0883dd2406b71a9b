//! A broker in the test's own process, which ends a session in the way it is told whenever a certain
//! event comes.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grid_broker::contract::event_server::event_service_server::{EventService, EventServiceServer};
use grid_broker::contract::proto::session_response::Message;
use grid_broker::contract::proto::{Ack, Event, ReportResponse, SessionResponse, Welcome};
use grid_broker::contract::raw;
use grid_broker::contract::raw::ClientMessage;
use grid_broker::contract::raw_response::RawSessionResponse;
use grid_broker::tasks;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Code, Request, Response, Status, Streaming};

/// Answers come when nothing more is said for that long: until then all is unanswered.
const ANSWERS_AFTER: Duration = Duration::from_millis(60);

/// How it ends a session.
pub(crate) enum Ends {
    /// By that status.
    By(Code),
    /// By breaking the connection.
    Breaking,
}

/// What it is told, and what it heard.
pub(crate) struct Fake {
    /// Events with this in their texts end a session.
    pub(crate) poison: &'static str,
    pub(crate) ends: Ends,
    /// So many times; then it takes them.
    pub(crate) times: usize,
    pub(crate) cut: Option<watch::Sender<u64>>,
    pub(crate) heard: Arc<Mutex<Heard>>,
}

/// What it heard.
#[derive(Default)]
pub(crate) struct Heard {
    /// What it answered, by whose number it was.
    pub(crate) kept: BTreeMap<(u64, u64), Event>,
    pub(crate) sessions: usize,
    pub(crate) ended: usize,
}

impl Fake {
    /// Serves on `listener`, as long as the test's runtime lives.
    pub(crate) fn serve(self, listener: TcpListener) {
        let service = EventServiceServer::new(Service(Arc::new(self)));
        let serving = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        drop(tasks::spawn("fake broker", serving));
    }

    /// Whether this event ends the session.
    fn is_the_end(&self, event: &Event) -> bool {
        let mut received = self.heard.lock().expect("the lock");
        let is_it = event.text.contains(self.poison) && received.ended < self.times;
        received.ended += usize::from(is_it);
        is_it
    }

    async fn converse(
        &self,
        mut said: Streaming<raw::RawSessionRequest>,
        answers: &mpsc::Sender<Result<RawSessionResponse, Status>>,
    ) -> Result<(), Status> {
        let tell = async |message| {
            let response = SessionResponse { message: Some(message) }.encode_to_vec();
            let response = RawSessionResponse::decode(&*response).expect("the same message");
            let _ = answers.send(Ok(response)).await;
        };
        let (mut spool, mut through, mut unanswered) = (0, 0, Vec::new());
        loop {
            let Ok(next) = timeout(ANSWERS_AFTER, said.message()).await else {
                if !unanswered.is_empty() {
                    let events = unanswered.drain(..).map(|it: Event| ((spool, it.sequence), it));
                    self.heard.lock().expect("the lock").kept.extend(events);
                    tell(Message::Ack(Ack { through, exceptions: Vec::new() })).await;
                }
                continue;
            };
            let Some(raw::RawSessionRequest { message }) = next? else { return Ok(()) };
            match message {
                Some(ClientMessage::Hello(hello)) => {
                    self.heard.lock().expect("the lock").sessions += 1;
                    spool = hello.spool_id;
                    tell(Message::Welcome(Welcome { sequence_reset: true, ..Default::default() }))
                        .await;
                }
                Some(ClientMessage::Event(bytes)) => {
                    let event = Event::decode(bytes).expect("an event");
                    if self.is_the_end(&event) {
                        match self.ends {
                            Ends::By(code) => return Err(Status::new(code, "it broke")),
                            Ends::Breaking => {
                                self.cut.as_ref().expect("scissors").send_modify(|it| *it += 1);
                                return std::future::pending().await;
                            }
                        }
                    }
                    through += 1;
                    unanswered.push(event);
                }
                Some(ClientMessage::Goodbye(_)) | None => return Ok(()),
                Some(ClientMessage::CommandResult(_) | ClientMessage::CrashDump(_)) => {}
            }
        }
    }
}

struct Service(Arc<Fake>);

#[tonic::async_trait]
impl EventService for Service {
    async fn report(
        &self,
        _: Request<raw::RawReportRequest>,
    ) -> Result<Response<ReportResponse>, Status> {
        Err(Status::unavailable("it takes sessions only"))
    }

    type SessionStream = Pin<Box<dyn Stream<Item = Result<RawSessionResponse, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<raw::RawSessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (answers, stream) = mpsc::channel(16);
        let fake = Arc::clone(&self.0);
        drop(tasks::spawn("fake session", async move {
            if let Err(status) = fake.converse(request.into_inner(), &answers).await {
                let _ = answers.send(Err(status)).await;
            }
        }));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}
