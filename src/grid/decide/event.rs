//! Decides on an event.
//!
//! Guarantees that an event that is a duplicate, a repeat, below the lowest severity or over a rate
//! limit changes neither boot nor start, and that an event of another boot is history. Applies
//! nothing.

use std::time::Duration;

use uuid::Uuid;

use crate::grid::decide::admission::{Admission, AdmissionVerdict, group_key_of};
use crate::grid::decide::transition::{BootRelation, Transition};
use crate::grid::decide::{Decider, DecisionDraft, crash_dump};
use crate::grid::explain;
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::input::ReceivedEvent;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::lifecycle::{FailureCause, Lifecycle, LifecycleInput, ProgressReport};
use crate::grid::model::sessions::SessionConflict;
use crate::grid::model::usage::SuppressionPhase;
use crate::grid::state::appliance::Appliance;
use crate::grid::values::event::{Event, EventBody, Severity};
use crate::grid::values::id::ApplianceIndex;
use crate::grid::values::outcome::{EventRejection, Outcome};
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;

/// How far an event's own time may be ahead of the broker.
const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(5 * 60);

/// How far an event's own time may be behind the broker.
const CLOCK_BEHIND_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);

impl Decider<'_> {
    pub(in crate::grid) fn event(
        &self,
        received: &ReceivedEvent,
    ) -> (Outcome, Option<DecisionDraft>) {
        // Events of a removed appliance leave no record: there could be any number of them.
        let Some(appliance) = self.state.appliance(received.appliance) else {
            return (Outcome::Rejected(EventRejection::Removed), None);
        };
        if is_duplicate(appliance, received) {
            return (Outcome::Duplicate, None);
        }
        let draft = self.decide_event(appliance, received);
        (draft.outcome, Some(draft))
    }

    fn decide_event(&self, appliance: &Appliance, received: &ReceivedEvent) -> DecisionDraft {
        let rules = self.settings.rules(&appliance.class, &appliance.overrides);
        let mut change = Transition::new(self.state, appliance, &rules, self.now);
        let flags = self.flags(received);
        change.flags = flags;
        let is_live = received.event.spooled_at.is_none();
        // A session can begin only its own boot: its events of other boots are older.
        let may_begin = is_live && !self.context.is_outside_sessions;
        let relation = change.boot_relation(received.boot, may_begin, received.event.uptime);
        let record = self.state.last() + 1;
        let (now, alerts) = (self.now, self.state.alerts());
        let admission = Admission { appliance, alerts, rules: &rules, now, record };
        let number = appliance.number;
        // An event that restores contact always has a record.
        let is_lost = self.state.finding(Some(number), FindingKind::NoContact).is_some();
        let restores_contact = is_live && is_lost && relation != BootRelation::Stale;
        let counted = |outcome, effects: Vec<Effect>| {
            if !restores_contact {
                return DecisionDraft::counted(outcome, flags, effects);
            }
            let kind = FindingKind::NoContact;
            let found = Effect::FindingCleared { number: Some(number), kind };
            DecisionDraft::new(outcome, flags, [effects, vec![found]].concat())
        };
        match admission.check(received, relation) {
            AdmissionVerdict::Admit(effects) => change.push_effects(effects),
            AdmissionVerdict::BelowThreshold => {
                return counted(Outcome::BelowThreshold, Vec::new());
            }
            AdmissionVerdict::Repeat(group) => {
                let effects = vec![ApplianceEffect::AlertGroup { group }.of(number)];
                return counted(Outcome::Repeated, effects);
            }
            AdmissionVerdict::RateLimited(budget) => {
                let (phase, suppression) = admission.suppress(received, budget);
                let mut effects =
                    vec![ApplianceEffect::Suppression { phase, suppression }.of(number)];
                effects.extend(self.count_unmailed(appliance, &received.event));
                // The first event of a suppression is stored, as an example.
                return match phase {
                    SuppressionPhase::Begins => {
                        DecisionDraft::new(Outcome::Suppressed, flags, effects)
                    }
                    SuppressionPhase::Counts
                    | SuppressionPhase::Summarised
                    | SuppressionPhase::Ends => counted(Outcome::Suppressed, effects),
                };
            }
        }
        match relation {
            BootRelation::Current if rules.managed && self.is_stale(appliance, received) => {
                let (effects, flags) = change.into_effects();
                return DecisionDraft::new(Outcome::StaleEvent, flags, effects);
            }
            BootRelation::Current => {}
            BootRelation::Adopts(id) => change.adopt_boot(id),
            BootRelation::Begins(id) => change.begin_boot(Some(id), received.event.uptime),
            BootRelation::Stale => return self.older_boot(change, received, appliance),
        }
        self.note_contact(&mut change, received, appliance, relation);
        let outcome = match apply_to_lifecycle(&mut change, received, rules.managed) {
            Ok(()) => Outcome::Stored,
            Err(rejection) => Outcome::Rejected(rejection),
        };
        let (effects, flags) = change.into_effects();
        if relation == BootRelation::Current
            && is_progress_only(&effects)
            && admission.coalesces(received)
        {
            return DecisionDraft::counted(Outcome::Coalesced, flags, effects);
        }
        DecisionDraft::new(outcome, flags, effects)
    }

    /// What an event of the current boot shows beside its content: contact, that a crash dump had no
    /// effect, and a dump that was found.
    fn note_contact(
        &self,
        change: &mut Transition<'_>,
        received: &ReceivedEvent,
        appliance: &Appliance,
        relation: BootRelation,
    ) {
        let is_live = received.event.spooled_at.is_none();
        if is_live {
            change.contact_restored();
        }
        if relation == BootRelation::Current && self.is_alive_after_trigger(appliance, is_live) {
            change.alive_after_trigger();
        }
        let boot = received.boot.or(appliance.boot_id());
        change.push_effects(crash_dump::found(appliance, received, boot).into_iter().collect());
    }

    /// Whether a replayed event is older than what is known of the start. Live events are accepted:
    /// those of one machine arrive in order.
    fn is_stale(&self, appliance: &Appliance, received: &ReceivedEvent) -> bool {
        let event = &received.event;
        if event.spooled_at.is_none() || !event.body.is_lifecycle() {
            return false;
        }
        let Some(boot) = appliance.boot else { return false };
        let word = received.order(self.now);
        if boot.newest_event.is_some_and(|newest| word.precedes(&newest)) {
            return true;
        }
        // A completed or failed start is a fact at any time, and corrects a verdict of the broker.
        // A progress report is about one moment: sent before the verdict it is no sign of life
        // after it. And no event from before a crash dump belongs to the boot after it.
        let Lifecycle::Failed(failed) = &appliance.lifecycle else { return false };
        let tells_of_a_moment = matches!(event.body, EventBody::Maintenance { .. })
            || failed.failure == FailureCause::DumpTimeout;
        let judged_at = appliance.verdict_at().filter(|_| tells_of_a_moment);
        judged_at.is_some_and(|at| word.precedes_time(at, boot.began_at))
    }

    /// An event of another boot than the current one: stored, without a change of state.
    fn older_boot(
        &self,
        mut change: Transition<'_>,
        received: &ReceivedEvent,
        appliance: &Appliance,
    ) -> DecisionDraft {
        // From its spool a machine sends events of its earlier boots, perhaps while a dead session
        // of such a boot is not detected yet.
        let is_live = received.session.is_some() && received.event.spooled_at.is_none();
        if is_live && self.context.conflict != SessionConflict::Absent {
            let text = explain::duplicate_name(appliance.name.as_str());
            change.raise(FindingKind::NameConflict, Severity::Error, text);
        }
        let (effects, flags) = change.into_effects();
        DecisionDraft::new(Outcome::OlderBoot, flags, effects)
    }

    /// A suppressed alert is in no mail: it is counted until a mail reports it.
    fn count_unmailed(&self, appliance: &Appliance, event: &Event) -> Option<Effect> {
        let EventBody::Alert { counter } = &event.body else { return None };
        let is_mailed = self.settings.mail().is_some_and(|mail| mail.triggers.contains("alert"));
        if !is_mailed || event.text.is_empty() {
            return None;
        }
        let (_, label) = group_key_of(event, counter.as_ref(), event.severity);
        let mut unmailed = appliance.usage.unmailed.as_deref().cloned().unwrap_or_default();
        unmailed.add(&label, event.severity, event.text.as_str(), self.now);
        Some(ApplianceEffect::SuppressedAlerts { unmailed }.of(appliance.number))
    }

    pub(in crate::grid) fn repeats_ended(
        &self,
        number: ApplianceIndex,
        key: Uuid,
    ) -> Option<DecisionDraft> {
        let group = self.state.appliance(number)?.usage.alert_group(key)?.clone();
        Some(DecisionDraft::recorded(vec![ApplianceEffect::RepeatsReported { group }.of(number)]))
    }

    fn flags(&self, received: &ReceivedEvent) -> RecordFlags {
        let event = &received.event;
        let mut flags = RecordFlags::NONE;
        let is_off_by = |now: Timestamp, time: Timestamp| {
            time > now.after(CLOCK_AHEAD_MAX) || time < now.before(CLOCK_BEHIND_MAX)
        };
        // While it is uncertain which clock is right, no event time is flagged as off by it.
        let other = self.context.other_clock_offset.map(|by| self.now.shifted_by(by));
        let is_off = |time: Timestamp| {
            is_off_by(self.now, time) && other.is_none_or(|now| is_off_by(now, time))
        };
        if event.event_time.is_some_and(is_off) {
            flags |= RecordFlags::TIME_OFF;
        }
        if event.text.is_truncated() {
            flags |= RecordFlags::TEXT_CUT;
        }
        if event.spooled_at.is_some() {
            flags |= RecordFlags::REPLAYED;
        }
        if event.is_repeated {
            flags |= RecordFlags::REPEATED;
        }
        flags
    }
}

/// Only a report that changes nothing but itself and its time is coalesced.
fn is_progress_only(effects: &[Effect]) -> bool {
    matches!(
        effects,
        [Effect::Appliance { change: ApplianceEffect::Lifecycle { .. }, .. }]
            | [
                Effect::Appliance { change: ApplianceEffect::Lifecycle { .. }, .. },
                Effect::Appliance { change: ApplianceEffect::Boot { .. }, .. }
            ]
    )
}

fn is_duplicate(appliance: &Appliance, received: &ReceivedEvent) -> bool {
    match (received.boot.or(appliance.boot_id()), received.spool, received.sequence) {
        (Some(boot), Some(spool), Some(sequence)) => {
            appliance.windows.contains(boot, spool, sequence)
        }
        (_, _, _) => false,
    }
}

fn apply_to_lifecycle(
    change: &mut Transition<'_>,
    received: &ReceivedEvent,
    is_managed: bool,
) -> Result<(), EventRejection> {
    let stimulus = match &received.event.body {
        EventBody::Log | EventBody::Alert { .. } => return Ok(()),
        EventBody::StartedOk | EventBody::StartFailed | EventBody::Maintenance { .. }
            if !is_managed =>
        {
            change.flags |= RecordFlags::UNMANAGED;
            return Ok(());
        }
        EventBody::StartedOk => LifecycleInput::StartedOk,
        EventBody::StartFailed => {
            LifecycleInput::StartFailed { reason: received.event.text.as_str() }
        }
        EventBody::Maintenance { progress, next_report_within } => {
            LifecycleInput::Maintenance(ProgressReport {
                progress: *progress,
                text: received.event.text.as_str(),
                next_report_within: *next_report_within,
                is_repeated: received.event.is_repeated,
            })
        }
    };
    change.apply_report(&stimulus, received)
}
