//! Lets tails join the follower of the grid log, and starts it for the first one.
//!
//! Guarantees that there is at most one follower, and one while there is a live tail. Does not know what
//! it sends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot};
use tonic::Status;

use super::follower::Follower;
use super::groups::{Departure, TailFilter};
use super::messages::BATCH_BYTES;
use super::pace::Pace;
use crate::broker::BrokerHandle;
use crate::grpc::{Services, status};
use crate::tasks;

/// Batches of messages that wait for a client to read them; with one more its tail is not live any more.
const BATCHES_QUEUED_MAX: usize = 8;

/// Sizes that tests reduce.
#[derive(Clone, Copy, Debug)]
pub(super) struct TailLimits {
    pub(super) queued_batches: usize,
    pub(super) batch_bytes: usize,
}

/// A tail that has sent all through `behind` and wants to be live.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) filter: TailFilter,
    pub(super) behind: u64,
    pub(super) queue: mpsc::Sender<Result<Bytes, Status>>,
    pub(super) departure: oneshot::Sender<Departure>,
}

/// What all tails share.
#[derive(Debug)]
pub(in crate::grpc) struct SharedTails {
    pub(super) pace: Pace,
    pub(super) limits: TailLimits,
    changes: Mutex<MembershipChanges>,
    changed: Notify,
    /// Where the follower is; the largest number without one.
    position: AtomicU64,
}

#[derive(Debug, Default)]
struct MembershipChanges {
    /// At most one for each tail.
    joins: Vec<Join>,
    has_left: bool,
    is_followed: bool,
}

impl SharedTails {
    pub(in crate::grpc) fn new(broker: BrokerHandle) -> Self {
        let limits = TailLimits { queued_batches: BATCHES_QUEUED_MAX, batch_bytes: BATCH_BYTES };
        Self::with_limits(broker, limits)
    }

    pub(super) fn with_limits(broker: BrokerHandle, limits: TailLimits) -> Self {
        Self {
            pace: Pace::new(broker),
            limits,
            changes: Mutex::default(),
            changed: Notify::new(),
            position: AtomicU64::new(u64::MAX),
        }
    }

    /// Makes a tail live; the follower starts if there is none.
    pub(super) fn join(
        self: &Arc<Self>,
        services: &Services,
        filter: TailFilter,
        behind: u64,
        queue: mpsc::Sender<Result<Bytes, Status>>,
    ) -> Result<Membership, Status> {
        let (departure, departed) = oneshot::channel();
        let mut changes = self.lock();
        changes.joins.push(Join { filter, behind, queue, departure });
        if !changes.is_followed {
            self.start(services, behind).inspect_err(|_| changes.joins.clear())?;
            changes.is_followed = true;
        }
        drop(changes);
        self.changed.notify_one();
        Ok(Membership { departed, shared: Arc::clone(self) })
    }

    fn start(self: &Arc<Self>, services: &Services, position: u64) -> Result<(), Status> {
        let (services, shared) = (services.clone(), Arc::clone(self));
        let runtime = Handle::current();
        let started = tasks::spawn_thread("tail follower", move || {
            let _running = Running(Arc::clone(&shared));
            Follower::new(services, shared, position).run(&runtime);
        });
        started.map(drop).map_err(|error| {
            tracing::error!(%error, "the thread that follows the grid log could not be started");
            status::no_thread(&error)
        })
    }

    /// What changed since the last call: who joins, and whether some left.
    pub(super) fn take_changes(&self) -> (Vec<Join>, bool) {
        let mut changes = self.lock();
        (std::mem::take(&mut changes.joins), std::mem::take(&mut changes.has_left))
    }

    /// Whether a tail joined since [`Self::take_changes`]; if not, the follower has to end.
    pub(super) fn continue_if_joined(&self) -> bool {
        let mut changes = self.lock();
        changes.is_followed = !changes.joins.is_empty();
        if !changes.is_followed {
            self.set_position(u64::MAX);
        }
        changes.is_followed
    }

    /// Returns when there is a change.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) fn set_position(&self, position: u64) {
        self.position.store(position, Ordering::Release);
    }

    /// Up to where a tail has to read by itself before it can be live.
    pub(super) fn joins_from(&self, durable: u64) -> u64 {
        self.position.load(Ordering::Acquire).min(durable)
    }

    fn lock(&self) -> MutexGuard<'_, MembershipChanges> {
        // A panic cannot leave it half changed.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells all that the follower ended, also if it panics: its tails end, and the next one starts another.
struct Running(Arc<SharedTails>);

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut changes = self.0.lock();
            changes.joins.clear();
            changes.is_followed = false;
            self.0.set_position(u64::MAX);
        }
    }
}

/// A live tail; it leaves when this is dropped.
pub(super) struct Membership {
    departed: oneshot::Receiver<Departure>,
    shared: Arc<SharedTails>,
}

impl Membership {
    /// Why the tail is not live any more; `None`: the follower ended.
    pub(super) async fn departed(&mut self) -> Option<Departure> {
        (&mut self.departed).await.ok()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.departed.close();
        self.shared.lock().has_left = true;
        self.shared.changed.notify_one();
    }
}
