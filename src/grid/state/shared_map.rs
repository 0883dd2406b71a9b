//! Implements an ordered map whose copies share what did not change since.
//!
//! Guarantees that a clone costs one count per `ENTRIES_PER_CHUNK` entries, and that a change copies
//! one such chunk at most, and only if a clone still has it. Does not know what it holds.

use std::sync::Arc;

/// The most entries of one chunk.
const ENTRIES_PER_CHUNK: usize = 32;

/// An ordered map. Its clones share its chunks until one of them changes.
#[derive(Clone, Debug)]
pub struct SharedMap<K, V> {
    /// Never empty, in ascending order.
    chunks: Vec<Arc<Vec<(K, V)>>>,
    len: usize,
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K, V> SharedMap<K, V> {
    /// The number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries, by key.
    pub fn iter(&self) -> SharedEntries<'_, K, V> {
        SharedEntries { chunks: self.chunks.iter(), chunk: [].iter(), left: self.len }
    }

    /// All values, by key.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Takes the entries in order, and drops each chunk when it is used up, so that a change of the
    /// map it was cloned from need not copy that chunk any more.
    pub(in crate::grid) fn into_chunks(self) -> impl Iterator<Item = Arc<Vec<(K, V)>>> {
        self.chunks.into_iter()
    }
}

/// The entries of a [`SharedMap`], by key.
#[derive(Debug)]
pub struct SharedEntries<'a, K, V> {
    chunks: std::slice::Iter<'a, Arc<Vec<(K, V)>>>,
    chunk: std::slice::Iter<'a, (K, V)>,
    left: usize,
}

impl<'a, K, V> Iterator for SharedEntries<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.chunk.next() {
                self.left = self.left.saturating_sub(1);
                return Some((key, value));
            }
            self.chunk = self.chunks.next()?.iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K, V> ExactSizeIterator for SharedEntries<'_, K, V> {}

impl<K: Ord, V> SharedMap<K, V> {
    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let chunk = self.chunks.get(self.chunk_of(key)?)?;
        let at = chunk.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
        Some(&chunk[at].1)
    }

    /// The entries from that key on, whether it is there or not.
    pub fn range_from(&self, key: K) -> impl Iterator<Item = (&K, &V)> {
        let first = self.chunk_of(&key).unwrap_or(0);
        let skipped = self
            .chunks
            .get(first)
            .map_or(0, |chunk| chunk.partition_point(|(known, _)| *known < key));
        let entries = self.chunks[first..].iter().flat_map(|chunk| chunk.iter()).skip(skipped);
        entries.map(|(key, value)| (key, value))
    }

    /// The chunk that has the key, or would have it; `None`: it is before all, or there is none.
    fn chunk_of(&self, key: &K) -> Option<usize> {
        self.chunks.partition_point(|chunk| chunk[0].0 <= *key).checked_sub(1)
    }
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let in_chunk = self.chunk_of(key)?;
        let at = self.chunks[in_chunk].binary_search_by(|(known, _)| known.cmp(key)).ok()?;
        Some(&mut Arc::make_mut(&mut self.chunks[in_chunk])[at].1)
    }

    /// Inserts or replaces a value.
    pub fn insert(&mut self, key: K, value: V) {
        let Some(in_chunk) = self.chunk_of(&key) else {
            return self.insert_first(key, value);
        };
        let is_last = in_chunk + 1 == self.chunks.len();
        let chunk = Arc::make_mut(&mut self.chunks[in_chunk]);
        match chunk.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(at) => chunk[at].1 = value,
            // What grows at its end has full chunks.
            Err(at) if at == ENTRIES_PER_CHUNK && is_last => {
                self.len += 1;
                self.chunks.push(Arc::new(vec![(key, value)]));
            }
            Err(at) => {
                self.len += 1;
                chunk.insert(at, (key, value));
                self.split_if_full(in_chunk);
            }
        }
    }

    /// Inserts what is before all other entries.
    fn insert_first(&mut self, key: K, value: V) {
        self.len += 1;
        match self.chunks.first_mut() {
            Some(first) => {
                Arc::make_mut(first).insert(0, (key, value));
                self.split_if_full(0);
            }
            None => self.chunks.push(Arc::new(vec![(key, value)])),
        }
    }

    fn split_if_full(&mut self, in_chunk: usize) {
        if self.chunks[in_chunk].len() > ENTRIES_PER_CHUNK {
            let upper = Arc::make_mut(&mut self.chunks[in_chunk]).split_off(ENTRIES_PER_CHUNK / 2);
            self.chunks.insert(in_chunk + 1, Arc::new(upper));
        }
    }

    /// Removes a key; returns its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let in_chunk = self.chunk_of(key)?;
        let at = self.chunks[in_chunk].binary_search_by(|(known, _)| known.cmp(key)).ok()?;
        let chunk = Arc::make_mut(&mut self.chunks[in_chunk]);
        let (_, value) = chunk.remove(at);
        if chunk.is_empty() {
            self.chunks.remove(in_chunk);
        }
        self.len -= 1;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn entries(map: &SharedMap<u16, u32>) -> Vec<(u16, u32)> {
        map.iter().map(|(key, value)| (*key, *value)).collect()
    }

    #[test]
    fn what_grows_at_its_end_fills_its_chunks() {
        let mut map = SharedMap::default();
        (0..6_400_u16).for_each(|key| map.insert(key, ()));
        assert_eq!(map.chunks.len(), 200);
    }

    #[test]
    fn a_change_copies_one_chunk_of_a_clone() {
        let mut map = SharedMap::default();
        (0..640_u16).for_each(|key| map.insert(key, 0));
        let copy = map.clone();
        *map.get_mut(&300).expect("it is there") = 1;
        let shared = map.chunks.iter().zip(&copy.chunks).filter(|(a, b)| Arc::ptr_eq(a, b));
        assert_eq!((shared.count(), copy.get(&300), map.get(&300)), (19, Some(&0), Some(&1)));
    }

    proptest! {
        #[test]
        fn it_is_a_map_and_its_clones_stay_as_they_were(
            acts in prop::collection::vec((0u16..400, prop::option::weighted(0.6, any::<u32>())), 1..900),
            cut in any::<prop::sample::Index>(),
            from in 0u16..400,
        ) {
            let (mut map, mut model) = (SharedMap::default(), BTreeMap::new());
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
                prop_assert_eq!(map.get_mut(&key), model.get_mut(&key));
                prop_assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
            }
            let copied = copies.ok_or_else(|| TestCaseError::fail("no copy"))?;
            for (map, model) in [(map, model), copied] {
                prop_assert_eq!(entries(&map), model.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>());
                let rest: Vec<_> = map.range_from(from).map(|(key, _)| *key).collect();
                prop_assert_eq!(rest, model.range(from..).map(|(key, _)| *key).collect::<Vec<_>>());
                prop_assert!(map.chunks.iter().all(|it| (1..=ENTRIES_PER_CHUNK).contains(&it.len())));
            }
        }
    }
}
