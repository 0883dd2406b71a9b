//! Which mails are owed, when are they tried, and what follows from the answer?
//!
//! Guarantees that a mail is owed by the very record that gives cause for it, that alerts within
//! 30 s to one recipient are one mail, apart from those out of spools, and that a mail once owed goes only when it was sent, was
//! dropped by hand, or stood failed for a month. Sends nothing.

mod explain;
mod woken;

use std::num::NonZeroU32;
use std::time::Duration;

use super::decide::Draft;
use super::effect::{Alert, Effect, Matter};
use super::event::Severity;
use super::mail::{
    BRIEFS_MAX, Brief, Delivery, Late, MailEffect, MailOrder, Message, MessageNumber, NOTICES_MAX,
    Notice, Standing, Urgency,
};
use super::marks::Marks;
use super::name::RecordNumber;
use super::record::Record;
use super::settings::{Budget, Settings};
use super::state::State;
use super::time::Timestamp;
use super::told;

/// The longest pause between two attempts; they begin with a minute and double.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// After so long a mail is given up (SMTP practice).
const GIVEN_UP_AFTER: Duration = Duration::from_secs(3 * 86_400);

/// A mail that failed is kept so long, to be looked at or tried by hand.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 86_400);

/// From the second failed attempt of a mail on it is a matter for the dashboard.
const ATTEMPTS_BEFORE_ALERT: u32 = 2;

/// A summary is tried so long after its first notice at the latest, however many more come.
const LATE_GATHERS_MAX: Duration = Duration::from_secs(10 * 60);

/// What one recipient gets of grave news, of errors and of what is fatal each: 16 mails, then one each
/// 5 min, so that no flood of them is a flood of mails.
const GRAVE_BUDGET: Budget =
    Budget { burst: NonZeroU32::new(16).unwrap(), every: Duration::from_secs(5 * 60) };

/// The same for what is mild, of each severity, and for what goes on; the rest folds into the next.
const MILD_BUDGET: Budget =
    Budget { burst: NonZeroU32::new(16).unwrap(), every: Duration::from_secs(15 * 60) };

/// Most bytes of a notice's text that are kept of a mail which is owed no more.
const TRACE_TEXT_BYTES_MAX: usize = 1_000;

pub(in crate::grid) use explain::explain;
use woken::woken;

/// Why an order about a mail is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailRefusal {
    /// No mail of that number is owed.
    #[error("no mail {} is owed; `gridctl mail list` shows those that are", .number.0)]
    NotOwed {
        /// The number asked for.
        number: MessageNumber,
    },
    /// It is on its way already.
    #[error("mail {} is on its way at this moment; wait for what comes of it", .number.0)]
    UnderWay {
        /// The number asked for.
        number: MessageNumber,
    },
}

/// Adds to a record the mails for which it gives cause. What comes out of a spool is history and
/// alarms nobody: it goes to a summary.
pub(in crate::grid) fn owe(state: &State, settings: &Settings, record: &mut Record) {
    let Some(mail) = settings.mail() else { return };
    let notices = told::notices(state, mail, record);
    let is_late = record.marks.has(Marks::REPLAYED);
    let mut last = state.outbox().last;
    for recipient in &mail.recipients {
        let mut new = None;
        for notice in &notices {
            let open = match (new.take(), state.outbox().gathering(recipient, is_late)) {
                (Some(open), _) => open,
                (None, Some(open)) => open.clone(),
                (None, None) => {
                    last = MessageNumber(last.0 + 1);
                    let begun = begun(last, recipient, record.at, mail.gather);
                    Message { late: is_late.then(|| Box::new(Late::new(notice.at))), ..begun }
                }
            };
            let until = record.at.after(mail.gather);
            new = Some(if is_late {
                add_late(open, notice, until, &mut record.effects)
            } else {
                add(open, notice, until, &mut record.effects)
            });
        }
    }
}

fn begun(number: MessageNumber, recipient: &str, now: Timestamp, gather: Duration) -> Message {
    Message {
        number,
        recipient: recipient.into(),
        owed_since: now,
        notices: Vec::new(),
        more: 0,
        briefs: Vec::new(),
        attempts: 0,
        standing: Standing::Waiting,
        due: now.after(gather),
        retried_at: None,
        last_reply: Box::default(),
        late: None,
        away: Duration::ZERO,
    }
}

/// One more notice for that message. More urgent than what waits there, it does not wait longer than
/// for what comes with it.
fn add(
    mut message: Message,
    notice: &Notice,
    until: Timestamp,
    effects: &mut Vec<Effect>,
) -> Message {
    let is_new = message.notices.is_empty();
    let is_more_urgent = notice.urgency() > message.urgency();
    let has_room = message.notices.len() < NOTICES_MAX;
    if is_more_urgent {
        message.due = message.due.min(until);
    }
    message.more += u64::from(!has_room);
    if is_new || is_more_urgent || !has_room {
        effects.push(head(&message));
    }
    push(&mut message, notice, effects);
    message
}

/// One more notice for that summary, which gathers anew until then: a spool is brought bit by bit.
fn add_late(
    mut message: Message,
    notice: &Notice,
    until: Timestamp,
    effects: &mut Vec<Effect>,
) -> Message {
    let latest = message.owed_since.after(LATE_GATHERS_MAX);
    // One that its recipient's budget has put off stays so.
    message.due = until.min(latest).max(message.due);
    let (number, about) = (message.number, notice.about.clone());
    let count = message.late.as_mut().and_then(|late| late.add(notice));
    message.more += u64::from(message.notices.len() >= NOTICES_MAX);
    effects.push(head(&message));
    effects.extend(count.map(|count| Effect::Mail(MailEffect::LateOf { number, about, count })));
    push(&mut message, notice, effects);
    message
}

/// Puts a notice in. If there is no room it takes the place of the mildest one, if it is graver; the
/// other one is kept as a line.
fn push(message: &mut Message, notice: &Notice, effects: &mut Vec<Effect>) {
    let number = message.number;
    if message.notices.len() < NOTICES_MAX {
        let at = message.notices.len();
        message.notices.push(notice.clone());
        effects.push(Effect::Mail(MailEffect::Notice { number, at, notice: notice.clone() }));
        return;
    }
    // Of several that are as mild, the last one.
    let listed = message.notices.iter_mut().enumerate();
    let mildest = listed.min_by_key(|(at, it)| (it.rank(), std::cmp::Reverse(*at)));
    let mut left = notice.clone();
    if let Some((at, mildest)) = mildest.filter(|(_, mildest)| mildest.rank() < notice.rank()) {
        left = std::mem::replace(mildest, left);
        effects.push(Effect::Mail(MailEffect::Notice { number, at, notice: notice.clone() }));
    }
    let at = message.briefs.len();
    if at < BRIEFS_MAX {
        let brief = Brief::from(&left);
        message.briefs.push(brief.clone());
        effects.push(Effect::Mail(MailEffect::Brief { number, at, brief }));
    }
}

/// How it stands, without its notices.
fn head(message: &Message) -> Effect {
    Effect::Mail(message.head())
}

/// It is owed no more. What it said stays in that record.
fn gone(message: &Message, record: RecordNumber) -> Vec<Effect> {
    let (number, recipient) = (message.number, message.recipient.clone());
    let notices = message.notices.iter().enumerate().map(|(at, notice)| {
        let end = notice.text.floor_char_boundary(TRACE_TEXT_BYTES_MAX);
        let notice = Notice { text: notice.text[..end].into(), ..notice.clone() };
        MailEffect::Notice { number, at, notice }
    });
    let gone = MailEffect::Gone { number, recipient, record: Some(record) };
    // Under way it would be handed over.
    let head = Message { standing: Standing::Waiting, ..message.clone() }.head();
    [head].into_iter().chain(notices).chain([gone]).map(Effect::Mail).collect()
}

fn fails(recipient: &str, reply: &str) -> String {
    format!("mail to {recipient} is not delivered and waits: {reply}")
}

fn given_up(number: MessageNumber, recipient: &str, reply: &str) -> String {
    format!(
        "mail {} to {recipient} is given up: {reply}; `gridctl mail retry` tries it again",
        number.0
    )
}

/// A mail is due.
pub(in crate::grid) fn due(state: &State, number: MessageNumber, now: Timestamp) -> Option<Draft> {
    let message = state.outbox().message(number).filter(|it| it.due <= now)?;
    match message.standing {
        Standing::UnderWay => None,
        Standing::Failed => {
            let effects = gone(message, state.last() + 1).into_iter();
            Some(Draft::kept(effects.chain(settled(state, number)).collect()))
        }
        Standing::Waiting => Some(Draft::kept(hand_over(state, message, now))),
    }
}

fn hand_over(state: &State, message: &Message, now: Timestamp) -> Vec<Effect> {
    let attempts = message.attempts.saturating_add(1);
    let under_way = Message { attempts, standing: Standing::UnderWay, ..message.clone() };
    if message.attempts > 0 {
        return vec![head(&under_way)];
    }
    let recipient = message.recipient.clone();
    let urgency = message.urgency();
    let budget = match urgency {
        Urgency::News(Severity::Fatal | Severity::Error) => GRAVE_BUDGET,
        Urgency::News(Severity::Warn | Severity::Info | Severity::Debug) | Urgency::Repeat => {
            MILD_BUDGET
        }
    };
    let spent = &state.outbox().spent;
    let full_at = spent.get(&(recipient.clone(), urgency)).copied().unwrap_or_default();
    match budget.spend(full_at, now) {
        Some(full_at) => {
            let spent = Effect::Mail(MailEffect::RecipientSpent { recipient, urgency, full_at });
            vec![spent, head(&under_way)]
        }
        None => {
            let due = budget.room_at(full_at);
            vec![head(&Message { due, ..message.clone() })]
        }
    }
}

/// The courier answered.
pub(in crate::grid) fn answered(
    state: &State,
    number: MessageNumber,
    attempt: u32,
    delivery: &Delivery,
    now: Timestamp,
) -> Option<Draft> {
    let message = state.outbox().message(number)?;
    // An answer to an attempt before the last stop or retry tells nothing of this one.
    if message.standing != Standing::UnderWay || message.attempts != attempt {
        return None;
    }
    let last_reply: Box<str> = delivery.reply().into();
    let mut effects = Vec::new();
    let alert = |text: String| {
        // Other words on it do not begin it anew.
        let since = state.alert(None, Matter::MailFails).map_or(now, |open| open.since);
        let alert = Alert { severity: Severity::Error, since, text: text.into() };
        Effect::AlertRaised { number: None, matter: Matter::MailFails, alert }
    };
    let recipient = &message.recipient;
    let waited = message.clone();
    match delivery {
        Delivery::Sent(_) => {
            effects.extend(gone(message, state.last() + 1));
            effects.extend(woken(state, message, now));
            effects.extend(settled(state, number));
        }
        Delivery::Deferred(_) => {
            let due = now.after(pause(attempt));
            let tried_since = message.owed_since.max(message.retried_at.unwrap_or_default());
            if due >= tried_since.after(GIVEN_UP_AFTER).after(message.away) {
                effects.push(failed(waited, last_reply.clone(), now));
                effects.push(alert(given_up(number, recipient, &last_reply)));
            } else {
                let standing = Standing::Waiting;
                effects.push(head(&Message {
                    due,
                    standing,
                    last_reply: last_reply.clone(),
                    ..waited
                }));
                let is_open = state.alert(None, Matter::MailFails).is_some();
                if attempt >= ATTEMPTS_BEFORE_ALERT && !is_open {
                    effects.push(alert(fails(recipient, &last_reply)));
                }
            }
        }
        Delivery::Refused(_) => {
            effects.push(failed(waited, last_reply.clone(), now));
            effects.push(alert(given_up(number, recipient, &last_reply)));
        }
    }
    Some(Draft::kept(effects))
}

/// Mail is no matter any more once none but `number` stands failed.
fn settled(state: &State, number: MessageNumber) -> Option<Effect> {
    let mut others = state.outbox().messages.values().filter(|it| it.number != number);
    let has_failed = others.any(|it| it.standing == Standing::Failed);
    let is_open = state.alert(None, Matter::MailFails).is_some();
    let matter = Matter::MailFails;
    (is_open && !has_failed).then_some(Effect::AlertCleared { number: None, matter })
}

fn failed(message: Message, last_reply: Box<str>, now: Timestamp) -> Effect {
    let (standing, due) = (Standing::Failed, now.after(FORGOTTEN_AFTER));
    head(&Message { standing, due, last_reply, ..message })
}

/// 1, 2, 4 ... 60 minutes.
fn pause(attempt: u32) -> Duration {
    let minutes = 1_u32.checked_shl(attempt.saturating_sub(1)).filter(|it| *it > 0);
    minutes.map_or(PAUSE_MAX, |it| Duration::from_secs(60).saturating_mul(it)).min(PAUSE_MAX)
}

/// An administrator says what is to become of a mail.
pub(in crate::grid) fn ordered(
    state: &State,
    number: MessageNumber,
    order: MailOrder,
    now: Timestamp,
) -> Result<Draft, MailRefusal> {
    let message = state.outbox().message(number).ok_or(MailRefusal::NotOwed { number })?;
    let mut effects = match order {
        MailOrder::Drop => vec![Effect::Mail(MailEffect::Gone {
            number,
            recipient: message.recipient.clone(),
            record: None,
        })],
        // The courier has it: another attempt now could double it.
        MailOrder::Retry if message.standing == Standing::UnderWay => {
            return Err(MailRefusal::UnderWay { number });
        }
        MailOrder::Retry => {
            // It is tried for three days more; what it says, and since when, stays.
            let (standing, due, retried_at) = (Standing::Waiting, now, Some(now));
            let away = Duration::ZERO;
            vec![head(&Message { standing, due, retried_at, away, ..message.clone() })]
        }
    };
    let was_failed = message.standing == Standing::Failed;
    effects.extend(settled(state, number).filter(|_| was_failed && order == MailOrder::Drop));
    Ok(Draft::kept(effects))
}

/// What was under way when the broker ended is tried again: whether it arrived nobody knows.
pub(in crate::grid) fn taken_up(state: &State, now: Timestamp) -> Vec<Effect> {
    let messages = state.outbox().messages.values();
    let under_way = messages.filter(|it| it.standing == Standing::UnderWay);
    let standing = Standing::Waiting;
    under_way.map(|it| head(&Message { standing, due: now, ..it.clone() })).collect()
}
