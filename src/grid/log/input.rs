//! Answers questions about an input: its appliance, its boot, and whether it moves time.
//!
//! Guarantees an answer for every input. Decides nothing.

use crate::grid::log::record::Input;
use crate::grid::log::wall_clock_change::WallClockChange;
use crate::grid::values::id::{ApplianceIndex, BootId};

impl Input {
    /// The number of the appliance it is about, if the input has one.
    pub fn appliance(&self) -> Option<ApplianceIndex> {
        match self {
            Self::Event(received) => Some(received.appliance),
            Self::Hello(hello) => Some(hello.appliance),
            Self::SessionEnded { appliance, .. }
            | Self::Deadline { appliance, .. }
            | Self::RepeatsEnded { appliance, .. } => Some(*appliance),
            Self::Registered { .. }
            | Self::Command { .. }
            | Self::BrokerStarted(_)
            | Self::BrokerStopped
            | Self::BrokerPaused { .. }
            | Self::ClockSetBack { .. }
            | Self::WallClock(_)
            | Self::Journal(_)
            | Self::Tally
            | Self::MailDue { .. }
            | Self::MailDelivery { .. }
            | Self::MailCommand { .. }
            | Self::Settings(_) => None,
        }
    }

    /// The boot it contains.
    pub fn boot(&self) -> Option<BootId> {
        match self {
            Self::Event(received) => received.boot,
            Self::Hello(hello) => Some(hello.boot),
            Self::SessionEnded { boot, .. } => Some(*boot),
            Self::Registered { .. }
            | Self::Command { .. }
            | Self::Deadline { .. }
            | Self::BrokerStarted(_)
            | Self::BrokerStopped
            | Self::BrokerPaused { .. }
            | Self::ClockSetBack { .. }
            | Self::WallClock(_)
            | Self::Journal(_)
            | Self::RepeatsEnded { .. }
            | Self::Tally
            | Self::MailDue { .. }
            | Self::MailDelivery { .. }
            | Self::MailCommand { .. }
            | Self::Settings(_) => None,
        }
    }

    /// Whether it may move broker time, perhaps back.
    pub fn moves_time(&self) -> bool {
        matches!(self, Self::BrokerStarted(_) | Self::WallClock(WallClockChange::Followed { .. }))
    }

    /// The sender, if this is a live event outside a session.
    pub fn live_reporter(&self) -> Option<ApplianceIndex> {
        match self {
            Self::Event(received) if received.session.is_none() => {
                received.event.spooled_at.is_none().then_some(received.appliance)
            }
            Self::Event(_)
            | Self::Hello(_)
            | Self::SessionEnded { .. }
            | Self::Registered { .. }
            | Self::Command { .. }
            | Self::Deadline { .. }
            | Self::BrokerStarted(_)
            | Self::BrokerStopped
            | Self::BrokerPaused { .. }
            | Self::ClockSetBack { .. }
            | Self::WallClock(_)
            | Self::Journal(_)
            | Self::RepeatsEnded { .. }
            | Self::Tally
            | Self::MailDue { .. }
            | Self::MailDelivery { .. }
            | Self::MailCommand { .. }
            | Self::Settings(_) => None,
        }
    }
}
