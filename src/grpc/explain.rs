//! Explains decisions about notifications: reads them from their records, with what became of the messages.
//!
//! Guarantees that a decision is told as its record has it, and that a message which left the queue is
//! found as long as its record is kept. Decides nothing.

use std::collections::BTreeMap;

use tonic::Status;

use super::{Services, status};
use crate::contract::encode;
use crate::contract::proto::{ExplainedDecision, Mail, NotificationMessage};
use crate::grid::log::alert_effect::AlertEffect;
use crate::grid::log::effect::{Effect, MailEffect};
use crate::grid::log::record::Record;
use crate::grid::model::mail_message::MessageNumber;
use crate::grid::values::id::{AlertId, SilenceId};

/// The most messages of one decision whose state is looked up; of more, only their numbers are told.
const EXPLAINED_MESSAGES_MAX: usize = 64;

impl Services {
    /// The decisions of a record, or only those about that alert.
    pub(super) async fn explain(
        &self,
        record: &Record,
        only: Option<AlertId>,
    ) -> Result<Vec<ExplainedDecision>, Status> {
        let mut decisions = Vec::new();
        for effect in &record.effects {
            let Effect::Alert(AlertEffect::Decided(trace)) = effect else { continue };
            if only.is_some_and(|id| id != trace.alert) {
                continue;
            }
            let mut explained = encode::alert::explained(trace, record.number, record.at);
            if trace.reason.notifies() {
                explained.messages = self.messages(record, trace.alert).await?;
            }
            (explained.appliance, explained.key) = self.alert_names(trace.alert).await?;
            if let (Some(silence), Some(decision)) = (trace.silence, &mut explained.decision) {
                decision.explanation.push_str(&self.silence_words(silence).await?);
            }
            decisions.push(explained);
        }
        Ok(decisions)
    }

    /// Appliance and key of an alert; empty if it is not kept any more.
    async fn alert_names(&self, id: AlertId) -> Result<(String, String), Status> {
        let queried = self.broker.query(move |grid, _| {
            let alert = grid.state().alerts().get(id)?;
            let name = alert.appliance.and_then(|number| grid.state().name(number));
            Some((name.map_or_else(String::new, ToString::to_string), alert.key.to_string()))
        });
        Ok(queried.await.map_err(status::unavailable)?.unwrap_or_default())
    }

    /// Whose silence it is, and why; empty if it is not kept any more.
    async fn silence_words(&self, id: SilenceId) -> Result<String, Status> {
        let queried = self.broker.query(move |grid, _| {
            let silence = grid.state().alerts().silence(id)?;
            Some(format!(", of {}: {}", silence.owner, silence.reason))
        });
        Ok(queried.await.map_err(status::unavailable)?.unwrap_or_default())
    }

    async fn messages(
        &self,
        record: &Record,
        id: AlertId,
    ) -> Result<Vec<NotificationMessage>, Status> {
        let mut messages = Vec::new();
        for (number, receiver) in messages_with(record, id) {
            let is_looked_up = messages.len() < EXPLAINED_MESSAGES_MAX;
            let mail = if is_looked_up { self.mail_now(number).await? } else { None };
            let Mail { recipient, state, last_reply, due, ended_at, .. } = mail.unwrap_or_default();
            let receiver = if recipient.is_empty() { receiver.to_owned() } else { recipient };
            let number = number.0;
            messages.push(NotificationMessage {
                number,
                receiver,
                state,
                last_reply,
                due,
                ended_at,
            });
        }
        Ok(messages)
    }

    /// A mail as it is now, queued or not; `None`: nothing is known of it any more.
    pub(super) async fn mail_now(&self, number: MessageNumber) -> Result<Option<Mail>, Status> {
        let queried = self.broker.query(move |grid, _| {
            let outbox = grid.state().outbox();
            (outbox.message(number).map(encode::mail::mail), outbox.finished.get(&number).copied())
        });
        match queried.await.map_err(status::unavailable)? {
            (None, Some(record)) => self.completed_mail(number, record).await,
            (queued, _) => Ok(queued),
        }
    }
}

/// The messages to which a record adds a notice of that alert, with their receivers.
fn messages_with(record: &Record, id: AlertId) -> BTreeMap<MessageNumber, &str> {
    let mail_effects = || {
        record.effects.iter().filter_map(|effect| {
            if let Effect::Mail(effect) = effect { Some(effect) } else { None }
        })
    };
    let mut messages: BTreeMap<MessageNumber, &str> = mail_effects()
        .filter_map(|effect| match effect {
            MailEffect::Notice { number, notice, .. } => {
                (notice.alert == Some(id)).then_some((*number, ""))
            }
            MailEffect::Brief { number, brief, .. } => {
                (brief.alert == Some(id)).then_some((*number, ""))
            }
            MailEffect::Header { .. }
            | MailEffect::DigestCount { .. }
            | MailEffect::Removed { .. }
            | MailEffect::Finished { .. }
            | MailEffect::RecipientLimit { .. }
            | MailEffect::LastNumber { .. } => None,
        })
        .collect();
    for effect in mail_effects() {
        if let MailEffect::Header { message } = effect
            && let Some(receiver) = messages.get_mut(&message.number)
        {
            *receiver = &message.recipient;
        }
    }
    messages
}
