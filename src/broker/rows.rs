//! Whose row is it? Names as sessions and reports bring them, and what a hello is answered.
//!
//! Guarantees one row a name: one that is not known is taken in. Decides nothing.

use uuid::Uuid;

use super::{Loop, Welcomed};
use crate::grid::name::{ApplianceName, ApplianceNumber};
use crate::grid::record::{Hello, Input};
use crate::grid::time::Timestamp;

impl Loop {
    /// The row of that name; a name that is not known is taken in.
    pub(super) fn appliance(&mut self, name: &ApplianceName, at: Timestamp) -> ApplianceNumber {
        if let Some(number) = self.grid.state().find(name) {
            return number;
        }
        let number = self.grid.state().next_row();
        self.take(Input::Appeared { name: name.clone(), uuid: Uuid::new_v4() }, at);
        number
    }

    pub(super) fn knows_spool(&self, hello: &Hello) -> bool {
        let appliance = self.grid.state().appliance(hello.appliance);
        match (appliance, hello.spool) {
            (Some(appliance), Some(spool)) => appliance.windows.knows(hello.boot, spool),
            (_, _) => false,
        }
    }

    pub(super) fn welcomed(&self, number: ApplianceNumber, knew_spool: bool) -> Option<Welcomed> {
        let appliance = self.grid.state().appliance(number)?;
        let rules = self.grid.settings().rules(&appliance.class, &appliance.overrides);
        let promise_max = rules.promise_max;
        Some(Welcomed { appliance: number, uuid: appliance.uuid, knew_spool, promise_max })
    }
}
