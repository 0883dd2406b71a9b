//! Defines the effects on alerts and silences, as absolute values.
//!
//! Guarantees that a decision about a notification is kept with its reason in the record that caused
//! it. Decides nothing.

use crate::grid::model::alert::Alert;
use crate::grid::model::notification::NotificationReason;
use crate::grid::model::silence::Silence;
use crate::grid::values::id::{AlertId, SilenceId};

/// A change of an alert.
#[derive(Clone, Debug, PartialEq)]
pub enum AlertEffect {
    /// An alert is new or changed.
    Changed {
        /// The alert.
        alert: Box<Alert>,
    },
    /// An alert is forgotten.
    Forgotten {
        /// Which.
        id: AlertId,
    },
    /// A silence is new or changed.
    Silence {
        /// The silence.
        silence: Box<Silence>,
    },
    /// A silence is forgotten.
    SilenceForgotten {
        /// Which.
        id: SilenceId,
    },
    /// A notification was decided on. Changes nothing.
    Decided(NotificationTrace),
    /// Checkpoints only: the last numbers used.
    LastNumbers {
        /// Of an alert.
        alert: AlertId,
        /// Of a silence.
        silence: SilenceId,
    },
}

/// A decision about a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationTrace {
    /// About which alert.
    pub alert: AlertId,
    /// Why there is a notification, or none.
    pub reason: NotificationReason,
    /// The silence that muted it.
    pub silence: Option<SilenceId>,
    /// Who gets it.
    pub receivers: Vec<Box<str>>,
}
