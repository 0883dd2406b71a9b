//! Decides on timeouts: what follows when a timer of an appliance has ended.
//!
//! Guarantees one case for each timer, and nothing for a timer that has not ended. Applies nothing.

use crate::grid::decide::transition::Transition;
use crate::grid::decide::{Decider, DecisionDraft, crash_dump, record_if_changed};
use crate::grid::explain;
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::timer::Timer;
use crate::grid::model::crash_dump::DumpEnd;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::lifecycle::{Lifecycle, LifecycleInput};
use crate::grid::model::sessions::SessionConflict;
use crate::grid::model::usage::SuppressionPhase;
use crate::grid::state::appliance::Appliance;
use crate::grid::values::event::Severity;
use crate::grid::values::id::ApplianceIndex;
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;

impl Decider<'_> {
    /// What follows when that timer of the appliance has ended.
    pub(in crate::grid) fn deadline(
        &self,
        number: ApplianceIndex,
        timer: Timer,
    ) -> Option<DecisionDraft> {
        let appliance = self.state.appliance(number)?;
        let rules = self.settings.rules(&appliance.class, &appliance.overrides);
        let mut change = Transition::new(self.state, appliance, &rules, self.now);
        match timer {
            Timer::Start => {
                if self.has_living_session(appliance) {
                    change.alive_after_trigger();
                }
                let before = change.lifecycle().clone();
                // No state refuses that time passes.
                let _ = change.apply(&LifecycleInput::Deadline);
                self.crash_dump_due(appliance, &before, &mut change);
            }
            Timer::Contact => {
                let had_agent = appliance.boot.is_some_and(|boot| boot.has_agent);
                // While a crash dump is taken silence is expected, until its own deadline.
                let is_silence_expected =
                    matches!(appliance.lifecycle, Lifecycle::Idle | Lifecycle::Dumping { .. });
                if self.context.is_contact_lost && had_agent && !is_silence_expected {
                    let text = explain::no_contact(appliance.name.as_str(), rules.lost_contact);
                    change.raise(FindingKind::NoContact, Severity::Warn, text);
                }
            }
            Timer::NameConflict => match self.context.conflict {
                SessionConflict::Absent => change.clear(FindingKind::NameConflict),
                SessionConflict::Possible => {}
                SessionConflict::Confirmed => {
                    let text = explain::duplicate_name(appliance.name.as_str());
                    change.raise(FindingKind::NameConflict, Severity::Error, text);
                }
            },
            Timer::Suppression => change.push_effects(self.suppression_due(appliance)),
            Timer::Repeats => change.push_effects(self.runs_due(appliance)),
            Timer::Reminder => change.push_effects(self.reminders_due(appliance)),
            // A change that settles sees that it is over.
            Timer::Flapping => {}
            Timer::Certificate => {
                let key = self.state.key_of(appliance)?;
                let due = self.state.certificate_due(appliance);
                if self.is_due(due) {
                    let has_ended = key.expires_at <= self.now;
                    let severity = if has_ended { Severity::Error } else { Severity::Warn };
                    let text = explain::certificate_ending(
                        appliance.name.as_str(),
                        (!has_ended).then(|| key.expires_at.since(self.now)),
                    );
                    change.escalate(FindingKind::CertificateEnding, severity, text);
                }
            }
        }
        record_if_changed(change)
    }

    /// Ends a crash dump whose deadline has passed, and requests one of a start that failed now.
    fn crash_dump_due(
        &self,
        appliance: &Appliance,
        before: &Lifecycle,
        change: &mut Transition<'_>,
    ) {
        let was_dumping = matches!(before, Lifecycle::Dumping { .. });
        match change.lifecycle() {
            Lifecycle::Dumping { .. } => {}
            Lifecycle::Idle
            | Lifecycle::Starting { .. }
            | Lifecycle::Maintenance(_)
            | Lifecycle::Running
            | Lifecycle::Failed(_)
                if was_dumping =>
            {
                let is_alive = change.flags.contains(RecordFlags::DUMP_NO_EFFECT);
                change.end_crash_dump(if is_alive { DumpEnd::NoEffect } else { DumpEnd::NoBoot });
            }
            Lifecycle::Failed(failed) if *change.lifecycle() != appliance.lifecycle => {
                let (failure, record) = (failed.failure, self.state.last() + 1);
                let due =
                    crash_dump::automatic(self.settings, appliance, failure, record, self.now);
                change.push_effects(due.into_iter().collect());
            }
            Lifecycle::Idle
            | Lifecycle::Starting { .. }
            | Lifecycle::Maintenance(_)
            | Lifecycle::Running
            | Lifecycle::Failed(_) => {}
        }
    }

    fn is_due(&self, due: Option<Timestamp>) -> bool {
        due.is_some_and(|due| due <= self.now)
    }

    /// The next summary of a suppression, or its end.
    fn suppression_due(&self, appliance: &Appliance) -> Vec<Effect> {
        let Some(suppression) = &appliance.usage.suppression else { return Vec::new() };
        let mut suppression = (**suppression).clone();
        let phase = if suppression.ends_at() <= self.now {
            SuppressionPhase::Ends
        } else if suppression.next_summary_at() <= self.now {
            while suppression.next_summary_at() <= self.now {
                suppression.summaries += 1;
            }
            SuppressionPhase::Summarised
        } else {
            return Vec::new();
        };
        vec![ApplianceEffect::Suppression { phase, suppression }.of(appliance.number)]
    }

    /// The runs of repeats that are over.
    fn runs_due(&self, appliance: &Appliance) -> Vec<Effect> {
        let number = appliance.number;
        let over =
            appliance.usage.alert_groups.iter().filter(|key| self.is_due(key.run_deadline()));
        over.map(|key| ApplianceEffect::RepeatsReported { group: key.clone() }.of(number)).collect()
    }

    /// The suppressed alerts that a mail is to mention.
    fn reminders_due(&self, appliance: &Appliance) -> Vec<Effect> {
        let number = appliance.number;
        let unmailed = appliance.usage.unmailed.as_ref().filter(|it| self.is_due(it.due_at()));
        let reported = unmailed.map(|unmailed| {
            let unmailed = unmailed.with_own_mail(self.now);
            ApplianceEffect::SuppressedAlerts { unmailed }.of(number)
        });
        reported.into_iter().collect()
    }
}
