//! Starts every task and every thread of our programs, under a name.
//!
//! One door, so that a report can later see all that runs; `clippy.toml` bans the others. It
//! guarantees a name and a count of those alive; it knows nothing of what they do.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinHandle;
use tracing::Instrument;

static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// Starts `future` as a task of the current runtime, named for people (`session`, `accept grpc`).
///
/// # Panics
///
/// Outside a runtime, as tokio's own `spawn` does.
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let counted = Counted::new();
    let named = async move {
        let _counted = counted;
        future.await
    };
    #[expect(clippy::disallowed_methods, reason = "this is the one door")]
    tokio::spawn(named.instrument(tracing::trace_span!("task", name)))
}

/// Starts blocking work on the runtime's pool of threads for that.
///
/// # Panics
///
/// Outside a runtime.
pub fn spawn_blocking<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    #[expect(clippy::disallowed_methods, reason = "this is the one door")]
    tokio::task::spawn_blocking(move || tracing::trace_span!("blocking", name).in_scope(work))
}

/// Starts an operating-system thread; the kernel shows the first 15 bytes of its name.
///
/// # Errors
///
/// When the system has no thread to give.
pub fn spawn_thread<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<T>> {
    #[expect(clippy::disallowed_methods, reason = "this is the one door")]
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// How many tasks started by [`spawn`] are alive.
pub fn alive() -> usize {
    ALIVE.load(Ordering::Relaxed)
}

/// Lets hyper and tonic start their tasks through [`spawn`].
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

struct Counted;

impl Counted {
    fn new() -> Self {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}
