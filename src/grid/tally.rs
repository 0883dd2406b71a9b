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
use super::name::ApplianceNumber;
use super::record::{Input, Outcome, Record};
use super::state::State;
use super::time::Timestamp;

/// Most appliances in one tally; more of them get another one.
const ROWS_PER_TALLY: usize = 256;

/// What changed of whom without a record.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending(BTreeMap<ApplianceNumber, Touched>);

#[derive(Clone, Debug, Default)]
struct Touched {
    keys: Vec<Uuid>,
    suppression: bool,
    lifecycle: bool,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn note(&mut self, absorbed: &Absorbed) {
        let touched = self.0.entry(absorbed.heard.appliance).or_default();
        for effect in &absorbed.effects {
            if let Effect::AlertKey { key, .. } = effect {
                if !touched.keys.contains(&key.id) {
                    touched.keys.push(key.id);
                }
            } else {
                touched.suppression |= matches!(effect, Effect::Suppression { .. });
                touched.lifecycle |= matches!(effect, Effect::Lifecycle { .. });
            }
        }
    }

    /// The next tally, if anything is pending.
    pub(super) fn tally(&mut self, state: &State, now: Timestamp) -> Option<Record> {
        let mut effects = Vec::new();
        for _ in 0..ROWS_PER_TALLY {
            let Some((number, touched)) = self.0.pop_first() else { break };
            touched.effects(number, state, &mut effects);
        }
        // Whoever was removed meanwhile has nothing to be told of.
        (!effects.is_empty()).then(|| Record {
            number: state.last() + 1,
            at: now,
            input: Input::Tally,
            outcome: Outcome::Kept,
            marks: Marks::NONE,
            effects,
        })
    }
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
        if self.lifecycle && matches!(appliance.lifecycle, Lifecycle::Maintenance(_)) {
            let (lifecycle, since) = (appliance.lifecycle.clone(), appliance.since);
            effects.push(Effect::Lifecycle { number, lifecycle, since });
        }
    }
}
