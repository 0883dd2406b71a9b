//! Implements a hash map whose copies share what did not change since.
//!
//! Guarantees that a clone costs one count per shard, and that a change copies one shard at most, and
//! only if a clone still has it. Does not know what it holds.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

/// The number of shards: a million entries are 2,000 each.
const SHARDS: usize = 512;

/// A hash map. Its clones share its shards until one of them changes.
#[derive(Clone, Debug)]
pub(super) struct ShardedMap<K, V> {
    /// None before the first entry: most grids have no keys, and tests copy states by the thousand.
    shards: Box<[Arc<HashMap<K, V>>]>,
    hasher: RandomState,
    len: usize,
}

impl<K, V> Default for ShardedMap<K, V> {
    fn default() -> Self {
        Self { shards: Box::default(), hasher: RandomState::new(), len: 0 }
    }
}

impl<K: Eq + Hash, V: PartialEq> PartialEq for ShardedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len
            && self.entries().all(|(key, value)| other.get(key).is_some_and(|it| it == value))
    }
}

impl<K, V> ShardedMap<K, V> {
    /// Whether there is no entry.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries, in no order: to be sorted.
    #[expect(clippy::disallowed_methods, reason = "those who call it sort or do not depend on it")]
    pub(super) fn entries(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }
}

impl<K: Eq + Hash, V> ShardedMap<K, V> {
    /// The value of a key.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        if self.len == 0 { None } else { self.shards[self.shard_of(key)].get(key) }
    }

    fn shard_of(&self, key: &K) -> usize {
        usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0)
    }
}

impl<K: Eq + Hash + Clone, V: Clone> ShardedMap<K, V> {
    /// Inserts or replaces a value.
    pub(super) fn insert(&mut self, key: K, value: V) {
        if self.shards.is_empty() {
            self.shards = std::iter::repeat_n(Arc::default(), SHARDS).collect();
        }
        let shard = self.shard_of(&key);
        let old = Arc::make_mut(&mut self.shards[shard]).insert(key, value);
        self.len += usize::from(old.is_none());
    }

    /// Removes a key; returns its value.
    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        self.get(key)?;
        let shard = self.shard_of(key);
        let old = Arc::make_mut(&mut self.shards[shard]).remove(key)?;
        self.len -= 1;
        Some(old)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_and_its_clones_stay_as_they_were(
            acts in prop::collection::vec((0u16..90, prop::option::weighted(0.6, any::<u32>())), 1..300),
            cut in any::<prop::sample::Index>(),
        ) {
            let (mut map, mut model) = (ShardedMap::default(), HashMap::new());
            let cut = cut.index(acts.len());
            let mut copies = None;
            for (at, (key, value)) in acts.into_iter().enumerate() {
                if at == cut {
                    copies = Some((map.clone(), model.clone()));
                }
                match value {
                    Some(value) => {
                        map.insert(key, value);
                        model.insert(key, value);
                    }
                    None => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                }
                prop_assert_eq!(map.get(&key), model.get(&key));
            }
            let copied = copies.ok_or_else(|| TestCaseError::fail("no copy"))?;
            for (map, model) in [(map, model), copied] {
                let found: HashMap<u16, u32> = map.entries().map(|(key, value)| (*key, *value)).collect();
                prop_assert_eq!(map.len, model.len());
                prop_assert_eq!(found, model);
            }
        }
    }
}
