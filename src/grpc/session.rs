//! Runs a session: the long-lived stream of one appliance.
//!
//! ```text
//! Hello -> Welcome, then: events (all that have arrived, at most a batch) -> commit -> one Ack
//!                         (with suppressed events among them: -> tally -> the Ack, later)
//!                         Command -> CommandResult -> Notice that it has arrived
//! ```
//!
//! Guarantees that an Ack is sent only after the commit, that a malformed event is INVALID at its
//! position and the stream continues, and that a client that does not read its acks is not read from.
//! Decides nothing about events, nor who is sent a command.

use std::num::NonZeroU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::oneshot::error::RecvError;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Status, Streaming};

use super::unacknowledged::{BatchReplies, Unacknowledged, UnacknowledgedBatch};
use super::{Services, hello, status};
use crate::broker::{Backlog, SessionKey, Unavailable, UnresolvedHello};
use crate::contract::proto::command::Kind;
use crate::contract::proto::{Command, CrashDumpCommand, GoAway, Notice};
use crate::contract::raw::{ClientMessage, RawSessionRequest};
use crate::contract::raw_response::{BrokerMessage, RawAck, RawSessionResponse};
use crate::contract::{encode_timestamp, encode_uuid};
use crate::crash_dump::agents::{AgentCommand, AgentHello, AgentLink, CRASH_DUMP_CAPABILITY};
use crate::grid::values::id::{ApplianceName, SessionId, SpoolId};
use crate::grid::values::outcome::EventRejection;
use crate::grpc::batch::EventBatch;
use crate::grpc::panic_guard;
use crate::grpc::read_ahead::ReadAhead;
use crate::grpc::revocation::Revocation;
use crate::grpc::suppression_notice::{SuppressionNotice, suppression_message};
use crate::listener;

/// The capability of transient sessions.
const TRANSIENT_CAPABILITY: &str = "transient";

/// Responses that may wait for a client to read them.
const RESPONSES_BUFFERED: usize = 16;

/// When a client may reconnect to a broker that stops.
const RETRY_AFTER_MS: u32 = 1_000;

/// In boxes: a channel has memory for 32 messages from its start.
type ResponseSender = mpsc::Sender<Result<Box<RawSessionResponse>, Status>>;

/// Opens the session; returns the stream of the broker's messages.
pub(super) fn open(
    services: Services,
    name: ApplianceName,
    revocation: Revocation,
    inbound: Streaming<RawSessionRequest>,
) -> impl Stream<Item = Result<RawSessionResponse, Status>> + Send + use<> {
    let (answers, stream) = mpsc::channel(RESPONSES_BUFFERED);
    let metrics = services.metrics.clone();
    // In boxes here and below: each function that is awaited holds its arguments twice.
    let (services, inbound) = (Box::new(services), Box::new(inbound));
    panic_guard::spawn_stream("session", answers.clone(), async move {
        if let Err(status) = run_session(services, name, (inbound, revocation), &answers).await {
            metrics.refused(status::code_label(status.code()));
            // A client that is gone is fine.
            let _ = answers.send(Err(status)).await;
        }
    });
    ReceiverStream::new(stream).map(|response| response.map(|response| *response))
}

async fn run_session(
    services: Box<Services>,
    name: ApplianceName,
    (mut inbound, mut revocation): (Box<Streaming<RawSessionRequest>>, Revocation),
    answers: &ResponseSender,
) -> Result<(), Status> {
    let hello = tokio::select! {
        biased;
        status = &mut revocation => return Err(status),
        hello = hello::receive(&mut inbound) => hello?,
    };
    let boot = hello::check(&hello)?;
    let spool = NonZeroU64::new(hello.spool_id).map(SpoolId);
    let uptime = (hello.uptime_ms > 0).then(|| Duration::from_millis(hello.uptime_ms));
    let id = SessionId(services.next_session_id.fetch_add(1, Ordering::Relaxed));
    let has_capability = |name: &str| hello.capabilities.iter().any(|it| it == name);
    let is_transient = has_capability(TRANSIENT_CAPABILITY);
    let acked_through = hello.acked_through;
    let greeting =
        UnresolvedHello { boot, uptime, spool, acked_through, is_transient, session: id };
    let backlog = Backlog::default();
    let welcomed = services.broker.open_session(name.clone(), greeting, backlog.clone()).await;
    let welcomed = welcomed.map_err(status::unavailable)?;
    let inbound = Box::new(ReadAhead::new(*inbound, backlog));
    let key = SessionKey { id, appliance: welcomed.appliance, boot, spool };
    tracing::debug!(appliance = %name, boot = %boot, "a session opened");
    let agent = Box::new(services.crash_dumps.agents().join(AgentHello {
        appliance: welcomed.appliance,
        boot,
        session: id,
        is_transient,
        is_permitted: has_capability(CRASH_DUMP_CAPABILITY),
        readiness: hello.crash_dump.map(Into::into),
        broker_time: services.broker.now(),
    }));
    services.forget_removed_agents().await;
    let welcome = hello::welcome(&services, &welcomed, spool.is_some());
    let ended = match send_message(answers, BrokerMessage::Welcome(welcome.into())).await {
        Ok(()) => run_open_session(&services, (key, agent), (inbound, revocation), answers).await,
        Err(ClientGone) => Ok(()),
    };
    tracing::debug!(appliance = %name, boot = %boot, "a session ended");
    // A broker that stops expects all sessions to end.
    let _ = services.broker.close_session(key).await;
    ended
}

impl Services {
    /// Forgets what the agents of removed appliances told, when that is due.
    async fn forget_removed_agents(&self) {
        let agents = self.crash_dumps.agents().clone();
        if agents.is_forgetting_due() {
            let forget = self.broker.query(move |grid, _| {
                agents.forget(|number| grid.state().appliance(number).is_some());
            });
            // A broker that stops forgets everything.
            let _ = forget.await;
        }
    }
}

async fn run_open_session(
    services: &Services,
    (key, agent): (SessionKey, Box<AgentLink>),
    (inbound, revocation): (Box<ReadAhead>, Revocation),
    answers: &ResponseSender,
) -> Result<(), Status> {
    let (unacknowledged, notices) = (Unacknowledged::default(), SuppressionNotice::default());
    let mut open = OpenSession {
        services,
        key,
        agent,
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
            let _ = open.send(BrokerMessage::GoAway(go_away().into())).await;
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
    agent: Box<AgentLink>,
    inbound: Box<ReadAhead>,
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
            let has_room = self.unacknowledged.has_room();
            tokio::select! {
                // First, so that a client that never pauses learns of a shutdown too.
                biased;
                () = listener::shutdown_requested(&mut stopping) => {
                    self.acknowledge_all().await?;
                    return self.send(BrokerMessage::GoAway(go_away().into())).await;
                }
                ack = self.unacknowledged.next(), if !self.unacknowledged.is_empty() => {
                    self.acknowledge(ack).await?;
                    continue;
                }
                command = self.agent.next_command() => {
                    self.send_command(command).await?;
                    continue;
                }
                () = self.inbound.readable(has_room) => {}
            }
            let (chunk, broken) = self.collect_batch();
            let is_last = chunk.is_last;
            // Events before a violation are still stored and acknowledged. In a box, which a silent
            // session does not have.
            if let Err(ended) = Box::pin(self.submit(chunk)).await {
                // What was submitted before may be durable: without its ack it is sent again.
                let _ = Box::pin(self.acknowledge_all()).await;
                return Err(ended);
            }
            // After the events, which must not wait behind a client that does not read.
            if let Some(id) = self.agent.take_unconfirmed() {
                self.send(BrokerMessage::Notice(result_received(&encode_uuid(id)).into())).await?;
            }
            if is_last || broken.is_some() {
                self.acknowledge_all().await?;
                return broken.map_or(Ok(()), |status| Err(SessionEnd::Failed(status)));
            }
        }
    }

    /// Collects the messages that have arrived, and why the stream failed, if it did.
    fn collect_batch(&mut self) -> (EventBatch, Option<Status>) {
        let mut chunk = EventBatch::new(self.key);
        let mut broken = None;
        while !chunk.is_full() && broken.is_none() {
            let Some(message) = self.inbound.pop() else { break };
            match message {
                Ok(Some(request)) => {
                    self.hear_agent(request.message.as_ref());
                    broken = chunk.push(request, &mut self.position).err();
                }
                Ok(None) => chunk.is_last = true,
                Err(status) => broken = Some(status),
            }
        }
        (chunk, broken)
    }

    /// What concerns the agent of the appliance, and no event.
    fn hear_agent(&mut self, message: Option<&ClientMessage>) {
        match message {
            Some(ClientMessage::CommandResult(result)) => self.agent.resolve(result),
            Some(ClientMessage::CrashDump(readiness)) => self.agent.set_readiness(*readiness),
            Some(ClientMessage::Hello(_) | ClientMessage::Event(_) | ClientMessage::Goodbye(_))
            | None => {}
        }
    }

    /// Sends a command, unless nobody waits for its result any more. A client that does not read gets
    /// none.
    async fn send_command(&mut self, command: AgentCommand) -> Result<(), SessionEnd> {
        let outbound = self.outbound;
        let permit = match outbound.try_reserve() {
            Ok(permit) => permit,
            Err(_) => {
                self.inbound.clear_backlog();
                let permit = outbound.reserve().await;
                self.inbound.update_backlog();
                permit.map_err(|_| SessionEnd::ClientGone)?
            }
        };
        let Some(to_send) = self.agent.begin(command) else { return Ok(()) };
        let message = BrokerMessage::Command(Box::new(Command {
            command_id: encode_uuid(to_send.id),
            deadline: Some(encode_timestamp(to_send.deadline)),
            kind: Some(Kind::CrashDump(CrashDumpCommand {})),
        }));
        permit.send(Ok(Box::new(RawSessionResponse { message: Some(message) })));
        Ok(())
    }

    /// Submits the batch to the broker, without waiting for its commit.
    async fn submit(&mut self, chunk: EventBatch) -> Result<(), SessionEnd> {
        let EventBatch { events, exceptions, bytes, .. } = chunk;
        for exception in &exceptions {
            self.services.count_invalid(exception.outcome());
        }
        if events.is_empty() && exceptions.is_empty() {
            self.inbound.update_backlog();
            return Ok(());
        }
        let (through, event_count) = (self.position, events.len());
        let mut replies = BatchReplies::Ready(Vec::new());
        if !events.is_empty() {
            let submission = self.services.broker.submit_batch(self.key, events, bytes);
            replies = BatchReplies::Submitted(self.inbound.buffer_until(submission).await?);
        }
        self.inbound.update_backlog();
        self.unacknowledged.push(UnacknowledgedBatch { through, event_count, exceptions, replies });
        Ok(())
    }

    async fn acknowledge_all(&mut self) -> Result<(), SessionEnd> {
        while !self.unacknowledged.is_empty() {
            let ack = self.unacknowledged.next().await;
            self.acknowledge(ack).await?;
        }
        Ok(())
    }

    async fn acknowledge(
        &mut self,
        ack: Result<Option<RawAck>, RecvError>,
    ) -> Result<(), SessionEnd> {
        let Some(ack) = ack.map_err(|_| self.services.broker.unavailable_reason())? else {
            return Ok(());
        };
        let suppressed_until =
            ack.exceptions.iter().filter_map(|it| it.suppressed_until).next_back();
        // This session's appliance was removed for good; a new Hello registers its name again.
        let is_removed = ack
            .exceptions
            .iter()
            .any(|it| *it.reason == *EventRejection::Removed.as_str().as_bytes());
        self.send(BrokerMessage::Ack(ack)).await?;
        if let Some(until) =
            suppressed_until.filter(|_| self.suppression_notice.is_due(self.services.broker.now()))
        {
            self.send(BrokerMessage::Notice(suppression_message(until).into())).await?;
        }
        if is_removed {
            let text = "the appliance was removed; a new session registers it again";
            return Err(SessionEnd::Failed(status::precondition("REMOVED", text)));
        }
        Ok(())
    }

    /// Sends a message; a client that does not read cannot delay its deadlines with waiting events.
    async fn send(&mut self, message: BrokerMessage) -> Result<(), SessionEnd> {
        let sent = match self.outbound.try_reserve() {
            Ok(permit) => {
                permit.send(Ok(Box::new(RawSessionResponse { message: Some(message) })));
                return Ok(());
            }
            Err(_) => {
                self.inbound.clear_backlog();
                // Rare, and large where it is awaited: in a box.
                Box::pin(send_message(self.outbound, message)).await
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

/// An agent that is about to crash its appliance waits for this.
fn result_received(command: &str) -> Notice {
    Notice {
        reason: "RESULT_RECEIVED".to_owned(),
        explanation: format!("the result of command {command} has arrived"),
        until: None,
    }
}

/// The client disconnected.
struct ClientGone;

async fn send_message(answers: &ResponseSender, message: BrokerMessage) -> Result<(), ClientGone> {
    let response = Box::new(RawSessionResponse { message: Some(message) });
    answers.send(Ok(response)).await.map_err(|_| ClientGone)
}
