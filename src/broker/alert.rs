//! Passes commands of administrators about alerts to the loop.
//!
//! Guarantees that a reply is sent only once the record of the command is durable. Decides nothing.

use tokio::sync::oneshot;

use super::queue::{BrokerRequest, reply_with};
use super::{BrokerHandle, EventLoop, Unavailable};
use crate::grid::decide::Reply;
use crate::grid::decide::alerts::command::AlertRejection;
use crate::grid::log::alert_input::{AlertCommand, AlertInput};
use crate::grid::log::input::Input;
use crate::grid::values::id::{AlertId, RecordNumber};
use crate::grid::values::time::Timestamp;

/// A command about an alert.
pub(super) struct AlertRequest {
    by: Box<str>,
    id: AlertId,
    order: AlertCommand,
    reply: oneshot::Sender<Result<RecordNumber, AlertRejection>>,
}

impl BrokerHandle {
    /// Acknowledges or resolves an alert for an administrator. Returns the number of its record, when
    /// durable.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker's disk is full, or it stops before that; inside, why the command is
    /// rejected.
    pub async fn alert_command(
        &self,
        by: &str,
        id: AlertId,
        command: AlertCommand,
    ) -> Result<Result<RecordNumber, AlertRejection>, Unavailable> {
        self.ensure_room()?;
        let (reply, answer) = oneshot::channel();
        let request = AlertRequest { by: by.into(), id, order: command, reply };
        self.enqueue(BrokerRequest::Alert(request), 0).await?;
        answer.await.map_err(|_| self.unavailable_reason())
    }
}

impl EventLoop {
    pub(super) fn handle_alert_request(&mut self, request: AlertRequest, at: Timestamp) {
        let AlertRequest { by, id, order, reply } = request;
        let input = Input::Alert(AlertInput::Command { by, id, command: order });
        let decision = self.decide(input, at);
        let record = decision.record.as_ref().map_or(0, |record| record.number);
        if let Reply::Alert(answer) = decision.reply {
            let reply = reply_with(reply, answer.map(|_| record));
            self.driver.reply(decision.release, reply);
        }
    }
}
