//! Runs what others wrote with a time limit and a guard against panics, in a thread made before it
//! is needed.
//!
//! Guarantees that the caller goes on in time, that a panic stays inside and is told in words, and
//! that what hangs is not started a second time while it hangs. A thread that hangs is left to itself
//! and the next one takes its place.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

thread_local! {
    /// This thread works for a report: its panics ask for none.
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
    /// This thread polls somebody's task for a moment: its panic is theirs, but asks for no report.
    static IS_HELPING: Cell<bool> = const { Cell::new(false) };
    /// What the hook heard of this thread's last panic.
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// How something that was run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Well,
    /// It panicked; in words.
    Panicked(String),
    /// It was still at work after so long.
    TookTooLong(Duration),
    /// It hangs since an earlier time.
    StillHangs,
    /// There is no thread to run it in.
    NoThread(String),
}

/// What is run, and a mark that it runs.
#[derive(Clone)]
pub(super) struct Work {
    body: Arc<dyn Fn() + Send + Sync>,
    runs: Arc<AtomicBool>,
}

impl Work {
    pub(super) fn new(body: impl Fn() + Send + Sync + 'static) -> Self {
        Self { body: Arc::new(body), runs: Arc::default() }
    }

    /// The same guard against running twice for another body.
    pub(super) fn with(&self, body: impl Fn() + Send + Sync + 'static) -> Self {
        Self { body: Arc::new(body), runs: Arc::clone(&self.runs) }
    }
}

struct Order {
    work: Work,
    ended: SyncSender<Ended>,
}

/// A thread that waits for work.
pub(super) struct Runner {
    orders: Option<SyncSender<Order>>,
}

impl Runner {
    /// With a thread that waits, if there is one to be had.
    pub(super) fn new() -> Self {
        Self { orders: thread().ok() }
    }

    /// Runs `work` for `limit` at most.
    pub(super) fn run(&mut self, work: &Work, limit: Duration) -> Ended {
        if work.runs.swap(true, Ordering::AcqRel) {
            return Ended::StillHangs;
        }
        let orders = match self.orders.take().map_or_else(thread, Ok) {
            Ok(orders) => orders,
            Err(error) => {
                work.runs.store(false, Ordering::Release);
                return Ended::NoThread(error.to_string());
            }
        };
        let (tell, told) = sync_channel(1);
        let order = Order { work: work.clone(), ended: tell };
        if orders.send(order).is_err() {
            work.runs.store(false, Ordering::Release);
            return Ended::NoThread("the thread for it is gone".to_owned());
        }
        match told.recv_timeout(limit) {
            Ok(ended) => {
                self.orders = Some(orders);
                ended
            }
            Err(RecvTimeoutError::Timeout) => {
                // The next thread is made while there may still be one.
                self.orders = thread().ok();
                Ended::TookTooLong(limit)
            }
            Err(RecvTimeoutError::Disconnected) => {
                Ended::NoThread("the thread for it ended".to_owned())
            }
        }
    }
}

fn thread() -> std::io::Result<SyncSender<Order>> {
    let (orders, to_do) = sync_channel(1);
    spawn("gmr-section", move || work_off(&to_do))?;
    Ok(orders)
}

fn work_off(to_do: &Receiver<Order>) {
    while let Ok(Order { work, ended }) = to_do.recv() {
        let outcome = guarded(&*work.body);
        work.runs.store(false, Ordering::Release);
        // Nobody waits any more for what took too long.
        let _ = ended.send(outcome);
    }
}

/// Runs `body` here; its panic becomes words.
pub(super) fn guarded(body: &dyn Fn()) -> Ended {
    LAST_PANIC.take();
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(()) => Ended::Well,
        Err(panic) => Ended::Panicked(LAST_PANIC.take().unwrap_or_else(|| message(&*panic))),
    }
}

/// What the hook heard of this thread's last panic.
pub(super) fn last_panic() -> Option<String> {
    LAST_PANIC.take()
}

/// Starts a thread of the report's own.
pub(super) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let marked = move || {
        IS_OURS.set(true);
        body();
    };
    #[expect(clippy::disallowed_methods, reason = "reports know nothing of whose program it is")]
    std::thread::Builder::new().name(name.to_owned()).spawn(marked).map(drop)
}

/// Whose panic it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The program's.
    Theirs,
    /// That of a task of the program, which a report polled.
    Helped,
    /// The report's; it is told there.
    Ours,
}

/// Says whose a panic is; what is ours is remembered.
pub(super) fn whose(info: &PanicHookInfo<'_>) -> Whose {
    match (IS_OURS.get(), IS_HELPING.get()) {
        (false, _) => Whose::Theirs,
        (true, true) => Whose::Helped,
        (true, false) => {
            LAST_PANIC.set(Some(in_words(info)));
            Whose::Ours
        }
    }
}

/// Runs what is the program's in a thread of the report's.
pub(super) fn helping<T>(body: impl FnOnce() -> T) -> T {
    IS_HELPING.set(true);
    let done = body();
    IS_HELPING.set(false);
    done
}

/// A panic as a sentence.
pub(super) fn in_words(info: &PanicHookInfo<'_>) -> String {
    let message = message(info.payload());
    match info.location() {
        Some(at) => format!("panicked at {}:{}: {message}", at.file(), at.line()),
        None => format!("panicked: {message}"),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(not a text)")
        .to_owned()
}
