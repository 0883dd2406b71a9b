//! One session of a load test: sends many events a write, and times each from sending to its acknowledgement.
//!
//! Guarantees that an event is counted once, when its acknowledgement arrives. Does not decide when to start and
//! stop, nor what is sent: `load` and the plan do.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message as _;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codec::{Codec, Streaming};
use tonic::{Code, Status};

use grid_broker::client::{APPLIANCE_METADATA, BrokerChannel};
use grid_broker::clock::monotonic_now;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::session_request::Message as Request;
use grid_broker::contract::proto::session_response::Message as Response;
use grid_broker::contract::proto::{
    Ack, Event, Goodbye, Hello, Outcome, SessionRequest, SessionResponse, StartedOk,
};

use super::has_record;
use super::latency::LatencyHistogram;
use super::load_body::{FlowState, LoadBody, SendPhase, SentEvents, SessionFlow};
use super::payload::EventWriter;
use super::plan::LoadPlan;

/// The path of the call.
const SESSION_PATH: PathAndQuery =
    PathAndQuery::from_static("/grid.events.v1.EventService/Session");

/// What a session counted.
#[derive(Debug, Default)]
pub(crate) struct LoadCounts {
    /// Events of the load that were sent.
    pub(crate) sent: u64,
    /// Those that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Those that were not simply stored, by the number of their outcome.
    pub(crate) exceptions: BTreeMap<i32, u64>,
    /// From sending to the acknowledgement.
    pub(crate) latencies: LatencyHistogram,
    /// When the last acknowledgement arrived.
    pub(crate) last_ack: Option<Instant>,
    /// Why it ended early, of the first that did.
    pub(crate) failure: Option<Status>,
    /// How many ended early.
    pub(crate) failures: u64,
}

impl LoadCounts {
    /// Whether some events were only counted, or had no effect.
    pub(crate) fn has_counted(&self) -> bool {
        let mut outcomes = self.exceptions.keys().filter_map(|it| Outcome::try_from(*it).ok());
        outcomes.any(|outcome| !has_record(outcome))
    }

    /// Adds the counts of another session.
    pub(crate) fn merge(&mut self, other: Self) {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        for (outcome, count) in other.exceptions {
            *self.exceptions.entry(outcome).or_default() += count;
        }
        self.latencies.merge(&other.latencies);
        self.last_ack = self.last_ack.max(other.last_ack);
        self.failures += other.failures;
        self.failure = self.failure.take().or(other.failure);
    }
}

/// An open session.
pub(crate) struct LoadSession {
    flow: SessionFlow,
    replies: Streaming<SessionResponse>,
    plan: Arc<LoadPlan>,
    counts: LoadCounts,
}

impl LoadSession {
    /// Opens the session of the appliance of that number, and waits for the broker's welcome.
    pub(crate) async fn open(
        channel: BrokerChannel,
        number: u64,
        plan: Arc<LoadPlan>,
    ) -> Result<Self, Status> {
        let mut ready = VecDeque::from([framed(Request::Hello(plan.hello()))]);
        let mut state = FlowState {
            phase: SendPhase::Opening,
            ready: VecDeque::new(),
            sent: 0,
            acknowledged: 0,
            outstanding: VecDeque::new(),
            waker: None,
        };
        let completes_first = !plan.mix.has_maintenance();
        if completes_first {
            ready.push_back(started_ok(1));
            state.sent = 1;
            state.outstanding.push_back(SentEvents { through: 1, at: None });
        }
        state.ready = ready;
        let flow = SessionFlow(Arc::new(Mutex::new(state)));
        let body = LoadBody {
            flow: flow.clone(),
            writer: EventWriter::new(number, plan.text_bytes),
            plan: Arc::clone(&plan),
            number,
            in_run: 0,
            was_full: false,
            timer: None,
        };
        let replies = call(channel, &plan.name(number), body).await?;
        let mut session = Self { flow, replies, plan, counts: LoadCounts::default() };
        match session.next().await? {
            Response::Welcome(_) => {}
            Response::Ack(_) | Response::Notice(_) | Response::Command(_) | Response::GoAway(_) => {
                return Err(Status::unknown("the broker's first message was no welcome"));
            }
        }
        while completes_first && session.flow.lock().acknowledged == 0 {
            session.receive().await?;
        }
        Ok(session)
    }

    /// Sends and receives from now on, until `stop` is true and all is acknowledged. An error of the
    /// session is among the counts.
    pub(crate) async fn run(&mut self, mut stop: watch::Receiver<bool>) {
        self.flow.enter(SendPhase::Running(monotonic_now()), []);
        let mut is_stopped = false;
        loop {
            if is_stopped && self.is_drained() {
                break;
            }
            let received = tokio::select! {
                biased;
                _ = stop.changed(), if !is_stopped => {
                    is_stopped = true;
                    self.flow.enter(SendPhase::Draining, []);
                    continue;
                }
                received = self.receive() => received,
            };
            if let Err(status) = received {
                self.flow.enter(SendPhase::Draining, []);
                self.counts.failure = Some(status);
                self.counts.failures = 1;
                break;
            }
        }
        let sent = self.flow.lock().sent;
        self.counts.sent = sent - u64::from(!self.plan.mix.has_maintenance());
    }

    /// What it counted.
    pub(crate) fn take_counts(&mut self) -> LoadCounts {
        std::mem::take(&mut self.counts)
    }

    /// Ends the start if the load had progress reports, and the session.
    pub(crate) async fn close(mut self) {
        let mut ready = Vec::new();
        if self.plan.mix.has_maintenance() {
            let mut state = self.flow.lock();
            state.sent += 1;
            let through = state.sent;
            state.outstanding.push_back(SentEvents { through, at: None });
            ready.push(started_ok(through));
        }
        ready.push(framed(Request::Goodbye(Goodbye { reason: "the load test ended".to_owned() })));
        self.flow.enter(SendPhase::Closing, ready);
        // Any end will do: a broker that went away ends the stream, too.
        while self.receive().await.is_ok() {}
    }

    fn is_drained(&self) -> bool {
        let state = self.flow.lock();
        state.acknowledged == state.sent
    }

    async fn next(&mut self) -> Result<Response, Status> {
        let reply = self.replies.message().await?;
        let ended = || Status::unavailable("the broker ended the session");
        reply.and_then(|reply| reply.message).ok_or_else(ended)
    }

    async fn receive(&mut self) -> Result<(), Status> {
        match self.next().await? {
            Response::Ack(ack) => self.acknowledge(&ack),
            Response::Notice(_) | Response::Welcome(_) | Response::Command(_) => {}
            Response::GoAway(away) => return Err(Status::unavailable(away.explanation)),
        }
        Ok(())
    }

    fn acknowledge(&mut self, ack: &Ack) {
        let now = monotonic_now();
        let mut state = self.flow.lock();
        while let Some(first) = state.outstanding.front().copied() {
            let count = first.through.min(ack.through).saturating_sub(state.acknowledged);
            if count == 0 {
                break;
            }
            state.acknowledged += count;
            if let Some(at) = first.at {
                self.counts.latencies.record(now.duration_since(at), count);
                self.counts.acknowledged += count;
                self.counts.last_ack = Some(now);
            }
            if state.acknowledged == first.through {
                state.outstanding.pop_front();
            }
        }
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        drop(state);
        for exception in &ack.exceptions {
            *self.counts.exceptions.entry(exception.outcome).or_default() += 1;
        }
    }
}

/// A message with the prefix of gRPC.
fn framed(message: Request) -> Bytes {
    let message = SessionRequest { message: Some(message) }.encode_to_vec();
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(&message);
    framed.into()
}

/// The start is complete: no deadline fails it after the load.
fn started_ok(sequence: u64) -> Bytes {
    let kind = Some(Kind::StartedOk(StartedOk {}));
    framed(Request::Event(Event { kind, sequence, ..Event::default() }))
}

async fn call(
    mut channel: BrokerChannel,
    name: &str,
    body: LoadBody,
) -> Result<Streaming<SessionResponse>, Status> {
    let broken = |error: Box<dyn std::error::Error + Send + Sync>| {
        Status::new(Code::Unavailable, error.to_string())
    };
    std::future::poll_fn(|context| channel.poll_ready(context)).await.map_err(broken)?;
    let request = http::Request::builder()
        .method(http::Method::POST)
        .version(http::Version::HTTP_2)
        .uri(http::Uri::from(SESSION_PATH))
        .header(http::header::TE, "trailers")
        .header(http::header::CONTENT_TYPE, "application/grpc")
        .header(APPLIANCE_METADATA, name)
        .body(Body::new(body))
        .map_err(|error| Status::internal(error.to_string()))?;
    let (head, body) = channel.call(request).await.map_err(broken)?.into_parts();
    if let Some(status) = Status::from_header_map(&head.headers) {
        return Err(status);
    }
    let decoder = tonic_prost::ProstCodec::<(), SessionResponse>::default().decoder();
    Ok(Streaming::new_response(decoder, body, head.status, None, None))
}

/// The Hello of a session of a load test: a boot and a spool of its own.
pub(super) fn hello() -> Hello {
    let (boot, spool) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4().as_u64_pair().0);
    Hello {
        protocol_revision: 1,
        // Its end is no loss of contact.
        capabilities: vec!["transient".to_owned()],
        tool_version: concat!("gridctl bench ", env!("CARGO_PKG_VERSION")).to_owned(),
        boot_id: boot.to_string(),
        uptime_ms: 1,
        spool_id: spool | 1,
        next_sequence: 1,
        ..Hello::default()
    }
}
