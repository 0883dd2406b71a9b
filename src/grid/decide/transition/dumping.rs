//! Changes the state of an appliance of which a crash dump is taken.
//!
//! Guarantees that a crash dump which did not happen leaves the state as it was, with its time. Decides
//! nothing.

use super::Transition;
use crate::grid::decide::crash_dump;
use crate::grid::log::effect::ApplianceEffect;
use crate::grid::model::crash_dump::DumpEnd;
use crate::grid::model::lifecycle::{Dumping, Lifecycle};

impl Transition<'_> {
    /// Records that the appliance goes on although a crash dump was triggered.
    pub(in crate::grid) fn alive_after_trigger(&mut self) {
        if let Lifecycle::Dumping(dumping) = &self.lifecycle
            && !dumping.is_alive
        {
            let alive = Dumping { is_alive: true, ..(**dumping).clone() };
            self.set_lifecycle(Lifecycle::Dumping(Box::new(alive)));
        }
    }

    /// The appliance is as it was before the crash dump, which did not happen.
    pub(in crate::grid) fn restore_before_dump(&mut self) {
        let Lifecycle::Dumping(dumping) = &self.lifecycle else { return };
        let (lifecycle, since) = (dumping.state_before(), dumping.before_since);
        self.since = since;
        let restored = ApplianceEffect::Lifecycle { lifecycle: lifecycle.clone(), since };
        self.effects.push(restored.of(self.appliance.number));
        self.lifecycle = lifecycle;
    }

    /// The newest crash dump ends so, unless it has ended otherwise.
    pub(in crate::grid) fn end_crash_dump(&mut self, end: DumpEnd) {
        self.effects.extend(crash_dump::ended(self.appliance, end, None, self.now));
    }
}
