//! Records trims, and deletes what they cover once their record is durable.
//!
//! Guarantees that nothing is deleted before that. The journal decides what is due.

use super::EventLoop;
use crate::grid::log::input::Input;
use crate::grid::log::journal_incident::{JournalIncident, TrimReason, Trimmed};
use crate::grid::values::time::Timestamp;
use crate::journal::{Retention, TrimDue};

impl EventLoop {
    /// Records the next trim. Retention deletes whole segments, oldest first, and only after the record
    /// of it is durable.
    pub(super) fn record_trim(&mut self, now: Timestamp) {
        let Some(due) = self.journal.trim_due(self.clock.lived()) else { return };
        let TrimDue { first, last, bytes, is_by_age } = due;
        let Retention { age, bytes: limit } = self.journal.retention();
        let reason = if is_by_age { TrimReason::Age(age) } else { TrimReason::Bytes(limit) };
        tracing::info!(first_record = first, last_record = last, bytes, "records are trimmed");
        self.decide(
            Input::Journal(JournalIncident::Trimmed(Trimmed { first, last, bytes, reason })),
            now,
        );
        self.disk_guard.trim_through = Some(last);
    }

    /// Deletes what a trim covers, after its record is durable.
    pub(super) fn trim_recorded(&mut self) {
        if let Some(last) = self.disk_guard.trim_through.take() {
            self.journal.trim(last);
        }
    }
}
