//! A future that reports can look into.
//!
//! Guarantees that the future runs as if it were alone: it is polled by one thread at a time, never
//! again after it has ended or panicked, dropped when the whole is dropped, and its result or panic
//! reaches whoever awaits it, even if a report's helper was the one who polled. What it costs is a
//! lock that nobody else takes, unless a report is being written.

#![expect(unsafe_code, reason = "each block has its argument")]

use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::probe::{self, Trace};
use super::{CURRENT, EPOCH, own_thread, registry};
use crate::guru_meditation::{runner, time};

/// What is known of a task without looking into it.
#[derive(Debug)]
pub(super) struct TaskMeta {
    pub(super) id: u64,
    pub(super) name: &'static str,
    /// What it is busy with, if it says so.
    pub(super) detail: Mutex<Option<Box<str>>>,
    pub(super) place: &'static Location<'static>,
    pub(super) born: Instant,
    pub(super) polls: AtomicU64,
    /// The thread that polls it at this moment; 0: none.
    pub(super) on: AtomicI32,
    /// It has ended; what is still there is its result.
    pub(super) is_over: AtomicBool,
    /// Whether the runtime counts it: a future that a thread blocks on is not.
    pub(super) is_counted: bool,
    pub(super) answer: Mutex<Option<TraceReply>>,
}

/// Where a task waited when it was last asked.
#[derive(Clone, Debug)]
pub(super) struct TraceReply {
    pub(super) epoch: u64,
    pub(super) traces: Vec<Trace>,
}

/// A task, whatever its future is.
pub(super) trait TaskHandle: Send + Sync {
    fn meta(&self) -> &TaskMeta;

    /// Wakes it, so that it is polled and answers; does nothing if it is being polled.
    fn nudge(&self);

    /// Polls it in this thread, if nobody does and it was polled before.
    fn probe_here(&self, epoch: u64);
}

/// A future that reports can look into. Made by [`spawned`](super::spawned) and
/// [`root`](super::root).
#[must_use = "futures do nothing unless they are polled"]
pub struct Traced<F: Future + Send + 'static>(Arc<TaskCell<F>>)
where
    F::Output: Send + 'static;

struct TaskCell<F: Future> {
    meta: TaskMeta,
    inner: Mutex<Inner<F>>,
}

struct Inner<F: Future> {
    stage: TaskStage<F>,
    /// The real waker of the last poll.
    waker: Option<Waker>,
    /// The last report that was answered.
    answered: u64,
}

enum TaskStage<F: Future> {
    /// It runs. The future is never moved out of here, only dropped in place.
    Live(F),
    /// A report's helper polled it to its end; the next poll gives this.
    Finished(std::thread::Result<F::Output>),
    Gone,
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
            place,
            born: time::monotonic(),
            polls: AtomicU64::new(0),
            on: AtomicI32::new(0),
            is_over: AtomicBool::new(false),
            is_counted,
            answer: Mutex::new(None),
        };
        let answered = EPOCH.load(Ordering::Relaxed);
        let inner = Inner { stage: TaskStage::Live(future), waker: None, answered };
        let cell = Arc::new(TaskCell { meta, inner: Mutex::new(inner) });
        registry::enter(Arc::clone(&cell) as Arc<dyn TaskHandle>);
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
        if !matches!(inner.stage, TaskStage::Live(_)) {
            return inner.kept();
        }
        if !inner.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            inner.waker = Some(context.waker().clone());
        }
        let _polling = Polling::begin(&cell.meta);
        let epoch = EPOCH.load(Ordering::Relaxed);
        let polled = if inner.answered == epoch {
            inner.future().map_or(Poll::Pending, |future| future.poll(context))
        } else {
            inner.probe(&cell.meta, epoch, context.waker())
        };
        if polled.is_ready() {
            // At once: the helper must never poll a future that has ended.
            cell.meta.is_over.store(true, Ordering::Release);
            inner.stage = TaskStage::Gone;
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
        registry::leave(self.0.meta.id);
        self.0.meta.is_over.store(true, Ordering::Release);
        let mut inner = lock(&self.0.inner);
        inner.waker = None;
        inner.stage = TaskStage::Gone;
    }
}

impl<F: Future> Inner<F> {
    fn future(&mut self) -> Option<Pin<&mut F>> {
        match &mut self.stage {
            // SAFETY: the future lies in an `Arc` that never gives it out by value: from `new` on it
            // is only borrowed here and dropped in place, by assigning another stage.
            TaskStage::Live(future) => Some(unsafe { Pin::new_unchecked(future) }),
            TaskStage::Finished(_) | TaskStage::Gone => None,
        }
    }

    /// What the helper got.
    ///
    /// # Panics
    ///
    /// With the future's own panic, or when it is polled after its end.
    fn kept(&mut self) -> Poll<F::Output> {
        match std::mem::replace(&mut self.stage, TaskStage::Gone) {
            TaskStage::Finished(Ok(output)) => Poll::Ready(output),
            TaskStage::Finished(Err(panic)) => resume_unwind(panic),
            TaskStage::Live(_) | TaskStage::Gone => panic!("a task was polled after its end"),
        }
    }

    fn probe(&mut self, meta: &TaskMeta, epoch: u64, real: &Waker) -> Poll<F::Output> {
        self.answered = epoch;
        let Some(future) = self.future() else { return Poll::Pending };
        let (polled, traces) = probe::poll(future, real);
        *meta.answer.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(TraceReply { epoch, traces });
        polled
    }
}

impl<F> TaskHandle for TaskCell<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn meta(&self) -> &TaskMeta {
        &self.meta
    }

    fn nudge(&self) {
        let waker = match self.inner.try_lock() {
            Ok(inner) => inner.waker.clone(),
            // It is being polled, or its future panicked.
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => None,
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn probe_here(&self, epoch: u64) {
        let Ok(mut inner) = self.inner.try_lock() else { return };
        let Some(real) = inner.waker.clone() else { return };
        if inner.answered == epoch || !matches!(inner.stage, TaskStage::Live(_)) {
            return;
        }
        let polling = Polling::begin(&self.meta);
        let polled = runner::helping(|| {
            catch_unwind(AssertUnwindSafe(|| inner.probe(&self.meta, epoch, &real)))
        });
        drop(polling);
        let kept = match polled {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panic) => Err(panic),
        };
        self.meta.is_over.store(true, Ordering::Release);
        // Drops the future here, where a panic must not be lost either.
        let dropped =
            runner::helping(|| catch_unwind(AssertUnwindSafe(|| inner.stage = TaskStage::Gone)));
        inner.stage = TaskStage::Finished(dropped.and(kept));
        drop(inner);
        real.wake();
    }
}

/// Marks a task as being polled by this thread, until it is dropped.
struct Polling<'a> {
    meta: &'a TaskMeta,
    /// What this thread polled around it.
    outer: u64,
}

impl<'a> Polling<'a> {
    fn begin(meta: &'a TaskMeta) -> Self {
        meta.on.store(own_thread(), Ordering::Relaxed);
        meta.polls.fetch_add(1, Ordering::Relaxed);
        Self { meta, outer: CURRENT.replace(meta.id) }
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        CURRENT.set(self.outer);
        self.meta.on.store(0, Ordering::Relaxed);
    }
}

/// A future that panicked leaves the lock poisoned: only its drop comes here then.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
