//! Queues, schedules and retries mails, and applies delivery results.
//!
//! Guarantees that a mail is queued by the same record that causes it, that alerts within 30 s to
//! one recipient are one mail, apart from those from spools, and that a queued mail is removed only
//! when it was sent, was dropped by hand, or had failed for a month. Sends nothing.

mod batch;
mod retry;

use std::num::NonZeroU32;
use std::time::Duration;

use crate::grid::decide::DecisionDraft;
use crate::grid::log::effect::{Effect, MailEffect};
use crate::grid::model::finding::{Finding, FindingKind};
use crate::grid::model::mail_message::{
    Delivery, DeliveryState, MailMessage, MessageNumber, Notice, OutboxCommand, Urgency,
};
use crate::grid::model::settings::RateLimit;
use crate::grid::state::State;
use crate::grid::values::event::Severity;
use crate::grid::values::id::RecordNumber;
use crate::grid::values::time::Timestamp;

/// The longest pause between two attempts; pauses begin with a minute and double. 15 min: what a server
/// defers may be an alert.
const BACKOFF_MAX: Duration = Duration::from_secs(15 * 60);

/// The pause after an attempt that did not reach the server: an attempt costs little, and what waits is to
/// be sent within a minute of the server's return.
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(45);

/// After this time a mail fails (SMTP practice).
const RETRY_PERIOD: Duration = Duration::from_secs(3 * 86_400);

/// How long a failed mail is kept, for a look or a retry by hand.
const FAILED_RETENTION: Duration = Duration::from_secs(30 * 86_400);

/// From this failed attempt of a mail on an alert is open.
const ATTEMPTS_BEFORE_ALERT: u32 = 2;

/// The limit of new alerts per recipient, for errors and for fatal ones each: 64 mails, then one
/// per minute. What is new and grave hardly waits; a mail takes all that is new within the gather time.
const URGENT_LIMIT: RateLimit =
    RateLimit { burst: NonZeroU32::new(64).unwrap(), interval: Duration::from_secs(60) };

/// The same for each lower severity, and for continuing alerts; the rest is joined into the next
/// mail.
const ROUTINE_LIMIT: RateLimit =
    RateLimit { burst: NonZeroU32::new(16).unwrap(), interval: Duration::from_secs(15 * 60) };

/// The most bytes of a notice's text that are kept of a finished mail.
const FINISHED_TEXT_BYTES_MAX: usize = 1_000;

pub(in crate::grid) use crate::grid::decide::mail::batch::enqueue;
use crate::grid::decide::mail::retry::retry_waiting;

/// Why a command about a mail is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailRejection {
    /// No mail of that number is queued.
    #[error("no mail {} is queued; `gridctl mail list` shows those that are", .number.0)]
    NotQueued {
        /// The requested number.
        number: MessageNumber,
    },
    /// It is being sent already.
    #[error("mail {} is being sent at this moment; wait for the result", .number.0)]
    InFlight {
        /// The requested number.
        number: MessageNumber,
    },
}

/// The effect with the state of a mail, without its notices.
fn header(message: &MailMessage) -> Effect {
    Effect::Mail(message.header())
}

/// Removes a mail from the queue. That record keeps its content.
fn removed(message: &MailMessage, record: RecordNumber) -> Vec<Effect> {
    let (number, recipient) = (message.number, message.recipient.clone());
    let notices = message.notices.iter().enumerate().map(|(at, notice)| {
        let end = notice.text.floor_char_boundary(FINISHED_TEXT_BYTES_MAX);
        let notice = Notice { text: notice.text[..end].into(), ..notice.clone() };
        MailEffect::Notice { number, at, notice }
    });
    let gone = MailEffect::Removed { number, recipient, record: Some(record) };
    // In flight it would be sent.
    let head = MailMessage { state: DeliveryState::Waiting, ..message.clone() }.header();
    [head].into_iter().chain(notices).chain([gone]).map(Effect::Mail).collect()
}

fn failing_text(recipient: &str, reply: &str) -> String {
    format!("mail to {recipient} is not delivered and stays queued: {reply}")
}

fn failed_text(number: MessageNumber, recipient: &str, reply: &str) -> String {
    format!(
        "mail {} to {recipient} failed permanently: {reply}; `gridctl mail retry` tries it again",
        number.0
    )
}

/// Handles a mail that is due.
pub(in crate::grid) fn start_attempt(
    state: &State,
    number: MessageNumber,
    now: Timestamp,
) -> Option<DecisionDraft> {
    let message = state.outbox().message(number).filter(|it| it.due_at <= now)?;
    match message.state {
        DeliveryState::InFlight => None,
        DeliveryState::Failed => {
            let effects = removed(message, state.last() + 1).into_iter();
            Some(DecisionDraft::recorded(effects.chain(cleared_if_last(state, number)).collect()))
        }
        DeliveryState::Waiting => Some(DecisionDraft::recorded(dispatch(state, message, now))),
    }
}

/// The rate limit of mails of that urgency to one recipient.
fn limit_of(urgency: Urgency) -> RateLimit {
    match urgency {
        Urgency::New(Severity::Fatal | Severity::Error) => URGENT_LIMIT,
        Urgency::New(Severity::Warn | Severity::Info | Severity::Debug) | Urgency::Repeat => {
            ROUTINE_LIMIT
        }
    }
}

/// When the rate limit lets a mail of that urgency go.
fn free_at(state: &State, recipient: &str, urgency: Urgency, now: Timestamp) -> Timestamp {
    let used = &state.outbox().recipient_limits;
    let full_at = used.get(&(recipient.into(), urgency)).copied().unwrap_or_default();
    let limit = limit_of(urgency);
    match limit.try_acquire(full_at, now) {
        Some(_) => now,
        None => limit.next_free_at(full_at),
    }
}

fn dispatch(state: &State, message: &MailMessage, now: Timestamp) -> Vec<Effect> {
    let attempts = message.attempts.saturating_add(1);
    let under_way = MailMessage { attempts, state: DeliveryState::InFlight, ..message.clone() };
    if message.attempts > 0 {
        return vec![header(&under_way)];
    }
    let recipient = message.recipient.clone();
    let urgency = message.urgency();
    let budget = limit_of(urgency);
    let spent = &state.outbox().recipient_limits;
    let full_at = spent.get(&(recipient.clone(), urgency)).copied().unwrap_or_default();
    match budget.try_acquire(full_at, now) {
        Some(full_at) => {
            let spent = Effect::Mail(MailEffect::RecipientLimit {
                recipient,
                urgency,
                refilled_at: full_at,
            });
            vec![spent, header(&under_way)]
        }
        None => {
            let due_at = budget.next_free_at(full_at);
            vec![header(&MailMessage { due_at, ..message.clone() })]
        }
    }
}

/// Applies a delivery result.
pub(in crate::grid) fn delivery_result(
    state: &State,
    number: MessageNumber,
    attempt: u32,
    delivery: &Delivery,
    now: Timestamp,
) -> Option<DecisionDraft> {
    let message = state.outbox().message(number)?;
    // A result of an attempt before the last stop or retry says nothing about this one.
    if message.state != DeliveryState::InFlight || message.attempts != attempt {
        return None;
    }
    let last_reply: Box<str> = delivery.reply().into();
    let mut effects = Vec::new();
    let alert = |text: String| {
        // Another text keeps the start of the alert.
        let since = state.finding(None, FindingKind::MailFails).map_or(now, |open| open.since);
        let finding = Finding { severity: Severity::Error, since, text: text.into() };
        Effect::FindingRaised { number: None, kind: FindingKind::MailFails, finding }
    };
    let recipient = &message.recipient;
    let waited = message.clone();
    match delivery {
        Delivery::Sent(_) => {
            effects.extend(removed(message, state.last() + 1));
            effects.extend(retry_waiting(state, message, now));
            effects.extend(cleared_if_last(state, number));
        }
        Delivery::Deferred(_) | Delivery::Unreachable(_) => {
            let is_unreachable = matches!(delivery, Delivery::Unreachable(_));
            let pause = if is_unreachable { UNREACHABLE_PAUSE } else { backoff(attempt) };
            let due = now.after(pause);
            let tried_since = message.queued_at.max(message.retried_at.unwrap_or_default());
            if due >= tried_since.after(RETRY_PERIOD).after(message.downtime) {
                effects.push(failed_message(waited, last_reply.clone(), now));
                effects.push(alert(failed_text(number, recipient, &last_reply)));
            } else {
                let waiting = DeliveryState::Waiting;
                effects.push(header(&MailMessage {
                    due_at: due,
                    state: waiting,
                    last_reply: last_reply.clone(),
                    is_unreachable,
                    ..waited
                }));
                let is_open = state.finding(None, FindingKind::MailFails).is_some();
                if attempt >= ATTEMPTS_BEFORE_ALERT && !is_open {
                    effects.push(alert(failing_text(recipient, &last_reply)));
                }
            }
        }
        Delivery::Refused(_) => {
            effects.push(failed_message(waited, last_reply.clone(), now));
            effects.push(alert(failed_text(number, recipient, &last_reply)));
        }
    }
    Some(DecisionDraft::recorded(effects))
}

/// Resolves the mail alert once no other mail than `number` has failed.
fn cleared_if_last(state: &State, number: MessageNumber) -> Option<Effect> {
    let has_failed = state.outbox().has_other_failed(number);
    let is_open = state.finding(None, FindingKind::MailFails).is_some();
    let kind = FindingKind::MailFails;
    (is_open && !has_failed).then_some(Effect::FindingCleared { number: None, kind })
}

fn failed_message(message: MailMessage, last_reply: Box<str>, now: Timestamp) -> Effect {
    let (state, due) = (DeliveryState::Failed, now.after(FAILED_RETENTION));
    header(&MailMessage { state, due_at: due, last_reply, ..message })
}

/// 1, 2, 4, 8, 15 minutes.
fn backoff(attempt: u32) -> Duration {
    let minutes = 1_u32.checked_shl(attempt.saturating_sub(1)).filter(|it| *it > 0);
    minutes.map_or(BACKOFF_MAX, |it| Duration::from_secs(60).saturating_mul(it)).min(BACKOFF_MAX)
}

/// Applies an administrator's command to a mail.
pub(in crate::grid) fn command(
    state: &State,
    number: MessageNumber,
    command: OutboxCommand,
    now: Timestamp,
) -> Result<DecisionDraft, MailRejection> {
    let message = state.outbox().message(number).ok_or(MailRejection::NotQueued { number })?;
    let mut effects = match command {
        OutboxCommand::Drop => vec![Effect::Mail(MailEffect::Removed {
            number,
            recipient: message.recipient.clone(),
            record: None,
        })],
        // The mail sender has it: another attempt now could duplicate it.
        OutboxCommand::Retry if message.state == DeliveryState::InFlight => {
            return Err(MailRejection::InFlight { number });
        }
        OutboxCommand::Retry => {
            // It is tried for three days more; its content, and when it was queued, stay.
            let (state, due_at, retried_at) = (DeliveryState::Waiting, now, Some(now));
            let downtime = Duration::ZERO;
            vec![header(&MailMessage { state, due_at, retried_at, downtime, ..message.clone() })]
        }
    };
    let was_failed = message.state == DeliveryState::Failed;
    effects.extend(
        cleared_if_last(state, number).filter(|_| was_failed && command == OutboxCommand::Drop),
    );
    Ok(DecisionDraft::recorded(effects))
}

/// Requeues mails that were in flight when the broker ended: whether they arrived is unknown.
pub(in crate::grid) fn requeue_in_flight(state: &State, now: Timestamp) -> Vec<Effect> {
    let messages = state.outbox().mails();
    let under_way = messages.filter(|it| it.state == DeliveryState::InFlight);
    let waiting = DeliveryState::Waiting;
    under_way.map(|it| header(&MailMessage { state: waiting, due_at: now, ..it.clone() })).collect()
}
