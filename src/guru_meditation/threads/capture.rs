//! Captures registers and stack of another thread with a signal to it.
//!
//! Guarantees that a thread is interrupted for a copy only: the handler takes no lock, allocates
//! nothing, waits for nothing and cannot fault (the stack is copied by `process_vm_readv`, which
//! reports bad addresses instead of accessing them). A late handler finds its ticket withdrawn and
//! does nothing. Does not know frames.
//!
//! x86-64 Linux only; elsewhere every thread is [`SampleError::Unsupported`].

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod linux_x86_64;
// Tests compile it everywhere, so that it does not rot where nobody builds it.
#[cfg(any(test, not(all(target_os = "linux", target_arch = "x86_64"))))]
#[cfg_attr(test, allow(dead_code, reason = "compiled only"))]
mod unsupported;

use std::io;
use std::time::Duration;

/// Number of threads sampled at the same time.
pub(super) const BATCH: usize = 8;

/// The registers and the live stack of a thread, possibly truncated.
#[derive(Clone, Debug, Default)]
pub(in crate::guru_meditation) struct Sample {
    pub(super) ip: u64,
    pub(super) sp: u64,
    /// 0 if unknown.
    pub(super) bp: u64,
    /// From `sp` upwards.
    pub(super) stack: Vec<u8>,
}

/// Why there is no sample of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::guru_meditation) enum SampleError {
    /// The thread ended meanwhile.
    #[error("it has ended")]
    Ended,
    /// It blocks the signal, or is in an uninterruptible system call.
    #[error("it does not react to the signal")]
    Unresponsive,
    /// It runs and blocks the signal, so its stack cannot be read.
    #[error("it is running with the signal blocked")]
    Running,
    /// It does not react, and the kernel does not report its position.
    #[error("it does not react to the signal, and the kernel does not report its position")]
    Unreadable,
    /// There is not enough memory for its stack.
    #[error("not enough memory")]
    NoMemory,
    /// Stacks are not supported here.
    #[error("stacks are not supported: {0}")]
    Unsupported(&'static str),
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(in crate::guru_meditation) use crate::guru_meditation::threads::capture::linux_x86_64::{
    blocks_signal, install, sample, sample_from_outside,
};

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub(in crate::guru_meditation) use crate::guru_meditation::threads::capture::unsupported::{
    blocks_signal, install, sample, sample_from_outside,
};
