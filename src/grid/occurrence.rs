//! Lists what can happen to a grid.
//!
//! Guarantees that each occurrence leads to one decision. Knows no queue and no wire format.

use crate::grid::log::applied_settings::AppliedSettings;
use crate::grid::log::input::{Input, SessionHello};
use crate::grid::model::settings::GridSettings;
use crate::grid::values::id::{ApplianceIndex, BootId, SessionId};
use crate::grid::values::time::Offset;

/// What [`Grid::handle`](super::Grid::handle) takes. Timeouts are not among them: see
/// [`Grid::handle_timeout`](super::Grid::handle_timeout).
#[derive(Clone, Debug)]
pub enum Occurrence {
    /// Something that a record keeps as it is: an event, a command, the result of a delivery.
    Input(Input),
    /// A session opened.
    SessionOpened(SessionHello),
    /// A session closed.
    SessionClosed {
        /// Whose.
        appliance: ApplianceIndex,
        /// Of which boot.
        boot: BootId,
        /// Which.
        session: SessionId,
    },
    /// Other rules apply from now on. Deadlines that were set by the old ones stay.
    Settings {
        /// The rules.
        rules: Box<GridSettings>,
        /// The same as the grid log records them.
        applied: AppliedSettings,
    },
    /// The wall clock may be right although it differs by this from broker time; `None`: they agree.
    OtherClock(Option<Offset>),
}

impl From<Input> for Occurrence {
    fn from(input: Input) -> Self {
        Self::Input(input)
    }
}
