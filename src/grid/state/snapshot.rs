//! Holds a state as it was at one record, while the state itself goes on.
//!
//! Guarantees that it never changes, that taking one costs a count per chunk of the state, and that its
//! effects, applied to an empty state, give an equal one. Each chunk is dropped when its effects have
//! been taken, so that the state need not copy it any more.

use std::time::Duration;

use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::model::finding::{Finding, FindingKind};
use crate::grid::state::alerts::AlertsSnapshot;
use crate::grid::state::identities::IdentitiesSnapshot;
use crate::grid::state::outbox::OutboxSnapshot;
use crate::grid::state::rows::{ROWS_PER_CHUNK, Row, RowChunk, Rows};
use crate::grid::state::shared_map::SharedMap;
use crate::grid::values::id::{ApplianceIndex, RecordNumber};
use crate::grid::values::time::Timestamp;

/// A state as of one record.
#[derive(Debug)]
pub struct StateSnapshot {
    pub(super) rows: Rows,
    pub(super) findings: SharedMap<(Option<ApplianceIndex>, FindingKind), Finding>,
    pub(super) alerts: AlertsSnapshot,
    pub(super) outbox: OutboxSnapshot,
    pub(super) identities: IdentitiesSnapshot,
    pub(super) last: RecordNumber,
    pub(super) last_at: Timestamp,
    pub(super) lived_time: Duration,
}

impl StateSnapshot {
    /// The number of the last record in it.
    pub fn last(&self) -> RecordNumber {
        self.last
    }

    /// The time of that record.
    pub fn last_at(&self) -> Timestamp {
        self.last_at
    }

    /// The whole state as effects, in batches of bounded size: applied to an empty state they give
    /// an equal one.
    pub fn into_effects(self) -> impl Iterator<Item = Vec<Effect>> + Send {
        let rows = self.rows.into_chunks().zip(0..);
        let rows = rows.map(|(chunk, at)| row_effects(&chunk, at));
        let findings = self.findings.into_chunks().map(|chunk| {
            let raised = chunk.iter().map(|((number, kind), finding)| Effect::FindingRaised {
                number: *number,
                kind: *kind,
                finding: finding.clone(),
            });
            raised.collect()
        });
        let lived = (!self.lived_time.is_zero())
            .then(|| vec![Effect::LivedTime { lived: self.lived_time }]);
        rows.chain(findings)
            .chain(self.alerts.into_effects())
            .chain(self.outbox.into_effects())
            .chain(self.identities.into_effects())
            .chain(lived)
    }
}

fn row_effects(chunk: &RowChunk, at: usize) -> Vec<Effect> {
    let mut effects = Vec::with_capacity(3 * ROWS_PER_CHUNK);
    for (row, below) in chunk.iter().zip(1..) {
        match row {
            Row::Removed(name) => {
                let number = u32::try_from(at * ROWS_PER_CHUNK + below).unwrap_or(u32::MAX);
                let gone = ApplianceEffect::Tombstone { name: name.clone() };
                effects.push(gone.of(ApplianceIndex(number)));
            }
            Row::Missing => {}
            Row::Present(appliance) => appliance.to_effects(&mut effects),
        }
    }
    effects
}
