//! Where does a task wait? It is polled once with a waker whose cloning takes a backtrace.
//!
//! A future that has to wait keeps a clone of the waker it is polled with, from the very place where
//! it waits; a clone of this one is a clone of the real waker, so nothing of the probe outlives the
//! poll, which to the future is an ordinary, spurious one. Works for the leaves of any crate; one
//! trace for each branch of a `select!` or `join!`.

#![expect(unsafe_code, reason = "each block has its argument")]

use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::ptr;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use crate::guru_meditation::threads::FRAMES_MAX;

/// Most places told at which one task waits.
const BRANCHES_MAX: usize = 16;

/// Addresses of a trace, the innermost first, each as it is looked up.
pub(super) type Trace = Vec<u64>;

struct Probe<'a> {
    real: &'a Waker,
    /// Frames at or above this address are not of the task.
    below: usize,
    traces: Mutex<Vec<Trace>>,
}

static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, forget);

/// Polls `future` with a probe in place of `real`; gives where it waits, too.
#[inline(never)]
pub(super) fn poll<F: Future>(future: Pin<&mut F>, real: &Waker) -> (Poll<F::Output>, Vec<Trace>) {
    let mut marker = 0_u8;
    let below = ptr::from_mut(&mut marker).addr();
    let probe = Probe { real, below, traces: Mutex::new(Vec::new()) };
    let raw = RawWaker::new(ptr::from_ref(&probe).cast(), &TABLE);
    // SAFETY: the table's functions take a pointer to a `Probe`; this one is borrowed until the end
    // of this function. The waker is only lent to the poll, never dropped, and its clones are the
    // real waker's, so the pointer is not used later. `Probe` is `Sync`, as wakers must be.
    let waker = ManuallyDrop::new(unsafe { Waker::from_raw(raw) });
    let polled = future.poll(&mut Context::from_waker(&waker));
    (polled, probe.traces.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// # Safety
///
/// `probe` is what [`poll`] made, and that call has not returned.
unsafe fn clone(probe: *const ()) -> RawWaker {
    let mut marker = 0_u8;
    // SAFETY: as promised by the caller.
    let probe = unsafe { &*probe.cast::<Probe<'_>>() };
    probe.take_trace(ptr::from_mut(&mut marker).addr());
    let real = ManuallyDrop::new(probe.real.clone());
    RawWaker::new(real.data(), real.vtable())
}

/// # Safety
///
/// As for [`clone`].
unsafe fn wake_by_ref(probe: *const ()) {
    let mut marker = 0_u8;
    // SAFETY: as promised by the caller.
    let probe = unsafe { &*probe.cast::<Probe<'_>>() };
    probe.take_trace(ptr::from_mut(&mut marker).addr());
    probe.real.wake_by_ref();
}

/// # Safety
///
/// As for [`clone`].
unsafe fn wake(probe: *const ()) {
    // SAFETY: as promised by the caller. Nothing is owned, so by value is as by reference.
    unsafe { wake_by_ref(probe) }
}

fn forget(_: *const ()) {}

impl Probe<'_> {
    /// Walks from the frame above the address `above` to the one of [`poll`].
    fn take_trace(&self, above: usize) {
        let mut trace = Trace::new();
        // SAFETY: only the unwinder of the C library is used, which may run in any thread at any
        // time; the crate's lock, which guards looking up names, would hold up the broker.
        unsafe {
            backtrace::trace_unsynchronized(|frame| {
                let frame_at = frame.sp().addr();
                if frame_at > above && frame_at < self.below {
                    trace.push((frame.ip().addr() as u64).saturating_sub(1));
                }
                frame_at < self.below && trace.len() < FRAMES_MAX
            });
        }
        let mut traces = self.traces.lock().unwrap_or_else(PoisonError::into_inner);
        if traces.len() < BRANCHES_MAX && !traces.contains(&trace) {
            traces.push(trace);
        }
    }
}
