//! Tells the time of a live run: writes the file that `clock.c`, preloaded into gridd, and `sink.py` read.
//!
//! Guarantees that told time stands still while an event waits for its acknowledgement, while a mail is
//! being delivered, and while this machine gives this thread no time: delays are those of the broker's
//! decisions, not of a busy machine times the rate. Knows no event.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use grid_broker::clock::machine_uptime;
use grid_broker::tasks;

/// How often the time is told.
const TICK: Duration = Duration::from_micros(500);

/// For how long a told time continues without the next, in ns.
const HOLDS_NS: i64 = 1_500_000;

/// The bytes of the file: one page.
const PAGE_BYTES: u64 = 4_096;

/// Where `sink.py` writes a 1 while it has a connection.
const HOLD_OFFSET: u64 = 128;

/// The longest standstill by one connection or event, in real time.
const STANDSTILL_MAX: Duration = Duration::from_secs(2);

/// What the thread and the readers share.
#[derive(Debug, Default)]
struct Shared {
    told_ns: AtomicI64,
    rate: AtomicI64,
    waiting: AtomicUsize,
    is_stopped: AtomicBool,
    stood_ms: AtomicI64,
}

/// The told clock. Clones tell the same time.
#[derive(Clone, Debug)]
pub(super) struct ToldClock(Arc<Shared>);

impl ToldClock {
    /// Starts at `at_ns` since 1970, as fast as the real clock.
    pub(super) fn start(path: &Path, at_ns: i64) -> std::io::Result<Self> {
        let file =
            File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len(PAGE_BYTES)?;
        let (told_ns, rate) = (AtomicI64::new(at_ns), AtomicI64::new(1));
        let shared = Arc::new(Shared { told_ns, rate, ..Shared::default() });
        let mut teller = Teller { file, index: 0, shared };
        teller.write(at_ns, real_ns(), 0)?;
        let clock = Self(Arc::clone(&teller.shared));
        drop(tasks::spawn_thread("told clock", move || teller.run())?);
        Ok(clock)
    }

    /// Told time, in ns since 1970.
    pub(super) fn now_ns(&self) -> i64 {
        self.0.told_ns.load(Ordering::Acquire)
    }

    /// Told time passes `rate` times as fast as real time from now on.
    pub(super) fn set_rate(&self, rate: u32) {
        self.0.rate.store(rate.into(), Ordering::Release);
    }

    /// Told time stands still until as many [`Self::answered`] follow.
    pub(super) fn asked(&self) {
        self.0.waiting.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn answered(&self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    /// For how long told time stood still.
    pub(super) fn stood(&self) -> Duration {
        Duration::from_millis(self.0.stood_ms.load(Ordering::Acquire).unsigned_abs())
    }

    pub(super) fn stop(&self) {
        self.0.is_stopped.store(true, Ordering::Release);
    }
}

/// The thread that tells the time.
struct Teller {
    file: File,
    index: u32,
    shared: Arc<Shared>,
}

impl Teller {
    fn run(mut self) {
        let (mut real, mut stands_since) = (real_ns(), None);
        let mut rate = 0;
        while !self.shared.is_stopped.load(Ordering::Acquire) {
            std::thread::sleep(TICK);
            let now = real_ns();
            let passed = (now - real).clamp(0, HOLDS_NS);
            real = now;
            // The last slot counts up to now, or as long as it holds.
            let told = self.shared.told_ns.load(Ordering::Acquire);
            let told = told + passed * rate;
            self.shared.told_ns.store(told, Ordering::Release);
            let is_held = self.is_held();
            let since = is_held.then(|| stands_since.unwrap_or(now));
            stands_since = since;
            let limit = i64::try_from(STANDSTILL_MAX.as_nanos()).unwrap_or(i64::MAX);
            let is_running = since.is_none_or(|since| now - since > limit);
            if !is_running {
                self.shared.stood_ms.fetch_add(passed / 1_000_000 + 1, Ordering::AcqRel);
            }
            rate = if is_running { self.shared.rate.load(Ordering::Acquire) } else { 0 };
            if let Err(error) = self.write(told, now, rate) {
                println!("told clock: {error}");
                return;
            }
        }
    }

    fn is_held(&self) -> bool {
        let mut hold = [0];
        let is_read = self.file.read_exact_at(&mut hold, HOLD_OFFSET).is_ok();
        is_read && hold[0] != 0 || self.shared.waiting.load(Ordering::Acquire) > 0
    }

    fn write(&mut self, told: i64, real: i64, rate: i64) -> std::io::Result<()> {
        self.index = self.index.wrapping_add(1);
        let mut slot = Vec::with_capacity(32);
        for number in [told, real, rate, HOLDS_NS] {
            slot.extend_from_slice(&number.to_ne_bytes());
        }
        self.file.write_all_at(&slot, 8 + 32 * u64::from(self.index & 1))?;
        self.file.write_all_at(&self.index.to_ne_bytes(), 0)
    }
}

fn real_ns() -> i64 {
    i64::try_from(machine_uptime().as_nanos()).unwrap_or(i64::MAX)
}
