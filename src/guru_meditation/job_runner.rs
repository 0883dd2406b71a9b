//! Runs jobs with a time limit and panic containment, in a thread started in advance.
//!
//! Guarantees that the caller continues in time, that a panic is contained and described, and that
//! a hanging job is not started again while it hangs. A hanging thread is abandoned and replaced.
//! Does not know the jobs.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

thread_local! {
    /// This thread works for a report: its panics trigger no report.
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
    /// This thread is polling a task of the program: a panic belongs to the task, but triggers no
    /// report.
    static IS_HELPING: Cell<bool> = const { Cell::new(false) };
    /// Description of this thread's last panic, from the panic hook.
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The result of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JobResult {
    Completed,
    /// It panicked; the description.
    Panicked(String),
    /// It was still running after this time.
    TimedOut(Duration),
    /// It still hangs since an earlier run.
    StillRunning,
    /// No thread could be started for it.
    NoThread(String),
}

/// A job, and a flag that it is running.
#[derive(Clone)]
pub(super) struct Job {
    body: Arc<dyn Fn() + Send + Sync>,
    is_running: Arc<AtomicBool>,
}

impl Job {
    pub(super) fn new(body: impl Fn() + Send + Sync + 'static) -> Self {
        Self { body: Arc::new(body), is_running: Arc::default() }
    }

    /// The same flag with another body.
    pub(super) fn with_body(&self, body: impl Fn() + Send + Sync + 'static) -> Self {
        Self { body: Arc::new(body), is_running: Arc::clone(&self.is_running) }
    }
}

struct QueuedJob {
    job: Job,
    result: SyncSender<JobResult>,
}

/// A thread that waits for jobs.
pub(super) struct JobRunner {
    queue: Option<SyncSender<QueuedJob>>,
}

impl JobRunner {
    /// Starts a waiting thread, if possible.
    pub(super) fn new() -> Self {
        Self { queue: start_worker().ok() }
    }

    /// Runs a job for at most `limit`.
    pub(super) fn run(&mut self, work: &Job, limit: Duration) -> JobResult {
        if work.is_running.swap(true, Ordering::AcqRel) {
            return JobResult::StillRunning;
        }
        let commands = match self.queue.take().map_or_else(start_worker, Ok) {
            Ok(commands) => commands,
            Err(error) => {
                work.is_running.store(false, Ordering::Release);
                return JobResult::NoThread(error.to_string());
            }
        };
        let (sender, receiver) = sync_channel(1);
        let order = QueuedJob { job: work.clone(), result: sender };
        if commands.send(order).is_err() {
            work.is_running.store(false, Ordering::Release);
            return JobResult::NoThread("its thread has ended".to_owned());
        }
        match receiver.recv_timeout(limit) {
            Ok(ended) => {
                self.queue = Some(commands);
                ended
            }
            Err(RecvTimeoutError::Timeout) => {
                // Started now, while a thread may still be available.
                self.queue = start_worker().ok();
                JobResult::TimedOut(limit)
            }
            Err(RecvTimeoutError::Disconnected) => {
                JobResult::NoThread("its thread ended".to_owned())
            }
        }
    }
}

fn start_worker() -> std::io::Result<SyncSender<QueuedJob>> {
    let (commands, to_do) = sync_channel(1);
    spawn_report_thread("gmr-section", move || run_jobs(&to_do))?;
    Ok(commands)
}

fn run_jobs(to_do: &Receiver<QueuedJob>) {
    while let Ok(QueuedJob { job, result }) = to_do.recv() {
        let outcome = run_guarded(&*job.body);
        job.is_running.store(false, Ordering::Release);
        // After a timeout the receiver is dropped.
        let _ = result.send(outcome);
    }
}

/// Runs `body` in this thread; a panic becomes a description.
pub(super) fn run_guarded(body: &dyn Fn()) -> JobResult {
    LAST_PANIC.take();
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(()) => JobResult::Completed,
        Err(panic) => {
            JobResult::Panicked(LAST_PANIC.take().unwrap_or_else(|| panic_message(&*panic)))
        }
    }
}

/// Description of this thread's last panic, from the panic hook.
pub(super) fn last_panic() -> Option<String> {
    LAST_PANIC.take()
}

/// Starts a thread of the reports.
pub(super) fn spawn_report_thread(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> std::io::Result<()> {
    let marked = move || {
        IS_OURS.set(true);
        body();
    };
    #[expect(clippy::disallowed_methods, reason = "reports know nothing of whose program it is")]
    std::thread::Builder::new().name(name.to_owned()).spawn(marked).map(drop)
}

/// The origin of a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PanicOrigin {
    /// The program.
    Program,
    /// A task of the program that a report polled.
    PolledTask,
    /// The report itself, which describes it.
    Report,
}

/// Returns the origin of a panic; one of the report itself is recorded.
pub(super) fn panic_origin(info: &PanicHookInfo<'_>) -> PanicOrigin {
    match (IS_OURS.get(), IS_HELPING.get()) {
        (false, _) => PanicOrigin::Program,
        (true, true) => PanicOrigin::PolledTask,
        (true, false) => {
            LAST_PANIC.set(Some(describe_panic(info)));
            PanicOrigin::Report
        }
    }
}

/// Runs code of the program in a thread of the reports.
pub(super) fn polling_task<T>(body: impl FnOnce() -> T) -> T {
    IS_HELPING.set(true);
    let done = body();
    IS_HELPING.set(false);
    done
}

/// Describes a panic.
pub(super) fn describe_panic(info: &PanicHookInfo<'_>) -> String {
    let message = panic_message(info.payload());
    match info.location() {
        Some(at) => format!("panicked at {}:{}: {message}", at.file(), at.line()),
        None => format!("panicked: {message}"),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(not a text)")
        .to_owned()
}
