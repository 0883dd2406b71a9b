//! Maps the indices of appliances to their names, for readers outside the loop.
//!
//! Guarantees that an index keeps one name for ever. Knows nothing else of an appliance.

use std::sync::{Arc, PoisonError, RwLock};

use crate::grid::values::id::{ApplianceIndex, ApplianceName};

/// Names by appliance index, removed ones included. Cheap to clone; all clones share it.
#[derive(Clone, Debug, Default)]
pub struct NameIndex(Arc<RwLock<Vec<Option<ApplianceName>>>>);

impl NameIndex {
    /// The name of an index; empty if there is none.
    pub fn name(&self, number: ApplianceIndex) -> String {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let at = number.0.checked_sub(1).map(|at| at as usize);
        let name = at.and_then(|at| names.get(at)).and_then(Option::as_ref);
        name.map(ToString::to_string).unwrap_or_default()
    }

    /// How many indices there are, those without a name included.
    pub fn count(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The indexes whose name matches.
    pub fn matching(&self, is_match: impl Fn(&str) -> bool) -> Vec<ApplianceIndex> {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let rows = names.iter().zip(1..);
        rows.filter(|(name, _)| name.as_ref().is_some_and(|name| is_match(name.as_str())))
            .map(|(_, number)| ApplianceIndex(number))
            .collect()
    }

    /// An index has one name for ever; those lost with missing records have none.
    pub(super) fn set(&self, number: ApplianceIndex, name: &ApplianceName) {
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = number.0.checked_sub(1).map(|at| at as usize) else { return };
        if at >= names.len() {
            names.resize(at + 1, None);
        }
        names[at] = Some(name.clone());
    }
}
