//! Checks, requests and runs crash dumps.
//!
//! Guarantees the order of the checks, that a request is durable before its driver runs, that its
//! result has a record, and that crash dumps which the broker decides by itself run a few at a time. Does
//! not know the doors.

use std::sync::Arc;

use tokio::sync::oneshot;
use uuid::Uuid;

use crate::broker::{BrokerHandle, Unavailable};
use crate::crash_dump::agents::{Agents, Readiness};
use crate::crash_dump::back_ends::{BackEndGuard, BackEnds};
use crate::crash_dump::drivers::{self, CheckError};
use crate::crash_dump::{
    CHECK_TIMEOUT, DumpCheck, DumpReceipt, DumpRefusal, DumpTarget, Requester,
};
use crate::grid::Grid;
use crate::grid::decide::CommandRejection;
use crate::grid::log::command::{AdminCommand, DumpOrder};
use crate::grid::log::crash_dump::{DumpReport, DumpResult};
use crate::grid::model::crash_dump::OUTPUT_BYTES_MAX;
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::values::crash_dump::{DumpCause, DumpDriver};
use crate::grid::values::id::ApplianceName;
use crate::tasks;

/// The crash dumps of a broker. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CrashDumps {
    pub(super) broker: BrokerHandle,
    agents: Agents,
    pub(super) back_ends: BackEnds,
}

/// What the grid knows of an appliance before a crash dump.
struct DumpCandidate {
    target: DumpTarget,
    readiness: Option<Readiness>,
    problem: Option<DumpRefusal>,
}

impl CrashDumps {
    /// Of that broker.
    pub fn new(broker: BrokerHandle, agents: Agents) -> Self {
        Self { broker, agents, back_ends: BackEnds::default() }
    }

    /// The agents in a session.
    pub fn agents(&self) -> &Agents {
        &self.agents
    }

    /// Tells whether a crash dump would be triggered now.
    pub async fn check(&self, requester: &Requester, name: &ApplianceName) -> DumpCheck {
        self.check_and_hold(requester, name).await.0
    }

    /// Requests a crash dump. Returns when that is durable; the driver runs then.
    ///
    /// # Errors
    ///
    /// Why it is refused; nothing has happened.
    pub async fn trigger(
        &self,
        requester: &Requester,
        name: &ApplianceName,
    ) -> Result<DumpReceipt, DumpRefusal> {
        let (DumpCheck { problem, warnings, .. }, held) =
            self.check_and_hold(requester, name).await;
        let (target, guard) = match (problem, held) {
            (Some(problem), _) => return Err(problem),
            (None, Some(held)) => held,
            (None, None) => return Err(DumpRefusal::NotFound { name: name.clone() }),
        };
        let order = DumpOrder {
            request: Uuid::new_v4(),
            requester: requester.name.clone(),
            driver: target.driver,
            cause: DumpCause::Administrator,
            passes_lock: requester.is_admin,
            appliance: Some(target.uuid),
        };
        let request = order.request;
        let (recorded, waiting) = oneshot::channel();
        let (service, by) = (self.clone(), requester.by.clone());
        // A task of its own: what is recorded runs, also if the client does not wait for it.
        let running = async move {
            let record = service.request(&by, &target, order).await;
            let is_recorded = record.is_ok();
            let _ = recorded.send(record);
            if is_recorded {
                service.run_driver(target, request, guard).await;
            }
        };
        drop(tasks::spawn("crash dump", running));
        let record = waiting.await.map_err(|_| Unavailable::Stopping)??;
        Ok(DumpReceipt { request, record, warnings })
    }

    /// The check, and the back end, which nobody else talks to until the guard is dropped.
    async fn check_and_hold(
        &self,
        requester: &Requester,
        name: &ApplianceName,
    ) -> (DumpCheck, Option<(DumpTarget, BackEndGuard)>) {
        let failed = |problem| (DumpCheck { problem: Some(problem), ..DumpCheck::default() }, None);
        let before = match self.subject(requester.is_admin, name).await {
            Ok(subject) => subject,
            Err(problem) => return failed(problem),
        };
        let (driver, readiness) = (before.target.driver, before.readiness);
        let mut warnings = readiness_warnings(driver, readiness);
        // A back end is asked only where nothing else speaks against it.
        let held = match before.problem {
            Some(problem) => Err(problem),
            None => self.hold_back_end(before.target, &mut warnings).await,
        };
        match held {
            Ok(held) => (DumpCheck { problem: None, driver, warnings, readiness }, Some(held)),
            Err(problem) => {
                (DumpCheck { problem: Some(problem), driver, warnings, readiness }, None)
            }
        }
    }

    /// Waits for the back end and checks it.
    async fn hold_back_end(
        &self,
        target: DumpTarget,
        warnings: &mut Vec<String>,
    ) -> Result<(DumpTarget, BackEndGuard), DumpRefusal> {
        let waiting = tokio::time::timeout(CHECK_TIMEOUT, self.back_ends.acquire(&target.name));
        let Ok(guard) = waiting.await else {
            let why = "another check or crash dump of it is under way".to_owned();
            return Err(DumpRefusal::NotNow { name: target.name, why });
        };
        warnings.extend(self.check_back_end(&target).await?);
        Ok((target, guard))
    }

    /// What the grid knows, with the first thing that speaks against a crash dump.
    async fn subject(
        &self,
        is_admin: bool,
        name: &ApplianceName,
    ) -> Result<DumpCandidate, DumpRefusal> {
        let (agents, queried) = (self.agents.clone(), name.clone());
        let found = self.broker.query(move |grid, _| subject(grid, &agents, is_admin, &queried));
        found.await?.ok_or_else(|| DumpRefusal::NotFound { name: name.clone() })
    }

    pub(super) async fn check_back_end(
        &self,
        target: &DumpTarget,
    ) -> Result<Vec<String>, DumpRefusal> {
        let limit = CHECK_TIMEOUT.min(target.settings.timeout);
        let checked = tokio::time::timeout(limit, drivers::check(target, &self.agents)).await;
        let name = || target.name.clone();
        match checked {
            Ok(Ok(warnings)) => Ok(warnings),
            Ok(Err(CheckError::Unsupported(why))) => {
                Err(DumpRefusal::Unsupported { name: name(), why })
            }
            Ok(Err(CheckError::NotNow(why))) => Err(DumpRefusal::NotNow { name: name(), why }),
            Err(_) => {
                let driver = target.driver.as_str();
                let why = format!("{driver} did not answer within {} s", limit.as_secs());
                Err(DumpRefusal::NotNow { name: name(), why })
            }
        }
    }

    /// Makes the request durable; returns its record.
    pub(super) async fn request(
        &self,
        by: &str,
        target: &DumpTarget,
        order: DumpOrder,
    ) -> Result<u64, DumpRefusal> {
        let name = target.name.clone();
        match self.broker.command(by, AdminCommand::CrashDump { name, order }).await? {
            Ok(receipt) => Ok(receipt.record),
            Err(rejection) => Err(refusal_of(rejection, target)),
        }
    }

    /// Runs the driver and records what it did.
    pub(super) async fn run_driver(self, target: DumpTarget, request: Uuid, guard: BackEndGuard) {
        let limit = target.settings.timeout;
        let driver = drivers::trigger(&target, &self.agents);
        let done = tokio::time::timeout(limit + drivers::ENDING_TIMEOUT, driver).await;
        drop(guard);
        let report = match done {
            Ok(Ok(done)) => report(&target, request, DumpResult::Done, &done.note, &done.output),
            Ok(Err(error)) => {
                let unknown = error.is_unknown;
                let result = if unknown { DumpResult::Unknown } else { DumpResult::Failed };
                report(&target, request, result, &error.why, &error.output)
            }
            Err(_) => {
                let why = format!("it did not end within {} s", limit.as_secs());
                report(&target, request, DumpResult::Unknown, &why, "")
            }
        };
        // A broker that stops counts it as unknown at the next start.
        let _ = self.broker.report_crash_dump(report).await;
    }
}

pub(super) fn report(
    target: &DumpTarget,
    request: Uuid,
    result: DumpResult,
    detail: &str,
    output: &str,
) -> DumpReport {
    let bounded = |text: &str| text[..text.floor_char_boundary(OUTPUT_BYTES_MAX)].into();
    let (detail, output) = (bounded(detail), bounded(output));
    DumpReport { appliance: target.index, request, result, detail, output }
}

fn refusal_of(rejection: CommandRejection, target: &DumpTarget) -> DumpRefusal {
    let name = target.name.clone();
    match rejection {
        CommandRejection::NotFound { .. } => DumpRefusal::NotFound { name },
        CommandRejection::Locked { by, .. } | CommandRejection::LockedByAdmin { by, .. } => {
            DumpRefusal::Locked { name, by }
        }
        CommandRejection::NeverBooted { .. } => DumpRefusal::NeverBooted { name },
        CommandRejection::CannotDump { state, .. } => DumpRefusal::State { name, state },
        CommandRejection::AlreadyExists { .. }
        | CommandRejection::UnknownClass { .. }
        | CommandRejection::NotSuppressed { .. } => {
            DumpRefusal::NotNow { name, why: rejection.to_string() }
        }
    }
}

fn subject(
    grid: &Grid,
    agents: &Agents,
    is_admin: bool,
    name: &ApplianceName,
) -> Option<DumpCandidate> {
    let appliance = grid.state().appliance(grid.state().find(name)?)?;
    let settings = grid.settings().crash_dump(&appliance.name, &appliance.class);
    let target = DumpTarget {
        name: appliance.name.clone(),
        uuid: appliance.uuid,
        index: appliance.number,
        boot: appliance.boot_id(),
        driver: settings.driver,
        settings: Arc::new(settings),
    };
    let readiness = agents.readiness(appliance.number, appliance.boot_id());
    let name = || name.clone();
    let lock = appliance.lock.as_ref().filter(|_| !is_admin);
    let problem = if let Some(lock) = lock {
        Some(DumpRefusal::Locked { name: name(), by: lock.by.clone() })
    } else if appliance.boot.is_none() && appliance.past_boots.is_empty() {
        Some(DumpRefusal::NeverBooted { name: name() })
    } else {
        match &appliance.lifecycle {
            Lifecycle::Running | Lifecycle::Failed(_) => None,
            Lifecycle::Idle
            | Lifecycle::Starting { .. }
            | Lifecycle::Maintenance(_)
            | Lifecycle::Dumping { .. } => {
                Some(DumpRefusal::State { name: name(), state: appliance.lifecycle.as_str() })
            }
        }
    };
    Some(DumpCandidate { target, readiness, problem })
}

/// What the appliance's kernel would not do, as far as its agent reported.
fn readiness_warnings(driver: DumpDriver, readiness: Option<Readiness>) -> Vec<String> {
    let by_nmi = match driver {
        DumpDriver::Qemu | DumpDriver::Libvirt | DumpDriver::Ipmi => true,
        DumpDriver::None | DumpDriver::Agent | DumpDriver::Command => false,
    };
    let Some(readiness) = readiness else {
        let text = "the appliance has not reported whether it is ready for a crash dump: no `vme agent` \
                    in this boot";
        return vec![text.to_owned()];
    };
    let is_armed = readiness.unknown_nmi_panic
        || readiness.panic_on_unrecovered_nmi
        || readiness.panic_on_io_nmi;
    let mut warnings = Vec::new();
    if by_nmi && !is_armed {
        warnings.push(
            "the appliance is not armed: its kernel does not panic on an NMI (sysctl \
             kernel.unknown_nmi_panic=1), so nothing will happen"
                .to_owned(),
        );
    }
    if !readiness.crash_kernel_loaded {
        warnings.push(
            "the appliance has no crash kernel loaded (kdump): it panics and reboots without a dump"
                .to_owned(),
        );
    }
    warnings
}
