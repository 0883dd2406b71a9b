//! Defines the inputs about alerts: that one is due, and commands of administrators.
//!
//! Decides nothing.

use crate::grid::values::id::AlertId;
use crate::grid::values::time::Timestamp;

/// An input about an alert.
#[derive(Clone, Debug, PartialEq)]
pub enum AlertInput {
    /// Something is to be decided about it, though nothing is reported.
    Due {
        /// Which alert.
        id: AlertId,
    },
    /// A command of an administrator.
    Command {
        /// Who sent it.
        by: Box<str>,
        /// About which alert.
        id: AlertId,
        /// The command.
        command: AlertCommand,
    },
}

/// What an administrator can do with an alert.
#[derive(Clone, Debug, PartialEq)]
pub enum AlertCommand {
    /// Take care of it: no more notifications, unless it becomes graver.
    Acknowledge {
        /// Until when; `None`: until it ends for good.
        until: Option<Timestamp>,
        /// Why; may be empty.
        note: Box<str>,
        /// Only if nobody has acknowledged it: a link in a mail holds once.
        is_first: bool,
    },
    /// Withdraw the acknowledgement.
    Unacknowledge,
    /// It is over.
    Resolve {
        /// Why; may be empty.
        note: Box<str>,
    },
}

impl AlertInput {
    /// The alert it is about.
    pub fn alert(&self) -> AlertId {
        match self {
            Self::Due { id } | Self::Command { id, .. } => *id,
        }
    }
}
