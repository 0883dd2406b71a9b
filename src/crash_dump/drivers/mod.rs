//! Calls the driver of a crash dump.
//!
//! Guarantees that a check and a trigger end within their time limits, and that output is bounded.
//! Does not know records.

mod agent;

use crate::crash_dump::DumpTarget;
use crate::crash_dump::agents::Agents;
use crate::grid::values::crash_dump::DumpDriver;

/// Why a back end refuses before anything happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// It cannot at all: no driver, no socket, no such domain, no BMC.
    #[error("{0}")]
    Unsupported(String),
    /// It cannot now: busy, silent, or in a state without a dump.
    #[error("{0}")]
    NotNow(String),
}

/// A back end accepted the trigger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Triggered {
    /// What is to be known of it, as a sentence; empty: nothing.
    pub note: String,
    /// The output of the driver, bounded.
    pub output: String,
}

/// A driver failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct TriggerError {
    /// Why, as a sentence without a period.
    pub why: String,
    /// The output of the driver, bounded.
    pub output: String,
    /// It is unknown whether it took effect: it died or fell silent after it was told.
    pub is_unknown: bool,
}

/// Asks the back end whether a crash dump is possible now. Returns warnings.
///
/// # Errors
///
/// [`CheckError`].
pub async fn check(target: &DumpTarget, agents: &Agents) -> Result<Vec<String>, CheckError> {
    match target.driver {
        DumpDriver::None => Err(CheckError::Unsupported("no driver is configured".to_owned())),
        DumpDriver::Agent => agent::check(target, agents),
        DumpDriver::Qemu | DumpDriver::Libvirt | DumpDriver::Ipmi | DumpDriver::Command => {
            Err(CheckError::Unsupported("not built yet".to_owned()))
        }
    }
}

/// Triggers the crash dump.
///
/// # Errors
///
/// [`TriggerError`].
pub async fn trigger(target: &DumpTarget, agents: &Agents) -> Result<Triggered, TriggerError> {
    if target.driver == DumpDriver::Agent {
        return agent::trigger(target, agents).await;
    }
    let (why, output) = ("not built yet".to_owned(), String::new());
    Err(TriggerError { why, output, is_unknown: false })
}
