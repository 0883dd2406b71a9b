//! Wraps a future so that reports can trace it.
//!
//! Guarantees that the future runs as without the wrapper: it is polled by one thread at a time,
//! never again after it ended or panicked, dropped with the wrapper, and its result or panic
//! reaches the awaiter even if the reporter polled it. The cost is a lock without contention,
//! except while a report is written. Does not know what the future does.

#![expect(unsafe_code, reason = "each block has its argument")]

use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::probe::{self, Trace};
use super::{CURRENT, EPOCH, current_thread_id, registry};
use crate::guru_meditation::{job_runner, time};

/// Data of a task that is known without polling it.
#[derive(Debug)]
pub(super) struct TaskMeta {
    pub(super) id: u64,
    pub(super) name: &'static str,
    /// What it is working on, if it set a detail.
    pub(super) detail: Mutex<Option<Box<str>>>,
    pub(super) spawned_at: &'static Location<'static>,
    pub(super) created_at: Instant,
    pub(super) polls: AtomicU64,
    /// The thread that is polling it; 0: none.
    pub(super) polled_by: AtomicI32,
    /// It has ended; only its result may remain.
    pub(super) is_finished: AtomicBool,
    /// Whether the runtime counts it, which it does not for a future that a thread blocks on.
    pub(super) is_counted: bool,
    pub(super) last_trace: Mutex<Option<TaskTrace>>,
}

/// Where a task waited when it was last traced.
#[derive(Clone, Debug)]
pub(super) struct TaskTrace {
    pub(super) epoch: u64,
    pub(super) traces: Vec<Trace>,
}

/// A task with any future.
pub(super) trait TracedTask: Send + Sync {
    fn meta(&self) -> &TaskMeta;

    /// Wakes it, so that it is polled and traced; does nothing if it is being polled.
    fn wake(&self);

    /// Polls it in this thread, if no other thread does and it was polled before.
    fn probe_from_reporter(&self, epoch: u64);
}

/// A future that reports can trace. Made by [`trace_task`](super::trace_task) and
/// [`trace_root`](super::trace_root).
#[must_use = "futures do nothing unless they are polled"]
pub struct Traced<F: Future + Send + 'static>(Arc<TaskCell<F>>)
where
    F::Output: Send + 'static;

struct TaskCell<F: Future> {
    meta: TaskMeta,
    inner: Mutex<TaskInner<F>>,
}

struct TaskInner<F: Future> {
    state: FutureState<F>,
    /// The real waker of the last poll.
    waker: Option<Waker>,
    /// The last report with a trace of this task.
    answered_epoch: u64,
}

enum FutureState<F: Future> {
    /// Running. The future is never moved out of here, only dropped in place.
    Live(F),
    /// The reporter polled it to its end; the next poll returns this.
    Finished(std::thread::Result<F::Output>),
    Dropped,
}

impl<F> Traced<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    pub(super) fn new(
        name: &'static str,
        place: &'static Location<'static>,
        is_counted: bool,
        future: F,
    ) -> Self {
        let meta = TaskMeta {
            id: registry::next_id(),
            name,
            detail: Mutex::new(None),
            spawned_at: place,
            created_at: time::monotonic_now(),
            polls: AtomicU64::new(0),
            polled_by: AtomicI32::new(0),
            is_finished: AtomicBool::new(false),
            is_counted,
            last_trace: Mutex::new(None),
        };
        let answered = EPOCH.load(Ordering::Relaxed);
        let inner =
            TaskInner { state: FutureState::Live(future), waker: None, answered_epoch: answered };
        let cell = Arc::new(TaskCell { meta, inner: Mutex::new(inner) });
        registry::register(Arc::clone(&cell) as Arc<dyn TracedTask>);
        Self(cell)
    }
}

impl<F> Future for Traced<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let cell = &*self.0;
        let mut inner = lock(&cell.inner);
        if !matches!(inner.state, FutureState::Live(_)) {
            return inner.take_result();
        }
        if !inner.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            inner.waker = Some(context.waker().clone());
        }
        let _polling = PollGuard::start(&cell.meta);
        let epoch = EPOCH.load(Ordering::Relaxed);
        let polled = if inner.answered_epoch == epoch {
            inner.future().map_or(Poll::Pending, |future| future.poll(context))
        } else {
            inner.probe(&cell.meta, epoch, context.waker())
        };
        if polled.is_ready() {
            // At once: the reporter must never poll a future that has ended.
            cell.meta.is_finished.store(true, Ordering::Release);
            inner.state = FutureState::Dropped;
        }
        polled
    }
}

impl<F> Drop for Traced<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn drop(&mut self) {
        registry::unregister(self.0.meta.id);
        self.0.meta.is_finished.store(true, Ordering::Release);
        let mut inner = lock(&self.0.inner);
        inner.waker = None;
        inner.state = FutureState::Dropped;
    }
}

impl<F: Future> TaskInner<F> {
    fn future(&mut self) -> Option<Pin<&mut F>> {
        match &mut self.state {
            // SAFETY: the future lies in an `Arc` that never gives it out by value: from `new` on
            // it is only borrowed here and dropped in place, by assigning another stage.
            FutureState::Live(future) => Some(unsafe { Pin::new_unchecked(future) }),
            FutureState::Finished(_) | FutureState::Dropped => None,
        }
    }

    /// Takes the result that the reporter obtained.
    ///
    /// # Panics
    ///
    /// With the panic of the future, or if it is polled after its end.
    fn take_result(&mut self) -> Poll<F::Output> {
        match std::mem::replace(&mut self.state, FutureState::Dropped) {
            FutureState::Finished(Ok(output)) => Poll::Ready(output),
            FutureState::Finished(Err(panic)) => resume_unwind(panic),
            FutureState::Live(_) | FutureState::Dropped => {
                panic!("a task was polled after its end")
            }
        }
    }

    fn probe(&mut self, meta: &TaskMeta, epoch: u64, real: &Waker) -> Poll<F::Output> {
        self.answered_epoch = epoch;
        let Some(future) = self.future() else { return Poll::Pending };
        let (polled, traces) = probe::poll_with_probe(future, real);
        *meta.last_trace.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(TaskTrace { epoch, traces });
        polled
    }
}

impl<F> TracedTask for TaskCell<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn meta(&self) -> &TaskMeta {
        &self.meta
    }

    fn wake(&self) {
        let waker = match self.inner.try_lock() {
            Ok(inner) => inner.waker.clone(),
            // The task is being polled, or its future panicked.
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => None,
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn probe_from_reporter(&self, epoch: u64) {
        let Ok(mut inner) = self.inner.try_lock() else { return };
        let Some(real) = inner.waker.clone() else { return };
        if inner.answered_epoch == epoch || !matches!(inner.state, FutureState::Live(_)) {
            return;
        }
        let polling = PollGuard::start(&self.meta);
        let polled = job_runner::polling_task(|| {
            catch_unwind(AssertUnwindSafe(|| inner.probe(&self.meta, epoch, &real)))
        });
        drop(polling);
        let result = match polled {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panic) => Err(panic),
        };
        self.meta.is_finished.store(true, Ordering::Release);
        // Drops the future here, where a panic must not get lost either.
        let dropped = job_runner::polling_task(|| {
            catch_unwind(AssertUnwindSafe(|| inner.state = FutureState::Dropped))
        });
        inner.state = FutureState::Finished(dropped.and(result));
        drop(inner);
        real.wake();
    }
}

/// Marks a task as polled by this thread, until the guard is dropped.
struct PollGuard<'a> {
    meta: &'a TaskMeta,
    /// The outer task that this thread is polling.
    outer_task: u64,
}

impl<'a> PollGuard<'a> {
    fn start(meta: &'a TaskMeta) -> Self {
        meta.polled_by.store(current_thread_id(), Ordering::Relaxed);
        meta.polls.fetch_add(1, Ordering::Relaxed);
        Self { meta, outer_task: CURRENT.replace(meta.id) }
    }
}

impl Drop for PollGuard<'_> {
    fn drop(&mut self) {
        CURRENT.set(self.outer_task);
        self.meta.polled_by.store(0, Ordering::Relaxed);
    }
}

/// A panicked future leaves the lock poisoned: after that only its drop takes the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
