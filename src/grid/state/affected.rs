//! Names the appliances that a record affects.
//!
//! Decides nothing.

use crate::grid::values::id::ApplianceIndex;

/// The appliances that a record affects, each once: mostly one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AffectedRows {
    pub(super) first: Option<ApplianceIndex>,
    pub(super) others: Vec<ApplianceIndex>,
}

impl AffectedRows {
    /// The appliances, in the order of the effects.
    pub fn iter(&self) -> impl Iterator<Item = ApplianceIndex> {
        self.first.into_iter().chain(self.others.iter().copied())
    }

    pub(super) fn add(&mut self, number: ApplianceIndex) {
        if self.first.is_none() {
            self.first = Some(number);
        } else if self.first != Some(number) && !self.others.contains(&number) {
            self.others.push(number);
        }
    }
}
