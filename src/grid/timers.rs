//! Holds the timers of a grid: when each of them ends, and what is to be decided then.
//!
//! Guarantees that an appliance is due when the first of its timers has ended, and that each timer that
//! has ended leads to one decision, which names it. Part of [`Grid`]. Reads no clock.

use super::decide::Decision;
use super::due_alerts::DueItem;
use super::{Grid, UNARMED_MAX};
use crate::grid::log::alert_input::AlertInput;
use crate::grid::log::input::Input;
use crate::grid::log::silence_input::SilenceInput;
use crate::grid::log::timer::Timer;
use crate::grid::model::alert_group::AlertGroup;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::model::settings::FLAPPING_WINDOW;
use crate::grid::state::appliance::Appliance;
use crate::grid::values::id::ApplianceIndex;
use crate::grid::values::time::Timestamp;

impl Grid {
    /// When [`Self::due`] and [`Self::handle_mail_timeout`] are to be asked next.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let unarmed = self.unarmed.iter().filter_map(|number| self.next_timer(*number));
        let (timers, mail) = (self.timers.next_wake(), self.mail_due_at);
        unarmed.chain(timers).chain(mail).chain(self.alert_queue.next_due_at()).min()
    }

    /// The appliances of which a timer may have ended at `now`, each once:
    /// [`Self::handle_timeout`] is to be called for each of them. That may wait until everything is
    /// decided that was received before `now`.
    pub fn due(&mut self, now: Timestamp) -> Vec<ApplianceIndex> {
        self.set_unarmed();
        self.timers.pop_due(now)
    }

    /// Decides on every timer of that appliance that has ended at `now`, one decision each.
    pub fn handle_timeout(&mut self, appliance: ApplianceIndex, now: Timestamp) -> Vec<Decision> {
        let now = now.max(self.state.last_at());
        let mut decisions = Vec::new();
        for (at, timer) in Timer::ALL.into_iter().enumerate() {
            // Each decision may set or clear the timers behind it.
            if self.timers_of(appliance)[at].is_some_and(|ends_at| ends_at <= now) {
                decisions.push(self.decide_and_apply(Input::Deadline { appliance, timer }, now));
            }
        }
        self.arm(appliance);
        decisions
    }

    /// Decides on the next alert or mail that is due at `now`; to be called until there is none.
    pub fn handle_mail_timeout(&mut self, now: Timestamp) -> Option<Decision> {
        let due = self.alert_queue.next_at(now).map(|item| match item {
            DueItem::Alert(id) => Input::Alert(AlertInput::Due { id }),
            DueItem::Silence(id) => Input::Silence(SilenceInput::Due { id }),
        });
        if let Some(due) = due {
            return Some(self.decide_and_apply(due, now));
        }
        let message = self.due_mail(now)?;
        Some(self.decide_and_apply(Input::MailDue { message }, now))
    }

    /// Sets the timer again before timers are read next.
    pub(super) fn arm(&mut self, number: ApplianceIndex) {
        if self.unarmed.last() == Some(&number) {
            return;
        }
        if self.unarmed.len() >= UNARMED_MAX {
            self.set_unarmed();
        }
        self.unarmed.push(number);
    }

    fn set_unarmed(&mut self) {
        let mut unarmed = std::mem::take(&mut self.unarmed);
        unarmed.drain(..).for_each(|number| self.set_timer(number));
        self.unarmed = unarmed;
    }

    /// Sets the timer that ends first.
    pub(super) fn set_timer(&mut self, number: ApplianceIndex) {
        self.timers.set(number, self.next_timer(number));
    }

    /// When the first timer of the appliance ends.
    fn next_timer(&self, number: ApplianceIndex) -> Option<Timestamp> {
        // `MAX` means never.
        self.timers_of(number).into_iter().flatten().min().filter(|next| *next < Timestamp::MAX)
    }

    /// When the timers of the appliance end, in the order of [`Timer::ALL`].
    fn timers_of(&self, number: ApplianceIndex) -> [Option<Timestamp>; Timer::ALL.len()] {
        let (contact, name_conflict) = self.sessions.deadlines(number);
        let Some(appliance) = self.state.appliance(number) else {
            return [None, contact, name_conflict, None, None, None, None, None];
        };
        let usage = &appliance.usage;
        [
            appliance.lifecycle.deadline(),
            contact,
            name_conflict,
            usage.suppression.as_ref().map(|suppression| suppression.next_deadline()),
            usage.alert_groups.iter().filter_map(AlertGroup::run_deadline).min(),
            usage.reminder_due(),
            self.flapping_until(appliance),
            self.state.certificate_due(appliance),
        ]
    }

    /// When an appliance that runs no longer counts as flapping.
    fn flapping_until(&self, appliance: &Appliance) -> Option<Timestamp> {
        let first = appliance.failed_starts.first()?;
        self.state.finding(Some(appliance.number), FindingKind::Flapping)?;
        (appliance.lifecycle == Lifecycle::Running).then(|| first.after(FLAPPING_WINDOW))
    }
}
