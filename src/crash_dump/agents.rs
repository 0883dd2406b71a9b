//! Knows the agents in a session that may crash their appliance, and what each told of its readiness.
//!
//! Guarantees one entry per appliance, of its newest session. Does not know events.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::contract::proto::CrashDumpReadiness;
use crate::grid::values::id::{ApplianceIndex, BootId};

/// What an agent told of its kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// kernel.unknown_nmi_panic.
    pub unknown_nmi_panic: bool,
    /// kernel.panic_on_unrecovered_nmi.
    pub panic_on_unrecovered_nmi: bool,
    /// kernel.panic_on_io_nmi.
    pub panic_on_io_nmi: bool,
    /// A crash kernel is loaded.
    pub crash_kernel_loaded: bool,
}

impl From<Readiness> for CrashDumpReadiness {
    fn from(readiness: Readiness) -> Self {
        Self {
            unknown_nmi_panic: readiness.unknown_nmi_panic,
            panic_on_unrecovered_nmi: readiness.panic_on_unrecovered_nmi,
            panic_on_io_nmi: readiness.panic_on_io_nmi,
            crash_kernel_loaded: readiness.crash_kernel_loaded,
        }
    }
}

/// The agents. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Agents {
    told: Arc<Mutex<BTreeMap<ApplianceIndex, (BootId, Readiness)>>>,
}

impl Agents {
    /// What the agent of that appliance told in that boot.
    pub fn readiness(&self, number: ApplianceIndex, boot: Option<BootId>) -> Option<Readiness> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.get(&number).filter(|(of, _)| Some(*of) == boot).map(|(_, readiness)| *readiness)
    }

    /// An agent told it.
    pub fn set_readiness(&self, number: ApplianceIndex, boot: BootId, readiness: Readiness) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(number, (boot, readiness));
    }
}
