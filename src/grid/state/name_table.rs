//! Finds the number of an appliance by its name.
//!
//! Guarantees 8 bytes per place, of which at most three in four are taken: the names themselves are in
//! the rows alone. Does not know the rows: who calls says which name a number has.

use std::hash::{BuildHasher, RandomState};

use crate::grid::values::id::{ApplianceIndex, ApplianceName};

/// The places of a table that has its first name.
const PLACES_MIN: usize = 16;

/// A place with a part of the name's hash; number 0: it is free.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    hash: u32,
    number: u32,
}

/// The numbers by name: a hash table with linear probing.
#[derive(Clone, Debug, Default)]
pub(super) struct NameTable {
    /// Their count is a power of two.
    places: Vec<Place>,
    len: usize,
    hasher: RandomState,
}

/// Where a number lies depends on the order of insertion, and on chance.
impl PartialEq for NameTable {
    fn eq(&self, other: &Self) -> bool {
        self.numbers() == other.numbers()
    }
}

impl NameTable {
    /// The number of that name; `name_of` gives the name of a number.
    pub(super) fn find<'a>(
        &self,
        name: &ApplianceName,
        name_of: impl Fn(ApplianceIndex) -> Option<&'a ApplianceName>,
    ) -> Option<ApplianceIndex> {
        let at = self.find_place(name, name_of)?;
        Some(ApplianceIndex(self.places[at].number))
    }

    /// Inserts the name, or gives it another number.
    pub(super) fn insert<'a>(
        &mut self,
        name: &ApplianceName,
        number: ApplianceIndex,
        name_of: impl Fn(ApplianceIndex) -> Option<&'a ApplianceName>,
    ) {
        if let Some(at) = self.find_place(name, name_of) {
            self.places[at].number = number.0;
            return;
        }
        if (self.len + 1) * 4 > self.places.len() * 3 {
            self.grow();
        }
        let new = Place { hash: self.hash(name), number: number.0 };
        self.put(new);
        self.len += 1;
    }

    /// Removes the name.
    pub(super) fn remove<'a>(
        &mut self,
        name: &ApplianceName,
        name_of: impl Fn(ApplianceIndex) -> Option<&'a ApplianceName>,
    ) {
        let Some(mut free) = self.find_place(name, name_of) else { return };
        // What lies behind it and belongs before it moves up, so that probing finds it.
        let mut at = self.next(free);
        while self.places[at].number != 0 {
            let home = self.home(self.places[at].hash);
            let distance = |from: usize, to: usize| to.wrapping_sub(from) & (self.places.len() - 1);
            if distance(home, at) >= distance(free, at) {
                self.places[free] = self.places[at];
                free = at;
            }
            at = self.next(at);
        }
        self.places[free] = Place::default();
        self.len -= 1;
    }

    fn find_place<'a>(
        &self,
        name: &ApplianceName,
        name_of: impl Fn(ApplianceIndex) -> Option<&'a ApplianceName>,
    ) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        let hash = self.hash(name);
        let mut at = self.home(hash);
        loop {
            let place = self.places[at];
            if place.number == 0 {
                return None;
            }
            if place.hash == hash && name_of(ApplianceIndex(place.number)) == Some(name) {
                return Some(at);
            }
            at = self.next(at);
        }
    }

    fn grow(&mut self) {
        let size = (self.places.len() * 2).max(PLACES_MIN);
        let old = std::mem::replace(&mut self.places, vec![Place::default(); size]);
        old.into_iter().filter(|place| place.number != 0).for_each(|place| self.put(place));
    }

    /// Puts into the first free place; there is one.
    fn put(&mut self, new: Place) {
        let mut at = self.home(new.hash);
        while self.places[at].number != 0 {
            at = self.next(at);
        }
        self.places[at] = new;
    }

    fn hash(&self, name: &ApplianceName) -> u32 {
        u32::try_from(self.hasher.hash_one(name) >> 32).unwrap_or(0)
    }

    fn home(&self, hash: u32) -> usize {
        hash as usize & (self.places.len() - 1)
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.places.len() - 1)
    }

    fn numbers(&self) -> Vec<u32> {
        let taken = self.places.iter().map(|place| place.number).filter(|number| *number != 0);
        let mut numbers: Vec<_> = taken.collect();
        numbers.sort_unstable();
        numbers
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_name_has_the_number_it_was_last_given(
            acts in prop::collection::vec((0u32..60, any::<bool>()), 1..400),
        ) {
            let name = |n: u32| ApplianceName::new(&format!("db{n}")).expect("a name");
            // The number of a name is its own, plus a thousand for each time it was inserted.
            let names: Vec<_> = (0..60).map(name).collect();
            let name_of = |number: ApplianceIndex| names.get(number.0 as usize % 1_000);
            let (mut table, mut model) = (NameTable::default(), BTreeMap::new());
            for (at, (n, inserts)) in (1..).zip(acts) {
                let key = &names[n as usize];
                if inserts {
                    let number = ApplianceIndex(at * 1_000 + n);
                    table.insert(key, number, name_of);
                    model.insert(n, number);
                } else {
                    table.remove(key, name_of);
                    model.remove(&n);
                }
                for (n, key) in (0..).zip(&names) {
                    prop_assert_eq!(table.find(key, name_of), model.get(&n).copied());
                }
                let numbers: std::collections::BTreeSet<_> = model.values().map(|it| it.0).collect();
                prop_assert_eq!(table.numbers(), numbers.into_iter().collect::<Vec<_>>());
                prop_assert_eq!(table.len, model.len());
            }
        }
    }
}
