//! Checks commands of administrators about alerts.
//!
//! Guarantees that a refused command changes nothing and says why. Applies nothing.

use crate::grid::log::alert_input::AlertCommand;
use crate::grid::state::State;
use crate::grid::values::id::AlertId;
use crate::grid::values::time::Timestamp;

/// Why a command about an alert is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlertRejection {
    /// There is no alert of that number.
    #[error("there is no alert {}; `gridctl alert list` shows those that are open", .id.0)]
    NotFound {
        /// The requested number.
        id: AlertId,
    },
    /// It has ended.
    #[error("alert {} is over; `gridctl alert show {}` says since when", .id.0, .id.0)]
    Ended {
        /// The requested number.
        id: AlertId,
    },
    /// Somebody acknowledged it already.
    #[error("alert {} is acknowledged by {by} already", .id.0)]
    Acknowledged {
        /// The requested number.
        id: AlertId,
        /// Who.
        by: Box<str>,
    },
    /// Nobody acknowledged it.
    #[error("alert {} is not acknowledged", .id.0)]
    NotAcknowledged {
        /// The requested number.
        id: AlertId,
    },
    /// The end of an acknowledgement has passed.
    #[error("the end of the acknowledgement of alert {} has passed", .id.0)]
    UntilPassed {
        /// The requested number.
        id: AlertId,
    },
}

/// Checks a command about an alert.
pub(in crate::grid) fn check(
    state: &State,
    id: AlertId,
    command: &AlertCommand,
    now: Timestamp,
) -> Result<(), AlertRejection> {
    let alert = state.alerts().get(id).ok_or(AlertRejection::NotFound { id })?;
    if !alert.is_open() {
        return Err(AlertRejection::Ended { id });
    }
    match command {
        AlertCommand::Acknowledge { until, is_first, .. } => {
            if until.is_some_and(|until| until <= now) {
                return Err(AlertRejection::UntilPassed { id });
            }
            match alert.acknowledgement.as_ref().filter(|_| *is_first) {
                Some(known) => Err(AlertRejection::Acknowledged { id, by: known.by.clone() }),
                None => Ok(()),
            }
        }
        AlertCommand::Unacknowledge if alert.acknowledgement.is_none() => {
            Err(AlertRejection::NotAcknowledged { id })
        }
        AlertCommand::Unacknowledge | AlertCommand::Resolve { .. } => Ok(()),
    }
}
