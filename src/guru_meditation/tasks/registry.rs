//! Which tasks are there? A book in shards, so that tasks that begin and end do not wait for each
//! other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::traced::TaskHandle;

const SHARDS: usize = 16;

type Shard = BTreeMap<u64, Arc<dyn TaskHandle>>;

static IDS: AtomicU64 = AtomicU64::new(1);
static BOOK: [Mutex<Shard>; SHARDS] = [const { Mutex::new(BTreeMap::new()) }; SHARDS];

pub(super) fn next_id() -> u64 {
    IDS.fetch_add(1, Ordering::Relaxed)
}

pub(super) fn enter(task: Arc<dyn TaskHandle>) {
    let id = task.meta().id;
    shard(id).insert(id, task);
}

pub(super) fn leave(id: u64) {
    // The task is dropped behind the lock: its drop may start and end others.
    let gone = shard(id).remove(&id);
    drop(gone);
}

pub(super) fn find(id: u64) -> Option<Arc<dyn TaskHandle>> {
    shard(id).get(&id).cloned()
}

/// How many there are that a runtime counts, too.
pub(super) fn counted() -> usize {
    let counted = |shard: &Mutex<Shard>| {
        let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.values().filter(|task| task.meta().is_counted).count()
    };
    BOOK.iter().map(counted).sum()
}

/// All tasks, the oldest first.
pub(super) fn all() -> Vec<Arc<dyn TaskHandle>> {
    let mut all = Vec::new();
    for shard in &BOOK {
        all.extend(shard.lock().unwrap_or_else(PoisonError::into_inner).values().cloned());
    }
    all.sort_by_key(|task| task.meta().id);
    all
}

fn shard(id: u64) -> MutexGuard<'static, Shard> {
    #[expect(clippy::cast_possible_truncation, reason = "a remainder below SHARDS")]
    let at = (id % SHARDS as u64) as usize;
    BOOK[at].lock().unwrap_or_else(PoisonError::into_inner)
}
