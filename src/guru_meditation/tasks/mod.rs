//! Traces async tasks for reports, and writes the section Green Threads.
//!
//! [`trace_task`] wraps the future of a task, [`trace_root`] one that a thread blocks on.
//! Guarantees that a report shows every wrapped future: where it waits, down to the innermost
//! function, or the thread that polls it. Needs no flags of the runtime. Does not know who spawns
//! tasks.

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
pub(super) use crate::guru_meditation::tasks::listing::write;

/// Maximum length of the detail of a task, in bytes.
const DETAIL_BYTES_MAX: usize = 200;

/// Counts reports; a task that sees a new number records a trace.
static EPOCH: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The id of the task that this thread is polling; 0: none.
    static CURRENT: Cell<u64> = const { Cell::new(0) };
    /// The id of this thread; 0 until it is requested.
    static THREAD: Cell<i32> = const { Cell::new(0) };
}

/// Wraps the future of a task before it is spawned.
#[track_caller]
pub fn trace_task<F>(name: &'static str, future: F) -> Traced<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Traced::new(name, Location::caller(), true, future)
}

/// Wraps a future that a thread blocks on: no task of the runtime, but shown in reports.
#[track_caller]
pub fn trace_root<F>(name: &'static str, future: F) -> Traced<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Traced::new(name, Location::caller(), false, future)
}

/// Sets the detail of the task that runs in this thread; reports show it with its name.
pub fn set_task_detail(detail: &str) {
    if let Some(task) = registry::find(CURRENT.get()) {
        let detail = &detail[..detail.floor_char_boundary(DETAIL_BYTES_MAX)];
        let mut current = task.meta().detail.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(detail.into());
    }
}

/// The number of live tasks made by [`trace_task`].
pub fn live_task_count() -> usize {
    registry::runtime_task_count()
}

/// The kernel's id of this thread.
fn current_thread_id() -> i32 {
    match THREAD.get() {
        0 => {
            let id = rustix::thread::gettid().as_raw_nonzero().get();
            THREAD.set(id);
            id
        }
        id => id,
    }
}
