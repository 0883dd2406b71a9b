//! Tests unary calls to a broker that is away, goes away, or replies late.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Mutex;

use grid_broker::contract::event_server::event_service_server::{EventService, EventServiceServer};
use grid_broker::contract::proto::{Event, Outcome};
use grid_broker::contract::raw;
use grid_broker::contract::raw_response::RawSessionResponse;
use grid_broker::tasks;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};
use tonic_types::ErrorDetails;

use super::*;
use crate::appliance_access::ApplianceAccess;

/// Replies as configured, and records the requests.
struct FakeBroker {
    replies: Mutex<VecDeque<Result<u64, Status>>>,
    requests: mpsc::Sender<(String, raw::RawReportRequest)>,
}

#[tonic::async_trait]
impl EventService for FakeBroker {
    async fn report(
        &self,
        request: Request<raw::RawReportRequest>,
    ) -> Result<Response<ReportResponse>, Status> {
        let name = request.metadata().get(APPLIANCE_METADATA).unwrap().to_str().unwrap().to_owned();
        self.requests.send((name, request.into_inner())).await.unwrap();
        let answer = self.replies.lock().unwrap().pop_front();
        match answer {
            Some(answer) => answer.map(|record_number| {
                let outcome = Outcome::Kept.into();
                Response::new(ReportResponse { outcome, record_number, ..Default::default() })
            }),
            None => std::future::pending().await,
        }
    }

    type SessionStream = Pin<Box<dyn Stream<Item = Result<RawSessionResponse, Status>> + Send>>;

    async fn session(
        &self,
        _: Request<Streaming<raw::RawSessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        Err(Status::unimplemented("not used here"))
    }
}

type ReceivedRequests = mpsc::Receiver<(String, raw::RawReportRequest)>;

async fn start_broker(
    answers: impl IntoIterator<Item = Result<u64, Status>>,
) -> (SocketAddr, ReceivedRequests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, serve(listener, answers))
}

fn serve(
    listener: TcpListener,
    answers: impl IntoIterator<Item = Result<u64, Status>>,
) -> ReceivedRequests {
    let (requests, received) = mpsc::channel(16);
    let answers = Mutex::new(answers.into_iter().collect());
    let service = EventServiceServer::new(FakeBroker { replies: answers, requests });
    let serving = tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming(TcpListenerStream::new(listener));
    drop(tasks::spawn("broker", serving));
    received
}

fn target(broker: SocketAddr, timeout_ms: u64) -> BrokerTarget {
    let timeout = Duration::from_millis(timeout_ms);
    let access = ApplianceAccess::default();
    BrokerTarget { broker: broker.to_string(), appliance: "db1".to_owned(), timeout, access }
}

/// Sends with the target's timeout.
async fn send(target: &BrokerTarget) -> Result<CallReply, CallError> {
    send_unary(target, request(), Instant::now() + target.timeout, &StopDeadline::default()).await
}

fn request() -> ReportRequest {
    let event = Event { sequence: 1, text: "x".to_owned(), ..Event::default() };
    ReportRequest { event: Some(event), spool_id: 4711 }
}

#[tokio::test]
async fn an_unavailable_broker_is_retried_with_the_same_sequence() {
    let away = || Err(Status::unavailable("the journal is full"));
    let (address, mut requests) = start_broker([away(), away(), Ok(17)]).await;
    let answered = send(&target(address, 120_000)).await.unwrap();
    assert_eq!((answered.response.record_number, answered.is_first_attempt), (17, false));
    let (name, first) = requests.recv().await.unwrap();
    assert_eq!((name.as_str(), first.spool_id), ("db1", 4711));
    for _ in 0..2 {
        assert_eq!(requests.recv().await.unwrap(), (name.clone(), first.clone()));
    }
    assert!(requests.try_recv().is_err());
}

#[tokio::test]
async fn a_reply_to_the_first_attempt_is_marked() {
    let (address, _heard) = start_broker([Ok(1)]).await;
    assert!(send(&target(address, 120_000)).await.unwrap().is_first_attempt);
}

#[tokio::test]
async fn a_broker_that_starts_late_still_gets_the_event() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let start = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        serve(TcpListener::bind(address).await.unwrap(), [Ok(1)])
    };
    let target = target(address, 120_000);
    let (answered, _heard) = tokio::join!(send(&target), start);
    let answered = answered.unwrap();
    assert_eq!((answered.response.record_number, answered.is_first_attempt), (1, true));
}

#[tokio::test]
async fn a_lost_connection_is_retried() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = target(listener.local_addr().unwrap(), 120_000);
    let go_away = async {
        for _ in 0..2 {
            let (mut connection, _) = listener.accept().await.unwrap();
            let preface = &mut [0; 24];
            tokio::io::AsyncReadExt::read_exact(&mut connection, preface).await.unwrap();
        }
        serve(listener, [Ok(2)])
    };
    let (answered, _heard) = tokio::join!(send(&target), go_away);
    assert_eq!(answered.unwrap().response.record_number, 2);
}

#[tokio::test]
async fn a_rejection_is_not_retried() {
    let (address, mut requests) =
        start_broker([Err(Status::invalid_argument("malformed")), Ok(1)]).await;
    let failure = send(&target(address, 120_000)).await.unwrap_err();
    assert_eq!(failure.exit_code(), ExitCode::Usage);
    requests.recv().await.unwrap();
    assert!(requests.try_recv().is_err());
}

#[tokio::test]
async fn a_retry_delay_beyond_the_timeout_ends_the_attempts() {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(30)));
    let busy = tonic::Status::with_error_details(tonic::Code::Unavailable, "starting", details);
    let (address, _heard) = start_broker([Err(busy), Ok(1)]).await;
    // If vme waited for the timeout, it would report that there was no reply.
    let failure = send(&target(address, 20_000)).await.unwrap_err();
    assert_eq!(failure.exit_code(), ExitCode::Unavailable);
    assert_eq!(failure.to_string(), "starting\n  try again in 30 s");
}

#[tokio::test]
async fn a_silent_broker_is_waited_for_until_the_timeout() {
    let (address, _heard) = start_broker([]).await;
    let failure = send(&target(address, 300)).await.unwrap_err();
    assert_eq!(failure.exit_code(), ExitCode::Unavailable);
    assert_eq!(
        failure.to_string(),
        format!(
            "no reply from {address} within 0.3 s; the broker may have stored the event anyway"
        )
    );
}

#[tokio::test]
async fn no_listener_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let failure = send(&target(address, 300)).await.unwrap_err();
    assert_eq!((failure.exit_code(), failure.was_sent), (ExitCode::Unavailable, false));
    assert!(failure.to_string().starts_with(&format!("no broker answers at {address}")));
}

#[tokio::test]
async fn a_reply_of_another_version_or_program_is_retried_and_described() {
    let unknown = || Err(Status::unimplemented("Method not found!"));
    let (address, mut requests) = start_broker([unknown(), Ok(1)]).await;
    assert_eq!(send(&target(address, 10_000)).await.unwrap().response.record_number, 1);
    requests.recv().await.unwrap();

    for (status, shown) in [
        (Status::unimplemented("Method not found!"), "it does not know this call"),
        (Status::unauthenticated("token missing"), "it replies `token missing`"),
        (Status::permission_denied("RBAC: access denied"), "it replies `RBAC: access denied`"),
    ] {
        let (address, _heard) = start_broker(std::iter::repeat_n(Err(status), 9)).await;
        let failure = send(&target(address, 300)).await.unwrap_err();
        assert!(failure.keeps_event());
        assert_eq!(failure.exit_code(), ExitCode::Unavailable);
        let text = failure.to_string();
        let begin =
            format!("what answers at {address} is not gridd, or one of another version: {shown}");
        assert!(text.starts_with(&begin), "{text}");
    }
}

#[tokio::test]
async fn another_protocol_is_named_and_the_event_is_retryable() {
    for (bytes, shown) in [
        (&b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..], "it speaks HTTP/1"),
        (b"\x15\x03\x01\0\x02\x02\x46", "speaks TLS, and was addressed without"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "it begins with `SSH-2.0-OpenSSH_9.2`"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = target(listener.local_addr().unwrap(), 300);
        let speak = async {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                // Unread data would turn the close into a reset.
                let preface = &mut [0; 24];
                drop(tokio::io::AsyncReadExt::read_exact(&mut connection, preface).await);
                tokio::io::AsyncWriteExt::write_all(&mut connection, bytes).await.unwrap();
            }
        };
        let failure = tokio::select! {
            failure = send(&target) => failure.unwrap_err(),
            () = speak => unreachable!(),
        };
        assert!(failure.keeps_event(), "{failure}");
        assert!(failure.to_string().contains(shown), "{failure}");
    }
}
