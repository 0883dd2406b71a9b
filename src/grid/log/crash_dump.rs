//! Defines what a driver reports of a crash dump.
//!
//! Decides nothing.

use uuid::Uuid;

use crate::grid::values::id::ApplianceIndex;

/// What became of the trigger of a crash dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpReport {
    /// Of which appliance.
    pub appliance: ApplianceIndex,
    /// The request id.
    pub request: Uuid,
    /// What the driver did.
    pub result: DumpResult,
    /// Why it failed, or what is to be known of it, as a sentence without a period; empty: nothing.
    pub detail: Box<str>,
    /// The output of the driver, bounded.
    pub output: Box<str>,
}

/// What the driver of a crash dump did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpResult {
    /// The back end accepted the trigger.
    Done,
    /// It failed: nothing happened to the appliance, as far as is known.
    Failed,
    /// It is unknown whether it took effect.
    Unknown,
}
