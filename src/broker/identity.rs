//! Passes commands on credentials and security incidents to the broker loop.
//!
//! Guarantees that what takes access away is executed on a disk that is nearly full, too. Decides
//! nothing.

use tokio::sync::oneshot;

use super::queue::{BrokerHandle, BrokerRequest, Unavailable};
use crate::grid::decide::identity::{IdentityRejection, IdentityReply};
use crate::grid::log::identity::{IdentityCommand, SecurityIncident};
use crate::grid::values::id::RecordNumber;

/// A command on credentials that was executed.
#[derive(Clone, Debug)]
pub struct IdentityReceipt {
    /// Its result.
    pub reply: IdentityReply,
    /// The record of the command; 0: nothing changed.
    pub record: RecordNumber,
}

impl BrokerHandle {
    /// Executes a command on credentials. Returns when durable, and known to the listeners.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker stops before that; inside, the rejection.
    pub async fn identity_command(
        &self,
        by: &str,
        command: IdentityCommand,
    ) -> Result<Result<IdentityReceipt, IdentityRejection>, Unavailable> {
        // What takes access away does not wait for room on the disk: the reserve has it.
        if !command.takes_away() {
            self.ensure_room()?;
        }
        let (reply, answer) = oneshot::channel();
        let (by, order) = (by.into(), Box::new(command));
        self.enqueue(BrokerRequest::Identity { by, order, reply }, 0).await?;
        answer.await.map_err(|_| self.unavailable_reason())
    }

    /// Records a security incident, some time later.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when nothing is accepted.
    pub async fn record_incident(&self, incident: SecurityIncident) -> Result<(), Unavailable> {
        self.ensure_room()?;
        self.enqueue(BrokerRequest::Security { incident }, 0).await
    }

    /// Records that something sensitive is read, also on a disk that is nearly full.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker stops.
    pub async fn record_access(&self, incident: SecurityIncident) -> Result<(), Unavailable> {
        self.enqueue(BrokerRequest::Security { incident }, 0).await
    }
}
