//! Dispatches due mails to the mail sender and feeds delivery results back to the loop.
//!
//! Guarantees that the mail sender gets a mail only once the record of that is durable, and that it has
//! at most [`MAILS_UNDER_WAY`] at a time. Does not know mail servers.

use tokio::sync::{mpsc, oneshot};

use super::queue::{Reply, Work};
use super::{Broker, Loop, Unavailable, counting};
use crate::grid::MAILS_UNDER_WAY;
use crate::grid::decide::Answer;
use crate::grid::effect::Effect;
use crate::grid::mail::{Delivery, MailEffect, MailOrder, Message, MessageNumber, Standing};
use crate::grid::name::RecordNumber;
use crate::grid::outbox::MailRefusal;
use crate::grid::record::{Input, Record};
use crate::grid::time::Timestamp;

/// A mail for the mail sender, by value.
#[derive(Clone, Debug)]
pub struct Deliver {
    /// The mail; [`Message::attempts`] says which attempt this is.
    pub message: Message,
}

/// A request about mails.
pub(super) enum MailWork {
    Answered { message: MessageNumber, attempt: u32, delivery: Delivery },
    Ordered { by: Box<str>, message: MessageNumber, order: MailOrder, reply: MailReply },
}

/// Where the reply to a command goes: the number of its record.
pub(super) type MailReply = oneshot::Sender<Result<RecordNumber, MailRefusal>>;

/// The channel to a mail sender: the loop's end, and the sender's.
pub(super) fn to_courier() -> (mpsc::Sender<Deliver>, mpsc::Receiver<Deliver>) {
    // At most this many are in flight: there is always room.
    mpsc::channel(MAILS_UNDER_WAY)
}

impl Broker {
    /// Reports the result of an attempt to deliver a mail.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker stops: the mail is tried again after the next start.
    pub async fn mail_answered(
        &self,
        message: MessageNumber,
        attempt: u32,
        delivery: Delivery,
    ) -> Result<(), Unavailable> {
        self.put(Work::Mail(MailWork::Answered { message, attempt, delivery }), 0).await
    }

    /// Retries or drops a mail for an administrator. Returns when durable.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker stops before that; inside, why the command is rejected.
    pub async fn order_mail(
        &self,
        by: &str,
        message: MessageNumber,
        order: MailOrder,
    ) -> Result<Result<RecordNumber, MailRefusal>, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let by = by.into();
        self.put(Work::Mail(MailWork::Ordered { by, message, order, reply }), 0).await?;
        answer.await.map_err(|_| self.unanswered())
    }
}

impl Loop {
    pub(super) fn work_on_mail(&mut self, work: MailWork, at: Timestamp) {
        match work {
            MailWork::Answered { message, attempt, delivery } => {
                counting::mail(&self.metrics, &delivery);
                self.take(Input::MailAnswered { message, attempt, delivery }, at);
            }
            MailWork::Ordered { by, message, order, reply } => {
                let decision = self.take(Input::MailOrdered { by, message, order }, at);
                let record = decision.record.as_ref().map_or(0, |record| record.number);
                if let Answer::Mail(answer) = decision.answer {
                    let reply = Reply::Mail(reply, answer.map(|()| record));
                    self.driver.reply(decision.release, reply);
                }
            }
        }
    }

    /// Mails that are due go their way with this commit.
    pub(super) fn take_due_mails(&mut self, until: Timestamp) {
        for _ in 0..MAILS_UNDER_WAY {
            let Some(decision) = self.driver.handle_mail_timeout(until) else { break };
            self.keep(&decision);
        }
    }

    /// Remembers which mails a record hands over.
    pub(super) fn note_mails(&mut self, record: &Record) {
        let handed_over = record.effects.iter().filter_map(|effect| {
            let Effect::Mail(MailEffect::Stands { message }) = effect else { return None };
            (message.standing == Standing::UnderWay).then_some(message.number)
        });
        self.commit.mails.extend(handed_over);
    }

    /// Hands over what is durable.
    pub(super) fn hand_over(&mut self, mails: Vec<MessageNumber>) {
        for number in mails {
            let Some(message) = self.driver.grid().state().outbox().message(number) else {
                continue;
            };
            if self.courier.try_send(Deliver { message: message.clone() }).is_err() {
                // He is gone, and the process ends; the next start tries again.
                tracing::error!(mail = number.0, "the courier takes no mail");
            }
        }
    }
}
