//! Builds the transition of one appliance when its boot or its start changes.
//!
//! Guarantees that a change of state has all its consequences: failed starts are counted, alerts
//! are opened and resolved. Collects effects; applies none.

mod dumping;

use std::time::Duration;

use crate::grid::decide::crash_dump;
use crate::grid::explain;
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::input::ReceivedEvent;
use crate::grid::model::boot::Boot;
use crate::grid::model::crash_dump::DumpEnd;
use crate::grid::model::finding::{Finding, FindingKind};
use crate::grid::model::lifecycle::{Lifecycle, LifecycleInput, StepResult, step};
use crate::grid::model::settings::{
    ClassSettings, FLAPPING_FAILURES, FLAPPING_WINDOW, GRACE_AFTER_DOWNTIME,
};
use crate::grid::state::State;
use crate::grid::state::appliance::Appliance;
use crate::grid::values::event::Severity;
use crate::grid::values::id::BootId;
use crate::grid::values::outcome::EventRejection;
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;

/// The relation of an event's boot to the current boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::grid) enum BootRelation {
    /// The current boot.
    Current,
    /// The boot that an orchestrator announced.
    Adopts(BootId),
    /// A boot that begins now.
    Begins(BootId),
    /// Another boot than the current one, and not a newer one.
    Stale,
}

/// A transition of one appliance.
pub(in crate::grid) struct Transition<'a> {
    state: &'a State,
    appliance: &'a Appliance,
    rules: &'a ClassSettings,
    now: Timestamp,
    boot: Option<Boot>,
    lifecycle: Lifecycle,
    since: Timestamp,
    failed_starts: Vec<Timestamp>,
    /// Whether a start fails by this transition.
    has_failed: bool,
    /// The flags of the record.
    pub(in crate::grid) flags: RecordFlags,
    effects: Vec<Effect>,
}

impl<'a> Transition<'a> {
    pub(in crate::grid) fn new(
        state: &'a State,
        appliance: &'a Appliance,
        rules: &'a ClassSettings,
        now: Timestamp,
    ) -> Self {
        Self {
            state,
            appliance,
            rules,
            now,
            boot: appliance.boot,
            lifecycle: appliance.lifecycle.clone(),
            since: appliance.since,
            failed_starts: appliance.failed_starts.clone(),
            has_failed: false,
            flags: RecordFlags::NONE,
            effects: Vec::new(),
        }
    }

    /// The relation of `boot` to the current boot. Only a live event can begin a boot: a replay of
    /// another boot is history.
    pub(in crate::grid) fn boot_relation(
        &self,
        boot: Option<BootId>,
        is_live: bool,
        uptime: Option<Duration>,
    ) -> BootRelation {
        let Some(id) = boot else { return BootRelation::Current };
        // A stopped boot is over, and so is one with a crash dump: an event never adopts it.
        let is_over =
            matches!(self.appliance.lifecycle, Lifecycle::Idle | Lifecycle::Dumping { .. });
        match self.appliance.boot {
            Some(present) if present.id == Some(id) => BootRelation::Current,
            _ if !is_live || self.appliance.past_boots.contains(&id) => BootRelation::Stale,
            Some(Boot { id: None, .. }) if !is_over => BootRelation::Adopts(id),
            Some(Boot { id: Some(_), earliest_began_at: not_before, .. })
                if self.is_older_by_uptime(uptime, not_before) =>
            {
                BootRelation::Stale
            }
            Some(_) | None => BootRelation::Begins(id),
        }
    }

    fn is_older_by_uptime(&self, uptime: Option<Duration>, present: Timestamp) -> bool {
        uptime.is_some_and(|uptime| self.now.before(uptime) < present)
    }

    /// The appliance reports in the boot that an orchestrator announced.
    pub(in crate::grid) fn adopt_boot(&mut self, id: BootId) {
        let announced = self.boot.map_or(self.now, |boot| boot.began_at);
        self.set_boot(new_boot(Some(id), announced));
        self.effects.extend(crash_dump::next_boot_known(self.appliance, id));
    }

    /// Begins a boot, by an event (`id`) or by an orchestrator. An appliance first seen long after
    /// power-on is assumed to be running until it reports otherwise.
    pub(in crate::grid) fn begin_boot(&mut self, id: Option<BootId>, uptime: Option<Duration>) {
        let is_first_seen = self.appliance.boot.is_none() && self.appliance.past_boots.is_empty();
        let began_at = self.now.before(uptime.unwrap_or_default());
        self.set_boot(new_boot(id, began_at));
        let (end, heard) = (DumpEnd::NewBoot { boot: id }, self.appliance.last_event_at);
        self.effects.extend(crash_dump::ended(self.appliance, end, heard, self.now));
        // A lost contact of the boot before no longer matters.
        self.clear(FindingKind::NoContact);
        if self.rules.ignore_reboots && self.lifecycle == Lifecycle::Running && id.is_some() {
            self.flags |= RecordFlags::REBOOT_IGNORED;
            return;
        }
        // A new start of the same state is still a change, and does not undo a failure.
        self.lifecycle = Lifecycle::Idle;
        let timeout = self.rules.boot_timeout;
        let is_long_past = is_first_seen
            && timeout.is_some_and(|timeout| uptime.is_some_and(|uptime| uptime > timeout));
        if !self.rules.managed {
            return self.set_lifecycle(Lifecycle::Running);
        }
        if is_long_past {
            self.flags |= RecordFlags::NOT_WITNESSED;
            self.set_boot(Boot { is_assumed_running: true, ..new_boot(id, began_at) });
            return self.set_lifecycle(Lifecycle::Running);
        }
        // A boot whose begin the broker did not see gets the same grace as after the broker's own
        // downtime.
        let deadline = timeout.map(|timeout| {
            let due = began_at.after(timeout);
            if due <= self.now { self.now.after(GRACE_AFTER_DOWNTIME) } else { due }
        });
        self.set_lifecycle(Lifecycle::Starting { deadline });
    }

    /// The state of the start.
    pub(in crate::grid) fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// Records that the current boot has a session.
    pub(in crate::grid) fn session_seen(&mut self) {
        if let Some(boot) = self.boot
            && !boot.has_agent
        {
            self.set_boot(Boot { has_agent: true, ..boot });
        }
    }

    /// Resolves a lost contact.
    pub(in crate::grid) fn contact_restored(&mut self) {
        self.clear(FindingKind::NoContact);
    }

    /// Applies an event or a deadline to the start.
    ///
    /// # Errors
    ///
    /// The reason, if the rules reject it.
    pub(in crate::grid) fn apply(
        &mut self,
        stimulus: &LifecycleInput<'_>,
    ) -> Result<(), EventRejection> {
        let began_at = self.boot.map_or(self.now, |boot| boot.began_at);
        self.drop_assumption(stimulus);
        match step(&self.lifecycle, stimulus, self.rules, began_at, self.now) {
            StepResult::Becomes(next, flags) => {
                self.flags |= flags;
                if flags.contains(RecordFlags::DUMP_NO_EFFECT) {
                    self.restore_before_dump();
                } else {
                    self.set_lifecycle(next);
                }
                Ok(())
            }
            StepResult::Unchanged | StepResult::NotDue => Ok(()),
            StepResult::Refused(rejection) => Err(rejection),
        }
    }

    /// Applies an event that was sent at a known time.
    ///
    /// # Errors
    ///
    /// The reason, if the rules reject it.
    pub(in crate::grid) fn apply_report(
        &mut self,
        stimulus: &LifecycleInput<'_>,
        received: &ReceivedEvent,
    ) -> Result<(), EventRejection> {
        let word = received.order(self.now);
        let began_at = self.boot.map_or(self.now, |boot| boot.began_at);
        let judged_at = self.appliance.verdict_at();
        self.apply(stimulus)?;
        // The start was not late: only its report arrived late.
        let was_in_time = judged_at.is_some_and(|at| word.precedes_time(at, began_at));
        if self.flags.contains(RecordFlags::LATE) && was_in_time {
            self.flags = self.flags.without(RecordFlags::LATE);
            self.flags |= RecordFlags::RECOVERED;
        }
        // A boot without an id has no replays to compare with.
        if let Some(boot) = self.boot.filter(|boot| boot.id.is_some())
            && boot.newest_event.is_none_or(|newest| !word.precedes(&newest))
        {
            self.set_boot(Boot { newest_event: Some(word), ..boot });
        }
        Ok(())
    }

    /// A report of the appliance replaces what was assumed of its start.
    fn drop_assumption(&mut self, stimulus: &LifecycleInput<'_>) {
        let Some(boot) = self.boot.filter(|boot| boot.is_assumed_running) else { return };
        match stimulus {
            LifecycleInput::Deadline => return,
            LifecycleInput::StartedOk => {}
            LifecycleInput::StartFailed { .. } | LifecycleInput::Maintenance(_) => {
                if self.lifecycle == Lifecycle::Running {
                    self.lifecycle = Lifecycle::Starting { deadline: None };
                }
            }
        }
        self.set_boot(Boot { is_assumed_running: false, ..boot });
    }

    /// Sets the state of the start.
    pub(in crate::grid) fn set_lifecycle(&mut self, next: Lifecycle) {
        self.count_failures(&next);
        if self.lifecycle.as_str() != next.as_str() {
            self.since = self.now;
        }
        self.effects.push(
            ApplianceEffect::Lifecycle { lifecycle: next.clone(), since: self.since }
                .of(self.appliance.number),
        );
        self.lifecycle = next;
    }

    /// Adds effects.
    pub(in crate::grid) fn push_effects(&mut self, effects: Vec<Effect>) {
        self.effects.extend(effects);
    }

    /// Opens an alert, unless it is open already.
    pub(in crate::grid) fn raise(&mut self, kind: FindingKind, severity: Severity, text: String) {
        if !self.is_open(kind) {
            self.raise_new(kind, severity, text);
        }
    }

    /// Opens an alert, or raises the severity of the open one, which keeps its start.
    pub(in crate::grid) fn escalate(&mut self, kind: FindingKind, grave: Severity, text: String) {
        let severity = grave;
        match self.state.finding(Some(self.appliance.number), kind) {
            Some(open) if open.severity >= severity => {}
            Some(open) => self.raise_since(kind, severity, text, open.since),
            None => self.raise_new(kind, severity, text),
        }
    }

    /// Resolves an alert, if it is open.
    pub(in crate::grid) fn clear(&mut self, kind: FindingKind) {
        if self.is_open(kind) {
            let number = Some(self.appliance.number);
            self.effects.push(Effect::FindingCleared { number, kind });
        }
    }

    /// The effects, with the alerts that the new state opens and resolves.
    pub(in crate::grid) fn into_effects(mut self) -> (Vec<Effect>, RecordFlags) {
        if self.failed_starts != self.appliance.failed_starts {
            let (number, at) = (self.appliance.number, self.failed_starts.clone());
            self.effects.push(ApplianceEffect::FailedStarts { at }.of(number));
        }
        self.update_start_failed();
        self.update_stuck();
        self.update_flapping();
        (self.effects, self.flags)
    }

    fn set_boot(&mut self, boot: Boot) {
        self.boot = Some(boot);
        self.effects.push(ApplianceEffect::Boot { boot }.of(self.appliance.number));
    }

    fn count_failures(&mut self, next: &Lifecycle) {
        let was_failed = self.lifecycle.failed().is_some();
        let fails = matches!(next, Lifecycle::Failed(_));
        if fails && !was_failed {
            self.has_failed = true;
            self.failed_starts.push(self.now);
            let surplus = self.failed_starts.len().saturating_sub(FLAPPING_FAILURES);
            self.failed_starts.drain(..surplus);
        }
        // The same boot recovered: that start did not fail after all.
        let is_over = match next {
            Lifecycle::Running | Lifecycle::Maintenance(_) => true,
            Lifecycle::Dumping(dumping) => dumping.failed.is_none(),
            Lifecycle::Idle | Lifecycle::Starting { .. } | Lifecycle::Failed(_) => false,
        };
        if was_failed && is_over {
            self.failed_starts.pop();
        }
    }

    fn update_start_failed(&mut self) {
        let Some(failed) = self.lifecycle.failed() else {
            return self.clear(FindingKind::StartFailed);
        };
        let text = explain::describe_failure(self.appliance.name.as_str(), failed);
        let open = self.state.finding(Some(self.appliance.number), FindingKind::StartFailed);
        match open.filter(|_| !self.has_failed) {
            Some(open) if *open.text == *text => {}
            // Another text of the same failure: the alert keeps its start.
            Some(open) => {
                let since = open.since;
                self.raise_since(FindingKind::StartFailed, Severity::Error, text, since);
            }
            None => self.raise_new(FindingKind::StartFailed, Severity::Error, text),
        }
    }

    fn update_stuck(&mut self) {
        let name = self.appliance.name.as_str();
        match &self.lifecycle {
            Lifecycle::Maintenance(known) if known.stuck_at.is_none() => {
                let text = explain::no_progress(name, known, self.now);
                self.raise(FindingKind::Stuck, Severity::Warn, text);
            }
            Lifecycle::Idle
            | Lifecycle::Starting { .. }
            | Lifecycle::Maintenance(_)
            | Lifecycle::Running
            | Lifecycle::Failed(_)
            | Lifecycle::Dumping { .. } => self.clear(FindingKind::Stuck),
        }
    }

    fn update_flapping(&mut self) {
        let horizon = self.now.before(FLAPPING_WINDOW);
        let recent = self.failed_starts.iter().filter(|at| **at > horizon).count();
        // Only another failure opens it: after a stop the same three do not open it again.
        if recent >= FLAPPING_FAILURES && self.has_failed {
            let text = explain::flapping(self.appliance.name.as_str());
            self.raise(FindingKind::Flapping, Severity::Error, text);
        } else if recent < FLAPPING_FAILURES && self.lifecycle == Lifecycle::Running {
            self.clear(FindingKind::Flapping);
        }
    }

    /// Whether the alert was open before this transition and is not resolved by it.
    fn is_open(&self, kind: FindingKind) -> bool {
        let number = Some(self.appliance.number);
        self.state.finding(number, kind).is_some()
            && !self.effects.contains(&Effect::FindingCleared { number, kind })
    }

    fn raise_new(&mut self, kind: FindingKind, severity: Severity, text: String) {
        self.raise_since(kind, severity, text, self.now);
    }

    fn raise_since(&mut self, kind: FindingKind, severity: Severity, text: String, at: Timestamp) {
        let finding = Finding { severity, since: at, text: text.into() };
        let number = Some(self.appliance.number);
        self.effects.push(Effect::FindingRaised { number, kind, finding });
    }
}

fn new_boot(id: Option<BootId>, began_at: Timestamp) -> Boot {
    let (has_agent, is_assumed, newest_word) = (false, false, None);
    Boot {
        id,
        began_at,
        earliest_began_at: began_at,
        has_agent,
        is_assumed_running: is_assumed,
        newest_event: newest_word,
    }
}
