//! Retries waiting mails after a mail was delivered.
//!
//! Guarantees that mails which were tried before go at once, the most severe first, as one mail per
//! recipient. Applies nothing.

use super::{header, removed};
use crate::grid::log::effect::Effect;
use crate::grid::model::mail_message::{
    BRIEFS_MAX, BriefNotice, DeliveryState, MailMessage, MessageNumber, NOTICES_MAX,
};
use crate::grid::state::State;
use crate::grid::values::time::Timestamp;

/// After a delivery all mails waiting for the same server are tried at once, without their own
/// backoff. Mails to the recipient that were tried before become one, the most severe first.
pub(in crate::grid) fn retry_waiting(
    state: &State,
    arrived: &MailMessage,
    now: Timestamp,
) -> Vec<Effect> {
    let tried = state.outbox().tried_mails();
    let waiting: Vec<_> = tried.filter(|it| it.number != arrived.number).collect();
    let is_its = |it: &MailMessage| it.recipient == arrived.recipient;
    let (own, others): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|it| is_its(it));
    let (summaries, live): (Vec<_>, Vec<_>) = own.into_iter().partition(|it| it.digest.is_some());
    // A mail with the same last reply waits for the same server.
    let is_same =
        |it: &&MailMessage| !arrived.last_reply.is_empty() && it.last_reply == arrived.last_reply;
    let others = others.into_iter().filter(is_same);
    let at_once = |it: &MailMessage| header(&MailMessage { due_at: now, ..it.clone() });
    let mut effects: Vec<_> = summaries.into_iter().chain(others).map(at_once).collect();
    match live[..] {
        [] => {}
        [one] => effects.push(at_once(one)),
        [first, ..] => effects.extend(merged(state, first, &live, now)),
    }
    effects
}

/// Merges these mails to one recipient into one new mail, queued since the first of them.
fn merged(state: &State, first: &MailMessage, all: &[&MailMessage], now: Timestamp) -> Vec<Effect> {
    let mut effects: Vec<_> = all.iter().flat_map(|it| removed(it, state.last() + 1)).collect();
    let mut notices: Vec<_> = all.iter().flat_map(|it| &it.notices).collect();
    notices.sort_by_key(|it| std::cmp::Reverse(it.priority()));
    let kept = notices.len().min(NOTICES_MAX);
    let beyond = notices[kept..].iter().map(|it| BriefNotice::from(*it));
    let briefs = beyond.chain(all.iter().flat_map(|it| it.briefs.iter().cloned()));
    let more = all.iter().fold(0_u64, |sum, it| sum.saturating_add(it.omitted));
    let message = MailMessage {
        number: MessageNumber(state.outbox().last_number.0 + 1),
        notices: notices[..kept].iter().map(|it| (*it).clone()).collect(),
        omitted: more.saturating_add((notices.len() - kept) as u64),
        briefs: briefs.take(BRIEFS_MAX).collect(),
        attempts: all.iter().map(|it| it.attempts).max().unwrap_or_default(),
        state: DeliveryState::Waiting,
        due_at: now,
        ..first.clone()
    };
    message.to_effects(&mut effects);
    effects
}
