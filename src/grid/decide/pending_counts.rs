//! Holds counter changes without a record, until a tally contains them.
//!
//! Guarantees that a tally has absolute values, so that it is complete without earlier ones, and
//! that it contains all counted events since. Until it is durable nothing may be published of these
//! events.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::grid::decide::CountedEvent;
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::input::{Input, ReceivedEvent};
use crate::grid::log::record::Record;
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::model::sequence_window::WINDOW_WIDTH;
use crate::grid::model::usage::SuppressionPhase;
use crate::grid::state::State;
use crate::grid::values::id::{ApplianceIndex, BootId, SpoolId};
use crate::grid::values::outcome::Outcome;
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;

/// The most appliances in one tally; more of them need another one.
const APPLIANCES_PER_TALLY: usize = 64;

/// The appliances with counted changes.
#[derive(Clone, Debug, Default)]
pub(in crate::grid) struct PendingCounts(BTreeMap<ApplianceIndex, PendingChange>);

#[derive(Clone, Debug, Default)]
struct PendingChange {
    /// The first event with a sequence.
    first_sequence: Option<(BootId, SpoolId, u64)>,
    alert_groups: Vec<Uuid>,
    has_suppression: bool,
    has_unmailed: bool,
    has_lifecycle: bool,
}

impl PendingCounts {
    pub(in crate::grid) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::grid) fn contains(&self, number: ApplianceIndex) -> bool {
        self.0.contains_key(&number)
    }

    pub(in crate::grid) fn add(&mut self, counted: &CountedEvent, boot: Option<BootId>) {
        let touched = self.0.entry(counted.received.appliance).or_default();
        touched.first_sequence = touched.first_sequence.or(sequence_key(&counted.received, boot));
        for effect in &counted.effects {
            if let Some(ApplianceEffect::AlertGroup { group }) = effect.of_appliance() {
                if !touched.alert_groups.contains(&group.id) {
                    touched.alert_groups.push(group.id);
                }
            } else {
                touched.has_suppression |=
                    matches!(effect.of_appliance(), Some(ApplianceEffect::Suppression { .. }));
                touched.has_unmailed |=
                    matches!(effect.of_appliance(), Some(ApplianceEffect::SuppressedAlerts { .. }));
                touched.has_lifecycle |=
                    matches!(effect.of_appliance(), Some(ApplianceEffect::Lifecycle { .. }));
            }
        }
    }

    /// Whether a record of this event needs the tally of its appliance before it. Otherwise a
    /// pending sequence could fall out of the windows that the record moves, and count as a
    /// duplicate though a crash forgot it.
    pub(in crate::grid) fn must_precede(
        &self,
        received: &ReceivedEvent,
        boot: Option<BootId>,
    ) -> bool {
        let first = self.0.get(&received.appliance).and_then(|touched| touched.first_sequence);
        match (first, sequence_key(received, boot)) {
            (Some((boot, spool, first)), Some((its_boot, its_spool, sequence))) => {
                let is_near = sequence < first.saturating_add(WINDOW_WIDTH);
                (boot, spool) != (its_boot, its_spool) || !is_near
            }
            (_, _) => false,
        }
    }

    /// The tally of that appliance alone, if anything is pending.
    pub(in crate::grid) fn tally_for(
        &mut self,
        number: ApplianceIndex,
        state: &State,
        now: Timestamp,
    ) -> Option<Record> {
        let mut effects = Vec::new();
        self.0.remove(&number)?.push_effects(number, state, &mut effects);
        tally_record(effects, state, now)
    }

    /// The next tally, if anything is pending.
    pub(in crate::grid) fn next_tally(&mut self, state: &State, now: Timestamp) -> Option<Record> {
        let mut effects = Vec::new();
        for _ in 0..APPLIANCES_PER_TALLY {
            let Some((number, touched)) = self.0.pop_first() else { break };
            touched.push_effects(number, state, &mut effects);
        }
        tally_record(effects, state, now)
    }
}

/// Removed appliances have nothing to record.
fn tally_record(effects: Vec<Effect>, state: &State, now: Timestamp) -> Option<Record> {
    (!effects.is_empty()).then(|| Record {
        number: state.last() + 1,
        at: now,
        input: Input::Tally,
        outcome: Outcome::Stored,
        flags: RecordFlags::NONE,
        effects,
    })
}

fn sequence_key(received: &ReceivedEvent, boot: Option<BootId>) -> Option<(BootId, SpoolId, u64)> {
    Some((received.boot.or(boot)?, received.spool?, received.sequence?.get()))
}

impl PendingChange {
    fn push_effects(self, number: ApplianceIndex, state: &State, effects: &mut Vec<Effect>) {
        let Some(appliance) = state.appliance(number) else { return };
        let usage = &appliance.usage;
        effects.push(
            ApplianceEffect::Counters {
                windows: appliance.windows.values().to_vec(),
                last_event_at: appliance.last_event_at.unwrap_or_default(),
                counts: usage.counts.clone(),
            }
            .of(number),
        );
        let keys = self.alert_groups.into_iter().filter_map(|id| usage.alert_group(id)).cloned();
        effects.extend(keys.map(|key| ApplianceEffect::AlertGroup { group: key }.of(number)));
        if let Some(suppression) = usage.suppression.as_ref().filter(|_| self.has_suppression) {
            let (phase, suppression) = (SuppressionPhase::Counts, (**suppression).clone());
            effects.push(ApplianceEffect::Suppression { phase, suppression }.of(number));
        }
        if let Some(unmailed) = usage.unmailed.as_ref().filter(|_| self.has_unmailed) {
            effects.push(
                ApplianceEffect::SuppressedAlerts { unmailed: (**unmailed).clone() }.of(number),
            );
        }
        // The newest event belongs to the boot, whatever the state of the start is by now.
        let boot = appliance.boot.filter(|boot| self.has_lifecycle && boot.newest_event.is_some());
        effects.extend(boot.map(|boot| ApplianceEffect::Boot { boot }.of(number)));
        if self.has_lifecycle && matches!(appliance.lifecycle, Lifecycle::Maintenance(_)) {
            let (lifecycle, since) = (appliance.lifecycle.clone(), appliance.since);
            effects.push(ApplianceEffect::Lifecycle { lifecycle, since }.of(number));
        }
    }
}
