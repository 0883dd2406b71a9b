//! Moves all that is known along with told time.
//!
//! Told time follows the wall clock when that was set, and stands still while nobody was there.
//! Then all that is pending (deadlines, mails, budgets, runs of repeats) moves by as much, so that
//! nothing fires and nothing waits because of it; what has happened moves only where it was told by
//! the clock that was wrong. Guarantees that no time of the state is forgotten: every effect is
//! taken apart whole. Decides nothing.

use super::admission::{Admission, BudgetName, Held, Suppression};
use super::alert_key::AlertKey;
use super::effect::{Alert, Boot, Effect, Memory};
use super::lifecycle::{Lifecycle, Maintenance};
use super::mail::{Late, MailEffect, Message, Notice};
use super::repeating::Repeating;
use super::time::{Offset, Timestamp};
use super::unmailed::Unmailed;

/// A move of told time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// By so much.
    pub by: Offset,
    /// What happened from then on was told by the same clock, and moves too; what was before stays.
    pub from: Timestamp,
}

impl Shift {
    /// Told time stood still for a while: what has happened stays where it was.
    pub fn pause(by: Offset) -> Self {
        Self { by, from: Timestamp::MAX }
    }

    fn is_pause(self) -> bool {
        self.from == Timestamp::MAX
    }

    /// Something still to come, or by which something to come is reckoned. What was never, and what
    /// never comes, stays so.
    fn pending(self, at: Timestamp) -> Timestamp {
        let is_moment = at != Timestamp::EPOCH && at < Timestamp::MAX && at > Timestamp::MIN;
        if is_moment { at.moved(self.by) } else { at }
    }

    /// Something that has happened.
    fn past(self, at: Timestamp) -> Timestamp {
        if at >= self.from { self.pending(at) } else { at }
    }

    /// What an effect says, told anew.
    pub(in crate::grid) fn effect(self, effect: Effect) -> Effect {
        match effect {
            Effect::Boot { number, boot } => Effect::Boot { number, boot: self.boot(boot) },
            Effect::Lifecycle { number, lifecycle, since } => {
                let (lifecycle, since) = (self.lifecycle(lifecycle), self.past(since));
                Effect::Lifecycle { number, lifecycle, since }
            }
            Effect::FailedStarts { number, at } => {
                // Three within 24 h are flapping: that is an age, of which nothing may come.
                let at = at.into_iter().map(|at| self.pending(at)).collect();
                Effect::FailedStarts { number, at }
            }
            Effect::AlertRaised { number, matter, alert } => {
                let Alert { severity, since, text } = alert;
                let alert = Alert { severity, since: self.past(since), text };
                Effect::AlertRaised { number, matter, alert }
            }
            Effect::Spent { number, budget, full_at } => {
                Effect::Spent { number, budget, full_at: self.pending(full_at) }
            }
            Effect::AlertKey { number, key } => Effect::AlertKey { number, key: self.key(key) },
            Effect::RunTold { number, key } => Effect::RunTold { number, key: self.key(key) },
            Effect::Suppression { number, phase, suppression } => {
                let suppression = self.suppression(suppression);
                Effect::Suppression { number, phase, suppression }
            }
            Effect::Heard { number, windows, last_heard_at, counts } => {
                let last_heard_at = self.past(last_heard_at);
                Effect::Heard { number, windows, last_heard_at, counts }
            }
            Effect::Unmailed { number, unmailed } => {
                Effect::Unmailed { number, unmailed: self.unmailed(unmailed) }
            }
            Effect::Mail(change) => Effect::Mail(self.mail(change)),
            Effect::Memory { number, memory } => {
                let Memory { past_boots, windows, last_heard_at, last_record, admission } = memory;
                let last_heard_at = last_heard_at.map(|at| self.past(at));
                let admission = self.admission(admission);
                let memory = Memory { past_boots, windows, last_heard_at, last_record, admission };
                Effect::Memory { number, memory }
            }
            Effect::Appliance { .. }
            | Effect::Removed { .. }
            | Effect::AlertCleared { .. }
            | Effect::DeadlinesMoved { .. }
            | Effect::BudgetsFilled { .. }
            | Effect::AlertKeyForgotten { .. }
            | Effect::TimeShifted(_)
            | Effect::Lived { .. }
            | Effect::Tombstone { .. } => effect,
        }
    }

    fn boot(self, boot: Boot) -> Boot {
        let Boot { id, began_at, not_before, has_agent, is_assumed, newest_word } = boot;
        let moved = self.past(began_at);
        // A pause of the machine looks like a clock that was set: then the boot is older than that.
        let not_before = not_before.min(moved);
        // When a word was said is told by the appliance's own clock.
        Boot { id, began_at: moved, not_before, has_agent, is_assumed, newest_word }
    }

    fn lifecycle(self, lifecycle: Lifecycle) -> Lifecycle {
        match lifecycle.with_deadlines(|at| self.pending(at)) {
            Lifecycle::Maintenance(mut known) => {
                let Maintenance {
                    reported_at,
                    moved_at,
                    progress: _,
                    best: _,
                    text: _,
                    promise: _,
                    stuck_at: _,
                    boot_deadline: _,
                } = &mut *known;
                *reported_at = self.past(*reported_at);
                *moved_at = self.past(*moved_at);
                Lifecycle::Maintenance(known)
            }
            Lifecycle::Failed(mut failed) => {
                if let Some(word) = &mut failed.last_word {
                    word.at = self.past(word.at);
                }
                Lifecycle::Failed(failed)
            }
            same @ (Lifecycle::Idle
            | Lifecycle::Starting { .. }
            | Lifecycle::Running
            | Lifecycle::Dumping { .. }) => same,
        }
    }

    fn admission(self, admission: Admission) -> Admission {
        let Admission { mut spent, keys, suppression, counts, progress_at, unmailed } = admission;
        for budget in BudgetName::ALL {
            spent.set(budget, self.pending(spent.full_at(budget)));
        }
        Admission {
            spent,
            keys: keys.into_iter().map(|key| self.key(key)).collect(),
            suppression: suppression.map(|it| Box::new(self.suppression(*it))),
            counts,
            // After a pause no report is right behind another.
            progress_at: if self.is_pause() { progress_at } else { self.pending(progress_at) },
            unmailed: unmailed.map(|it| Box::new(self.unmailed(*it))),
        }
    }

    fn key(self, key: AlertKey) -> AlertKey {
        let AlertKey {
            id,
            label,
            full_at,
            said,
            record,
            began_at,
            said_at,
            repeats,
            first_repeat_at,
            mailed,
        } = key;
        AlertKey {
            id,
            label,
            full_at: self.pending(full_at),
            said,
            record,
            began_at: self.pending(began_at),
            said_at: self.pending(said_at),
            repeats,
            first_repeat_at: self.pending(first_repeat_at),
            mailed: mailed.map(|it| self.repeating(it)),
        }
    }

    fn repeating(self, it: Repeating) -> Repeating {
        Repeating { at: self.pending(it.at), said_at: self.pending(it.said_at), ..it }
    }

    fn unmailed(self, it: Unmailed) -> Unmailed {
        Unmailed {
            first_at: self.pending(it.first_at),
            last_at: self.pending(it.last_at),
            mailed_at: it.mailed_at.map(|at| self.pending(at)),
            ..it
        }
    }

    fn suppression(self, suppression: Suppression) -> Suppression {
        let Suppression { since, budget, over_at, summed_up, held } = suppression;
        let held = held.map(|Held { counts, first_at, last_at, kind, sample }| {
            let (first_at, last_at) = (self.past(first_at), self.past(last_at));
            Held { counts, first_at, last_at, kind, sample }
        });
        let (since, over_at) = (self.pending(since), self.pending(over_at));
        Suppression { since, budget, over_at, summed_up, held }
    }

    fn mail(self, change: MailEffect) -> MailEffect {
        match change {
            MailEffect::Stands { message } => {
                MailEffect::Stands { message: Box::new(self.message(*message)) }
            }
            MailEffect::Notice { number, at, notice } => {
                let notice = Notice { at: self.past(notice.at), ..notice };
                MailEffect::Notice { number, at, notice }
            }
            MailEffect::RecipientSpent { recipient, urgency, full_at } => {
                MailEffect::RecipientSpent { recipient, urgency, full_at: self.pending(full_at) }
            }
            MailEffect::LateOf { .. }
            | MailEffect::Brief { .. }
            | MailEffect::Trace { .. }
            | MailEffect::Gone { .. }
            | MailEffect::LastNumber { .. } => change,
        }
    }

    fn message(self, message: Message) -> Message {
        let Message {
            number,
            recipient,
            owed_since,
            notices,
            more,
            attempts,
            standing,
            due,
            last_reply,
            late,
            away,
            briefs,
            retried_at,
        } = message;
        let moved = self.past(owed_since);
        // Nobody could try it meanwhile, though it is owed since then.
        let away = if moved == owed_since { away.saturating_add(self.by.ahead()) } else { away };
        let late = late.map(|late| {
            let Late { first_at, last_at, severities, appliances } = *late;
            let (first_at, last_at) = (self.past(first_at), self.past(last_at));
            Box::new(Late { first_at, last_at, severities, appliances })
        });
        Message {
            number,
            recipient,
            owed_since: moved,
            notices,
            more,
            attempts,
            standing,
            due: self.pending(due),
            last_reply,
            late,
            away,
            briefs,
            retried_at: retried_at.map(|at| self.past(at)),
        }
    }
}
