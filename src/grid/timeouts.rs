//! Decides on timeouts: what follows when a timer of an appliance has ended.
//!
//! Guarantees one case for each timer, and nothing for a timer that has not ended. Applies nothing.

use super::alert_key::AlertKey;
use super::appliance::Appliance;
use super::change::Change;
use super::decide::{Draft, View, Voices, worth_keeping};
use super::effect::{Effect, Matter, Phase};
use super::event::Severity;
use super::explain;
use super::lifecycle::{Lifecycle, Stimulus};
use super::name::ApplianceNumber;
use super::time::Timestamp;
use super::timer::Timer;

impl View<'_> {
    /// What follows when that timer of the appliance has ended.
    pub(super) fn deadline(&self, number: ApplianceNumber, timer: Timer) -> Option<Draft> {
        let appliance = self.state.appliance(number)?;
        let rules = self.settings.rules(&appliance.class, &appliance.overrides);
        let mut change = Change::new(self.state, appliance, &rules, self.now);
        match timer {
            Timer::Start => {
                // No state refuses that time passes.
                let _ = change.step(&Stimulus::Deadline);
            }
            Timer::Contact => {
                let had_agent = appliance.boot.is_some_and(|boot| boot.has_agent);
                let is_stopped = appliance.lifecycle == Lifecycle::Idle;
                if self.circumstances.contact_is_lost && had_agent && !is_stopped {
                    let text = explain::no_contact(appliance.name.as_str(), rules.lost_contact);
                    change.raise(Matter::NoContact, Severity::Warn, text);
                }
            }
            Timer::NameConflict => match self.circumstances.voices {
                Voices::One => change.clear(Matter::TwoMachines),
                Voices::PerhapsTwo => {}
                Voices::Two => {
                    let text = explain::two_machines(appliance.name.as_str());
                    change.raise(Matter::TwoMachines, Severity::Error, text);
                }
            },
            Timer::Suppression => change.costs(self.suppression_due(appliance)),
            Timer::Repeats => change.costs(self.runs_due(appliance)),
            Timer::Reminder => change.costs(self.reminders_due(appliance)),
            // A change that settles sees that it is over.
            Timer::Flapping => {}
        }
        worth_keeping(change)
    }

    fn is_due(&self, due: Option<Timestamp>) -> bool {
        due.is_some_and(|due| due <= self.now)
    }

    /// The next summary of a suppression, or its end.
    fn suppression_due(&self, appliance: &Appliance) -> Vec<Effect> {
        let Some(suppression) = &appliance.admission.suppression else { return Vec::new() };
        let mut suppression = (**suppression).clone();
        let phase = if suppression.until() <= self.now {
            Phase::Ends
        } else if suppression.next_summary() <= self.now {
            while suppression.next_summary() <= self.now {
                suppression.summed_up += 1;
            }
            Phase::SummedUp
        } else {
            return Vec::new();
        };
        vec![Effect::Suppression { number: appliance.number, phase, suppression }]
    }

    /// The runs of repeats that are over.
    fn runs_due(&self, appliance: &Appliance) -> Vec<Effect> {
        let number = appliance.number;
        let over = appliance.admission.keys.iter().filter(|key| self.is_due(key.run_due()));
        over.map(|key| Effect::RunTold { number, key: key.clone() }).collect()
    }

    /// The alerts that a mail is to mention again: those that go on, and those that were suppressed.
    fn reminders_due(&self, appliance: &Appliance) -> Vec<Effect> {
        let number = appliance.number;
        let mut effects = Vec::new();
        for key in &appliance.admission.keys {
            let Some(mailed) = key.mailed.as_ref().filter(|mailed| self.is_due(mailed.due()))
            else {
                continue;
            };
            let mailed = Some(mailed.clone().mailed(key.said, self.now));
            effects.push(Effect::AlertKey { number, key: AlertKey { mailed, ..key.clone() } });
        }
        let unmailed = appliance.admission.unmailed.as_ref().filter(|it| self.is_due(it.due()));
        effects.extend(unmailed.map(|unmailed| {
            let unmailed = unmailed.mailed(self.now);
            Effect::Unmailed { number, unmailed }
        }));
        effects
    }
}
