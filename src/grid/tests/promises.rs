//! What a reply stands on: checked against the records when it is released.

use super::super::Grid;
use super::super::occurrence::Occurrence;
use crate::grid::log::input::Input;
use crate::grid::values::id::{ApplianceIndex, BootId, Sequence, SpoolId};

/// What a reply stands on.
#[derive(Clone, Debug)]
pub(super) enum Promise {
    /// The event of that number is recorded, or counted by a record.
    Known { appliance: ApplianceIndex, boot: BootId, spool: SpoolId, sequence: Sequence },
    /// The whole state is the fold of the records.
    Question,
}

impl Promise {
    /// What the acknowledgement of a numbered event stands on.
    pub(super) fn of(occurrence: &Occurrence, grid: &Grid) -> Option<Self> {
        let Occurrence::Input(Input::Event(received)) = occurrence else { return None };
        let appliance = received.appliance;
        let present = grid.state().appliance(appliance)?.boot_id();
        let (boot, spool, sequence) =
            (received.boot.or(present)?, received.spool?, received.sequence?);
        Some(Self::Known { appliance, boot, spool, sequence })
    }
}
