//! Runs a session: the long-lived stream of one appliance.
//!
//! ```text
//! Hello -> Welcome, then: events (all that have arrived, at most a batch) -> commit -> one Ack
//!                         (with suppressed events among them: -> tally -> the Ack, later)
//! ```
//!
//! Guarantees that an Ack is sent only after the commit, that a malformed event is INVALID at its
//! position and the stream continues, and that a client that does not read its acks is not read from.
//! Decides nothing about events.

use std::num::NonZeroU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::oneshot::error::RecvError;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::unacknowledged::{self, Unacknowledged};
use super::{Services, status};
use crate::broker::{
    Backlog, BatchReply, SessionAccepted, SessionKey, Unavailable, UnresolvedHello,
};
use crate::contract::decode::{EVENT_BYTES_MAX, violation};
use crate::contract::proto::session_response::Message;
use crate::contract::proto::{Ack, GoAway, Hello, Limits, SessionResponse, Welcome};
use crate::contract::raw::{ClientMessage, RawSessionRequest};
use crate::contract::{decode, encode_timestamp, encode_uuid};
use crate::grid::values::event::TEXT_BYTES_MAX;
use crate::grid::values::id::{ApplianceName, BootId, SessionId, SpoolId};
use crate::grid::values::outcome::EventRejection;
use crate::grpc::batch::EventBatch;
use crate::grpc::panic_guard;
use crate::grpc::read_ahead::{ReadAhead, WINDOW_BYTES, WINDOW_EVENTS};
use crate::grpc::revocation::Revocation;
use crate::grpc::suppression_notice::{SuppressionNotice, suppression_message};
use crate::listener;

/// The supported revision of the contract.
const PROTOCOL_REVISION: u32 = 1;

/// The capability of transient sessions.
const TRANSIENT_CAPABILITY: &str = "transient";

/// How long a client may take to send its Hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Responses that may wait for a client to read them.
const RESPONSES_BUFFERED: usize = 16;

/// How often a tool should report in maintenance.
const REPORTING_INTERVAL_MS: u32 = 10_000;

/// When a client may reconnect to a broker that stops.
const RETRY_AFTER_MS: u32 = 1_000;

type ResponseSender = mpsc::Sender<Result<SessionResponse, Status>>;

/// Opens the session; returns the stream of the broker's messages.
pub(super) fn open(
    services: Services,
    name: ApplianceName,
    revocation: Revocation,
    inbound: Streaming<RawSessionRequest>,
) -> impl Stream<Item = Result<SessionResponse, Status>> + Send + use<> {
    let (answers, stream) = mpsc::channel(RESPONSES_BUFFERED);
    let metrics = services.metrics.clone();
    panic_guard::spawn_stream("session", answers.clone(), async move {
        if let Err(status) = run_session(services, name, (inbound, revocation), &answers).await {
            metrics.refused(status::code_label(status.code()));
            // A client that is gone is fine.
            let _ = answers.send(Err(status)).await;
        }
    });
    ReceiverStream::new(stream)
}

async fn run_session(
    services: Services,
    name: ApplianceName,
    (mut inbound, mut revocation): (Streaming<RawSessionRequest>, Revocation),
    answers: &ResponseSender,
) -> Result<(), Status> {
    let hello = tokio::select! {
        biased;
        status = &mut revocation => return Err(status),
        hello = receive_hello(&mut inbound) => hello?,
    };
    let boot = check_hello(&hello)?;
    let spool = NonZeroU64::new(hello.spool_id).map(SpoolId);
    let uptime = (hello.uptime_ms > 0).then(|| Duration::from_millis(hello.uptime_ms));
    let id = SessionId(services.next_session_id.fetch_add(1, Ordering::Relaxed));
    let greeting = UnresolvedHello {
        boot,
        uptime,
        spool,
        acked_through: hello.acked_through,
        is_transient: hello.capabilities.iter().any(|it| it == TRANSIENT_CAPABILITY),
        session: id,
    };
    let backlog = Backlog::default();
    let welcomed = services.broker.open_session(name.clone(), greeting, backlog.clone()).await;
    let welcomed = welcomed.map_err(status::unavailable)?;
    let inbound = ReadAhead::new(inbound, backlog);
    let key = SessionKey { id, appliance: welcomed.appliance, boot, spool };
    tracing::debug!(appliance = %name, boot = %boot, "a session opened");
    let welcome = build_welcome(&services, &welcomed, spool.is_some());
    let ended = match send_message(answers, Message::Welcome(welcome)).await {
        Ok(()) => run_open_session(&services, key, (inbound, revocation), answers).await,
        Err(ClientGone) => Ok(()),
    };
    tracing::debug!(appliance = %name, boot = %boot, "a session ended");
    // A broker that stops expects all sessions to end.
    let _ = services.broker.close_session(key).await;
    ended
}

async fn receive_hello(inbound: &mut Streaming<RawSessionRequest>) -> Result<Hello, Status> {
    let first = tokio::time::timeout(HELLO_TIMEOUT, inbound.message()).await;
    match first {
        Err(_) => Err(status::precondition("NO_HELLO", "no Hello was received within 10 s")),
        Ok(Err(status)) => Err(status),
        Ok(Ok(Some(RawSessionRequest { message: Some(ClientMessage::Hello(hello)) }))) => Ok(hello),
        Ok(Ok(_)) => {
            Err(status::precondition("NO_HELLO", "a session's first message must be a Hello"))
        }
    }
}

fn check_hello(hello: &Hello) -> Result<BootId, Status> {
    let mut violations = Vec::new();
    if hello.protocol_revision != PROTOCOL_REVISION {
        let revision = hello.protocol_revision;
        violations.push(violation(
            "hello.protocol_revision",
            format!("is {revision}; this broker supports {PROTOCOL_REVISION}"),
        ));
    }
    if hello.capabilities.len() > 32 || hello.capabilities.iter().any(|it| it.len() > 64) {
        violations.push(violation("hello.capabilities", "at most 32 of 64 bytes each are allowed"));
    }
    if hello.tool_version.len() > 64 {
        violations.push(violation("hello.tool_version", "at most 64 bytes are allowed"));
    }
    let boot = match decode::boot_id(hello.boot_id.as_bytes(), "hello.boot_id") {
        Ok(Some(boot)) => Some(boot),
        Ok(None) => {
            violations.push(violation("hello.boot_id", "is missing; a session belongs to a boot"));
            None
        }
        Err(violation) => {
            violations.push(violation);
            None
        }
    };
    match boot {
        Some(boot) if violations.is_empty() => Ok(boot),
        Some(_) | None => Err(status::invalid(violations)),
    }
}

fn build_welcome(services: &Services, welcomed: &SessionAccepted, has_spool: bool) -> Welcome {
    let promise_max = u32::try_from(welcomed.report_deadline_max.as_millis()).unwrap_or(u32::MAX);
    Welcome {
        broker_id: encode_uuid(services.identity.broker),
        journal_id: encode_uuid(services.identity.journal),
        term: services.term,
        limits: Some(Limits {
            text_bytes: u32::try_from(TEXT_BYTES_MAX).unwrap_or(u32::MAX),
            event_bytes: u32::try_from(EVENT_BYTES_MAX).unwrap_or(u32::MAX),
            next_report_within_ms: promise_max,
        }),
        window_events: WINDOW_EVENTS,
        window_bytes: WINDOW_BYTES,
        reporting_interval_ms: REPORTING_INTERVAL_MS,
        server_time: Some(encode_timestamp(services.broker.now())),
        sequence_reset: has_spool && !welcomed.is_spool_known,
        appliance_uuid: encode_uuid(welcomed.uuid),
    }
}

async fn run_open_session(
    services: &Services,
    key: SessionKey,
    (inbound, revocation): (ReadAhead, Revocation),
    answers: &ResponseSender,
) -> Result<(), Status> {
    let (unacknowledged, notices) = (Unacknowledged::default(), SuppressionNotice::default());
    let mut open = OpenSession {
        services,
        key,
        inbound,
        outbound: answers,
        unacknowledged,
        suppression_notice: notices,
        position: 0,
    };
    let ended = tokio::select! {
        // First, so that nothing more is stored of an appliance whose credential was revoked.
        biased;
        status = revocation => Err(SessionEnd::Failed(status)),
        ended = open.run() => ended,
    };
    match ended {
        Ok(()) | Err(SessionEnd::ClientGone) => Ok(()),
        // The loop may stop before the session notices the shutdown.
        Err(SessionEnd::Stopping) => {
            let _ = open.send(Message::GoAway(go_away())).await;
            Ok(())
        }
        Err(SessionEnd::Failed(status)) => Err(status),
    }
}

/// Why a session ends.
enum SessionEnd {
    /// The client disconnected.
    ClientGone,
    /// The broker stops.
    Stopping,
    /// The broker ends it.
    Failed(Status),
}

impl From<Unavailable> for SessionEnd {
    fn from(reason: Unavailable) -> Self {
        match reason {
            Unavailable::Stopping => Self::Stopping,
            Unavailable::DiskLow => Self::Failed(status::unavailable(reason)),
        }
    }
}

/// A session after its welcome.
struct OpenSession<'a> {
    services: &'a Services,
    key: SessionKey,
    inbound: ReadAhead,
    outbound: &'a ResponseSender,
    unacknowledged: Unacknowledged,
    suppression_notice: SuppressionNotice,
    /// How many events were received.
    position: u64,
}

impl OpenSession<'_> {
    async fn run(&mut self) -> Result<(), SessionEnd> {
        let mut stopping = self.services.stopping.clone();
        loop {
            if !self.unacknowledged.has_room() {
                let ack = self.inbound.buffer_until(self.unacknowledged.next()).await;
                self.acknowledge(ack).await?;
            }
            let first = tokio::select! {
                // First, so that a client that never pauses learns of a shutdown too.
                biased;
                () = listener::shutdown_requested(&mut stopping) => {
                    self.acknowledge_all().await?;
                    return self.send(Message::GoAway(go_away())).await;
                }
                ack = self.unacknowledged.next(), if !self.unacknowledged.is_empty() => {
                    self.acknowledge(ack).await?;
                    continue;
                }
                first = self.inbound.next_batch() => first,
            };
            let (chunk, broken) = self.collect_batch(first).await;
            let is_last = chunk.is_last;
            // Events before a violation are still stored and acknowledged.
            self.submit(chunk).await?;
            if is_last || broken.is_some() {
                self.acknowledge_all().await?;
                return broken.map_or(Ok(()), |status| Err(SessionEnd::Failed(status)));
            }
        }
    }

    /// Collects the messages that have arrived, from `first` on, and why the stream failed, if it did.
    async fn collect_batch(
        &mut self,
        first: Result<Option<RawSessionRequest>, Status>,
    ) -> (EventBatch, Option<Status>) {
        let mut chunk = EventBatch::new(self.key.spool.is_some());
        let mut next = Some(first);
        let mut broken = None;
        while let Some(message) = next.take() {
            match message {
                Ok(Some(request)) => broken = chunk.push(request, &mut self.position).err(),
                Ok(None) => chunk.is_last = true,
                Err(status) => broken = Some(status),
            }
            if !chunk.is_full() && broken.is_none() {
                next = self.inbound.try_next().await;
            }
        }
        (chunk, broken)
    }

    /// Submits the batch to the broker, and waits for its commit, but not for a tally.
    async fn submit(&mut self, chunk: EventBatch) -> Result<(), SessionEnd> {
        let EventBatch { events, positions, exceptions, bytes, .. } = chunk;
        for exception in &exceptions {
            self.services.count_invalid(exception.outcome());
        }
        if events.is_empty() && exceptions.is_empty() {
            self.inbound.update_backlog();
            return Ok(());
        }
        let mut answers = unacknowledged::BatchReplies::Ready(Vec::new());
        if !events.is_empty() {
            let submission = self.services.broker.submit_batch(self.key, events, bytes);
            let reply = self.inbound.buffer_until(submission).await?;
            self.inbound.update_backlog();
            answers = match self.inbound.buffer_until(reply).await {
                Ok(BatchReply::Complete(ready)) => unacknowledged::BatchReplies::Ready(ready),
                Ok(BatchReply::Deferred(pending)) => unacknowledged::BatchReplies::Pending(pending),
                Err(_) => return Err(self.services.broker.unavailable_reason().into()),
            };
        }
        self.inbound.update_backlog();
        let is_ready = matches!(answers, unacknowledged::BatchReplies::Ready(_));
        let is_first = self.unacknowledged.is_empty();
        self.unacknowledged.push(self.position, positions, exceptions, answers);
        if is_ready && is_first {
            let ack = self.unacknowledged.next().await;
            self.acknowledge(ack).await?;
        }
        Ok(())
    }

    async fn acknowledge_all(&mut self) -> Result<(), SessionEnd> {
        while !self.unacknowledged.is_empty() {
            let ack = self.unacknowledged.next().await;
            self.acknowledge(ack).await?;
        }
        Ok(())
    }

    async fn acknowledge(&mut self, ack: Result<Option<Ack>, RecvError>) -> Result<(), SessionEnd> {
        let Some(ack) = ack.map_err(|_| self.services.broker.unavailable_reason())? else {
            return Ok(());
        };
        let suppressed_until =
            ack.exceptions.iter().filter_map(|it| it.suppressed_until).next_back();
        // This session's appliance was removed for good; a new Hello registers its name again.
        let is_removed =
            ack.exceptions.iter().any(|it| it.reason == EventRejection::Removed.as_str());
        self.send(Message::Ack(ack)).await?;
        if let Some(until) =
            suppressed_until.filter(|_| self.suppression_notice.is_due(self.services.broker.now()))
        {
            self.send(Message::Notice(suppression_message(until))).await?;
        }
        if is_removed {
            let text = "the appliance was removed; a new session registers it again";
            return Err(SessionEnd::Failed(status::precondition("REMOVED", text)));
        }
        Ok(())
    }

    /// Sends a message; a client that does not read cannot delay its deadlines with waiting events.
    async fn send(&mut self, message: Message) -> Result<(), SessionEnd> {
        let sent = match self.outbound.try_reserve() {
            Ok(permit) => {
                permit.send(Ok(SessionResponse { message: Some(message) }));
                return Ok(());
            }
            Err(_) => {
                self.inbound.clear_backlog();
                send_message(self.outbound, message).await
            }
        };
        self.inbound.update_backlog();
        sent.map_err(|ClientGone| SessionEnd::ClientGone)
    }
}

fn go_away() -> GoAway {
    GoAway {
        retry_after_ms: RETRY_AFTER_MS,
        address: String::new(),
        explanation: "the broker is stopping".to_owned(),
    }
}

/// The client disconnected.
struct ClientGone;

async fn send_message(answers: &ResponseSender, message: Message) -> Result<(), ClientGone> {
    let response = SessionResponse { message: Some(message) };
    answers.send(Ok(response)).await.map_err(|_| ClientGone)
}
