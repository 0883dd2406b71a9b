//! Holds the timers of a grid: when each of them ends, and what is to be decided then.
//!
//! Guarantees that an appliance is due when the first of its timers has ended, and that each timer that
//! has ended leads to one decision, which names it. Part of [`Grid`]. Reads no clock.

use super::Grid;
use super::alert_key::AlertKey;
use super::decide::Decision;
use super::effect::Matter;
use super::lifecycle::Lifecycle;
use super::name::ApplianceNumber;
use super::record::Input;
use super::settings::FLAPPING_WINDOW;
use super::time::Timestamp;
use super::timer::Timer;

impl Grid {
    /// When [`Self::due`] and [`Self::handle_mail_timeout`] are to be asked next.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        [self.wheel.wake_at(), self.mail_due].into_iter().flatten().min()
    }

    /// The appliances of which a timer may have ended at `now`, each once:
    /// [`Self::handle_timeout`] is to be called for each of them. That may wait until everything is
    /// decided that was received before `now`.
    pub fn due(&mut self, now: Timestamp) -> Vec<ApplianceNumber> {
        self.wheel.due(now)
    }

    /// Decides on every timer of that appliance that has ended at `now`, one decision each.
    pub fn handle_timeout(&mut self, appliance: ApplianceNumber, now: Timestamp) -> Vec<Decision> {
        let now = now.max(self.state.last_at());
        let mut decisions = Vec::new();
        for timer in Timer::ALL {
            if self.timer(appliance, timer).is_some_and(|at| at <= now) {
                decisions.push(self.take(Input::Deadline { appliance, timer }, now));
            }
        }
        self.arm(appliance);
        decisions
    }

    /// Decides on the next mail that is due at `now`; to be called until there is none.
    pub fn handle_mail_timeout(&mut self, now: Timestamp) -> Option<Decision> {
        let message = self.due_mail(now)?;
        Some(self.take(Input::MailDue { message }, now))
    }

    /// Sets the timer that ends first.
    pub(super) fn arm(&mut self, number: ApplianceNumber) {
        let timers = Timer::ALL.into_iter().filter_map(|timer| self.timer(number, timer));
        // What lies at the end of time never comes.
        let next = timers.min().filter(|next| *next < Timestamp::MAX);
        self.wheel.arm(number, next);
    }

    /// When that timer of the appliance ends.
    fn timer(&self, number: ApplianceNumber, timer: Timer) -> Option<Timestamp> {
        let appliance = self.state.appliance(number);
        let admission = || appliance.map(|appliance| &appliance.admission);
        match timer {
            Timer::Start => appliance?.lifecycle.deadline(),
            Timer::Contact => self.presence.contact_until(number),
            Timer::NameConflict => self.presence.twins_at(number),
            Timer::Suppression => Some(admission()?.suppression.as_ref()?.due()),
            Timer::Repeats => admission()?.keys.iter().filter_map(AlertKey::run_due).min(),
            Timer::Reminder => admission()?.reminder_due(),
            Timer::Flapping => self.flapping_until(number),
        }
    }

    /// When an appliance that runs no longer counts as flapping.
    fn flapping_until(&self, number: ApplianceNumber) -> Option<Timestamp> {
        self.state.alert(Some(number), Matter::Flapping)?;
        let appliance = self.state.appliance(number)?;
        let first = appliance.failed_starts.first()?;
        (appliance.lifecycle == Lifecycle::Running).then(|| first.after(FLAPPING_WINDOW))
    }
}
