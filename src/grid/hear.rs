//! What becomes of an event?
//!
//! Guarantees that what is known already, below what is kept, repeated or over budget changes
//! neither boot nor start, and that an event of another boot is history. Applies nothing itself.

use std::time::Duration;

use uuid::Uuid;

use super::appliance::Appliance;
use super::change::{Change, Relation};
use super::decide::{Draft, View, Voices};
use super::door::{Door, Verdict, key_of};
use super::effect::{Effect, Matter, Phase};
use super::event::{Event, EventKind, Severity};
use super::explain;
use super::lifecycle::{Failure, Lifecycle, Refusal, Report, Stimulus};
use super::marks::Marks;
use super::name::ApplianceNumber;
use super::record::{Heard, Outcome};
use super::time::Timestamp;
use super::word::Word;

/// How far ahead of the broker an event's own time is believed.
const AHEAD_MAX: Duration = Duration::from_secs(5 * 60);

/// How far behind the broker an event's own time is believed.
const BEHIND_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);

impl View<'_> {
    pub(in crate::grid) fn event(&self, heard: &Heard) -> (Outcome, Option<Draft>) {
        // Whose row is gone leaves nothing: it could say so for ever.
        let Some(appliance) = self.state.appliance(heard.appliance) else {
            return (Outcome::Refused(Refusal::Removed), None);
        };
        if is_known(appliance, heard) {
            return (Outcome::Duplicate, None);
        }
        let draft = self.event_of(appliance, heard);
        (draft.outcome, Some(draft))
    }

    fn event_of(&self, appliance: &Appliance, heard: &Heard) -> Draft {
        let rules = self.settings.rules(&appliance.class, &appliance.overrides);
        let mut change = Change::new(self.state, appliance, &rules, self.now);
        let marks = self.marks(heard);
        change.marks = marks;
        let is_live = heard.event.spooled_at.is_none();
        // A session begins its own boot alone: what it brings of others is of before.
        let may_begin = is_live && !self.circumstances.is_of_no_session;
        let relation = change.relation(heard.boot, may_begin, heard.event.uptime);
        let record = self.state.last() + 1;
        let door = Door { appliance, rules: &rules, now: self.now, record };
        let number = appliance.number;
        // Whoever is found again has a record, whatever becomes of what it says.
        let is_lost = self.state.alert(Some(number), Matter::NoContact).is_some();
        let finds = is_live && is_lost && relation != Relation::Older;
        let absorbed = |outcome, effects: Vec<Effect>| {
            if !finds {
                return Draft::absorbed(outcome, marks, effects);
            }
            let matter = Matter::NoContact;
            let found = Effect::AlertCleared { number: Some(number), matter };
            Draft::new(outcome, marks, [effects, vec![found]].concat())
        };
        match door.judge(heard, relation) {
            Verdict::Enters(effects) => change.costs(effects),
            Verdict::BelowSeverity => return absorbed(Outcome::NotKept, Vec::new()),
            Verdict::Repeats(key) => {
                let effects = vec![Effect::AlertKey { number, key }];
                return absorbed(Outcome::Repeated, effects);
            }
            Verdict::Over(budget) => {
                let (phase, suppression) = door.hold_back(heard, budget);
                let mut effects = vec![Effect::Suppression { number, phase, suppression }];
                effects.extend(self.unmailed(appliance, &heard.event));
                // The event with which it begins shows what it is about.
                return match phase {
                    Phase::Begins => Draft::new(Outcome::Suppressed, marks, effects),
                    Phase::Counts | Phase::SummedUp | Phase::Ends => {
                        absorbed(Outcome::Suppressed, effects)
                    }
                };
            }
        }
        match relation {
            Relation::Current if rules.managed && self.is_stale(appliance, heard) => {
                let (effects, marks) = change.into_effects();
                return Draft::new(Outcome::Stale, marks, effects);
            }
            Relation::Current => {}
            Relation::TakesOver(id) => change.take_over(id),
            Relation::Begins(id) => change.begin(Some(id), heard.event.uptime),
            Relation::Older => return self.history(change, heard, appliance),
        }
        if is_live {
            change.see_contact();
        }
        let outcome = match tell_lifecycle(&mut change, heard, rules.managed) {
            Ok(()) => Outcome::Kept,
            Err(refusal) => Outcome::Refused(refusal),
        };
        let (effects, marks) = change.into_effects();
        if relation == Relation::Current && is_mere_report(&effects) && door.folds(heard) {
            return Draft::absorbed(Outcome::Folded, marks, effects);
        }
        Draft::new(outcome, marks, effects)
    }

    /// Whether something out of a spool tells less of the start than is known already. Whoever speaks
    /// live is believed: a machine's own words come in order.
    fn is_stale(&self, appliance: &Appliance, heard: &Heard) -> bool {
        let event = &heard.event;
        if event.spooled_at.is_none() || !event.kind.is_lifecycle() {
            return false;
        }
        let Some(boot) = appliance.boot else { return false };
        let word = Word::of(heard, self.now);
        if boot.newest_word.is_some_and(|newest| word.is_before(&newest)) {
            return true;
        }
        // That a start is complete or failed is so whenever it was said, and makes a verdict good or
        // better. A report tells of a moment: from before the verdict it is no sign of life behind it.
        // And no word from before a crash dump is one of the boot after it.
        let Lifecycle::Failed(failed) = &appliance.lifecycle else { return false };
        let tells_of_a_moment = matches!(event.kind, EventKind::Maintenance { .. })
            || failed.failure == Failure::DumpTimeout;
        let judged_at = appliance.judged_at().filter(|_| tells_of_a_moment);
        judged_at.is_some_and(|at| word.is_before_moment(at, boot.began_at))
    }

    /// An event of another boot than the present one: kept, but the state is not its business.
    fn history(&self, mut change: Change<'_>, heard: &Heard, appliance: &Appliance) -> Draft {
        // Out of its spool a machine speaks of its own boots before, perhaps while the session of
        // one of them is not yet found dead.
        let is_live = heard.session.is_some() && heard.event.spooled_at.is_none();
        if is_live && self.circumstances.voices != Voices::One {
            let text = explain::two_machines(appliance.name.as_str());
            change.raise(Matter::TwoMachines, Severity::Error, text);
        }
        let (effects, marks) = change.into_effects();
        Draft::new(Outcome::History, marks, effects)
    }

    /// A suppressed alert is in no mail: it is counted until one tells of it.
    fn unmailed(&self, appliance: &Appliance, event: &Event) -> Option<Effect> {
        let EventKind::Alert { counter } = &event.kind else { return None };
        let is_mailed = self.settings.mail().is_some_and(|mail| mail.on.contains("alert"));
        if !is_mailed || event.text.is_empty() {
            return None;
        }
        let (_, label) = key_of(event, counter.as_ref(), event.severity);
        let mut unmailed = appliance.admission.unmailed.as_deref().cloned().unwrap_or_default();
        unmailed.add(&label, event.severity, event.text.as_str(), self.now);
        Some(Effect::Unmailed { number: appliance.number, unmailed })
    }

    pub(in crate::grid) fn run_over(&self, number: ApplianceNumber, key: Uuid) -> Option<Draft> {
        let key = self.state.appliance(number)?.admission.key(key)?.clone();
        Some(Draft::kept(vec![Effect::RunTold { number, key }]))
    }

    fn marks(&self, heard: &Heard) -> Marks {
        let event = &heard.event;
        let mut marks = Marks::NONE;
        let is_off_by = |now: Timestamp, time: Timestamp| {
            time > now.after(AHEAD_MAX) || time < now.before(BEHIND_MAX)
        };
        // While it is not sure which clock is right, nobody is told that it is not theirs.
        let other = self.circumstances.other_clock.map(|by| self.now.moved(by));
        let is_off = |time: Timestamp| {
            is_off_by(self.now, time) && other.is_none_or(|now| is_off_by(now, time))
        };
        if event.event_time.is_some_and(is_off) {
            marks |= Marks::TIME_OFF;
        }
        if event.text.is_cut() {
            marks |= Marks::TEXT_CUT;
        }
        if event.spooled_at.is_some() {
            marks |= Marks::REPLAYED;
        }
        if event.repeated {
            marks |= Marks::REPEATED;
        }
        marks
    }
}

/// Only a report that brings nothing but itself, and when it was said, folds.
fn is_mere_report(effects: &[Effect]) -> bool {
    matches!(effects, [Effect::Lifecycle { .. }] | [Effect::Lifecycle { .. }, Effect::Boot { .. }])
}

fn is_known(appliance: &Appliance, heard: &Heard) -> bool {
    match (heard.boot.or(appliance.boot_id()), heard.spool, heard.sequence) {
        (Some(boot), Some(spool), Some(sequence)) => {
            appliance.windows.contains(boot, spool, sequence)
        }
        (_, _, _) => false,
    }
}

fn tell_lifecycle(change: &mut Change<'_>, heard: &Heard, is_managed: bool) -> Result<(), Refusal> {
    let stimulus = match &heard.event.kind {
        EventKind::Log | EventKind::Alert { .. } => return Ok(()),
        EventKind::StartedOk | EventKind::StartFailed | EventKind::Maintenance { .. }
            if !is_managed =>
        {
            change.marks |= Marks::UNMANAGED;
            return Ok(());
        }
        EventKind::StartedOk => Stimulus::StartedOk,
        EventKind::StartFailed => Stimulus::StartFailed { reason: heard.event.text.as_str() },
        EventKind::Maintenance { progress, next_report_within } => Stimulus::Maintenance(Report {
            progress: *progress,
            text: heard.event.text.as_str(),
            next_report_within: *next_report_within,
            repeated: heard.event.repeated,
        }),
    };
    change.hear(&stimulus, heard)
}
