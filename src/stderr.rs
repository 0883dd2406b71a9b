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
const LINES_BYTES_WAITING: usize = 1 << 20;

/// How long the end of a program waits for its last lines.
const LAST_LINES_WITHIN: Duration = Duration::from_millis(400);

/// How long an interactive program waits for its line, so that later output appears after it; once a
/// line took longer, it does not wait for any until writing continues.
const IN_ORDER_WITHIN: Duration = Duration::from_millis(200);

/// Formats the number of dropped lines.
type Note = Box<dyn Fn(u64) -> String + Send + Sync>;

static STDERR: OnceLock<Arc<Queue>> = OnceLock::new();
static NOTE: OnceLock<Note> = OnceLock::new();

/// A guard of `main`: dropping it flushes the last lines.
#[derive(Debug)]
#[must_use = "dropping it flushes the last lines"]
pub struct LastLines(());

impl Drop for LastLines {
    fn drop(&mut self) {
        queue().flush(LAST_LINES_WITHIN);
    }
}

/// Must be called first in `main`: from now on panics are also written through the queue.
pub fn begin() -> LastLines {
    std::panic::set_hook(Box::new(|info| push(panicked(info).into_bytes())));
    LastLines(())
}

/// Sets the format of the report of dropped lines. Only the first call has an effect.
pub fn tell_dropped_by(note: impl Fn(u64) -> String + Send + Sync + 'static) {
    drop(NOTE.set(Box::new(note)));
}

/// Queues whole lines. Never blocks.
pub fn push(lines: Vec<u8>) {
    queue().push(lines);
}

/// Queues a line, given without its line end, and waits briefly until it is written, so that lines of
/// several programs stay in order.
pub fn say(line: &str) {
    let queue = queue();
    queue.push(format!("{line}\n").into_bytes());
    queue.wait_in_order();
}

/// How many lines were dropped since the start of the program.
pub fn dropped() -> u64 {
    queue().state().dropped
}

fn queue() -> &'static Arc<Queue> {
    STDERR.get_or_init(|| Arc::new(Queue::new(rustix::stdio::stderr())))
}

/// The panic message in the format of the standard library.
fn panicked(info: &PanicHookInfo<'_>) -> String {
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
struct Queue {
    out: BorrowedFd<'static>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Lines>,
    bytes: usize,
    /// Whether the writer thread runs.
    has_writer: bool,
    /// Whether the writer is writing.
    writes: bool,
    /// Whether waiting for a line timed out, and nothing was written since.
    is_stuck: bool,
    /// Whether the last write failed.
    fails: bool,
    /// Whether the last write ended within a line.
    is_torn: bool,
    /// Dropped and not yet reported.
    untold: u64,
    dropped: u64,
}

struct Lines {
    text: Vec<u8>,
    /// The number of dropped lines that they report; 0: they are no such report.
    tells: u64,
}

impl Queue {
    fn new(out: BorrowedFd<'static>) -> Self {
        Self { out, state: Mutex::default(), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave it inconsistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(self: &Arc<Self>, text: Vec<u8>) {
        let mut state = self.state();
        state.enter_note();
        state.enter(text);
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
                state.written(&lines, is_written);
            }
            state.writes = false;
            self.changed.notify_all();
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn write(&self, lines: &Lines) -> Result<(), IsTorn> {
        let mut rest = &lines.text[..];
        while !rest.is_empty() {
            match rustix::io::write(self.out, rest) {
                Ok(written) if written > 0 => rest = &rest[written..],
                Err(Errno::INTR) => {}
                // Another process made the descriptor non-blocking; the writer may wait.
                Err(Errno::AGAIN) => {
                    let _ = poll(&mut [PollFd::new(&self.out, PollFlags::OUT)], None);
                }
                Ok(_) | Err(_) => return Err(IsTorn(rest.len() < lines.text.len())),
            }
        }
        Ok(())
    }

    fn wait_in_order(&self) {
        let state = self.state();
        if state.is_stuck || !state.has_writer {
            return;
        }
        let (mut state, waited) = self
            .changed
            .wait_timeout_while(state, IN_ORDER_WITHIN, |state| !state.is_idle())
            .unwrap_or_else(PoisonError::into_inner);
        state.is_stuck = waited.timed_out();
    }

    /// Waits for all queued lines; returns whether all were written.
    fn flush(&self, within: Duration) -> bool {
        let state = self.state();
        if !state.has_writer {
            return self.flush_here(state, within);
        }
        let (state, _) = self
            .changed
            .wait_timeout_while(state, within, |state| !state.is_idle())
            .unwrap_or_else(PoisonError::into_inner);
        state.is_idle() && !state.fails
    }

    /// The same without a writer thread.
    fn flush_here(&self, mut state: MutexGuard<'_, State>, within: Duration) -> bool {
        let limit = Timespec::try_from(within).ok();
        while let Some(lines) = state.next() {
            let mut out = [PollFd::new(&self.out, PollFlags::OUT)];
            if !poll(&mut out, limit.as_ref()).is_ok_and(|ready| ready > 0) {
                return false;
            }
            let is_written = self.write(&lines);
            state.written(&lines, is_written);
        }
        !state.fails
    }
}

/// Writing failed; holds whether that was within a line.
struct IsTorn(bool);

impl State {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.writes
    }

    fn enter(&mut self, text: Vec<u8>) {
        if self.bytes + text.len() > LINES_BYTES_WAITING {
            self.untold += 1;
            self.dropped += 1;
            return;
        }
        self.bytes += text.len();
        self.waiting.push_back(Lines { text, tells: 0 });
    }

    /// Queues the report of dropped lines, if there are any and there is room.
    fn enter_note(&mut self) {
        if self.untold == 0 {
            return;
        }
        let plain = |count: u64| format!("lines missing here: {count}\n");
        let text = NOTE.get().map_or_else(|| plain(self.untold), |note| note(self.untold));
        if self.bytes + text.len() <= LINES_BYTES_WAITING {
            self.bytes += text.len();
            let tells = std::mem::take(&mut self.untold);
            self.waiting.push_back(Lines { text: text.into_bytes(), tells });
        }
    }

    /// The lines to write next.
    fn next(&mut self) -> Option<Lines> {
        // While writing fails, the report waits for the next line.
        if self.waiting.is_empty() && !self.fails {
            self.enter_note();
        }
        let mut next = self.waiting.pop_front()?;
        self.bytes -= next.text.len();
        if self.is_torn {
            next.text.insert(0, b'\n');
        }
        self.writes = true;
        Some(next)
    }

    fn written(&mut self, lines: &Lines, written: Result<(), IsTorn>) {
        self.fails = written.is_err();
        match written {
            Ok(()) => (self.is_stuck, self.is_torn) = (false, false),
            Err(IsTorn(is_torn)) => {
                self.is_torn |= is_torn;
                self.untold += lines.tells.max(1);
                self.dropped += u64::from(lines.tells == 0);
            }
        }
    }
}

#[cfg(test)]
mod tests;
