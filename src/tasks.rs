//! Starts every task and every thread of the programs, under a name.
//!
//! The only place that does, so that a report lists all that runs; `clippy.toml` bans the others.
//! Guarantees that each task has a name and can be inspected. Does not know what they do.

use std::future::Future;

use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::guru_meditation;

/// Starts `future` as a task of the current runtime, named for people (`session`, `accept grpc`).
///
/// # Panics
///
/// Outside a runtime, as tokio's own `spawn` does.
#[track_caller]
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let named = future.instrument(tracing::trace_span!("task", name));
    #[expect(clippy::disallowed_methods, reason = "this is the only place")]
    tokio::spawn(guru_meditation::trace_task(name, named))
}

/// Starts blocking work on the runtime's pool of blocking threads.
///
/// # Panics
///
/// Outside a runtime.
pub fn spawn_blocking<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    #[expect(clippy::disallowed_methods, reason = "this is the only place")]
    tokio::task::spawn_blocking(move || tracing::trace_span!("blocking", name).in_scope(work))
}

/// Starts an operating-system thread; the kernel shows the first 15 bytes of its name.
///
/// # Errors
///
/// When the system provides no thread.
pub fn spawn_thread<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<T>> {
    #[expect(clippy::disallowed_methods, reason = "this is the only place")]
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// How many tasks started by [`spawn`] are alive.
pub fn alive_count() -> usize {
    guru_meditation::live_task_count()
}

/// Makes hyper and tonic start their tasks through [`spawn`].
#[derive(Clone, Copy, Debug)]
pub struct NamedExecutor(pub &'static str);

impl<F> hyper::rt::Executor<F> for NamedExecutor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        drop(spawn(self.0, future));
    }
}
