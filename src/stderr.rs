//! Writes standard error through a bounded queue and one writer thread.
//!
//! Guarantees that no caller waits for the reader of standard error, be it a pipe without a reader, a
//! stopped terminal or a full disk: lines that do not fit into the queue are dropped and counted, and
//! the count is written in their place as soon as writing continues. The end of a program waits a
//! bounded time for its last lines. Does not know what the lines mean.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::panic::PanicHookInfo;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::tasks;

/// Most bytes in the queue; a line that would exceed it is dropped.
const QUEUE_BYTES_MAX: usize = 1 << 20;

/// How long the end of a program waits for its last lines.
const FLUSH_WITHIN: Duration = Duration::from_millis(400);

/// How long an interactive program waits for its line, so that later output appears after it; once a
/// line took longer, it does not wait for any until writing continues.
const WRITE_WAIT: Duration = Duration::from_millis(200);

/// Formats the number of dropped lines.
type DropNotice = Box<dyn Fn(u64) -> String + Send + Sync>;

static STDERR: OnceLock<Arc<StderrQueue>> = OnceLock::new();
static DROP_NOTICE: OnceLock<DropNotice> = OnceLock::new();

/// A guard of `main`: dropping it flushes the last lines.
#[derive(Debug)]
#[must_use = "dropping it flushes the last lines"]
pub struct FlushGuard(());

impl Drop for FlushGuard {
    fn drop(&mut self) {
        queue().flush(FLUSH_WITHIN);
    }
}

/// Must be called first in `main`: from now on panics are also written through the queue.
pub fn init() -> FlushGuard {
    std::panic::set_hook(Box::new(|info| push(panic_text(info).into_bytes())));
    FlushGuard(())
}

/// Sets the format of the report of dropped lines. Only the first call has an effect.
pub fn set_drop_notice(note: impl Fn(u64) -> String + Send + Sync + 'static) {
    drop(DROP_NOTICE.set(Box::new(note)));
}

/// Queues whole lines. Never blocks.
pub fn push(lines: Vec<u8>) {
    queue().push(lines);
}

/// Queues a line, given without its line end, and waits briefly until it is written, so that lines of
/// several programs stay in order.
pub fn write_line(line: &str) {
    let queue = queue();
    queue.push(format!("{line}\n").into_bytes());
    queue.wait_until_written();
}

/// How many lines were dropped since the start of the program.
pub fn dropped() -> u64 {
    queue().state().dropped
}

fn queue() -> &'static Arc<StderrQueue> {
    STDERR.get_or_init(|| Arc::new(StderrQueue::new(rustix::stdio::stderr())))
}

/// The panic message in the format of the standard library.
fn panic_text(info: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("<unnamed>");
    let at = info.location().map_or_else(String::new, |at| format!(" at {at}"));
    let backtrace = Backtrace::capture();
    let is_there = backtrace.status() == BacktraceStatus::Captured;
    let stack = if is_there { format!("stack backtrace:\n{backtrace}") } else { String::new() };
    format!("\nthread '{name}' panicked{at}:\n{}\n{stack}", message(info.payload()))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(not a text)")
}

/// A queue of lines for one file descriptor.
struct StderrQueue {
    out: BorrowedFd<'static>,
    state: Mutex<StderrState>,
    changed: Condvar,
}

#[derive(Default)]
struct StderrState {
    waiting: VecDeque<QueuedLines>,
    bytes: usize,
    /// Whether the writer thread runs.
    has_writer: bool,
    /// Whether the writer is writing.
    is_writing: bool,
    /// Whether waiting for a line timed out, and nothing was written since.
    is_stuck: bool,
    /// Whether the last write failed.
    is_failing: bool,
    /// Whether the last write ended within a line.
    ends_mid_line: bool,
    /// Dropped and not yet reported.
    unreported: u64,
    dropped: u64,
}

struct QueuedLines {
    text: Vec<u8>,
    /// The number of dropped lines that they report; 0: they are no such report.
    dropped_count: u64,
}

impl StderrQueue {
    fn new(out: BorrowedFd<'static>) -> Self {
        Self { out, state: Mutex::default(), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, StderrState> {
        // A panic cannot leave it inconsistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(self: &Arc<Self>, text: Vec<u8>) {
        let mut state = self.state();
        state.enqueue_notice();
        state.enqueue(text);
        if !state.has_writer {
            let queue = Arc::clone(self);
            // Without a thread the lines stay queued, for a later attempt or for the final flush.
            state.has_writer = tasks::spawn_thread("stderr", move || queue.write_all()).is_ok();
        }
        self.changed.notify_all();
    }

    /// The writer thread: never returns.
    fn write_all(&self) {
        let mut state = self.state();
        loop {
            while let Some(lines) = state.next() {
                drop(state);
                self.changed.notify_all();
                let is_written = self.write(&lines);
                state = self.state();
                state.record_write(&lines, is_written);
            }
            state.is_writing = false;
            self.changed.notify_all();
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn write(&self, lines: &QueuedLines) -> Result<(), WriteFailed> {
        let mut rest = &lines.text[..];
        while !rest.is_empty() {
            match rustix::io::write(self.out, rest) {
                Ok(written) if written > 0 => rest = &rest[written..],
                Err(Errno::INTR) => {}
                // Another process made the descriptor non-blocking; the writer may wait.
                Err(Errno::AGAIN) => {
                    let _ = poll(&mut [PollFd::new(&self.out, PollFlags::OUT)], None);
                }
                Ok(_) | Err(_) => return Err(WriteFailed(rest.len() < lines.text.len())),
            }
        }
        Ok(())
    }

    fn wait_until_written(&self) {
        let state = self.state();
        if state.is_stuck || !state.has_writer {
            return;
        }
        let (mut state, waited) = self
            .changed
            .wait_timeout_while(state, WRITE_WAIT, |state| !state.is_idle())
            .unwrap_or_else(PoisonError::into_inner);
        state.is_stuck = waited.timed_out();
    }

    /// Waits for all queued lines; returns whether all were written.
    fn flush(&self, within: Duration) -> bool {
        let state = self.state();
        if !state.has_writer {
            return self.flush_inline(state, within);
        }
        let (state, _) = self
            .changed
            .wait_timeout_while(state, within, |state| !state.is_idle())
            .unwrap_or_else(PoisonError::into_inner);
        state.is_idle() && !state.is_failing
    }

    /// The same without a writer thread.
    fn flush_inline(&self, mut state: MutexGuard<'_, StderrState>, within: Duration) -> bool {
        let limit = Timespec::try_from(within).ok();
        while let Some(lines) = state.next() {
            let mut out = [PollFd::new(&self.out, PollFlags::OUT)];
            if !poll(&mut out, limit.as_ref()).is_ok_and(|ready| ready > 0) {
                return false;
            }
            let is_written = self.write(&lines);
            state.record_write(&lines, is_written);
        }
        !state.is_failing
    }
}

/// Writing failed; holds whether that was within a line.
struct WriteFailed(bool);

impl StderrState {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.is_writing
    }

    fn enqueue(&mut self, text: Vec<u8>) {
        if self.bytes + text.len() > QUEUE_BYTES_MAX {
            self.unreported += 1;
            self.dropped += 1;
            return;
        }
        self.bytes += text.len();
        self.waiting.push_back(QueuedLines { text, dropped_count: 0 });
    }

    /// Queues the report of dropped lines, if there are any and there is room.
    fn enqueue_notice(&mut self) {
        if self.unreported == 0 {
            return;
        }
        let plain = |count: u64| format!("lines missing here: {count}\n");
        let text =
            DROP_NOTICE.get().map_or_else(|| plain(self.unreported), |note| note(self.unreported));
        if self.bytes + text.len() <= QUEUE_BYTES_MAX {
            self.bytes += text.len();
            let tells = std::mem::take(&mut self.unreported);
            self.waiting.push_back(QueuedLines { text: text.into_bytes(), dropped_count: tells });
        }
    }

    /// The lines to write next.
    fn next(&mut self) -> Option<QueuedLines> {
        // While writing fails, the report waits for the next line.
        if self.waiting.is_empty() && !self.is_failing {
            self.enqueue_notice();
        }
        let mut next = self.waiting.pop_front()?;
        self.bytes -= next.text.len();
        if self.ends_mid_line {
            next.text.insert(0, b'\n');
        }
        self.is_writing = true;
        Some(next)
    }

    fn record_write(&mut self, lines: &QueuedLines, written: Result<(), WriteFailed>) {
        self.is_failing = written.is_err();
        match written {
            Ok(()) => (self.is_stuck, self.ends_mid_line) = (false, false),
            Err(WriteFailed(is_torn)) => {
                self.ends_mid_line |= is_torn;
                self.unreported += lines.dropped_count.max(1);
                self.dropped += u64::from(lines.dropped_count == 0);
            }
        }
    }
}

#[cfg(test)]
mod tests;
