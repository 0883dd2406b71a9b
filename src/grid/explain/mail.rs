//! Describes records about mails.
//!
//! Guarantees a sentence for each. Decides nothing.

use crate::grid::log::effect::{Effect, MailEffect};
use crate::grid::log::input::Input;
use crate::grid::log::record::Record;
use crate::grid::model::mail_message::{Delivery, DeliveryState, OutboxCommand};
use crate::grid::values::sentence::Sentence;

/// The text of a record about a mail.
pub(in crate::grid) fn describe_mail(record: &Record) -> Sentence {
    let mut changes = record
        .effects
        .iter()
        .filter_map(|effect| if let Effect::Mail(change) = effect { Some(change) } else { None });
    let told = changes.find_map(|change| match change {
        MailEffect::Header { message } => Some((message.number, &message.recipient, Some(message))),
        MailEffect::Removed { number, recipient, .. } => Some((*number, recipient, None)),
        MailEffect::Notice { .. }
        | MailEffect::Brief { .. }
        | MailEffect::Finished { .. }
        | MailEffect::DigestCount { .. }
        | MailEffect::RecipientLimit { .. }
        | MailEffect::LastNumber { .. } => None,
    });
    let is_gone = |effect: &Effect| matches!(effect, Effect::Mail(MailEffect::Removed { .. }));
    let is_over = record.effects.iter().any(is_gone);
    let Some((number, recipient, head)) = told else { return Sentence::default() };
    let head = head.filter(|_| !is_over);
    let mail = format!("mail {} to {recipient}", number.0);
    match (&record.input, head) {
        (Input::MailDelivery { delivery: Delivery::Sent(reply), attempt, .. }, _) => {
            format!("{mail} sent, attempt {attempt}: {reply}").into()
        }
        (Input::MailDelivery { delivery, attempt, .. }, Some(head)) => {
            let reply = delivery.reply();
            match head.state {
                DeliveryState::Failed => {
                    format!("{mail} failed, attempt {attempt}: {reply}").into()
                }
                DeliveryState::Waiting | DeliveryState::InFlight => {
                    let put_off = format!("{mail} deferred, attempt {attempt}: {reply}");
                    Sentence::from(put_off).text("; tried again at ").time(head.due_at)
                }
            }
        }
        (Input::MailCommand { command: OutboxCommand::Drop, .. }, _) => {
            format!("{mail} dropped").into()
        }
        (Input::MailCommand { command: OutboxCommand::Retry, .. }, _) => {
            format!("{mail} to be tried now").into()
        }
        (_, Some(head)) if head.state == DeliveryState::InFlight => {
            format!("{mail} handed to the mail sender, attempt {}", head.attempts).into()
        }
        (_, Some(head)) => Sentence::from(format!("{mail} waits until "))
            .time(head.due_at)
            .text(&format!(": rate limit of {recipient}")),
        (_, None) => format!("{mail} forgotten: it had failed a month ago").into(),
    }
}
