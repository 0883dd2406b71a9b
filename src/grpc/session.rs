//! A session: one appliance's lasting conversation.
//!
//! ```text
//! Hello -> Welcome, then: events (as many as are there, at most a chunk) -> commit -> one Ack
//!                         (with suppressed events among them: -> tally -> the Ack, later)
//! ```
//!
//! Guarantees that an Ack leaves only after the commit, that a malformed event is INVALID at its
//! position and the stream goes on, and that whoever does not read its acks is not read from.
//! Decides nothing about events.

use std::num::NonZeroU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::oneshot::error::RecvError;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::ahead::{Ahead, WINDOW_BYTES, WINDOW_EVENTS};
use super::chunk::Chunk;
use super::unacknowledged::{self, Unacknowledged};
use super::{Desk, guard, status};
use crate::broker::{Backlog, Brought, Greeting, SessionKey, Unavailable, Welcomed};
use crate::grid::event::TEXT_BYTES_MAX;
use crate::grid::lifecycle::Refusal;
use crate::grid::name::{ApplianceName, SpoolId};
use crate::grid::record::SessionId;
use crate::grid::time::Timestamp;
use crate::listener;
use crate::wire::check::{self, EVENT_BYTES_MAX, violation};
use crate::wire::proto::session_response::Message;
use crate::wire::proto::{Ack, GoAway, Hello, Limits, Notice, SessionResponse, Welcome};
use crate::wire::received::{Said, SessionRequest};
use crate::wire::{timestamp, uuid_text};

/// The revision of the contract that is spoken here.
const PROTOCOL_REVISION: u32 = 1;

/// The capability of sessions that come and go.
const TRANSIENT: &str = "transient";

/// How long a client may take for its Hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// Answers that may wait for a client to read them.
const ANSWERS_WAITING: usize = 16;

/// How often a tool should report in maintenance.
const REPORTING_INTERVAL_MS: u32 = 10_000;

/// When to come back to a broker that stops.
const RETRY_AFTER_MS: u32 = 1_000;

/// How often an appliance is told that it is held back.
const NOTICES_EVERY: Duration = Duration::from_secs(60);

type Answers = mpsc::Sender<Result<SessionResponse, Status>>;

/// Opens the conversation; what it gives are the broker's messages.
pub(super) fn open(
    desk: Desk,
    name: ApplianceName,
    said: Streaming<SessionRequest>,
) -> impl Stream<Item = Result<SessionResponse, Status>> + Send + use<> {
    let (answers, stream) = mpsc::channel(ANSWERS_WAITING);
    let metrics = desk.metrics.clone();
    guard::spawn_telling("session", answers.clone(), async move {
        if let Err(status) = converse(desk, name, said, &answers).await {
            metrics.refused(status::code_word(status.code()));
            // A client that has gone does not mind.
            let _ = answers.send(Err(status)).await;
        }
    });
    ReceiverStream::new(stream)
}

async fn converse(
    desk: Desk,
    name: ApplianceName,
    mut said: Streaming<SessionRequest>,
    answers: &Answers,
) -> Result<(), Status> {
    let hello = hear_hello(&mut said).await?;
    let boot = check_hello(&hello)?;
    let spool = NonZeroU64::new(hello.spool_id).map(SpoolId);
    let uptime = (hello.uptime_ms > 0).then(|| Duration::from_millis(hello.uptime_ms));
    let id = SessionId(desk.sessions.fetch_add(1, Ordering::Relaxed));
    let greeting = Greeting {
        boot,
        uptime,
        spool,
        acked_through: hello.acked_through,
        is_transient: hello.capabilities.iter().any(|it| it == TRANSIENT),
        session: id,
    };
    let backlog = Backlog::default();
    let welcomed = desk.broker.hello(name.clone(), greeting, backlog.clone()).await;
    let welcomed = welcomed.map_err(status::unavailable)?;
    let said = Ahead::new(said, backlog);
    let key = SessionKey { id, appliance: welcomed.appliance, boot, spool };
    tracing::debug!(appliance = %name, boot = %boot, "a session opened");
    let welcome = welcome(&desk, &welcomed, spool.is_some());
    let ended = match tell(answers, Message::Welcome(welcome)).await {
        Ok(()) => listen(&desk, key, said, answers).await,
        Err(Gone) => Ok(()),
    };
    tracing::debug!(appliance = %name, boot = %boot, "a session ended");
    // A broker that stops knows that all sessions end.
    let _ = desk.broker.session_ended(key).await;
    ended
}

async fn hear_hello(said: &mut Streaming<SessionRequest>) -> Result<Hello, Status> {
    let first = tokio::time::timeout(HELLO_WITHIN, said.message()).await;
    match first {
        Err(_) => Err(status::precondition("NO_HELLO", "no Hello came within 10 s")),
        Ok(Err(status)) => Err(status),
        Ok(Ok(Some(SessionRequest { message: Some(Said::Hello(hello)) }))) => Ok(hello),
        Ok(Ok(_)) => {
            Err(status::precondition("NO_HELLO", "a session's first message must be a Hello"))
        }
    }
}

fn check_hello(hello: &Hello) -> Result<crate::grid::name::BootId, Status> {
    let mut wrong = Vec::new();
    if hello.protocol_revision != PROTOCOL_REVISION {
        let given = hello.protocol_revision;
        wrong.push(violation(
            "hello.protocol_revision",
            format!("is {given}; this broker speaks {PROTOCOL_REVISION}"),
        ));
    }
    if hello.capabilities.len() > 32 || hello.capabilities.iter().any(|it| it.len() > 64) {
        wrong.push(violation("hello.capabilities", "at most 32 words of 64 bytes are allowed"));
    }
    if hello.tool_version.len() > 64 {
        wrong.push(violation("hello.tool_version", "at most 64 bytes are allowed"));
    }
    let boot = match check::boot(hello.boot_id.as_bytes(), "hello.boot_id") {
        Ok(Some(boot)) => Some(boot),
        Ok(None) => {
            wrong.push(violation("hello.boot_id", "is missing; a session belongs to a boot"));
            None
        }
        Err(violation) => {
            wrong.push(violation);
            None
        }
    };
    match boot {
        Some(boot) if wrong.is_empty() => Ok(boot),
        Some(_) | None => Err(status::invalid(wrong)),
    }
}

fn welcome(desk: &Desk, welcomed: &Welcomed, has_spool: bool) -> Welcome {
    let promise_max = u32::try_from(welcomed.promise_max.as_millis()).unwrap_or(u32::MAX);
    Welcome {
        broker_id: uuid_text(desk.identity.broker),
        journal_id: uuid_text(desk.identity.journal),
        term: desk.term,
        limits: Some(Limits {
            text_bytes: u32::try_from(TEXT_BYTES_MAX).unwrap_or(u32::MAX),
            event_bytes: u32::try_from(EVENT_BYTES_MAX).unwrap_or(u32::MAX),
            next_report_within_ms: promise_max,
        }),
        window_events: WINDOW_EVENTS,
        window_bytes: WINDOW_BYTES,
        reporting_interval_ms: REPORTING_INTERVAL_MS,
        server_time: Some(timestamp(desk.broker.now())),
        sequence_reset: has_spool && !welcomed.knew_spool,
        appliance_uuid: uuid_text(welcomed.uuid),
    }
}

async fn listen(
    desk: &Desk,
    key: SessionKey,
    said: Ahead,
    answers: &Answers,
) -> Result<(), Status> {
    let (unacknowledged, notices) = (Unacknowledged::default(), Notices::default());
    let mut open = Open { desk, key, said, answers, unacknowledged, notices, position: 0 };
    match open.listen().await {
        Ok(()) | Err(Interrupted::Gone) => Ok(()),
        Err(Interrupted::Ended(status)) => Err(status),
    }
}

/// Why a session does not go on.
enum Interrupted {
    /// The client has gone.
    Gone,
    /// The broker ends it.
    Ended(Status),
}

impl From<Unavailable> for Interrupted {
    fn from(reason: Unavailable) -> Self {
        Self::Ended(status::unavailable(reason))
    }
}

/// A session behind its welcome.
struct Open<'a> {
    desk: &'a Desk,
    key: SessionKey,
    said: Ahead,
    answers: &'a Answers,
    unacknowledged: Unacknowledged,
    notices: Notices,
    /// How many events came.
    position: u64,
}

impl Open<'_> {
    async fn listen(&mut self) -> Result<(), Interrupted> {
        let mut stopping = self.desk.stopping.clone();
        loop {
            if !self.unacknowledged.has_room() {
                let ack = self.said.read_until(self.unacknowledged.next()).await;
                self.acknowledge(ack).await?;
            }
            let first = tokio::select! {
                // Whoever never pauses hears that the broker stops, too.
                biased;
                () = listener::stopped(&mut stopping) => {
                    self.acknowledge_all().await?;
                    return self.tell(Message::GoAway(go_away())).await;
                }
                ack = self.unacknowledged.next(), if !self.unacknowledged.is_empty() => {
                    self.acknowledge(ack).await?;
                    continue;
                }
                first = self.said.next() => first,
            };
            let (chunk, broken) = self.gather(first).await;
            let is_last = chunk.is_last;
            // What came before a breach is still to be kept and acknowledged.
            self.bring(chunk).await?;
            if is_last || broken.is_some() {
                self.acknowledge_all().await?;
                return broken.map_or(Ok(()), |status| Err(Interrupted::Ended(status)));
            }
        }
    }

    /// What is there already, from `first` on, and why the stream broke, if it did.
    async fn gather(
        &mut self,
        first: Result<Option<SessionRequest>, Status>,
    ) -> (Chunk, Option<Status>) {
        let mut chunk = Chunk::new(self.key.spool.is_some());
        let mut next = Some(first);
        let mut broken = None;
        while let Some(message) = next.take() {
            match message {
                Ok(Some(request)) => broken = chunk.take(request, &mut self.position).err(),
                Ok(None) => chunk.is_last = true,
                Err(status) => broken = Some(status),
            }
            if !chunk.is_full() && broken.is_none() {
                next = self.said.ready().await;
            }
        }
        (chunk, broken)
    }

    /// Gives the chunk to the broker, and waits for its commit; not for a tally.
    async fn bring(&mut self, chunk: Chunk) -> Result<(), Interrupted> {
        let Chunk { events, positions, exceptions, bytes, .. } = chunk;
        for unfit in &exceptions {
            self.desk.count_unfit(unfit.outcome());
        }
        if events.is_empty() && exceptions.is_empty() {
            self.said.brought();
            return Ok(());
        }
        let mut answers = unacknowledged::Answers::There(Vec::new());
        if !events.is_empty() {
            let bringing = self.desk.broker.bring(self.key, events, bytes);
            let brought = self.said.read_until(bringing).await?;
            self.said.brought();
            answers = match self.said.read_until(brought).await {
                Ok(Brought::Answered(there)) => unacknowledged::Answers::There(there),
                Ok(Brought::Held(to_come)) => unacknowledged::Answers::ToCome(to_come),
                Err(_) => return Err(self.desk.broker.unanswered().into()),
            };
        }
        self.said.brought();
        let is_there = matches!(answers, unacknowledged::Answers::There(_));
        let is_first = self.unacknowledged.is_empty();
        self.unacknowledged.push(self.position, positions, exceptions, answers);
        if is_there && is_first {
            let ack = self.unacknowledged.next().await;
            self.acknowledge(ack).await?;
        }
        Ok(())
    }

    async fn acknowledge_all(&mut self) -> Result<(), Interrupted> {
        while !self.unacknowledged.is_empty() {
            let ack = self.unacknowledged.next().await;
            self.acknowledge(ack).await?;
        }
        Ok(())
    }

    async fn acknowledge(
        &mut self,
        ack: Result<Option<Ack>, RecvError>,
    ) -> Result<(), Interrupted> {
        let Some(ack) = ack.map_err(|_| self.desk.broker.unanswered())? else { return Ok(()) };
        let held_back = ack.exceptions.iter().filter_map(|it| it.suppressed_until).next_back();
        // The row this session speaks for is gone for good; a new Hello may find another one.
        let is_removed = ack.exceptions.iter().any(|it| it.reason == Refusal::Removed.word());
        self.tell(Message::Ack(ack)).await?;
        if let Some(until) = held_back.filter(|_| self.notices.is_news(self.desk.broker.now())) {
            self.tell(Message::Notice(suppressed(until))).await?;
        }
        if is_removed {
            let text = "the appliance was removed; a new session begins it anew";
            return Err(Interrupted::Ended(status::precondition("REMOVED", text)));
        }
        Ok(())
    }

    /// Tells the client; one that does not read can't hold its deadlines up by what it said.
    async fn tell(&mut self, message: Message) -> Result<(), Interrupted> {
        let told = match self.answers.try_reserve() {
            Ok(place) => {
                place.send(Ok(SessionResponse { message: Some(message) }));
                return Ok(());
            }
            Err(_) => {
                self.said.waits_for_client();
                tell(self.answers, message).await
            }
        };
        self.said.brought();
        told.map_err(|Gone| Interrupted::Gone)
    }
}

/// When the appliance was last told that it is held back.
#[derive(Default)]
struct Notices {
    told_at: Option<Timestamp>,
}

impl Notices {
    /// Whether it is time to say so, again.
    fn is_news(&mut self, now: Timestamp) -> bool {
        let is_news = self.told_at.is_none_or(|told| {
            // Told time may have been moved back.
            now >= told.after(NOTICES_EVERY) || now < told
        });
        if is_news {
            self.told_at = Some(now);
        }
        is_news
    }
}

fn suppressed(until: prost_types::Timestamp) -> Notice {
    Notice {
        reason: "SUPPRESSED".to_owned(),
        explanation: "more comes than is allowed: what is over budget is counted, not stored, \
                      until there was none of it for a minute"
            .to_owned(),
        until: Some(until),
    }
}

fn go_away() -> GoAway {
    GoAway {
        retry_after_ms: RETRY_AFTER_MS,
        address: String::new(),
        explanation: "the broker is stopping".to_owned(),
    }
}

/// The client has gone.
struct Gone;

async fn tell(answers: &Answers, message: Message) -> Result<(), Gone> {
    let response = SessionResponse { message: Some(message) };
    answers.send(Ok(response)).await.map_err(|_| Gone)
}
