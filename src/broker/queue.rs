//! Defines the loop's queue: its requests, its bounds, and the handle that fills it.
//!
//! Guarantees a bound in requests and bytes: beyond it a caller waits, and so stops reading its
//! session. Each request is stamped when it is received. Decides nothing.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, oneshot};
use uuid::Uuid;

use super::backlog::Backlog;
use super::mailing::{MailReply, MailWork};
use super::rows::Greeting;
use super::settings::Reconfiguration;
use super::signs::Signs;
use crate::clock::{Clock, Stamp};
use crate::grid::Grid;
use crate::grid::decide::OrderRefusal;
use crate::grid::event::Event;
use crate::grid::marks::Marks;
use crate::grid::name::{ApplianceName, ApplianceNumber, BootId, RecordNumber, Sequence, SpoolId};
use crate::grid::outbox::MailRefusal;
use crate::grid::record::{Order, Outcome, SessionId};
use crate::grid::time::Timestamp;

/// Most requests that wait; a session has one at a time.
pub(super) const ITEMS_WAITING: usize = 16_384;

/// Most bytes that wait, in KiB: 64 MiB.
pub(super) const KIB_WAITING: u32 = 64 << 10;

/// Most changes that a slow watcher may lag behind before it is sent everything again.
pub(super) const CHANGES_WAITING: usize = 1_024;

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
pub struct Broker {
    pub(super) queue: mpsc::Sender<Item>,
    pub(super) room: Arc<Semaphore>,
    pub(super) clock: Clock,
    pub(super) names: Names,
    pub(super) changes: broadcast::Sender<Changed>,
    pub(super) signs: Arc<Signs>,
}

/// A decoded event, not yet joined with its sender.
#[derive(Clone, Debug)]
pub struct HeardEvent {
    /// The boot it names; by default that of its session.
    pub boot: Option<BootId>,
    /// Its sequence number.
    pub sequence: Option<Sequence>,
    /// The event.
    pub event: Event,
}

/// The result of an event.
#[derive(Clone, Copy, Debug)]
pub struct EventAnswer {
    /// Its outcome.
    pub outcome: Outcome,
    /// Its record flags.
    pub marks: Marks,
    /// Its record, if it has one.
    pub record: Option<RecordNumber>,
    /// Suppressed: until when.
    pub suppressed_until: Option<Timestamp>,
}

/// The first reply to a batch that a session submitted.
#[derive(Debug)]
pub enum Brought {
    /// The results of its events, in order; all are durable.
    Answered(Vec<EventAnswer>),
    /// The results follow with the tally of suppressed events; later events may be submitted.
    Held(oneshot::Receiver<Vec<EventAnswer>>),
}

/// The reply to an accepted hello.
#[derive(Clone, Copy, Debug)]
pub struct Welcomed {
    /// The appliance's index.
    pub appliance: ApplianceNumber,
    /// The appliance's UUID.
    pub uuid: Uuid,
    /// Whether the broker knows sequence numbers of the spool.
    pub knew_spool: bool,
    /// The longest report deadline its class allows.
    pub promise_max: Duration,
}

/// Identifies a session, with the data of its hello.
#[derive(Clone, Copy, Debug)]
pub struct SessionKey {
    /// The session.
    pub id: SessionId,
    /// Its appliance.
    pub appliance: ApplianceNumber,
    /// Its boot.
    pub boot: BootId,
    /// The spool that numbers its events.
    pub spool: Option<SpoolId>,
}

/// A command that was executed.
#[derive(Clone, Copy, Debug)]
pub struct Ordered {
    /// The appliance it was about.
    pub appliance: ApplianceNumber,
    /// The record of the command.
    pub record: RecordNumber,
}

/// Which appliances changed in a commit.
#[derive(Clone, Debug)]
pub enum Changed {
    /// These, possibly one twice.
    These(Arc<[ApplianceNumber]>),
    /// Possibly all.
    All,
}

/// Names by appliance index, removed ones included. Cheap to clone; all clones share it.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<RwLock<Vec<Option<ApplianceName>>>>);

impl Names {
    /// The name of an index; empty if there is none.
    pub fn name(&self, number: ApplianceNumber) -> String {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let at = number.0.checked_sub(1).map(|at| at as usize);
        let name = at.and_then(|at| names.get(at)).and_then(Option::as_ref);
        name.map(ToString::to_string).unwrap_or_default()
    }

    /// The indexes whose name matches.
    pub fn matching(&self, is_match: impl Fn(&str) -> bool) -> Vec<ApplianceNumber> {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let rows = names.iter().zip(1..);
        rows.filter(|(name, _)| name.as_ref().is_some_and(|name| is_match(name.as_str())))
            .map(|(_, number)| ApplianceNumber(number))
            .collect()
    }

    /// An index has one name for ever; those lost with missing records have none.
    pub(super) fn set(&self, number: ApplianceNumber, name: &ApplianceName) {
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = number.0.checked_sub(1).map(|at| at as usize) else { return };
        if at >= names.len() {
            names.resize(at + 1, None);
        }
        names[at] = Some(name.clone());
    }
}

/// A request in the queue.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) at: Stamp,
    pub(super) work: Work,
    /// Released when the request was decided.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

type Question = Box<dyn FnOnce(&Grid, Timestamp) + Send>;

pub(super) enum Work {
    Report {
        name: ApplianceName,
        spool: Option<SpoolId>,
        event: HeardEvent,
        reply: oneshot::Sender<EventAnswer>,
    },
    Hello {
        name: ApplianceName,
        greeting: Greeting,
        backlog: Backlog,
        reply: oneshot::Sender<Welcomed>,
    },
    Chunk {
        session: SessionKey,
        events: Vec<HeardEvent>,
        reply: oneshot::Sender<Brought>,
    },
    SessionEnded {
        session: SessionKey,
    },
    Order {
        by: Box<str>,
        order: Order,
        reply: oneshot::Sender<Result<Ordered, OrderRefusal>>,
    },
    Settings {
        new: Box<Reconfiguration>,
        reply: oneshot::Sender<RecordNumber>,
    },
    Mail(MailWork),
    Ask(Question),
    Stop,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Report { .. } => "Report",
            Self::Hello { .. } => "Hello",
            Self::Chunk { .. } => "Chunk",
            Self::SessionEnded { .. } => "SessionEnded",
            Self::Order { .. } => "Order",
            Self::Settings { .. } => "Settings",
            Self::Mail(_) => "Mail",
            Self::Ask(_) => "Ask",
            Self::Stop => "Stop",
        })
    }
}

/// A reply that waits for the commit.
pub(super) enum Reply {
    Report(oneshot::Sender<EventAnswer>, EventAnswer),
    Hello(oneshot::Sender<Welcomed>, Welcomed),
    Chunk(oneshot::Sender<Brought>, Vec<EventAnswer>),
    /// Of a batch that waited for a tally.
    Held(oneshot::Sender<Vec<EventAnswer>>, Vec<EventAnswer>),
    Order(oneshot::Sender<Result<Ordered, OrderRefusal>>, Result<Ordered, OrderRefusal>),
    Settings(oneshot::Sender<RecordNumber>, RecordNumber),
    Mail(MailReply, Result<RecordNumber, MailRefusal>),
    Ask(Question),
}

impl Reply {
    /// Sends the reply; a receiver that is gone is fine.
    pub(super) fn send(self, grid: &Grid, now: Timestamp) {
        match self {
            Self::Report(to, answer) => drop(to.send(answer)),
            Self::Hello(to, welcomed) => drop(to.send(welcomed)),
            Self::Chunk(to, answers) => drop(to.send(Brought::Answered(answers))),
            Self::Held(to, answers) => drop(to.send(answers)),
            Self::Order(to, answer) => drop(to.send(answer)),
            Self::Settings(to, number) => drop(to.send(number)),
            Self::Mail(to, answer) => drop(to.send(answer)),
            Self::Ask(query) => query(grid, now),
        }
    }
}

impl Broker {
    /// Broker time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The names of all appliances.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Subscribes to changes from now on; each is published after it is durable.
    pub fn watch(&self) -> broadcast::Receiver<Changed> {
        self.changes.subscribe()
    }

    /// Submits an event outside a session, of `bytes` on the wire. Returns when durable.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker's disk is full, or it stops before that.
    pub async fn report(
        &self,
        name: ApplianceName,
        spool: Option<SpoolId>,
        event: HeardEvent,
        bytes: usize,
    ) -> Result<EventAnswer, Unavailable> {
        self.needs_room()?;
        let (reply, answer) = oneshot::channel();
        self.put(Work::Report { name, spool, event, reply }, bytes).await?;
        answer.await.map_err(|_| self.unanswered())
    }

    /// Submits a session's next events, of `bytes` on the wire. The reply arrives through the returned
    /// receiver, which closes without one when the broker stops.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when nothing is accepted.
    pub async fn bring(
        &self,
        session: SessionKey,
        events: Vec<HeardEvent>,
        bytes: usize,
    ) -> Result<oneshot::Receiver<Brought>, Unavailable> {
        self.needs_room()?;
        let (reply, answer) = oneshot::channel();
        self.put(Work::Chunk { session, events, reply }, bytes).await?;
        Ok(answer)
    }

    /// Reports that a session ended.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker stops anyway.
    pub async fn session_ended(&self, session: SessionKey) -> Result<(), Unavailable> {
        self.put(Work::SessionEnded { session }, 0).await
    }

    /// Executes an administrator's command. Returns when durable.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker stops before that; inside, the rejection.
    pub async fn order(
        &self,
        by: &str,
        order: Order,
    ) -> Result<Result<Ordered, OrderRefusal>, Unavailable> {
        self.needs_room()?;
        let (reply, answer) = oneshot::channel();
        self.put(Work::Order { by: by.into(), order, reply }, 0).await?;
        answer.await.map_err(|_| self.unanswered())
    }

    /// Runs a query on the grid; `query` sees only what is durable, and should be quick.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker stops before that.
    pub async fn ask<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Grid, Timestamp) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let query = Box::new(move |grid: &Grid, now: Timestamp| {
            drop(reply.send(query(grid, now)));
        });
        self.put(Work::Ask(query), 0).await?;
        answer.await.map_err(|_| self.unanswered())
    }

    /// Tells the loop to stop after all queued requests; those that a full disk cannot store are
    /// rejected.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when it has stopped.
    pub async fn stop(&self) -> Result<(), Unavailable> {
        self.signs.stops.store(true, Ordering::Release);
        self.put(Work::Stop, 0).await
    }

    /// Why a queued request got no reply.
    pub fn unanswered(&self) -> Unavailable {
        if self.disk_is_low() { Unavailable::DiskLow } else { Unavailable::Stopping }
    }

    pub(super) fn needs_room(&self) -> Result<(), Unavailable> {
        if self.disk_is_low() { Err(Unavailable::DiskLow) } else { Ok(()) }
    }

    pub(super) async fn put(&self, work: Work, bytes: usize) -> Result<(), Unavailable> {
        let at = self.clock.stamp();
        let kib = u32::try_from(bytes.div_ceil(1_024)).unwrap_or(KIB_WAITING).min(KIB_WAITING);
        let room = match kib {
            0 => None,
            kib => {
                let room = Arc::clone(&self.room).acquire_many_owned(kib).await;
                Some(room.map_err(|_| Unavailable::Stopping)?)
            }
        };
        self.queue.send(Item { at, work, room }).await.map_err(|_| Unavailable::Stopping)
    }
}
