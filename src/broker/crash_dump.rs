//! Passes what drivers of crash dumps report to the broker loop.
//!
//! Guarantees that it is accepted on a disk that is nearly full, too. Decides nothing.

use super::queue::{BrokerHandle, BrokerRequest, Unavailable};
use crate::grid::log::crash_dump::DumpReport;

impl BrokerHandle {
    /// Records what the driver of a crash dump did.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker stops: after the next start it counts as unknown.
    pub async fn report_crash_dump(&self, report: DumpReport) -> Result<(), Unavailable> {
        self.enqueue(BrokerRequest::CrashDump(report), 0).await
    }
}
