//! What is known of one appliance? Its row of the state.
//!
//! Guarantees that it changes by effects and by what it said alone, and that `Appliance::to_effects`
//! gives it back by value. Knows no other row.

use uuid::Uuid;

use super::admission::{Admission, PlainOutcome, Spent};
use super::effect::{Boot, Effect, Memory, Phase};
use super::event::EventKind;
use super::lifecycle::{Failure, Lifecycle};
use super::name::{ApplianceName, ApplianceNumber, BootId, RecordNumber};
use super::record::{Heard, Outcome};
use super::settings::{DEFAULT_CLASS, Overrides};
use super::time::Timestamp;
use super::window::Windows;

/// Boot ids remembered of one appliance besides the present one.
pub const PAST_BOOTS_MAX: usize = 16;

/// One appliance.
#[derive(Clone, Debug, PartialEq)]
pub struct Appliance {
    /// Its row.
    pub number: ApplianceNumber,
    /// Its name.
    pub name: ApplianceName,
    /// Made by the broker at first sight.
    pub uuid: Uuid,
    /// Its class.
    pub class: Box<str>,
    /// What is its own.
    pub overrides: Overrides,
    /// The present boot; `None`: never booted.
    pub boot: Option<Boot>,
    /// Boots before, newest first.
    pub past_boots: Vec<BootId>,
    /// How its start stands.
    pub lifecycle: Lifecycle,
    /// Since when it is in that state.
    pub since: Timestamp,
    /// Starts that failed lately, oldest first.
    pub failed_starts: Vec<Timestamp>,
    /// Sequences heard.
    pub windows: Windows,
    /// When it last left a record.
    pub last_heard_at: Option<Timestamp>,
    /// The last record about it.
    pub last_record: RecordNumber,
    /// How much it says.
    pub admission: Admission,
}

impl Appliance {
    pub(in crate::grid) fn new(number: ApplianceNumber, name: ApplianceName, uuid: Uuid) -> Self {
        Self {
            number,
            name,
            uuid,
            class: DEFAULT_CLASS.into(),
            overrides: Overrides::default(),
            boot: None,
            past_boots: Vec::new(),
            lifecycle: Lifecycle::Idle,
            since: Timestamp::EPOCH,
            failed_starts: Vec::new(),
            windows: Windows::default(),
            last_heard_at: None,
            last_record: 0,
            admission: Admission::default(),
        }
    }

    /// The present boot's id, if the appliance spoke in it.
    pub fn boot_id(&self) -> Option<BootId> {
        self.boot.and_then(|boot| boot.id)
    }

    /// When the broker judged that the present start failed: nobody said so.
    pub fn judged_at(&self) -> Option<Timestamp> {
        let Lifecycle::Failed(failed) = &self.lifecycle else { return None };
        match failed.failure {
            Failure::Reported => None,
            Failure::BootTimeout { .. }
            | Failure::Hung { .. }
            | Failure::NoProgress { .. }
            | Failure::DumpTimeout => Some(self.since),
        }
    }

    pub(in crate::grid) fn remember(&mut self, heard: &Heard, outcome: Outcome, at: Timestamp) {
        self.last_heard_at = Some(at);
        let boot = heard.boot.or(self.boot_id());
        if let (Some(boot), Some(spool), Some(sequence)) = (boot, heard.spool, heard.sequence)
            && outcome != Outcome::Duplicate
        {
            self.windows.mark(boot, spool, sequence, self.boot_id().unwrap_or(boot));
        }
        if let Some(outcome) = PlainOutcome::new(outcome) {
            self.admission.counts.add(heard.event.kind.plain(), outcome);
        }
        if outcome == Outcome::Kept && matches!(heard.event.kind, EventKind::Maintenance { .. }) {
            self.admission.progress_at = at;
        }
    }

    pub(in crate::grid) fn take(&mut self, effect: &Effect) {
        match effect {
            Effect::Boot { boot, .. } => {
                let before = self.boot_id().filter(|id| boot.id != Some(*id));
                if let Some(id) = before {
                    self.past_boots.retain(|past| *past != id);
                    self.past_boots.insert(0, id);
                    self.past_boots.truncate(PAST_BOOTS_MAX);
                }
                self.boot = Some(*boot);
            }
            Effect::Lifecycle { lifecycle, since, .. } => {
                self.lifecycle = lifecycle.clone();
                self.since = *since;
            }
            Effect::FailedStarts { at, .. } => self.failed_starts.clone_from(at),
            Effect::Memory { memory, .. } => {
                self.past_boots.clone_from(&memory.past_boots);
                self.windows = Windows::default();
                for window in &memory.windows {
                    self.windows.restore(*window);
                }
                self.last_heard_at = memory.last_heard_at;
                self.last_record = memory.last_record;
                self.admission = memory.admission.clone();
            }
            Effect::Spent { budget, full_at, .. } => self.admission.spent.set(*budget, *full_at),
            Effect::BudgetsFilled { .. } => {
                self.admission.spent = Spent::default();
                for key in &mut self.admission.keys {
                    key.full_at = Timestamp::EPOCH;
                }
            }
            Effect::AlertKey { key, .. } => self.admission.put(key.clone()),
            Effect::AlertKeyForgotten { id, .. } => {
                self.admission.keys.retain(|key| key.id != *id);
            }
            Effect::RunTold { key, .. } => self.admission.put(key.clone().told()),
            Effect::Suppression { phase, suppression, .. } => {
                self.admission.suppression = match phase {
                    Phase::Begins | Phase::Counts | Phase::SummedUp => {
                        Some(Box::new(suppression.clone()))
                    }
                    Phase::Ends => None,
                };
            }
            Effect::Unmailed { unmailed, .. } => {
                self.admission.unmailed = Some(Box::new(unmailed.clone()));
            }
            Effect::Heard { windows, last_heard_at, counts, .. } => {
                self.windows = Windows::default();
                for window in windows {
                    self.windows.restore(*window);
                }
                self.last_heard_at = Some(*last_heard_at);
                self.admission.counts = counts.clone();
            }
            Effect::Appliance { .. }
            | Effect::Removed { .. }
            | Effect::AlertRaised { .. }
            | Effect::AlertCleared { .. }
            | Effect::DeadlinesMoved { .. }
            | Effect::TimeShifted(_)
            | Effect::Lived { .. }
            | Effect::Mail(_)
            | Effect::Tombstone { .. } => {}
        }
    }

    pub(in crate::grid) fn to_effects(&self, effects: &mut Vec<Effect>) {
        let number = self.number;
        effects.push(Effect::Appliance {
            number,
            name: self.name.clone(),
            uuid: self.uuid,
            class: self.class.clone(),
            overrides: self.overrides.clone(),
        });
        effects.extend(self.boot.map(|boot| Effect::Boot { number, boot }));
        effects.push(Effect::Lifecycle {
            number,
            lifecycle: self.lifecycle.clone(),
            since: self.since,
        });
        if !self.failed_starts.is_empty() {
            effects.push(Effect::FailedStarts { number, at: self.failed_starts.clone() });
        }
        let memory = Memory {
            past_boots: self.past_boots.clone(),
            windows: self.windows.values().to_vec(),
            last_heard_at: self.last_heard_at,
            last_record: self.last_record,
            admission: self.admission.clone(),
        };
        effects.push(Effect::Memory { number, memory });
    }
}
