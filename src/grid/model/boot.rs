//! Defines a boot, and what is kept of a removed appliance.
//!
//! Decides nothing.

use crate::grid::model::sequence_window::SequenceWindow;
use crate::grid::model::usage::Usage;
use crate::grid::values::event_order::EventOrder;
use crate::grid::values::id::{BootId, RecordNumber};
use crate::grid::values::time::Timestamp;

/// One boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Its id; `None`: an orchestrator announced it, and the appliance has not reported yet.
    pub id: Option<BootId>,
    /// When it began: at power-on, if the appliance sent its uptime.
    pub began_at: Timestamp,
    /// It did not begin before that, whichever shifts of the clock since then were pauses.
    pub earliest_began_at: Timestamp,
    /// Whether it had a lasting session, so that lost contact means something.
    pub has_agent: bool,
    /// Its start was not observed and is assumed to be over, until the appliance reports otherwise.
    pub is_assumed_running: bool,
    /// The newest lifecycle event that was applied: an older one changes nothing.
    pub newest_event: Option<EventOrder>,
}

/// The history of an appliance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplianceHistory {
    /// Its earlier boots, newest first.
    pub past_boots: Vec<BootId>,
    /// The sequences received, most recently used spool first.
    pub windows: Vec<SequenceWindow>,
    /// When its last event arrived.
    pub last_event_at: Option<Timestamp>,
    /// The last record about it.
    pub last_record: RecordNumber,
    /// Its usage of rate limits, and its counts.
    pub usage: Usage,
}
