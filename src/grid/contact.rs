//! Computes until when appliances without a session still count as in contact.
//!
//! Guarantees that after a start each appliance has the time that its class allows, and at least a
//! minute. Part of [`Grid`], which has the sessions.

use std::time::Duration;

use super::Grid;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::model::settings::GRACE_AFTER_DOWNTIME;
use crate::grid::values::id::ApplianceIndex;
use crate::grid::values::time::Timestamp;

impl Grid {
    /// When contact is lost if the appliance sends nothing from `now` on; `None`: it has no agent
    /// whose silence would mean something.
    pub(in crate::grid) fn contact_deadline(
        &self,
        number: ApplianceIndex,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let appliance = self.state.appliance(number)?;
        let has_agent = appliance.boot.is_some_and(|boot| boot.has_agent);
        let rules = self.settings.rules(&appliance.class, &appliance.overrides);
        (has_agent && appliance.lifecycle != Lifecycle::Idle).then(|| now.after(rules.lost_contact))
    }

    pub(in crate::grid) fn expect_all_contacts(&mut self, now: Timestamp) {
        let earliest = now.after(GRACE_AFTER_DOWNTIME);
        for row in 1..self.state.next_number().0 {
            let number = ApplianceIndex(row);
            let until = self.contact_deadline(number, now).map(|until| until.max(earliest));
            self.sessions.set_contact_deadline(number, until);
            // Perhaps neither of the two machines comes back: then this deadline resolves the
            // alert.
            if self.state.finding(Some(number), FindingKind::NameConflict).is_some() {
                self.sessions.set_conflict_deadline(number, earliest);
            }
            self.arm(number);
        }
    }

    /// Extends all deadlines of contact by the time in which the broker could receive nothing.
    pub(in crate::grid) fn extend_all_contacts(&mut self, lasted: Duration) {
        for row in 1..self.state.next_number().0 {
            let number = ApplianceIndex(row);
            self.sessions.extend(number, lasted);
            self.arm(number);
        }
    }
}
