//! The registry of live tasks.
//!
//! Guarantees little contention when tasks start and end: it has shards. Does not know what tasks
//! do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::traced::TracedTask;

const SHARDS: usize = 16;

type Shard = BTreeMap<u64, Arc<dyn TracedTask>>;

static IDS: AtomicU64 = AtomicU64::new(1);
static TASKS: [Mutex<Shard>; SHARDS] = [const { Mutex::new(BTreeMap::new()) }; SHARDS];

pub(super) fn next_id() -> u64 {
    IDS.fetch_add(1, Ordering::Relaxed)
}

pub(super) fn register(task: Arc<dyn TracedTask>) {
    let id = task.meta().id;
    shard(id).insert(id, task);
}

pub(super) fn unregister(id: u64) {
    // Dropped after the lock is released: the drop may start and end other tasks.
    let task = shard(id).remove(&id);
    drop(task);
}

pub(super) fn find(id: u64) -> Option<Arc<dyn TracedTask>> {
    shard(id).get(&id).cloned()
}

/// The number of tasks that a runtime also counts.
pub(super) fn runtime_task_count() -> usize {
    let counted = |shard: &Mutex<Shard>| {
        let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.values().filter(|task| task.meta().is_counted).count()
    };
    TASKS.iter().map(counted).sum()
}

/// All tasks, oldest first.
pub(super) fn all_tasks() -> Vec<Arc<dyn TracedTask>> {
    let mut all = Vec::new();
    for shard in &TASKS {
        all.extend(shard.lock().unwrap_or_else(PoisonError::into_inner).values().cloned());
    }
    all.sort_by_key(|task| task.meta().id);
    all
}

fn shard(id: u64) -> MutexGuard<'static, Shard> {
    #[expect(clippy::cast_possible_truncation, reason = "a remainder below SHARDS")]
    let at = (id % SHARDS as u64) as usize;
    TASKS[at].lock().unwrap_or_else(PoisonError::into_inner)
}
