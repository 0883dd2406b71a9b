//! Where is another thread of this process right now? A signal to it, whose handler copies registers
//! and stack.
//!
//! Guarantees that a thread is held up for a copy only: the handler takes no lock, allocates
//! nothing, waits for nobody and cannot fault (the stack is copied by `process_vm_readv`, which
//! reports bad addresses in place of touching them). A late handler finds its ticket withdrawn and
//! does nothing. Knows nothing of frames.
//!
//! x86-64 Linux only; elsewhere every thread is [`NoSample::Unsupported`].

use std::io;
use std::time::Duration;

/// Threads asked at the same time.
pub(super) const BATCH: usize = 8;

/// The registers and the live stack of a thread, or as much of it as could be had.
#[derive(Clone, Debug, Default)]
pub(in crate::guru_meditation) struct Sample {
    pub(super) ip: u64,
    pub(super) sp: u64,
    /// 0 if it is not known.
    pub(super) bp: u64,
    /// From `sp` upwards.
    pub(super) stack: Vec<u8>,
}

/// Why there is no sample of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::guru_meditation) enum NoSample {
    /// It ended meanwhile.
    #[error("it has ended")]
    Ended,
    /// It blocks the signal, or the kernel does not let go of it.
    #[error("it does not answer the signal")]
    Silent,
    /// It runs and blocks the signal, so the kernel tells nothing of its stack.
    #[error("it runs with the signal blocked")]
    Running,
    /// It does not answer, and neither does the kernel.
    #[error("it does not answer the signal, and the kernel does not tell where it is")]
    Unknown,
    /// There is no memory for its stack.
    #[error("there is no memory for it")]
    NoRoom,
    /// Stacks can't be had here.
    #[error("stacks can't be had: {0}")]
    Unsupported(&'static str),
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(in crate::guru_meditation) use here::{blocks_us, install, sample, sample_from_outside};

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod here;

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub(in crate::guru_meditation) use elsewhere::{blocks_us, install, sample, sample_from_outside};

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod elsewhere;
