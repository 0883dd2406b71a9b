//! Says what a record about a mail tells.
//!
//! Guarantees a sentence for each. Decides nothing.

use crate::grid::effect::Effect;
use crate::grid::mail::{Delivery, MailEffect, MailOrder, Standing};
use crate::grid::record::{Input, Record};
use crate::grid::sentence::Sentence;

/// What a record about a mail says.
pub(in crate::grid) fn explain(record: &Record) -> Sentence {
    let mut changes = record
        .effects
        .iter()
        .filter_map(|effect| if let Effect::Mail(change) = effect { Some(change) } else { None });
    let told = changes.find_map(|change| match change {
        MailEffect::Stands { message } => Some((message.number, &message.recipient, Some(message))),
        MailEffect::Gone { number, recipient, .. } => Some((*number, recipient, None)),
        MailEffect::Notice { .. }
        | MailEffect::Brief { .. }
        | MailEffect::Trace { .. }
        | MailEffect::LateOf { .. }
        | MailEffect::RecipientSpent { .. }
        | MailEffect::LastNumber { .. } => None,
    });
    let is_gone = |effect: &Effect| matches!(effect, Effect::Mail(MailEffect::Gone { .. }));
    let is_over = record.effects.iter().any(is_gone);
    let Some((number, recipient, head)) = told else { return Sentence::default() };
    let head = head.filter(|_| !is_over);
    let mail = format!("mail {} to {recipient}", number.0);
    match (&record.input, head) {
        (Input::MailAnswered { delivery: Delivery::Sent(reply), attempt, .. }, _) => {
            format!("{mail} sent, attempt {attempt}: {reply}").into()
        }
        (Input::MailAnswered { delivery, attempt, .. }, Some(head)) => {
            let reply = delivery.reply();
            match head.standing {
                Standing::Failed => format!("{mail} failed, attempt {attempt}: {reply}").into(),
                Standing::Waiting | Standing::UnderWay => {
                    let put_off = format!("{mail} put off, attempt {attempt}: {reply}");
                    Sentence::from(put_off).and("; tried again at ").at(head.due)
                }
            }
        }
        (Input::MailOrdered { order: MailOrder::Drop, .. }, _) => format!("{mail} dropped").into(),
        (Input::MailOrdered { order: MailOrder::Retry, .. }, _) => {
            format!("{mail} to be tried now").into()
        }
        (_, Some(head)) if head.standing == Standing::UnderWay => {
            format!("{mail} handed over, attempt {}", head.attempts).into()
        }
        (_, Some(head)) => Sentence::from(format!("{mail} waits until "))
            .at(head.due)
            .and(&format!(": {recipient} had its share for now")),
        (_, None) => format!("{mail} forgotten: it had failed a month ago").into(),
    }
}
