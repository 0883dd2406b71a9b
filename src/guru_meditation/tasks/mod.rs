//! Tasks that reports can look into, and the section Green Threads.
//!
//! [`spawned`] wraps the future of a task, [`root`] one that a thread blocks on. Guarantees that a
//! report shows every wrapped future: where it waits, down to the innermost function, or the thread
//! that polls it. Works with any runtime flags: it needs none. Knows nothing of who starts tasks.

mod listing;
mod probe;
mod registry;
#[cfg(test)]
mod tests;
mod traced;

use std::cell::Cell;
use std::future::Future;
use std::panic::Location;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;

pub use self::traced::Traced;
pub(super) use crate::guru_meditation::tasks::listing::add_section;

/// Longest detail of a task, in bytes.
const DETAIL_BYTES_MAX: usize = 200;

/// How many reports have asked the tasks; a task that finds a new number answers.
static EPOCH: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The task that this thread polls; 0: none.
    static CURRENT: Cell<u64> = const { Cell::new(0) };
    /// The thread's id; 0 until it is asked for.
    static THREAD: Cell<i32> = const { Cell::new(0) };
}

/// The future of a task that is about to be spawned.
#[track_caller]
pub fn spawned<F>(name: &'static str, future: F) -> Traced<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Traced::new(name, Location::caller(), true, future)
}

/// A future that a thread blocks on: no task to the runtime, but worth a look.
#[track_caller]
pub fn root<F>(name: &'static str, future: F) -> Traced<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Traced::new(name, Location::caller(), false, future)
}

/// Says what the task that runs in this thread is busy with; reports show it beside its name.
pub fn detail(detail: &str) {
    if let Some(task) = registry::find(CURRENT.get()) {
        let detail = &detail[..detail.floor_char_boundary(DETAIL_BYTES_MAX)];
        let mut there = task.meta().detail.lock().unwrap_or_else(PoisonError::into_inner);
        *there = Some(detail.into());
    }
}

/// How many tasks made by [`spawned`] are alive.
pub fn alive() -> usize {
    registry::counted()
}

/// The id of this thread, as the kernel has it.
fn own_thread() -> i32 {
    match THREAD.get() {
        0 => {
            let id = rustix::thread::gettid().as_raw_nonzero().get();
            THREAD.set(id);
            id
        }
        id => id,
    }
}
