//! Holds the name of each class once, whatever the number of its appliances.
//!
//! Guarantees that names without an appliance do not pile up. Does not know which classes the settings
//! have.

use std::collections::BTreeSet;
use std::sync::Arc;

/// The names of classes that appliances have.
#[derive(Clone, Debug, Default)]
pub(super) struct ClassNames(BTreeSet<Arc<str>>);

/// They are what the appliances have; some may be left over.
impl PartialEq for ClassNames {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl ClassNames {
    /// The shared copy of a name.
    pub(super) fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        // A new name is rare.
        self.0.retain(|it| Arc::strong_count(it) > 1);
        let new: Arc<str> = name.into();
        self.0.insert(Arc::clone(&new));
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_held_once_and_only_while_it_is_used() {
        let mut names = ClassNames::default();
        let (web, again) = (names.shared("web"), names.shared("web"));
        assert!(Arc::ptr_eq(&web, &again));
        (0..100).for_each(|n| drop(names.shared(&format!("class{n}"))));
        assert_eq!(names.0.len(), 2, "the one in use, and the last one");
    }
}
