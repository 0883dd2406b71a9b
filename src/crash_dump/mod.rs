//! Triggers crash dumps of appliances: checks what is possible, calls the driver, records the result.
//!
//! ```text
//! check (settings, state, support) -> command (durable) -> reply -> driver -> result (durable)
//! ```
//!
//! Guarantees that nothing happens to an appliance before its record is durable, that what is known
//! to be impossible is refused before that, and that a driver has a time limit. All doors call
//! [`CrashDumps`]. Does not know who may do what: that is decided before.

pub mod agents;
mod automatic;
mod back_ends;
pub mod drivers;
mod service;

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::broker::Unavailable;
use crate::crash_dump::agents::Readiness;
use crate::grid::model::crash_dump::CrashDumpSettings;
use crate::grid::values::crash_dump::DumpDriver;
use crate::grid::values::id::{ApplianceIndex, ApplianceName, BootId, RecordNumber};

pub use service::CrashDumps;

/// How long the check of a back end may take, whatever the driver's own limit is: a client waits.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(8);

/// The appliance whose crash dump is to be triggered, and how.
#[derive(Clone, Debug)]
pub struct DumpTarget {
    /// Its name.
    pub name: ApplianceName,
    /// Its UUID.
    pub uuid: Uuid,
    /// Its index.
    pub index: ApplianceIndex,
    /// Its current boot, if its id is known.
    pub boot: Option<BootId>,
    /// The driver that is to act; not always the configured one.
    pub driver: DumpDriver,
    /// The settings of all drivers.
    pub settings: Arc<CrashDumpSettings>,
}

impl DumpTarget {
    /// `text` with `{name}` and `{uuid}` replaced.
    pub fn expand(&self, text: &str) -> String {
        text.replace("{name}", self.name.as_str()).replace("{uuid}", &self.uuid.to_string())
    }
}

/// Who requests a crash dump.
#[derive(Clone, Debug)]
pub struct Requester {
    /// The name alone.
    pub name: Box<str>,
    /// As records show it: name, role and address.
    pub by: Box<str>,
    /// Whether a lock is passed.
    pub is_admin: bool,
}

/// What is known before a crash dump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DumpCheck {
    /// Why none would be triggered.
    pub problem: Option<DumpRefusal>,
    /// The driver.
    pub driver: DumpDriver,
    /// What may make it useless or dangerous, a sentence each.
    pub warnings: Vec<String>,
    /// What the agent reported of the current boot.
    pub readiness: Option<Readiness>,
}

/// A crash dump that is requested; its record is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpReceipt {
    /// Its request id.
    pub request: Uuid,
    /// The record of the request.
    pub record: RecordNumber,
    /// As of [`DumpCheck`].
    pub warnings: Vec<String>,
}

/// Why no crash dump is triggered. In the order of the checks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DumpRefusal {
    /// The appliance does not exist.
    #[error("there is no appliance {name}; `gridctl appliance list` shows all of them")]
    NotFound {
        /// The requested name.
        name: ApplianceName,
    },
    /// It is locked, and the caller is no admin.
    #[error("{name} is locked by {by}; `gridctl appliance unlock {name}` unlocks it")]
    Locked {
        /// The appliance.
        name: ApplianceName,
        /// Who locked it.
        by: Box<str>,
    },
    /// It never booted.
    #[error("{name} has never booted; a crash dump is taken of a running or failed appliance")]
    NeverBooted {
        /// The appliance.
        name: ApplianceName,
    },
    /// Its state does not allow it.
    #[error("{name} is {state}; a crash dump is taken of a running or failed appliance")]
    State {
        /// The appliance.
        name: ApplianceName,
        /// Its state.
        state: &'static str,
    },
    /// No driver is configured, or the back end cannot do it.
    #[error("no crash dump of {name} is possible: {why}")]
    Unsupported {
        /// The appliance.
        name: ApplianceName,
        /// Why; a sentence without a period.
        why: String,
    },
    /// The back end cannot do it now.
    #[error("no crash dump of {name} is possible now: {why}")]
    NotNow {
        /// The appliance.
        name: ApplianceName,
        /// Why; a sentence without a period.
        why: String,
    },
    /// The broker accepts nothing.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
