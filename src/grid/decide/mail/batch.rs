//! Collects notices in mails, one open mail per recipient.
//!
//! Guarantees that a mail is queued by the same record that causes it, that what a server which cannot be
//! reached holds up stays one mail, and that a mail has one notice of an alert, the newest. Applies
//! nothing.

use std::time::Duration;

use super::{free_at, header};
use crate::grid::decide::alerts::{NoticeWait, RoutedNotice};
use crate::grid::decide::notify;
use crate::grid::log::effect::{Effect, MailEffect};
use crate::grid::log::record::Record;
use crate::grid::model::mail_message::{
    BRIEFS_MAX, BacklogDigest, BriefNotice, DeliveryState, MailMessage, MessageNumber, NOTICES_MAX,
    Notice, Urgency,
};
use crate::grid::model::settings::GridSettings;
use crate::grid::state::State;
use crate::grid::values::event::Severity;
use crate::grid::values::id::AlertId;
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;

/// A digest is tried this long after its first notice at the latest, however many more arrive.
const DIGEST_WAIT_MAX: Duration = Duration::from_secs(10 * 60);

/// What is so urgent does not wait for the pause after a failed attempt.
const URGENT: Urgency = Urgency::New(Severity::Error);

/// What is not new gathers for this many times the gather time: 15 min by default. Ends often come a few
/// minutes apart, and nobody has to act on them.
const GATHERS_LONG: u32 = 30;

/// That an alert was not reported any more gathers for this many times the gather time: 4 h by default.
const GATHERS_IDLE: u32 = 480;

/// A mail that cannot be sent takes no more notices after this time: the rest of the three days until it
/// fails is theirs, too.
const JOINED_WITHIN: Duration = Duration::from_secs(2 * 86_400);

/// Adds the mails to a record that it causes. An event from a spool is history and must not alarm
/// anybody: it goes to a digest.
pub(in crate::grid) fn enqueue(
    state: &State,
    settings: &GridSettings,
    record: &mut Record,
    of_alerts: Vec<RoutedNotice>,
) {
    let Some(mail) = settings.mail() else { return };
    let notices = notify::notifications(state, mail, record, settings, of_alerts);
    let is_late = record.flags.contains(RecordFlags::REPLAYED);
    let mut last = state.outbox().last_number;
    let mut receivers: Vec<&str> = Vec::new();
    for target in notices.iter().flat_map(|it| &it.targets) {
        if !receivers.contains(&&*target.receiver) {
            receivers.push(&target.receiver);
        }
    }
    for recipient in receivers {
        let mut new = None;
        let own = notices.iter().filter_map(|it| {
            let target = it.targets.iter().find(|target| *target.receiver == *recipient)?;
            Some((it, target.hold_until))
        });
        for (routed, hold_until) in own {
            let notice = &routed.notice;
            let gathered = gathered_at(routed.wait, record.at, mail.group_wait);
            let until = hold_until.map_or(gathered, |held| held.max(gathered));
            let oldest = record.at.before(JOINED_WITHIN);
            let open = match (new.take(), state.outbox().open_batch(recipient, is_late, oldest)) {
                (Some(open), _) => open,
                (None, Some(open)) => open.clone(),
                (None, None) => {
                    last = MessageNumber(last.0 + 1);
                    let begun = new_message(last, recipient, record.at, until);
                    MailMessage {
                        digest: is_late.then(|| Box::new(BacklogDigest::new(notice.at))),
                        ..begun
                    }
                }
            };
            new = Some(if is_late {
                add_to_digest(open, notice, until, &mut record.effects)
            } else {
                let urgency = notice.urgency().max(open.urgency());
                let until = until.max(free_at(state, recipient, urgency, record.at));
                add_notice(open, notice, until, &mut record.effects)
            });
        }
    }
}

/// Until when a notice waits for others.
fn gathered_at(wait: NoticeWait, now: Timestamp, group_wait: Duration) -> Timestamp {
    match wait {
        NoticeWait::Short => now.after(group_wait),
        NoticeWait::Until(at) => now.after(group_wait).max(at),
        NoticeWait::Long => now.after(group_wait.saturating_mul(GATHERS_LONG)),
        NoticeWait::Idle => now.after(group_wait.saturating_mul(GATHERS_IDLE)),
    }
}

fn new_message(
    number: MessageNumber,
    recipient: &str,
    now: Timestamp,
    due_at: Timestamp,
) -> MailMessage {
    MailMessage {
        number,
        recipient: recipient.into(),
        queued_at: now,
        notices: Vec::new(),
        omitted: 0,
        briefs: Vec::new(),
        attempts: 0,
        state: DeliveryState::Waiting,
        due_at,
        retried_at: None,
        last_reply: Box::default(),
        digest: None,
        downtime: Duration::ZERO,
        is_unreachable: false,
    }
}

/// Adds a notice to a mail, in place of an earlier one of the same alert. What is new shortens the wait to
/// its own.
fn add_notice(
    mut message: MailMessage,
    notice: &Notice,
    until: Timestamp,
    effects: &mut Vec<Effect>,
) -> MailMessage {
    let is_new = message.notices.is_empty();
    let (own, whole) = (notice.urgency(), message.urgency());
    // What is not urgent does not shorten the pause after a failed attempt.
    let hurries = message.attempts == 0 || own >= URGENT.max(whole) || own > whole;
    let due_at = if hurries { message.due_at.min(until) } else { message.due_at };
    let known = message.notices.iter().position(|it| is_of_same_alert(it.alert, notice));
    let brief = message.briefs.iter().position(|it| is_of_same_alert(it.alert, notice));
    let is_added = known.is_none() && brief.is_none();
    let has_room = message.notices.len() < NOTICES_MAX || !is_added;
    message.omitted += u64::from(!has_room);
    if is_new || due_at != message.due_at || !has_room {
        message.due_at = due_at;
        effects.push(header(&message));
    }
    match (known, brief) {
        (Some(at), _) => replace_notice(&mut message, at, notice, effects),
        (None, Some(at)) => replace_brief(&mut message, at, notice, effects),
        (None, None) => insert_notice(&mut message, notice, effects),
    }
    message
}

fn is_of_same_alert(alert: Option<AlertId>, notice: &Notice) -> bool {
    alert.is_some() && alert == notice.alert
}

/// Replaces the notice of an alert by its newest. What was new and not sent yet stays new, and as grave.
fn replace_notice(
    message: &mut MailMessage,
    at: usize,
    notice: &Notice,
    effects: &mut Vec<Effect>,
) {
    let number = message.number;
    let Some(known) = message.notices.get_mut(at) else { return };
    let notice = Notice {
        severity: known.severity.max(notice.severity),
        occurrences: match known.occurrences {
            0 => 0,
            before => before.saturating_add(notice.occurrences),
        },
        ..notice.clone()
    };
    known.clone_from(&notice);
    effects.push(Effect::Mail(MailEffect::Notice { number, at, notice }));
}

fn replace_brief(message: &mut MailMessage, at: usize, notice: &Notice, effects: &mut Vec<Effect>) {
    let number = message.number;
    let Some(known) = message.briefs.get_mut(at) else { return };
    let brief =
        BriefNotice { severity: known.severity.max(notice.severity), ..BriefNotice::from(notice) };
    known.clone_from(&brief);
    effects.push(Effect::Mail(MailEffect::Brief { number, at, brief }));
}

/// Adds a notice to a digest and extends its wait, since a spool is sent bit by bit.
fn add_to_digest(
    mut message: MailMessage,
    notice: &Notice,
    until: Timestamp,
    effects: &mut Vec<Effect>,
) -> MailMessage {
    let latest = message.queued_at.after(DIGEST_WAIT_MAX);
    // A digest that its recipient's rate limit has deferred stays so.
    message.due_at = until.min(latest).max(message.due_at);
    let (number, about) = (message.number, notice.subject.clone());
    let count = message.digest.as_mut().and_then(|late| late.add(notice));
    message.omitted += u64::from(message.notices.len() >= NOTICES_MAX);
    effects.push(header(&message));
    effects.extend(
        count.map(|count| Effect::Mail(MailEffect::DigestCount { number, subject: about, count })),
    );
    insert_notice(&mut message, notice, effects);
    message
}

/// Inserts a notice. If there is no room it replaces the one with the lowest priority, if that is
/// lower; the other one is kept as a line.
fn insert_notice(message: &mut MailMessage, notice: &Notice, effects: &mut Vec<Effect>) {
    let number = message.number;
    if message.notices.len() < NOTICES_MAX {
        let at = message.notices.len();
        message.notices.push(notice.clone());
        effects.push(Effect::Mail(MailEffect::Notice { number, at, notice: notice.clone() }));
        return;
    }
    // Of several with the same priority, the last one.
    let listed = message.notices.iter_mut().enumerate();
    let mildest = listed.min_by_key(|(at, it)| (it.priority(), std::cmp::Reverse(*at)));
    let mut left = notice.clone();
    if let Some((at, mildest)) =
        mildest.filter(|(_, mildest)| mildest.priority() < notice.priority())
    {
        left = std::mem::replace(mildest, left);
        effects.push(Effect::Mail(MailEffect::Notice { number, at, notice: notice.clone() }));
    }
    let at = message.briefs.len();
    if at < BRIEFS_MAX {
        let brief = BriefNotice::from(&left);
        message.briefs.push(brief.clone());
        effects.push(Effect::Mail(MailEffect::Brief { number, at, brief }));
    }
}
