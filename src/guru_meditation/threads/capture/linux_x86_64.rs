//! Captures stacks on x86-64 Linux: the signal handler, its slots, and the side that waits.
//!
//! Guarantees what the module above promises. Does not know frames.

#![expect(unsafe_code, reason = "each block has its argument")]

use std::ptr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use super::{BATCH, Duration, Sample, SampleError, io};
use crate::guru_meditation::time;

/// Maximum size of a copied stack, in bytes; deeper ones lack their outermost frames.
const STACK_BYTES: usize = 512 << 10;

/// Interval between checks for a sample.
const POLL_INTERVAL: Duration = Duration::from_micros(50);

/// How long a handler that began to write may take.
const WRITE_TIMEOUT: Duration = Duration::from_millis(200);

const FREE: u64 = 0;
const ARMED: u64 = 1;
const WRITING: u64 = 2;
const DONE: u64 = 3;
const PHASES: u64 = 4;

/// The slot into which one handler writes. `state` is the ticket times [`PHASES`], plus the phase.
struct SampleSlot {
    state: AtomicU64,
    buffer: AtomicPtr<u8>,
    copied: AtomicUsize,
    ip: AtomicU64,
    sp: AtomicU64,
    bp: AtomicU64,
}

impl SampleSlot {
    const fn new() -> Self {
        Self {
            state: AtomicU64::new(FREE),
            buffer: AtomicPtr::new(ptr::null_mut()),
            copied: AtomicUsize::new(0),
            ip: AtomicU64::new(0),
            sp: AtomicU64::new(0),
            bp: AtomicU64::new(0),
        }
    }
}

static SLOTS: [SampleSlot; BATCH] = [const { SampleSlot::new() }; BATCH];

/// The signal; 0 until the handler is installed.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// The last ticket, and the lock of the slots: one reporter at a time.
static TICKETS: Mutex<u64> = Mutex::new(0);

/// `siginfo_t` with a value, as the kernel expects it; 128 bytes in total.
#[repr(C)]
struct QueuedInfo {
    signo: i32,
    errno: i32,
    code: i32,
    padding: i32,
    pid: i32,
    uid: u32,
    value: u64,
    rest: [u64; 12],
}

const _: () = assert!(size_of::<QueuedInfo>() == size_of::<libc::siginfo_t>());

/// Installs the handler for the first unused real-time signal.
pub(in crate::guru_meditation) fn install() -> io::Result<()> {
    let _one_at_a_time = TICKETS.lock().unwrap_or_else(PoisonError::into_inner);
    if SIGNAL.load(Ordering::Acquire) != 0 {
        return Ok(());
    }
    for signal in libc::SIGRTMIN() + 4..libc::SIGRTMAX() {
        // SAFETY: `sigaction` is plain data for which zeros are valid, and lives through both
        // calls. The handler is async-signal-safe, as argued there.
        unsafe {
            let mut current: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, ptr::null(), &raw mut current) != 0
                || current.sa_sigaction != libc::SIG_DFL
            {
                continue;
            }
            let mut ours: libc::sigaction = std::mem::zeroed();
            ours.sa_sigaction = handler as *const () as usize;
            ours.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
            libc::sigfillset(&raw mut ours.sa_mask);
            if libc::sigaction(signal, &raw const ours, ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        SIGNAL.store(signal, Ordering::Release);
        return Ok(());
    }
    Err(io::Error::other("every real-time signal is in use"))
}

/// Runs in the sampled thread, between any two of its instructions.
///
/// Async-signal-safe: it uses atomics, plain system calls and `pthread_self` (a register read), and
/// restores `errno`.
extern "C" fn handler(_: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives valid pointers to both with SA_SIGINFO, and on x86-64 the context
    // is a `ucontext_t`. `si_pid` and `si_value` are read only of a queued signal, which has
    // them. The buffer of a slot is STACK_BYTES long and is given back only once its state is
    // not WRITING, which we set here first. `process_vm_readv` writes within that buffer and
    // reports what it can't read.
    unsafe {
        let errno = libc::__errno_location();
        let errno_before = *errno;
        if (*info).si_code == libc::SI_QUEUE && (*info).si_pid() == libc::getpid() {
            let ticket = (*info).si_value().sival_ptr as u64;
            let registers = &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
            fill_slot(ticket, registers);
        }
        *errno = errno_before;
    }
}

/// Writes into the slot of a ticket, if the ticket is still valid.
///
/// # Safety
///
/// Only for [`handler`].
unsafe fn fill_slot(ticket: u64, registers: &[libc::greg_t; 23]) {
    #[expect(clippy::cast_possible_truncation, reason = "a remainder below BATCH")]
    let slot = &SLOTS[(ticket % BATCH as u64) as usize];
    let (armed, writing) = (ticket * PHASES + ARMED, ticket * PHASES + WRITING);
    let took = slot.state.compare_exchange(armed, writing, Ordering::AcqRel, Ordering::Relaxed);
    if took.is_err() {
        return;
    }
    #[expect(clippy::cast_sign_loss, reason = "registers are addresses here")]
    let register = |at: i32| registers[at as usize] as u64;
    let sp = register(libc::REG_RSP);
    slot.ip.store(register(libc::REG_RIP), Ordering::Relaxed);
    slot.sp.store(sp, Ordering::Relaxed);
    slot.bp.store(register(libc::REG_RBP), Ordering::Relaxed);
    // glibc keeps a thread's own block above its stack: beyond it nothing is of interest. The
    // main thread's lies elsewhere; there the end of the mapping ends the copy.
    // SAFETY: reads a register of the calling thread.
    let top = unsafe { libc::pthread_self() };
    let length = match top.checked_sub(sp) {
        Some(live) if live <= STACK_BYTES as u64 => usize::try_from(live).unwrap_or(0),
        Some(_) | None => STACK_BYTES,
    };
    // SAFETY: the slot's buffer is STACK_BYTES long and ours while the state is WRITING.
    let copied = unsafe { copy_memory(sp, slot.buffer.load(Ordering::Acquire), length) };
    slot.copied.store(copied, Ordering::Relaxed);
    slot.state.store(ticket * PHASES + DONE, Ordering::Release);
}

/// Copies memory of this process, as far as it is mapped; returns the number of bytes.
///
/// # Safety
///
/// `into` is valid for writes of `bytes`, and nobody else accesses it.
unsafe fn copy_memory(from: u64, into: *mut u8, bytes: usize) -> usize {
    let local = libc::iovec { iov_base: into.cast(), iov_len: bytes };
    let remote = libc::iovec { iov_base: from as *mut libc::c_void, iov_len: bytes };
    // SAFETY: the kernel checks the remote range and writes only within the local one.
    let copied = unsafe {
        libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0)
    };
    usize::try_from(copied).unwrap_or(0)
}

/// Samples up to [`BATCH`] threads at once, each with its timeout.
pub(in crate::guru_meditation) fn sample(
    threads: &[(i32, Duration)],
) -> Vec<Result<Sample, SampleError>> {
    let signal = SIGNAL.load(Ordering::Acquire);
    if signal == 0 {
        let why = SampleError::Unsupported("there is no handler");
        return threads.iter().map(|_| Err(why)).collect();
    }
    let mut last = TICKETS.lock().unwrap_or_else(PoisonError::into_inner);
    // The round number makes the tickets of this batch unique.
    *last += 1;
    let round = *last;
    let mut pending = Vec::with_capacity(threads.len());
    for (at, (thread, wait)) in threads.iter().take(BATCH).enumerate() {
        let ticket = round * BATCH as u64 + at as u64;
        pending.push((PendingSample::request(signal, *thread, ticket, &SLOTS[at]), *wait));
    }
    let begun = time::monotonic_now();
    let answers = pending.into_iter().map(|(sample, wait)| {
        let left = wait.saturating_sub(begun.elapsed());
        sample.and_then(|sample| sample.wait(left))
    });
    answers.collect()
}

/// A thread that was sent the signal.
struct PendingSample {
    thread: i32,
    ticket: u64,
    slot: &'static SampleSlot,
    buffer: Vec<u8>,
}

impl PendingSample {
    fn request(
        signal: i32,
        thread: i32,
        ticket: u64,
        slot: &'static SampleSlot,
    ) -> Result<Self, SampleError> {
        if slot.state.load(Ordering::Acquire) % PHASES == WRITING {
            // A handler was stopped while it wrote, perhaps by a debugger: its slot is lost.
            return Err(SampleError::Unresponsive);
        }
        let mut buffer: Vec<u8> = Vec::new();
        if buffer.try_reserve_exact(STACK_BYTES).is_err() {
            return Err(SampleError::NoMemory);
        }
        slot.buffer.store(buffer.as_mut_ptr(), Ordering::Release);
        slot.state.store(ticket * PHASES + ARMED, Ordering::Release);
        let asked = Self { thread, ticket, slot, buffer };
        if queue_signal(signal, thread, ticket) {
            return Ok(asked);
        }
        let ended = !is_thread_alive(thread);
        asked.withdraw();
        Err(if ended { SampleError::Ended } else { SampleError::Unresponsive })
    }

    fn is_done(&self) -> bool {
        self.slot.state.load(Ordering::Acquire) == self.ticket * PHASES + DONE
    }

    fn wait(self, within: Duration) -> Result<Sample, SampleError> {
        let begun = time::monotonic_now();
        while !self.is_done() && begun.elapsed() < within && is_thread_alive(self.thread) {
            std::thread::sleep(POLL_INTERVAL);
        }
        if !self.is_done() {
            let why = if is_thread_alive(self.thread) {
                SampleError::Unresponsive
            } else {
                SampleError::Ended
            };
            return self.withdraw().ok_or(why);
        }
        Ok(self.take())
    }

    /// Withdraws the ticket; if the handler was faster, returns its sample.
    fn withdraw(self) -> Option<Sample> {
        let armed = self.ticket * PHASES + ARMED;
        let state = &self.slot.state;
        if state.compare_exchange(armed, FREE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return None;
        }
        let begun = time::monotonic_now();
        while !self.is_done() {
            if begun.elapsed() > WRITE_TIMEOUT {
                // The handler may still write later: its buffer is never freed.
                std::mem::forget(self.buffer);
                return None;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Some(self.take())
    }

    fn take(mut self) -> Sample {
        let SampleSlot { copied, ip, sp, bp, .. } = self.slot;
        let copied = copied.load(Ordering::Relaxed).min(STACK_BYTES);
        // SAFETY: the handler has written so many bytes and set DONE behind them; the buffer has
        // room for STACK_BYTES.
        unsafe { self.buffer.set_len(copied) };
        self.buffer.shrink_to_fit();
        Sample {
            ip: ip.load(Ordering::Relaxed),
            sp: sp.load(Ordering::Relaxed),
            bp: bp.load(Ordering::Relaxed),
            stack: self.buffer,
        }
    }
}

/// Whether the signal is in a mask of `/proc/PID/status`.
pub(in crate::guru_meditation) fn blocks_signal(mask: u64) -> bool {
    match SIGNAL.load(Ordering::Acquire) {
        0 => false,
        signal => mask >> (signal - 1) & 1 == 1,
    }
}

fn queue_signal(signal: i32, thread: i32, ticket: u64) -> bool {
    // SAFETY: `getpid` and `getuid` take nothing; the kernel copies `info`, which is as large as
    // it reads, and delivers to a thread of this process only.
    unsafe {
        let (pid, uid) = (libc::getpid(), libc::getuid());
        let (code, value) = (libc::SI_QUEUE, ticket);
        let info = QueuedInfo {
            signo: signal,
            errno: 0,
            code,
            padding: 0,
            pid,
            uid,
            value,
            rest: [0; 12],
        };
        libc::syscall(libc::SYS_rt_tgsigqueueinfo, pid, thread, signal, &raw const info) == 0
    }
}

fn is_thread_alive(thread: i32) -> bool {
    // SAFETY: signal 0 is none; it only asks.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, 0) == 0 }
}

/// Samples a thread that does not react, from the kernel's data: without its frame pointer.
pub(in crate::guru_meditation) fn sample_from_outside(thread: i32) -> Result<Sample, SampleError> {
    if !is_thread_alive(thread) {
        return Err(SampleError::Ended);
    }
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall"));
    let Ok(text) = text else { return Err(SampleError::Unreadable) };
    let Some((sp, ip)) = blocked_at(&text) else { return Err(SampleError::Running) };
    let mut stack = Vec::new();
    if stack.try_reserve_exact(STACK_BYTES).is_err() {
        return Err(SampleError::NoMemory);
    }
    // SAFETY: the vector has room for STACK_BYTES, and as many as `copied` says are written.
    unsafe {
        let copied = copy_memory(sp, stack.as_mut_ptr(), STACK_BYTES);
        stack.set_len(copied);
    }
    stack.shrink_to_fit();
    if stack.is_empty() {
        return Err(SampleError::Unreadable);
    }
    Ok(Sample { ip, sp, bp: 0, stack })
}

/// Stack and instruction pointer of a blocked thread: the last words of `/proc/.../syscall`, in a
/// system call (`202 0x... 0x7ffd 0x7f01`) and outside of one (`-1 0x7ffd 0x7f01`).
fn blocked_at(text: &str) -> Option<(u64, u64)> {
    let mut words = text.split_whitespace().rev();
    let mut word = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let (ip, sp) = (word()?, word()?);
    Some((sp, ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_thread_is_located_in_a_call_and_outside_of_one() {
        let in_call = "202 0x7f 0x80 0x0 0x0 0x0 0xffffffff 0x7ffd10 0x7f01ab\n";
        assert_eq!(blocked_at(in_call), Some((0x7f_fd10, 0x7f_01ab)));
        assert_eq!(blocked_at("-1 0x7ffd10 0x7f01ab\n"), Some((0x7f_fd10, 0x7f_01ab)));
        assert_eq!(blocked_at("running\n"), None);
        assert_eq!(blocked_at(""), None);
    }
}
