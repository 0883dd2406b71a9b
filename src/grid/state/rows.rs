//! Holds the rows of appliances by number, in chunks that copies share until one of them changes.
//!
//! Guarantees that a clone costs one count per `ROWS_PER_CHUNK` rows, and that a change copies one such
//! chunk at most, and only if a clone still has it. Does not know what an appliance means.

use std::sync::Arc;

use crate::grid::state::appliance::Appliance;
use crate::grid::values::id::{ApplianceIndex, ApplianceName};

/// The rows of one chunk: few, since a change during a checkpoint copies all of them.
pub(super) const ROWS_PER_CHUNK: usize = 16;

/// A row: never reused for another appliance.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly every row is present")]
pub(super) enum Row {
    Present(Appliance),
    Removed(ApplianceName),
    /// Its appliance was in records that are missing; it is registered anew when it connects.
    #[default]
    Missing,
}

pub(super) type RowChunk = [Row; ROWS_PER_CHUNK];

/// All rows, from number 1 on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rows {
    /// Rows behind the last one are missing.
    chunks: Vec<Arc<RowChunk>>,
    len: usize,
}

impl Rows {
    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The row of that number.
    pub(super) fn get(&self, number: ApplianceIndex) -> Option<&Row> {
        let at = row_index(number).filter(|at| *at < self.len)?;
        Some(&self.chunks[at / ROWS_PER_CHUNK][at % ROWS_PER_CHUNK])
    }

    /// The name in that row, even if the appliance was removed.
    pub(super) fn name(&self, number: ApplianceIndex) -> Option<&ApplianceName> {
        Some(match self.get(number)? {
            Row::Present(appliance) => &appliance.name,
            Row::Removed(name) => name,
            Row::Missing => return None,
        })
    }

    /// The row of that number, to be changed.
    pub(super) fn get_mut(&mut self, number: ApplianceIndex) -> Option<&mut Row> {
        let at = row_index(number).filter(|at| *at < self.len)?;
        let chunk = Arc::make_mut(&mut self.chunks[at / ROWS_PER_CHUNK]);
        Some(&mut chunk[at % ROWS_PER_CHUNK])
    }

    /// Sets a row, and makes room for those before it.
    pub(super) fn put(&mut self, number: ApplianceIndex, row: Row) {
        let Some(at) = row_index(number) else { return };
        while self.chunks.len() * ROWS_PER_CHUNK <= at {
            self.chunks.push(Arc::default());
        }
        self.len = self.len.max(at + 1);
        Arc::make_mut(&mut self.chunks[at / ROWS_PER_CHUNK])[at % ROWS_PER_CHUNK] = row;
    }

    /// The appliances from that number on.
    pub(super) fn appliances_from(
        &self,
        first: ApplianceIndex,
    ) -> impl Iterator<Item = &Appliance> {
        let skipped = row_index(first).unwrap_or(0).min(self.len);
        let chunks = self.chunks[skipped / ROWS_PER_CHUNK..].iter();
        let rows = chunks.flat_map(|chunk| chunk.iter()).skip(skipped % ROWS_PER_CHUNK);
        rows.filter_map(|row| match row {
            Row::Present(appliance) => Some(appliance),
            Row::Removed(_) | Row::Missing => None,
        })
    }

    /// Changes the appliances that need it. Chunks without one are not copied.
    pub(super) fn update(
        &mut self,
        needs_change: impl Fn(&Appliance) -> bool,
        mut change: impl FnMut(&mut Appliance),
    ) {
        for chunk in &mut self.chunks {
            let is_due = |row: &Row| matches!(row, Row::Present(it) if needs_change(it));
            if chunk.iter().any(is_due) {
                for row in Arc::make_mut(chunk) {
                    if let Row::Present(appliance) = row {
                        change(appliance);
                    }
                }
            }
        }
    }

    /// Takes the rows in order, in chunks.
    pub(super) fn into_chunks(self) -> impl Iterator<Item = Arc<RowChunk>> {
        self.chunks.into_iter()
    }
}

fn row_index(number: ApplianceIndex) -> Option<usize> {
    usize::try_from(number.0).ok()?.checked_sub(1)
}
