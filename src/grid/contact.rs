//! Says until when contact with appliances holds that are in no session.
//!
//! Guarantees that after a start everybody has the time that its class allows, and a minute at
//! least. Part of [`Grid`], which knows who is present.

use std::time::Duration;

use super::Grid;
use super::effect::Matter;
use super::lifecycle::Lifecycle;
use super::name::ApplianceNumber;
use super::settings::GRACE_AFTER_ABSENCE;
use super::time::Timestamp;

impl Grid {
    /// When contact with an appliance is lost if it says nothing from `now` on; `None`: it has no
    /// agent whose silence would mean something.
    pub(in crate::grid) fn contact_until(
        &self,
        number: ApplianceNumber,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let appliance = self.state.appliance(number)?;
        let has_agent = appliance.boot.is_some_and(|boot| boot.has_agent);
        let rules = self.settings.rules(&appliance.class, &appliance.overrides);
        (has_agent && appliance.lifecycle != Lifecycle::Idle).then(|| now.after(rules.lost_contact))
    }

    pub(in crate::grid) fn expect_everyone(&mut self, now: Timestamp) {
        let earliest = now.after(GRACE_AFTER_ABSENCE);
        for row in 1..self.state.next_row().0 {
            let number = ApplianceNumber(row);
            let until = self.contact_until(number, now).map(|until| until.max(earliest));
            self.presence.expect_until(number, until);
            // Neither of two machines need come back: somebody has to close the matter.
            if self.state.alert(Some(number), Matter::TwoMachines).is_some() {
                self.presence.judge_voices_at(number, earliest);
            }
            self.arm(number);
        }
    }

    /// Who could not be heard while the broker did not work gets that time back.
    pub(in crate::grid) fn credit_everyone(&mut self, lasted: Duration) {
        for row in 1..self.state.next_row().0 {
            let number = ApplianceNumber(row);
            self.presence.credit(number, lasted);
            self.arm(number);
        }
    }
}
