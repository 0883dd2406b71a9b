//! What was heard without a record of its own, until a tally says so?
//!
//! Guarantees that a tally holds absolute values, so that it is whole without those before it, and
//! that it holds all that was absorbed since. Until it is durable nobody may hear of these events.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::decide::Absorbed;
use super::effect::{Effect, Phase};
use super::lifecycle::Lifecycle;
use super::marks::Marks;
use super::name::{ApplianceNumber, BootId, SpoolId};
use super::record::{Heard, Input, Outcome, Record};
use super::state::State;
use super::time::Timestamp;
use super::window::WIDTH;

/// Most appliances in one tally; more of them get another one.
const ROWS_PER_TALLY: usize = 64;

/// What changed of whom without a record.
#[derive(Clone, Debug, Default)]
pub(in crate::grid) struct Pending(BTreeMap<ApplianceNumber, Touched>);

#[derive(Clone, Debug, Default)]
struct Touched {
    /// The first that was numbered.
    first: Option<(BootId, SpoolId, u64)>,
    keys: Vec<Uuid>,
    suppression: bool,
    unmailed: bool,
    lifecycle: bool,
}

impl Pending {
    pub(in crate::grid) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::grid) fn has(&self, number: ApplianceNumber) -> bool {
        self.0.contains_key(&number)
    }

    pub(in crate::grid) fn note(&mut self, absorbed: &Absorbed, boot: Option<BootId>) {
        let touched = self.0.entry(absorbed.heard.appliance).or_default();
        touched.first = touched.first.or(numbered(&absorbed.heard, boot));
        for effect in &absorbed.effects {
            if let Effect::AlertKey { key, .. } = effect {
                if !touched.keys.contains(&key.id) {
                    touched.keys.push(key.id);
                }
            } else {
                touched.suppression |= matches!(effect, Effect::Suppression { .. });
                touched.unmailed |= matches!(effect, Effect::Unmailed { .. });
                touched.lifecycle |= matches!(effect, Effect::Lifecycle { .. });
            }
        }
    }

    /// Whether a record of this event needs the tally of its appliance before it: otherwise what is
    /// pending could fall out of the windows that the record moves on, and count as known though
    /// a crash forgot it.
    pub(in crate::grid) fn comes_before(&self, heard: &Heard, boot: Option<BootId>) -> bool {
        let first = self.0.get(&heard.appliance).and_then(|touched| touched.first);
        match (first, numbered(heard, boot)) {
            (Some((boot, spool, first)), Some((its_boot, its_spool, sequence))) => {
                let is_near = sequence < first.saturating_add(WIDTH);
                (boot, spool) != (its_boot, its_spool) || !is_near
            }
            (_, _) => false,
        }
    }

    /// The tally of that appliance alone, if anything about it is pending.
    pub(in crate::grid) fn tally_of(
        &mut self,
        number: ApplianceNumber,
        state: &State,
        now: Timestamp,
    ) -> Option<Record> {
        let mut effects = Vec::new();
        self.0.remove(&number)?.effects(number, state, &mut effects);
        record(effects, state, now)
    }

    /// The next tally, if anything is pending.
    pub(in crate::grid) fn tally(&mut self, state: &State, now: Timestamp) -> Option<Record> {
        let mut effects = Vec::new();
        for _ in 0..ROWS_PER_TALLY {
            let Some((number, touched)) = self.0.pop_first() else { break };
            touched.effects(number, state, &mut effects);
        }
        record(effects, state, now)
    }
}

/// Whoever was removed meanwhile has nothing to be told of.
fn record(effects: Vec<Effect>, state: &State, now: Timestamp) -> Option<Record> {
    (!effects.is_empty()).then(|| Record {
        number: state.last() + 1,
        at: now,
        input: Input::Tally,
        outcome: Outcome::Kept,
        marks: Marks::NONE,
        effects,
    })
}

fn numbered(heard: &Heard, boot: Option<BootId>) -> Option<(BootId, SpoolId, u64)> {
    Some((heard.boot.or(boot)?, heard.spool?, heard.sequence?.get()))
}

impl Touched {
    fn effects(self, number: ApplianceNumber, state: &State, effects: &mut Vec<Effect>) {
        let Some(appliance) = state.appliance(number) else { return };
        let admission = &appliance.admission;
        effects.push(Effect::Heard {
            number,
            windows: appliance.windows.values().to_vec(),
            last_heard_at: appliance.last_heard_at.unwrap_or_default(),
            counts: admission.counts.clone(),
        });
        let keys = self.keys.into_iter().filter_map(|id| admission.key(id)).cloned();
        effects.extend(keys.map(|key| Effect::AlertKey { number, key }));
        if let Some(suppression) = admission.suppression.as_ref().filter(|_| self.suppression) {
            let (phase, suppression) = (Phase::Counts, (**suppression).clone());
            effects.push(Effect::Suppression { number, phase, suppression });
        }
        if let Some(unmailed) = admission.unmailed.as_ref().filter(|_| self.unmailed) {
            effects.push(Effect::Unmailed { number, unmailed: (**unmailed).clone() });
        }
        // The newest word is the boot's, whatever became of the start since.
        let boot = appliance.boot.filter(|boot| self.lifecycle && boot.newest_word.is_some());
        effects.extend(boot.map(|boot| Effect::Boot { number, boot }));
        if self.lifecycle && matches!(appliance.lifecycle, Lifecycle::Maintenance(_)) {
            let (lifecycle, since) = (appliance.lifecycle.clone(), appliance.since);
            effects.push(Effect::Lifecycle { number, lifecycle, since });
        }
    }
}
