//! How is the broker asked? The queue's items, its bounds, and the handle that fills it.
//!
//! Guarantees a bound in items and bytes: whoever brings more waits, and so stops reading its
//! session. Each item is stamped when it is received. Decides nothing.

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

/// Most items that wait; a session has one at a time.
pub(super) const ITEMS_WAITING: usize = 16_384;

/// Most bytes that wait, in KiB: 64 MiB.
pub(super) const KIB_WAITING: u32 = 64 << 10;

/// Most changes that a slow watcher may lag behind before it is given everything anew.
pub(super) const CHANGES_WAITING: usize = 1_024;

/// The broker does not take what it was given, and has kept nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// It ends.
    #[error("the broker is stopping and takes nothing any more")]
    Stopping,
    /// Its disk is nearly full.
    #[error(
        "the broker's disk is nearly full (less is free than its disk_low_water and a reserve of 32 \
         MiB), so it takes nothing new; reading goes on"
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

/// An event as it came out of the check, not yet joined with who said it.
#[derive(Clone, Debug)]
pub struct HeardEvent {
    /// The boot it names; a session's own fills in.
    pub boot: Option<BootId>,
    /// The number it bears.
    pub sequence: Option<Sequence>,
    /// The event.
    pub event: Event,
}

/// What became of an event.
#[derive(Clone, Copy, Debug)]
pub struct EventAnswer {
    /// What became of it.
    pub outcome: Outcome,
    /// What was noted.
    pub marks: Marks,
    /// Its record, if it has one.
    pub record: Option<RecordNumber>,
    /// Suppressed: until when.
    pub suppressed_until: Option<Timestamp>,
}

/// What a session hears first of a chunk that it brought.
#[derive(Debug)]
pub enum Brought {
    /// What became of its events, in order; all of that is durable.
    Answered(Vec<EventAnswer>),
    /// The same comes with the tally of what was suppressed; what was said behind it may be brought.
    Held(oneshot::Receiver<Vec<EventAnswer>>),
}

/// The broker's side of an accepted hello.
#[derive(Clone, Copy, Debug)]
pub struct Welcomed {
    /// The appliance's row.
    pub appliance: ApplianceNumber,
    /// The appliance's UUID.
    pub uuid: Uuid,
    /// Whether the broker knows sequences of the spool.
    pub knew_spool: bool,
    /// The longest promise its class allows.
    pub promise_max: Duration,
}

/// Names a session and what its hello said.
#[derive(Clone, Copy, Debug)]
pub struct SessionKey {
    /// The session.
    pub id: SessionId,
    /// Whose.
    pub appliance: ApplianceNumber,
    /// Of which boot.
    pub boot: BootId,
    /// Whose numbers its events bear.
    pub spool: Option<SpoolId>,
}

/// An order that was carried out.
#[derive(Clone, Copy, Debug)]
pub struct Ordered {
    /// The appliance it was about.
    pub appliance: ApplianceNumber,
    /// The record that says so.
    pub record: RecordNumber,
}

/// Which appliances changed in a commit.
#[derive(Clone, Debug)]
pub enum Changed {
    /// These, perhaps one twice.
    These(Arc<[ApplianceNumber]>),
    /// Perhaps all.
    All,
}

/// Names of all rows, those gone included. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<RwLock<Vec<Option<ApplianceName>>>>);

impl Names {
    /// The name of a row; empty if there is none.
    pub fn name(&self, number: ApplianceNumber) -> String {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let at = number.0.checked_sub(1).map(|at| at as usize);
        let name = at.and_then(|at| names.get(at)).and_then(Option::as_ref);
        name.map(ToString::to_string).unwrap_or_default()
    }

    /// The rows whose name is wanted.
    pub fn matching(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<ApplianceNumber> {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let rows = names.iter().zip(1..);
        rows.filter(|(name, _)| name.as_ref().is_some_and(|name| is_wanted(name.as_str())))
            .map(|(_, number)| ApplianceNumber(number))
            .collect()
    }

    /// A row bears one name for ever; those lost with missing records bear none.
    pub(super) fn set(&self, number: ApplianceNumber, name: &ApplianceName) {
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = number.0.checked_sub(1).map(|at| at as usize) else { return };
        if at >= names.len() {
            names.resize(at + 1, None);
        }
        names[at] = Some(name.clone());
    }
}

/// One item of the queue.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) at: Stamp,
    pub(super) work: Work,
    /// Given back when the item was decided.
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

/// An answer that waits for the commit.
pub(super) enum Reply {
    Report(oneshot::Sender<EventAnswer>, EventAnswer),
    Hello(oneshot::Sender<Welcomed>, Welcomed),
    Chunk(oneshot::Sender<Brought>, Vec<EventAnswer>),
    /// Of a chunk that was held for a tally.
    Held(oneshot::Sender<Vec<EventAnswer>>, Vec<EventAnswer>),
    Order(oneshot::Sender<Result<Ordered, OrderRefusal>>, Result<Ordered, OrderRefusal>),
    Settings(oneshot::Sender<RecordNumber>, RecordNumber),
    Mail(MailReply, Result<RecordNumber, MailRefusal>),
    Ask(Question),
}

impl Reply {
    /// Answers; whoever has gone meanwhile does not mind.
    pub(super) fn send(self, grid: &Grid, now: Timestamp) {
        match self {
            Self::Report(to, answer) => drop(to.send(answer)),
            Self::Hello(to, welcomed) => drop(to.send(welcomed)),
            Self::Chunk(to, answers) => drop(to.send(Brought::Answered(answers))),
            Self::Held(to, answers) => drop(to.send(answers)),
            Self::Order(to, answer) => drop(to.send(answer)),
            Self::Settings(to, number) => drop(to.send(number)),
            Self::Mail(to, answer) => drop(to.send(answer)),
            Self::Ask(question) => question(grid, now),
        }
    }
}

impl Broker {
    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Names of all rows.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Tells of changes from now on, after they are durable.
    pub fn watch(&self) -> broadcast::Receiver<Changed> {
        self.changes.subscribe()
    }

    /// An event said outside a session, of `bytes` on the wire. Answered when durable.
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

    /// Brings a session's next events, of `bytes` on the wire. The answer comes by what is given,
    /// which ends without one when the broker stops.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when nothing is taken.
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

    /// A session ended.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker stops anyway.
    pub async fn session_ended(&self, session: SessionKey) -> Result<(), Unavailable> {
        self.put(Work::SessionEnded { session }, 0).await
    }

    /// An administrator's order. Answered when durable.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker stops before that; inside, the refusal.
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

    /// Asks the grid something; `question` sees only what is durable, and should be quick.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker stops before that.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Grid, Timestamp) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let question = Box::new(move |grid: &Grid, now: Timestamp| {
            drop(reply.send(question(grid, now)));
        });
        self.put(Work::Ask(question), 0).await?;
        answer.await.map_err(|_| self.unanswered())
    }

    /// Tells the loop to stop behind all that is waiting; what a full disk does not take is given
    /// up.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when it has stopped.
    pub async fn stop(&self) -> Result<(), Unavailable> {
        self.signs.stops.store(true, Ordering::Release);
        self.put(Work::Stop, 0).await
    }

    /// Why there is no answer to what was put.
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
