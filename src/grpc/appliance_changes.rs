//! Collects the changes of appliances once for all watches.
//!
//! One task from the first watch to the last. It takes what many commits changed, asks the broker loop
//! once, and passes the same appliances to all watches. Guarantees that a watch gets the state of an
//! appliance after its last change, or is told to list all again. Does not know filters or clients.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::Services;
use crate::broker::{ChangedAppliances, Unavailable};
use crate::clock::monotonic_now;
use crate::contract::{encode, proto};
use crate::grid::Grid;
use crate::grid::values::id::{ApplianceIndex, ApplianceName};
use crate::grid::values::time::Timestamp;
use crate::tasks;

/// Most appliances in a query.
pub(super) const APPLIANCES_PER_QUERY: usize = 256;

/// Updates that a watch may lag behind before it lists all again.
const UPDATES_BUFFERED: usize = 64;

/// Changes of so long are passed on together.
const COLLECTED_FOR: Duration = Duration::from_millis(50);

/// An appliance after a change.
#[derive(Clone, Debug)]
pub(super) struct ChangedAppliance {
    pub(super) name: ApplianceName,
    /// `None`: it was removed.
    pub(super) current: Option<proto::Appliance>,
}

/// What changed.
#[derive(Clone, Debug)]
pub(super) enum ApplianceUpdate {
    /// These.
    Changed(Arc<[ChangedAppliance]>),
    /// Possibly all.
    All,
}

/// The collector, as watches share it.
#[derive(Debug)]
pub(super) struct ApplianceChanges {
    updates: Mutex<Option<broadcast::Sender<ApplianceUpdate>>>,
}

impl ApplianceChanges {
    pub(super) fn new() -> Self {
        Self { updates: Mutex::default() }
    }

    /// Subscribes to all changes from now on; starts the collector if there is none.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        services: &Services,
    ) -> broadcast::Receiver<ApplianceUpdate> {
        let mut updates = self.updates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(updates) = &*updates {
            return updates.subscribe();
        }
        let (sender, receiver) = broadcast::channel(UPDATES_BUFFERED);
        *updates = Some(sender.clone());
        // Subscribed here: what changes after this call is not missed.
        let changes = services.broker.watch();
        let ending = Ending { shared: Arc::clone(self), sender: sender.clone() };
        let collector = Collector { services: services.clone(), changes, ending };
        drop(tasks::spawn("changes of appliances", collector.run()));
        receiver
    }
}

/// Ends the collector's subscription, also if it panics: its watches end, and the next starts another.
struct Ending {
    shared: Arc<ApplianceChanges>,
    sender: broadcast::Sender<ApplianceUpdate>,
}

impl Ending {
    /// Whether there is no watch any more. Then later ones start another collector.
    fn is_unused(&self) -> bool {
        let mut updates = self.shared.updates.lock().unwrap_or_else(PoisonError::into_inner);
        let is_unused = self.sender.receiver_count() == 0;
        if is_unused {
            updates.take_if(|current| current.same_channel(&self.sender));
        }
        is_unused
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let mut updates = self.shared.updates.lock().unwrap_or_else(PoisonError::into_inner);
        updates.take_if(|current| current.same_channel(&self.sender));
    }
}

struct Collector {
    services: Services,
    changes: broadcast::Receiver<ChangedAppliances>,
    ending: Ending,
}

impl Collector {
    /// Ends with the last watch, or with the broker.
    async fn run(mut self) {
        loop {
            let first = tokio::select! {
                changed = self.changes.recv() => changed,
                () = tokio::time::sleep(Duration::from_secs(1)) => {
                    if self.ending.is_unused() {
                        return;
                    }
                    continue;
                }
            };
            if self.ending.is_unused() {
                return;
            }
            let began = monotonic_now();
            let changed = match first {
                Ok(first) => self.collect(first),
                Err(RecvError::Lagged(_)) => None,
                Err(RecvError::Closed) => return,
            };
            if self.publish(changed).await.is_err() {
                return;
            }
            // What changes meanwhile wakes nobody.
            tokio::time::sleep(COLLECTED_FOR.max(began.elapsed())).await;
        }
    }

    /// All changes until now; `None`: possibly all appliances.
    fn collect(&mut self, first: ChangedAppliances) -> Option<BTreeSet<ApplianceIndex>> {
        let mut collected = BTreeSet::new();
        let mut next = Ok(first);
        loop {
            match next {
                Ok(ChangedAppliances::Listed(numbers)) => collected.extend(numbers.iter().copied()),
                Ok(ChangedAppliances::All) | Err(TryRecvError::Lagged(_)) => {
                    // Before the list is read: what changes later follows.
                    self.changes = self.changes.resubscribe();
                    return None;
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Some(collected),
            }
            next = self.changes.try_recv();
        }
    }

    async fn publish(&self, changed: Option<BTreeSet<ApplianceIndex>>) -> Result<(), Unavailable> {
        // Without watches sending fails, which is fine.
        let Some(changed) = changed else {
            let _ = self.ending.sender.send(ApplianceUpdate::All);
            return Ok(());
        };
        let mut rest = changed.into_iter().peekable();
        while rest.peek().is_some() {
            let some = rest.by_ref().take(APPLIANCES_PER_QUERY).collect();
            let appliances = self.services.changed_appliances(some).await?;
            let _ = self.ending.sender.send(ApplianceUpdate::Changed(appliances));
        }
        Ok(())
    }
}

impl Services {
    /// The current states of these appliances. A removed one may have been added again under its name,
    /// with another index.
    pub(super) async fn changed_appliances(
        &self,
        numbers: Vec<ApplianceIndex>,
    ) -> Result<Arc<[ChangedAppliance]>, Unavailable> {
        let query = move |grid: &Grid, now: Timestamp| {
            let names: BTreeSet<_> =
                numbers.into_iter().filter_map(|number| grid.state().name(number)).collect();
            let changed = |name: &ApplianceName| {
                let number = grid.state().find(name);
                let appliance = number.and_then(|number| grid.state().appliance(number));
                let current = appliance.map(|it| encode::appliance(grid, it, now));
                ChangedAppliance { name: name.clone(), current }
            };
            names.into_iter().map(changed).collect()
        };
        self.broker.query(query).await
    }
}
