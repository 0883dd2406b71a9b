//! Holds the state of one appliance.
//!
//! Guarantees that only effects and its own events change it, and that `Appliance::to_effects`
//! returns it by value. Does not know other appliances.

use std::ops::Deref;
use std::sync::Arc;

use uuid::Uuid;

use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::input::ReceivedEvent;
use crate::grid::model::boot::{ApplianceHistory, Boot};
use crate::grid::model::crash_dump::{ApplianceLock, CRASH_DUMPS_MAX, CrashDump};
use crate::grid::model::lifecycle::{FailureCause, Lifecycle};
use crate::grid::model::sequence_window::SequenceWindows;
use crate::grid::model::settings::Overrides;
use crate::grid::model::usage::{OutcomeKind, RateLimitState, SuppressionPhase, Usage};
use crate::grid::values::event::EventBody;
use crate::grid::values::id::{ApplianceIndex, ApplianceName, BootId, RecordNumber};
use crate::grid::values::outcome::Outcome;
use crate::grid::values::time::Timestamp;

/// The most past boot ids remembered per appliance.
pub const PAST_BOOTS_MAX: usize = 16;

/// One appliance. What most of them do not have is apart: see [`RareFacts`], whose fields are read as if
/// they were here.
#[derive(Clone, Debug, PartialEq)]
pub struct Appliance {
    /// Its number.
    pub number: ApplianceIndex,
    /// Its name.
    pub name: ApplianceName,
    /// Its UUID, from the broker when the appliance was registered.
    pub uuid: Uuid,
    /// Its class.
    pub class: Arc<str>,
    /// The current boot; `None`: never booted.
    pub boot: Option<Boot>,
    /// The state of its start.
    pub lifecycle: Lifecycle,
    /// Since when it is in that state.
    pub since: Timestamp,
    /// The sequences received.
    pub windows: SequenceWindows,
    /// When its last event arrived.
    pub last_event_at: Option<Timestamp>,
    /// The last record about it.
    pub last_record: RecordNumber,
    /// Its usage of rate limits, and its counts.
    pub usage: Usage,
    /// `None`: all of it is empty.
    rare: Option<Box<RareFacts>>,
}

/// What most appliances do not have.
#[derive(Clone, Debug, PartialEq)]
pub struct RareFacts {
    /// Its own settings.
    pub overrides: Overrides,
    /// Earlier boots, newest first.
    pub past_boots: Vec<BootId>,
    /// Recent failed starts, oldest first.
    pub failed_starts: Vec<Timestamp>,
    /// Its crash dumps, the newest first; at most [`CRASH_DUMPS_MAX`].
    pub crash_dumps: Vec<CrashDump>,
    /// Its lock, if it is locked.
    pub lock: Option<Box<ApplianceLock>>,
}

impl RareFacts {
    const NONE: Self = Self {
        overrides: Overrides { managed: None, boot_timeout: None, report_deadline: None },
        past_boots: Vec::new(),
        failed_starts: Vec::new(),
        crash_dumps: Vec::new(),
        lock: None,
    };
}

static NO_RARE_FACTS: RareFacts = RareFacts::NONE;

impl Deref for Appliance {
    type Target = RareFacts;

    fn deref(&self) -> &RareFacts {
        self.rare.as_deref().unwrap_or(&NO_RARE_FACTS)
    }
}

impl Appliance {
    pub(in crate::grid) fn new(
        number: ApplianceIndex,
        name: ApplianceName,
        uuid: Uuid,
        class: Arc<str>,
    ) -> Self {
        Self {
            number,
            name,
            uuid,
            class,
            boot: None,
            lifecycle: Lifecycle::Idle,
            since: Timestamp::EPOCH,
            windows: SequenceWindows::default(),
            last_event_at: None,
            last_record: 0,
            usage: Usage::default(),
            rare: None,
        }
    }

    /// The id of the current boot, if the appliance sent one.
    pub fn boot_id(&self) -> Option<BootId> {
        self.boot.and_then(|boot| boot.id)
    }

    /// Whether its next boot follows a crash dump that the broker ordered.
    pub fn awaits_ordered_boot(&self) -> bool {
        self.crash_dumps.first().is_some_and(CrashDump::awaits_boot)
    }

    /// When the broker decided that the current start failed, without a report of the appliance.
    pub fn verdict_at(&self) -> Option<Timestamp> {
        let Lifecycle::Failed(failed) = &self.lifecycle else { return None };
        match failed.failure {
            FailureCause::Reported => None,
            FailureCause::BootTimeout { .. }
            | FailureCause::Hung { .. }
            | FailureCause::NoProgress { .. }
            | FailureCause::DumpTimeout => Some(self.since),
        }
    }

    pub(in crate::grid) fn record_event(
        &mut self,
        received: &ReceivedEvent,
        outcome: Outcome,
        at: Timestamp,
    ) {
        self.last_event_at = Some(at);
        let boot = received.boot.or(self.boot_id());
        if let (Some(boot), Some(spool), Some(sequence)) = (boot, received.spool, received.sequence)
            && outcome != Outcome::Duplicate
        {
            self.windows.mark(boot, spool, sequence, self.boot_id().unwrap_or(boot));
        }
        if let Some(outcome) = OutcomeKind::new(outcome) {
            self.usage.counts.increment(received.event.body.kind(), outcome);
        }
        if outcome == Outcome::Stored
            && matches!(received.event.body, EventBody::Maintenance { .. })
        {
            self.usage.update_rare(|rare| rare.progress_stored_at = at);
        }
    }

    pub(in crate::grid) fn apply_effect(&mut self, effect: &ApplianceEffect) {
        match effect {
            // The class is shared with others of it: see `State`.
            ApplianceEffect::Registered { overrides, .. } => {
                self.update_rare(|rare| rare.overrides = overrides.clone());
            }
            ApplianceEffect::Boot { boot } => {
                let before = self.boot_id().filter(|id| boot.id != Some(*id));
                if let Some(id) = before {
                    self.update_rare(|rare| {
                        rare.past_boots.retain(|past| *past != id);
                        rare.past_boots.insert(0, id);
                        rare.past_boots.truncate(PAST_BOOTS_MAX);
                    });
                }
                self.boot = Some(*boot);
            }
            ApplianceEffect::Lifecycle { lifecycle, since } => {
                self.lifecycle = lifecycle.clone();
                self.since = *since;
            }
            ApplianceEffect::FailedStarts { at } => {
                self.update_rare(|rare| rare.failed_starts.clone_from(at));
            }
            ApplianceEffect::History { history } => {
                self.update_rare(|rare| rare.past_boots.clone_from(&history.past_boots));
                self.windows = SequenceWindows::from_values(&history.windows);
                self.last_event_at = history.last_event_at;
                self.last_record = history.last_record;
                self.usage = history.usage.clone();
            }
            ApplianceEffect::RateLimitState { limit, refilled_at } => {
                self.usage.rate_limits.set(*limit, *refilled_at)
            }
            ApplianceEffect::RateLimitsReset => {
                self.usage.rate_limits = RateLimitState::default();
                self.usage.update_rare(|rare| {
                    let groups = rare.alert_groups.iter_mut();
                    groups.for_each(|key| key.refilled_at = Timestamp::EPOCH);
                });
            }
            ApplianceEffect::AlertGroup { group } => self.usage.put_alert_group(group.clone()),
            ApplianceEffect::AlertGroupForgotten { id } => {
                self.usage.update_rare(|rare| rare.alert_groups.retain(|key| key.id != *id));
            }
            ApplianceEffect::RepeatsReported { group } => {
                self.usage.put_alert_group(group.clone().mark_summarised())
            }
            ApplianceEffect::Suppression { phase, suppression } => {
                let new = match phase {
                    SuppressionPhase::Begins
                    | SuppressionPhase::Counts
                    | SuppressionPhase::Summarised => Some(Box::new(suppression.clone())),
                    SuppressionPhase::Ends => None,
                };
                self.usage.update_rare(|rare| rare.suppression = new);
            }
            ApplianceEffect::SuppressedAlerts { unmailed } => {
                let new = Some(Box::new(unmailed.clone()));
                self.usage.update_rare(|rare| rare.unmailed = new);
            }
            ApplianceEffect::Counters { windows, last_event_at, counts } => {
                self.windows = SequenceWindows::from_values(windows);
                self.last_event_at = Some(*last_event_at);
                self.usage.counts = counts.clone();
            }
            ApplianceEffect::CrashDump { dump } => self.put_crash_dump(dump),
            ApplianceEffect::Lock { lock } => self.update_rare(|rare| rare.lock.clone_from(lock)),
            ApplianceEffect::Removed | ApplianceEffect::Tombstone { .. } => {}
        }
    }

    /// Replaces the crash dump of that request, or adds it as the newest.
    fn put_crash_dump(&mut self, dump: &CrashDump) {
        self.update_rare(|rare| {
            match rare.crash_dumps.iter_mut().find(|it| it.request == dump.request) {
                Some(known) => known.clone_from(dump),
                None => {
                    rare.crash_dumps.insert(0, dump.clone());
                    rare.crash_dumps.truncate(CRASH_DUMPS_MAX);
                }
            }
        });
    }

    /// Changes what most appliances do not have.
    fn update_rare(&mut self, change: impl FnOnce(&mut RareFacts)) {
        let mut rare = self.rare.take().unwrap_or_else(|| Box::new(RareFacts::NONE));
        change(&mut rare);
        self.rare = Some(rare).filter(|rare| **rare != NO_RARE_FACTS);
    }

    pub(in crate::grid) fn to_effects(&self, effects: &mut Vec<Effect>) {
        let number = self.number;
        effects.push(
            ApplianceEffect::Registered {
                name: self.name.clone(),
                uuid: self.uuid,
                class: (&*self.class).into(),
                overrides: self.overrides.clone(),
            }
            .of(number),
        );
        effects.extend(self.boot.map(|boot| ApplianceEffect::Boot { boot }.of(number)));
        effects.push(
            ApplianceEffect::Lifecycle { lifecycle: self.lifecycle.clone(), since: self.since }
                .of(number),
        );
        if !self.failed_starts.is_empty() {
            effects
                .push(ApplianceEffect::FailedStarts { at: self.failed_starts.clone() }.of(number));
        }
        // The oldest first: each becomes the newest.
        let dumps = self.crash_dumps.iter().rev();
        effects
            .extend(dumps.map(|dump| {
                ApplianceEffect::CrashDump { dump: Box::new(dump.clone()) }.of(number)
            }));
        if let Some(lock) = &self.lock {
            effects.push(ApplianceEffect::Lock { lock: Some(lock.clone()) }.of(number));
        }
        let memory = ApplianceHistory {
            past_boots: self.past_boots.clone(),
            windows: self.windows.values().to_vec(),
            last_event_at: self.last_event_at,
            last_record: self.last_record,
            usage: self.usage.clone(),
        };
        effects.push(ApplianceEffect::History { history: memory }.of(number));
    }
}
