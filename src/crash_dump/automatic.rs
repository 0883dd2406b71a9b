//! Runs the crash dumps that the broker decides by itself.
//!
//! Guarantees that a few run at a time, that none waits for another one's back end, that a back end
//! which is busy is asked again for a minute, and that what is not possible is recorded. Does not decide
//! that one is due: the core does.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::broker::Unavailable;
use crate::clock::monotonic_now;
use crate::crash_dump::service::{CrashDumps, report};
use crate::crash_dump::{DumpRefusal, DumpTarget};
use crate::grid::Grid;
use crate::grid::log::command::DumpOrder;
use crate::grid::log::crash_dump::DumpResult;
use crate::grid::model::crash_dump::{CrashDump, DumpTrigger};
use crate::grid::state::appliance::Appliance;
use crate::grid::values::crash_dump::DumpDriver;
use crate::grid::values::id::ApplianceIndex;
use crate::tasks;

/// Most crash dumps at once that the broker decides by itself: many appliances may hang at once.
const AUTOMATIC_MAX: usize = 8;

/// When a back end that is busy, or a broker that accepts nothing, is asked again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// For how long a back end that is busy is asked again. An agent connects again within that time.
const RETRY_FOR: Duration = Duration::from_secs(60);

/// The record's administrator of crash dumps that the broker decides.
const BROKER: &str = "gridd";

/// The requests that have a task.
type Begun = Arc<Mutex<BTreeSet<Uuid>>>;

/// What became of an attempt to begin.
enum Attempt {
    /// It ran, or is recorded as not possible, or is not due any more.
    Over,
    /// It may be possible later.
    Again,
}

impl CrashDumps {
    /// Runs what is due, as long as the broker lives.
    pub async fn run_due(self, mut due: watch::Receiver<u64>) {
        let permits = Arc::new(Semaphore::new(AUTOMATIC_MAX));
        let begun = Begun::default();
        loop {
            due.mark_unchanged();
            let Ok(waiting) = self.broker.query(|grid, _| due_dumps(grid)).await else { return };
            for (number, request) in waiting {
                if begun.lock().unwrap_or_else(PoisonError::into_inner).insert(request) {
                    let (service, permits) = (self.clone(), Arc::clone(&permits));
                    let begun = Arc::clone(&begun);
                    drop(tasks::spawn("automatic crash dump", async move {
                        let permit = permits.acquire_owned().await;
                        service.run_one(number, request).await;
                        drop(permit);
                        begun.lock().unwrap_or_else(PoisonError::into_inner).remove(&request);
                    }));
                }
            }
            if due.changed().await.is_err() {
                return;
            }
        }
    }

    /// Runs one, or records why it is not possible.
    async fn run_one(&self, number: ApplianceIndex, request: Uuid) {
        let until = monotonic_now() + RETRY_FOR;
        loop {
            match self.attempt(number, request, until).await {
                Ok(Attempt::Over) | Err(Unavailable::Stopping) => return,
                // A back end that is busy, or the disk: what is due stays so.
                Ok(Attempt::Again) | Err(Unavailable::DiskLow) => {}
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    async fn attempt(
        &self,
        number: ApplianceIndex,
        request: Uuid,
        until: Instant,
    ) -> Result<Attempt, Unavailable> {
        let due = || self.broker.query(move |grid, _| due_dump(grid, number, request));
        let Some((target, _)) = due().await? else { return Ok(Attempt::Over) };
        let guard = self.back_ends.acquire(&target.name).await;
        // Read again: much may have happened while it waited.
        let Some((target, dump)) = due().await? else { return Ok(Attempt::Over) };
        let order = DumpOrder {
            request,
            requester: BROKER.into(),
            driver: dump.driver,
            cause: dump.cause,
            passes_lock: false,
            appliance: Some(target.uuid),
        };
        let begun = match self.check_back_end(&target).await {
            Ok(_) => self.request(BROKER, &target, order).await,
            Err(refusal) => Err(refusal),
        };
        let refusal = match begun {
            Ok(_) => {
                self.clone().run_driver(target, request, guard).await;
                return Ok(Attempt::Over);
            }
            Err(DumpRefusal::Unavailable(reason)) => return Err(reason),
            Err(refusal) => refusal,
        };
        if may_pass(&refusal, target.driver) && monotonic_now() < until {
            return Ok(Attempt::Again);
        }
        let report = report(&target, request, DumpResult::Failed, &refusal.to_string(), "");
        self.broker.report_crash_dump(report).await?;
        Ok(Attempt::Over)
    }
}

/// Whether the refusal may be over soon.
fn may_pass(refusal: &DumpRefusal, driver: DumpDriver) -> bool {
    match refusal {
        DumpRefusal::NotNow { .. } => true,
        // An agent connects again after the broker has started.
        DumpRefusal::Unsupported { .. } => driver == DumpDriver::Agent,
        DumpRefusal::NotFound { .. }
        | DumpRefusal::Locked { .. }
        | DumpRefusal::NeverBooted { .. }
        | DumpRefusal::State { .. }
        | DumpRefusal::Unavailable(_) => false,
    }
}

fn newest_due(appliance: &Appliance) -> Option<&CrashDump> {
    appliance.crash_dumps.iter().find(|it| it.trigger == DumpTrigger::Due)
}

/// The crash dumps that the broker has decided and not begun.
fn due_dumps(grid: &Grid) -> Vec<(ApplianceIndex, Uuid)> {
    let due = grid
        .state()
        .appliances()
        .filter_map(|appliance| Some((appliance.number, newest_due(appliance)?.request)));
    due.collect()
}

/// One of them, if it still is.
fn due_dump(grid: &Grid, number: ApplianceIndex, request: Uuid) -> Option<(DumpTarget, CrashDump)> {
    let appliance = grid.state().appliance(number)?;
    let dump = newest_due(appliance).filter(|it| it.request == request)?;
    let settings = grid.settings().crash_dump(&appliance.name, &appliance.class);
    let target = DumpTarget {
        name: appliance.name.clone(),
        uuid: appliance.uuid,
        index: appliance.number,
        boot: appliance.boot_id(),
        driver: dump.driver,
        settings: Arc::new(settings),
    };
    Some((target, dump.clone()))
}
