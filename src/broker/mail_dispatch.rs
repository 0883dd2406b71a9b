//! Dispatches due mails to the mail sender and feeds delivery results back to the loop.
//!
//! Guarantees that the mail sender gets a mail only once the record of that is durable, and that it has
//! at most [`MAILS_IN_FLIGHT_MAX`] at a time. Does not know mail servers.

use tokio::sync::{mpsc, oneshot};

use super::queue::{BrokerRequest, reply_with};
use super::{BrokerHandle, EventLoop, Unavailable};
use crate::broker::metrics;
use crate::grid::MAILS_IN_FLIGHT_MAX;
use crate::grid::decide::Reply;
use crate::grid::decide::mail::MailRejection;
use crate::grid::log::effect::{Effect, MailEffect};
use crate::grid::log::input::Input;
use crate::grid::log::record::Record;
use crate::grid::model::mail_message::{
    Delivery, DeliveryState, MailMessage, MessageNumber, OutboxCommand,
};
use crate::grid::values::id::RecordNumber;
use crate::grid::values::time::Timestamp;

/// A mail for the mail sender, by value.
#[derive(Clone, Debug)]
pub struct MailJob {
    /// The mail; [`MailMessage::attempts`] tells which attempt this is.
    pub message: MailMessage,
}

/// A request about mails.
pub(super) enum MailRequest {
    Delivered { message: MessageNumber, attempt: u32, delivery: Delivery },
    Command { by: Box<str>, message: MessageNumber, order: OutboxCommand, reply: MailCommandReply },
}

/// Where the reply to a command goes: the number of its record.
pub(super) type MailCommandReply = oneshot::Sender<Result<RecordNumber, MailRejection>>;

/// The channel to a mail sender: the loop's end, and the sender's.
pub(super) fn channel() -> (mpsc::Sender<MailJob>, mpsc::Receiver<MailJob>) {
    // At most this many are in flight: there is always room.
    mpsc::channel(MAILS_IN_FLIGHT_MAX)
}

impl BrokerHandle {
    /// Reports the result of an attempt to deliver a mail.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker stops: the mail is tried again after the next start.
    pub async fn report_delivery(
        &self,
        message: MessageNumber,
        attempt: u32,
        delivery: Delivery,
    ) -> Result<(), Unavailable> {
        self.enqueue(BrokerRequest::Mail(MailRequest::Delivered { message, attempt, delivery }), 0)
            .await
    }

    /// Retries or drops a mail for an administrator. Returns when durable.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker stops before that; inside, why the command is rejected.
    pub async fn command_mail(
        &self,
        by: &str,
        message: MessageNumber,
        command: OutboxCommand,
    ) -> Result<Result<RecordNumber, MailRejection>, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let by = by.into();
        self.enqueue(
            BrokerRequest::Mail(MailRequest::Command { by, message, order: command, reply }),
            0,
        )
        .await?;
        answer.await.map_err(|_| self.unavailable_reason())
    }
}

impl EventLoop {
    pub(super) fn handle_mail_request(&mut self, work: MailRequest, at: Timestamp) {
        match work {
            MailRequest::Delivered { message, attempt, delivery } => {
                let known = self.driver.grid().state().outbox().message(message);
                let recipient = known.map_or("", |message| &message.recipient);
                metrics::count_delivery(&self.metrics, recipient, &delivery);
                self.decide(Input::MailDelivery { message, attempt, delivery }, at);
            }
            MailRequest::Command { by, message, order, reply } => {
                let decision = self.decide(Input::MailCommand { by, message, command: order }, at);
                let record = decision.record.as_ref().map_or(0, |record| record.number);
                if let Reply::Mail(answer) = decision.reply {
                    let reply = reply_with(reply, answer.map(|()| record));
                    self.driver.reply(decision.release, reply);
                }
            }
        }
    }

    /// Starts the attempts of mails that are due, with this commit.
    pub(super) fn start_due_mails(&mut self, until: Timestamp) {
        for _ in 0..MAILS_IN_FLIGHT_MAX {
            let Some(decision) = self.driver.handle_mail_timeout(until) else { break };
            self.stage(&decision);
        }
    }

    /// Collects the mails that a record passes to the mail sender.
    pub(super) fn collect_mails(&mut self, record: &Record) {
        let handed_over = record.effects.iter().filter_map(|effect| {
            let Effect::Mail(MailEffect::Header { message }) = effect else { return None };
            (message.state == DeliveryState::InFlight).then_some(message.number)
        });
        self.commit.due_mails.extend(handed_over);
    }

    /// Passes mails to the mail sender; their records are durable.
    pub(super) fn dispatch(&mut self, mails: Vec<MessageNumber>) {
        for number in mails {
            let Some(message) = self.driver.grid().state().outbox().message(number) else {
                continue;
            };
            if self.mail_sender.try_send(MailJob { message: message.clone() }).is_err() {
                // The sender has ended, and so does the process; the next start tries again.
                tracing::error!(mail = number.0, "the mail sender accepts no mail");
            }
        }
    }
}
