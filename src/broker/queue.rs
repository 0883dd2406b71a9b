//! Defines the loop's queue: its requests, its bounds, and the handle that fills it.
//!
//! Guarantees a bound in requests and bytes: beyond it a caller waits, and so stops reading its
//! session. Each request is stamped when it is received. Decides nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, oneshot};
use uuid::Uuid;

use super::backlog::Backlog;
use crate::broker::alert::AlertRequest;
use crate::broker::identity::IdentityReceipt;
use crate::broker::mail_dispatch::MailRequest;
use crate::broker::name_index::NameIndex;
use crate::broker::reconfigure::Reconfiguration;
use crate::broker::sessions::UnresolvedHello;
use crate::broker::shared_status::SharedStatus;
use crate::clock::{Clock, Stamp};
use crate::grid::Grid;
use crate::grid::decide::CommandRejection;
use crate::grid::decide::identity::IdentityRejection;
use crate::grid::log::command::AdminCommand;
use crate::grid::log::crash_dump::DumpReport;
use crate::grid::log::identity::{IdentityCommand, SecurityIncident};
use crate::grid::log::input::ReceivedEvent;
use crate::grid::values::event::Event;
use crate::grid::values::id::{
    ApplianceIndex, ApplianceName, BootId, RecordNumber, Sequence, SessionId, SpoolId,
};
use crate::grid::values::outcome::Outcome;
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;

/// Most requests that wait; a session has two at a time.
pub(super) const QUEUED_REQUESTS_MAX: usize = 16_384;

/// Most bytes that wait, in KiB: 64 MiB.
pub(super) const QUEUED_KIB_MAX: u32 = 64 << 10;

/// Most changes that a slow watcher may lag behind before it is sent everything again.
pub(super) const CHANGES_BUFFERED: usize = 1_024;

/// The broker does not accept a request, and has stored nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// It ends.
    #[error("the broker is stopping and accepts no more requests")]
    Stopping,
    /// Its disk is nearly full.
    #[error(
        "the broker's disk is nearly full (less is free than its disk_low_water and a reserve of 32 \
         MiB), so it accepts nothing new; reading continues"
    )]
    DiskLow,
}

/// The handle to the broker loop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BrokerHandle {
    pub(super) queue: mpsc::Sender<QueuedRequest>,
    pub(super) byte_permits: Arc<Semaphore>,
    pub(super) clock: Clock,
    pub(super) name_index: NameIndex,
    pub(super) changes: broadcast::Sender<ChangedAppliances>,
    pub(super) status: Arc<SharedStatus>,
}

/// A decoded event outside a session, not yet joined with its sender.
#[derive(Clone, Debug)]
pub struct IncomingEvent {
    /// The boot it names.
    pub boot: Option<BootId>,
    /// Its sequence number.
    pub sequence: Option<Sequence>,
    /// The event.
    pub event: Event,
}

/// The result of an event.
#[derive(Clone, Copy, Debug)]
pub struct EventReply {
    /// Its outcome.
    pub outcome: Outcome,
    /// Its record flags.
    pub flags: RecordFlags,
    /// Its record, if it has one.
    pub record: Option<RecordNumber>,
    /// Suppressed: until when.
    pub suppressed_until: Option<Timestamp>,
}

/// An event of a session, in the box in which it reaches its record: it is passed on often.
pub type SessionEvent = Box<ReceivedEvent>;

/// The events of a batch that were not simply stored: where each is in the batch, and its result.
pub type BatchExceptions = Vec<(usize, EventReply)>;

/// The first reply to a batch that a session submitted.
#[derive(Debug)]
pub enum BatchReply {
    /// All its events are durable, but for these.
    Complete(BatchExceptions),
    /// The results follow with the tally of suppressed events; later events may be submitted.
    Deferred(oneshot::Receiver<BatchExceptions>),
}

/// The reply to an accepted hello.
#[derive(Clone, Copy, Debug)]
pub struct SessionAccepted {
    /// The appliance's index.
    pub appliance: ApplianceIndex,
    /// The appliance's UUID.
    pub uuid: Uuid,
    /// Whether the broker knows sequence numbers of the spool.
    pub is_spool_known: bool,
    /// The longest report deadline its class allows.
    pub report_deadline_max: Duration,
}

/// Identifies a session, with the data of its hello.
#[derive(Clone, Copy, Debug)]
pub struct SessionKey {
    /// The session.
    pub id: SessionId,
    /// Its appliance.
    pub appliance: ApplianceIndex,
    /// Its boot.
    pub boot: BootId,
    /// The spool that numbers its events.
    pub spool: Option<SpoolId>,
}

/// A command that was executed.
#[derive(Clone, Copy, Debug)]
pub struct CommandReceipt {
    /// The appliance it was about.
    pub appliance: ApplianceIndex,
    /// The record of the command.
    pub record: RecordNumber,
}

/// Which appliances changed in a commit.
#[derive(Clone, Debug)]
pub enum ChangedAppliances {
    /// These, possibly one twice.
    Listed(Arc<[ApplianceIndex]>),
    /// Possibly all.
    All,
}

/// A request in the queue.
#[derive(Debug)]
pub(super) struct QueuedRequest {
    pub(super) received_at: Stamp,
    pub(super) request: BrokerRequest,
    /// Released when the request was decided.
    pub(super) permits: Option<OwnedSemaphorePermit>,
}

pub(super) enum BrokerRequest {
    Report {
        name: ApplianceName,
        spool: Option<SpoolId>,
        event: IncomingEvent,
        reply: oneshot::Sender<EventReply>,
    },
    Hello {
        name: ApplianceName,
        greeting: UnresolvedHello,
        backlog: Backlog,
        reply: oneshot::Sender<SessionAccepted>,
    },
    Batch {
        session: SessionKey,
        events: Vec<SessionEvent>,
        reply: oneshot::Sender<BatchReply>,
    },
    SessionEnded {
        session: SessionKey,
    },
    Command {
        by: Box<str>,
        order: AdminCommand,
        reply: oneshot::Sender<Result<CommandReceipt, CommandRejection>>,
    },
    Identity {
        by: Box<str>,
        order: Box<IdentityCommand>,
        reply: oneshot::Sender<Result<IdentityReceipt, IdentityRejection>>,
    },
    Security {
        incident: SecurityIncident,
    },
    CrashDump(DumpReport),
    Reconfigure {
        new: Box<Reconfiguration>,
        reply: oneshot::Sender<RecordNumber>,
    },
    Alert(AlertRequest),
    Mail(MailRequest),
    Query(PendingReply),
    Stop,
}

impl std::fmt::Debug for BrokerRequest {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Report { .. } => "Report",
            Self::Hello { .. } => "Hello",
            Self::Batch { .. } => "Batch",
            Self::SessionEnded { .. } => "SessionEnded",
            Self::Command { .. } => "Command",
            Self::Identity { .. } => "Identity",
            Self::Security { .. } => "Security",
            Self::CrashDump(_) => "CrashDump",
            Self::Reconfigure { .. } => "Reconfigure",
            Self::Alert(_) => "Alert",
            Self::Mail(_) => "Mail",
            Self::Query(_) => "Query",
            Self::Stop => "Stop",
        })
    }
}

/// A reply that waits for the commit; it is called once the commit is durable, with that state.
pub(super) type PendingReply = Box<dyn FnOnce(&Grid, Timestamp) + Send>;

/// The reply `value`; a receiver that is gone is fine.
pub(super) fn reply_with<T: Send + 'static>(to: oneshot::Sender<T>, value: T) -> PendingReply {
    Box::new(move |_, _| drop(to.send(value)))
}

impl SessionKey {
    /// An event of this session, which may name a boot of its own.
    pub fn receive(
        &self,
        boot: Option<BootId>,
        sequence: Option<Sequence>,
        event: Event,
    ) -> SessionEvent {
        Box::new(ReceivedEvent {
            appliance: self.appliance,
            boot: boot.or(Some(self.boot)),
            spool: self.spool,
            sequence,
            session: Some(self.id),
            event,
        })
    }
}

impl BrokerHandle {
    /// Broker time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The clock of broker time.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The names of all appliances.
    pub fn name_index(&self) -> &NameIndex {
        &self.name_index
    }

    /// KiB of events that were received and wait to be decided.
    pub fn queued_kib(&self) -> usize {
        (QUEUED_KIB_MAX as usize).saturating_sub(self.byte_permits.available_permits())
    }

    /// Subscribes to changes from now on; each is published after it is durable.
    pub fn watch(&self) -> broadcast::Receiver<ChangedAppliances> {
        self.changes.subscribe()
    }

    /// Submits an event outside a session, of `bytes` on the wire. Returns when durable.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker's disk is full, or it stops before that.
    pub async fn submit_event(
        &self,
        name: ApplianceName,
        spool: Option<SpoolId>,
        event: IncomingEvent,
        bytes: usize,
    ) -> Result<EventReply, Unavailable> {
        self.ensure_room()?;
        let (reply, answer) = oneshot::channel();
        self.enqueue(BrokerRequest::Report { name, spool, event, reply }, bytes).await?;
        answer.await.map_err(|_| self.unavailable_reason())
    }

    /// Submits a session's next events, of `bytes` on the wire. The reply arrives through the returned
    /// receiver, which closes without one when the broker stops.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when nothing is accepted.
    pub async fn submit_batch(
        &self,
        session: SessionKey,
        events: Vec<SessionEvent>,
        bytes: usize,
    ) -> Result<oneshot::Receiver<BatchReply>, Unavailable> {
        self.ensure_room()?;
        let (reply, answer) = oneshot::channel();
        // What they take in memory: an event of a few bytes takes a box like any other.
        let bytes = bytes + events.len() * size_of::<ReceivedEvent>();
        self.enqueue(BrokerRequest::Batch { session, events, reply }, bytes).await?;
        Ok(answer)
    }

    /// Reports that a session ended.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker stops anyway.
    pub async fn close_session(&self, session: SessionKey) -> Result<(), Unavailable> {
        self.enqueue(BrokerRequest::SessionEnded { session }, 0).await
    }

    /// Executes an administrator's command. Returns when durable.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker stops before that; inside, the rejection.
    pub async fn command(
        &self,
        by: &str,
        command: AdminCommand,
    ) -> Result<Result<CommandReceipt, CommandRejection>, Unavailable> {
        self.ensure_room()?;
        let (reply, answer) = oneshot::channel();
        self.enqueue(BrokerRequest::Command { by: by.into(), order: command, reply }, 0).await?;
        answer.await.map_err(|_| self.unavailable_reason())
    }

    /// Runs a query on the grid; `query` sees only what is durable, and should be quick.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker stops before that.
    pub async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Grid, Timestamp) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let query = Box::new(move |grid: &Grid, now: Timestamp| {
            drop(reply.send(query(grid, now)));
        });
        self.enqueue(BrokerRequest::Query(query), 0).await?;
        answer.await.map_err(|_| self.unavailable_reason())
    }

    /// Tells the loop to stop after all queued requests; a full disk rejects those it cannot store.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when it has stopped.
    pub async fn stop(&self) -> Result<(), Unavailable> {
        self.status.is_stopping.store(true, Ordering::Release);
        self.enqueue(BrokerRequest::Stop, 0).await
    }

    /// Why a queued request got no reply.
    pub fn unavailable_reason(&self) -> Unavailable {
        if self.disk_is_low() { Unavailable::DiskLow } else { Unavailable::Stopping }
    }

    pub(super) fn ensure_room(&self) -> Result<(), Unavailable> {
        if self.disk_is_low() { Err(Unavailable::DiskLow) } else { Ok(()) }
    }

    pub(super) async fn enqueue(
        &self,
        work: BrokerRequest,
        bytes: usize,
    ) -> Result<(), Unavailable> {
        let at = self.clock.stamp();
        let kib =
            u32::try_from(bytes.div_ceil(1_024)).unwrap_or(QUEUED_KIB_MAX).min(QUEUED_KIB_MAX);
        let room = match kib {
            0 => None,
            kib => {
                let room = Arc::clone(&self.byte_permits).acquire_many_owned(kib).await;
                Some(room.map_err(|_| Unavailable::Stopping)?)
            }
        };
        self.queue
            .send(QueuedRequest { received_at: at, request: work, permits: room })
            .await
            .map_err(|_| Unavailable::Stopping)
    }
}
