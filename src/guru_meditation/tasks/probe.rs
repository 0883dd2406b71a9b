//! Finds where a task waits: polls it once with a waker that takes a backtrace when cloned.
//!
//! A future that has to wait clones the waker it is polled with, at the place where it waits. A
//! clone of this waker is a clone of the real one, so nothing of the probe outlives the poll, which
//! to the future is an ordinary, spurious one. Guarantees one trace for each branch of a `select!`
//! or `join!`, for the leaf futures of any crate. Does not know tasks.

#![expect(unsafe_code, reason = "each block has its argument")]

use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::ptr;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use crate::guru_meditation::threads::FRAMES_MAX;

/// Maximum number of places at which one task is shown to wait.
const BRANCHES_MAX: usize = 16;

/// Addresses of a trace, innermost first, each as it is resolved.
pub(super) type Trace = Vec<u64>;

struct ProbeWaker<'a> {
    real_waker: &'a Waker,
    /// Frames at or above this address do not belong to the task.
    stack_limit: usize,
    traces: Mutex<Vec<Trace>>,
}

static WAKER_VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// Polls `future` with a probe instead of `real`; also returns where it waits.
#[inline(never)]
pub(super) fn poll_with_probe<F: Future>(
    future: Pin<&mut F>,
    real: &Waker,
) -> (Poll<F::Output>, Vec<Trace>) {
    let mut marker = 0_u8;
    let below = ptr::from_mut(&mut marker).addr();
    let probe = ProbeWaker { real_waker: real, stack_limit: below, traces: Mutex::new(Vec::new()) };
    let raw = RawWaker::new(ptr::from_ref(&probe).cast(), &WAKER_VTABLE);
    // SAFETY: the table's functions take a pointer to a `ProbeWaker`; this one is borrowed until the end
    // of this function. The waker is only lent to the poll, never dropped, and its clones are the
    // real waker's, so the pointer is not used later. `ProbeWaker` is `Sync`, as wakers must be.
    let waker = ManuallyDrop::new(unsafe { Waker::from_raw(raw) });
    let polled = future.poll(&mut Context::from_waker(&waker));
    (polled, probe.traces.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// # Safety
///
/// `probe` was made by [`poll_with_probe`], and that call has not returned.
unsafe fn clone(probe: *const ()) -> RawWaker {
    let mut marker = 0_u8;
    // SAFETY: as promised by the caller.
    let probe = unsafe { &*probe.cast::<ProbeWaker<'_>>() };
    probe.record_trace(ptr::from_mut(&mut marker).addr());
    let real = ManuallyDrop::new(probe.real_waker.clone());
    RawWaker::new(real.data(), real.vtable())
}

/// # Safety
///
/// As for [`clone`].
unsafe fn wake_by_ref(probe: *const ()) {
    let mut marker = 0_u8;
    // SAFETY: as promised by the caller.
    let probe = unsafe { &*probe.cast::<ProbeWaker<'_>>() };
    probe.record_trace(ptr::from_mut(&mut marker).addr());
    probe.real_waker.wake_by_ref();
}

/// # Safety
///
/// As for [`clone`].
unsafe fn wake(probe: *const ()) {
    // SAFETY: as promised by the caller. Nothing is owned, so by value is as by reference.
    unsafe { wake_by_ref(probe) }
}

fn drop_waker(_: *const ()) {}

impl ProbeWaker<'_> {
    /// Walks from the frame above the address `above` to that of [`poll_with_probe`].
    fn record_trace(&self, above: usize) {
        let mut trace = Trace::new();
        // SAFETY: only the unwinder of the C library is used, which may run in any thread at any
        // time; the crate's lock, which guards looking up names, would hold up the broker.
        unsafe {
            backtrace::trace_unsynchronized(|frame| {
                let frame_at = frame.sp().addr();
                if frame_at > above && frame_at < self.stack_limit {
                    trace.push((frame.ip().addr() as u64).saturating_sub(1));
                }
                frame_at < self.stack_limit && trace.len() < FRAMES_MAX
            });
        }
        let mut traces = self.traces.lock().unwrap_or_else(PoisonError::into_inner);
        if traces.len() < BRANCHES_MAX && !traces.contains(&trace) {
            traces.push(trace);
        }
    }
}
