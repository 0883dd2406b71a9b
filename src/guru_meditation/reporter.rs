//! Runs the thread that writes reports, and the triggers of reports.
//!
//! Guarantees one report at a time, that signals during a report merge into one more, that a panic
//! of the program is reported before it unwinds, once a minute at most, and that a panic of the
//! report itself triggers none. A report that cannot be written to its folder goes to standard
//! error. Does not know what sections contain.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Handle;

use super::error::{InstallError, ReportError};
use super::output::{self, LogDir};
use super::package::{self, Package};
use super::report::{GuruReport, ReportSection, SECTION_TIMEOUT};
use super::trigger::TriggerFile;
use super::{processes, tasks, threads, time};
use crate::guru_meditation::job_runner;
use crate::guru_meditation::job_runner::{Job, JobRunner, PanicOrigin, describe_panic};
use crate::guru_meditation::section_builder::SectionBuilder;

/// Time limit for the stacks of many threads and their symbols, which are read from disk at first.
const THREADS_TIMEOUT: Duration = Duration::from_millis(1_000);

/// Time limit for the tasks: two timeouts for their traces, and the symbols.
const TASKS_TIMEOUT: Duration = Duration::from_millis(900);

/// Timeout for writing a file; after it the report goes to standard error.
const FILE_TIMEOUT: Duration = Duration::from_secs(2);

/// Minimum interval between reports of panics.
const PANIC_REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// How long a panicking thread waits for its report.
const PANIC_REPORT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a call waits for its report, including one in progress before it.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// How long symbols stay cached for the next report: reading them takes most of a report's time.
const SYMBOL_CACHE_TTL: Duration = Duration::from_secs(5);

/// Maximum number of calls that wait for a report.
pub(super) const CALLS_MAX: usize = 16;

/// Maximum number of sections that a program can register.
const SECTIONS_MAX: usize = 64;

/// The encoding of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportEncoding {
    /// Text in the layout of oslo.reports.
    Text,
    /// One JSON object.
    Json,
}

/// The reports of this process. Cheap to clone; all clones share one state.
#[derive(Clone)]
pub struct Reporter(Arc<ReporterShared>);

struct ReporterShared {
    package: Package,
    started: Value,
    /// A byte in it wakes the thread; the signal handler also writes to it.
    wake: UnixStream,
    requests: Mutex<ReportRequests>,
    config: Mutex<ReporterConfig>,
    /// Prevents writes to standard error while an earlier report hangs there.
    stderr: Job,
}

#[derive(Default)]
struct ReportRequests {
    calls: VecDeque<(ReportEncoding, SyncSender<String>)>,
    panics: VecDeque<(String, SyncSender<()>)>,
    last_panic: Option<Instant>,
}

/// Configuration that may change while the thread runs.
#[derive(Default)]
struct ReporterConfig {
    sections: Vec<ReportSection>,
    configuration: Option<ReportSection>,
    announced: &'static [&'static str],
    runtimes: Vec<Handle>,
    log_dir: Option<LogDir>,
    trigger: Option<TriggerFile>,
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Reporter").field("package", &self.0.package).finish_non_exhaustive()
    }
}

/// Installs reports in this process, once: signal handler, panic hook and thread.
///
/// # Errors
///
/// [`InstallError`]; the process is unchanged.
pub fn install(package: Package) -> Result<Reporter, InstallError> {
    let (wake, waiting) = UnixStream::pair().map_err(InstallError::Signal)?;
    wake.set_nonblocking(true).map_err(InstallError::Signal)?;
    let shared = Arc::new(ReporterShared {
        package,
        started: Value::from(time::format_time(time::wall_now())),
        wake: wake.try_clone().map_err(InstallError::Signal)?,
        requests: Mutex::default(),
        config: Mutex::default(),
        stderr: Job::new(|| ()),
    });
    let reporter = Reporter(shared);
    // Without a handler threads are listed without stacks, and the report says so.
    let _ = threads::install();
    let own = reporter.clone();
    job_runner::spawn_report_thread("gmr", move || own.run(waiting))
        .map_err(InstallError::Thread)?;
    signal_hook::low_level::pipe::register(libc::SIGUSR2, wake).map_err(InstallError::Signal)?;
    let own = reporter.clone();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let whose = job_runner::panic_origin(info);
        if whose == PanicOrigin::Program {
            own.on_panic(info);
        }
        if whose != PanicOrigin::Report {
            hook(info);
        }
    }));
    Ok(reporter)
}

impl Reporter {
    /// Adds a section. `write` is called for each report, in its own thread, with a limit of 300
    /// ms.
    pub fn register(&self, title: &str, write: impl Fn(&SectionBuilder) + Send + Sync + 'static) {
        let mut set = self.lock_config();
        if set.sections.len() < SECTIONS_MAX {
            set.sections.push(ReportSection::new(title, SECTION_TIMEOUT, write));
        }
    }

    /// Announces sections: reports list those that are not yet registered as missing.
    pub fn announce_sections(&self, titles: &'static [&'static str]) {
        self.lock_config().announced = titles;
    }

    /// Sets the source of the section Configuration, which is called for each report: key, value
    /// and origin of each setting. `mail.host` is the key `host` of the group `mail`; a key without
    /// a group is in `default`.
    pub fn configuration(
        &self,
        settings: impl Fn() -> Vec<(String, Value, String)> + Send + Sync + 'static,
    ) {
        let section = ReportSection::new("Configuration", SECTION_TIMEOUT, move |page| {
            for (path, value, origin) in settings() {
                let (group, key) = path.rsplit_once('.').unwrap_or(("default", &path));
                page.add_setting(group, key, value, &origin);
            }
        });
        self.lock_config().configuration = Some(section);
    }

    /// Adds a runtime whose tasks are counted; with exactly one, tasks that its blocked workers do
    /// not poll can be traced too.
    pub fn watch_runtime(&self, runtime: Handle) {
        self.lock_config().runtimes.push(runtime);
    }

    /// Sets the folder for reports that no call requested.
    pub fn log_dir(&self, log_dir: Option<LogDir>) {
        self.lock_config().log_dir = log_dir;
    }

    /// Writes a report whenever the time of this file or folder changes; it need not exist yet.
    pub fn trigger_file(&self, file: PathBuf, every: Duration) {
        self.lock_config().trigger = Some(TriggerFile::new(file, every));
        self.wake();
    }

    /// Requests a report as text or JSON. Blocks until it is written: not for workers of a runtime.
    ///
    /// # Errors
    ///
    /// [`ReportError`] if too many calls wait, or the report fails.
    pub fn report(&self, format: ReportEncoding) -> Result<String, ReportError> {
        let (sender, receiver) = sync_channel(1);
        {
            let mut requests = self.lock_requests();
            if requests.calls.len() >= CALLS_MAX {
                return Err(ReportError::TooMany);
            }
            requests.calls.push_back((format, sender));
        }
        self.wake();
        receiver.recv_timeout(CALL_TIMEOUT).map_err(|error| match error {
            RecvTimeoutError::Timeout => ReportError::TimedOut,
            RecvTimeoutError::Disconnected => ReportError::Failed,
        })
    }

    /// The panic hook: a panicking thread of the program waits here for its report.
    fn on_panic(&self, info: &PanicHookInfo<'_>) {
        let thread = std::thread::current();
        let reason = format!("thread '{}' {}", thread.name().unwrap_or("?"), describe_panic(info));
        let Some(written) = self.request_panic_report(reason) else { return };
        self.wake();
        let _ = written.recv_timeout(PANIC_REPORT_TIMEOUT);
    }

    fn request_panic_report(&self, reason: String) -> Option<Receiver<()>> {
        // A thread that panics while it holds this lock must not wait for itself.
        let mut requests = self.0.requests.try_lock().ok()?;
        if requests.last_panic.is_some_and(|last| last.elapsed() < PANIC_REPORT_INTERVAL) {
            return None;
        }
        requests.last_panic = Some(time::monotonic_now());
        let (sender, receiver) = sync_channel(1);
        requests.panics.push_back((reason, sender));
        Some(receiver)
    }

    fn wake(&self) {
        // A full pipe also wakes the thread.
        let _ = (&self.0.wake).write(b"c");
    }

    fn lock_requests(&self) -> MutexGuard<'_, ReportRequests> {
        self.0.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_config(&self) -> MutexGuard<'_, ReporterConfig> {
        self.0.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop of the thread.
    fn run(&self, mut waiting: UnixStream) {
        let mut runner = JobRunner::new();
        let mut bytes = [0; 512];
        let mut written: Option<Instant> = None;
        loop {
            if written.is_some_and(|written| written.elapsed() >= SYMBOL_CACHE_TTL) {
                threads::clear_cache();
                written = None;
            }
            let every = self.lock_config().trigger.as_ref().map(|trigger| trigger.interval);
            let every = written
                .map(|_| every.map_or(SYMBOL_CACHE_TTL, |it| it.min(SYMBOL_CACHE_TTL)))
                .or(every);
            if waiting.set_read_timeout(every).is_err() {
                return;
            }
            let signalled = match waiting.read(&mut bytes) {
                Ok(0) => return,
                // The signal handler writes `X`, calls write `c`.
                Ok(read) => bytes[..read].contains(&b'X'),
                Err(_) => false,
            };
            match catch_unwind(AssertUnwindSafe(|| self.write_requested(signalled, &mut runner))) {
                Ok(true) => written = Some(time::monotonic_now()),
                Ok(false) => {}
                Err(_) => {
                    let message = job_runner::last_panic().unwrap_or_else(|| "panicked".to_owned());
                    let line = format!("Guru Meditation Report: failed, it {message}\n");
                    self.write_stderr(line, &mut runner);
                }
            }
        }
    }

    /// Writes the requested reports; returns whether there were any.
    fn write_requested(&self, signalled: bool, runner: &mut JobRunner) -> bool {
        let (calls, panics) = {
            let mut requests = self.lock_requests();
            (std::mem::take(&mut requests.calls), std::mem::take(&mut requests.panics))
        };
        let touched = self.lock_config().trigger.as_mut().and_then(TriggerFile::take_touched);
        let mut reasons: Vec<_> = panics.iter().map(|(reason, _)| reason.clone()).collect();
        reasons.extend(signalled.then(|| "signal SIGUSR2".to_owned()));
        reasons.extend(touched.map(|file| format!("{} was touched", file.display())));
        let is_unattended = !reasons.is_empty();
        reasons.extend((!calls.is_empty()).then(|| "a call".to_owned()));
        if reasons.is_empty() {
            return false;
        }
        let report = GuruReport::write(&self.sections(&reasons), runner);
        if is_unattended {
            self.write_unattended(&report, runner);
        }
        for (format, call) in calls {
            let text = match format {
                ReportEncoding::Text => report.to_text(),
                ReportEncoding::Json => report.to_json(),
            };
            // A caller that timed out has dropped its receiver.
            let _ = call.send(text);
        }
        drop(panics);
        true
    }

    fn sections(&self, reasons: &[String]) -> Vec<ReportSection> {
        let set = self.lock_config();
        let (package, started) = (self.0.package, self.0.started.clone());
        let reasons = Value::from(reasons.join(", "));
        let runtimes = set.runtimes.clone();
        let mut sections = vec![
            ReportSection::new("Package", SECTION_TIMEOUT, move |page| {
                page.add_detail("asked_by", reasons.clone());
                page.add_detail("started", started.clone());
                page.add_detail("written", time::format_time(time::wall_now()));
                package::write(page, &package);
            }),
            ReportSection::new("Threads", THREADS_TIMEOUT, threads::write),
            ReportSection::new("Green Threads", TASKS_TIMEOUT, move |page| {
                tasks::write(page, &runtimes)
            }),
            ReportSection::new("Processes", SECTION_TIMEOUT, processes::write),
        ];
        sections.extend(set.configuration.clone());
        sections.extend(set.sections.iter().cloned());
        let is_missing = |title: &&&str| !sections.iter().any(|it| it.title == ***title);
        let missing: Vec<_> = set.announced.iter().filter(is_missing).collect();
        let not_yet = |title: &&&'static str| {
            ReportSection::new(title, SECTION_TIMEOUT, |page| {
                page.mark_incomplete("not available yet: the program is still starting");
            })
        };
        let missing: Vec<_> = missing.iter().map(not_yet).collect();
        sections.extend(missing);
        sections
    }

    /// Writes a report that no caller waits for.
    fn write_unattended(&self, report: &GuruReport, runner: &mut JobRunner) {
        let text = report.to_text();
        let Some(log_dir) = self.lock_config().log_dir.clone() else {
            return self.write_stderr(text, runner);
        };
        let folder = log_dir.folder.display().to_string();
        let (text, at) = (Arc::new(text), report.at);
        let written = Arc::new(Mutex::new(None));
        let work = {
            let (text, written) = (Arc::clone(&text), Arc::clone(&written));
            Job::new(move || {
                let outcome = log_dir.write(&text, at);
                *written.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
            })
        };
        let ended = runner.run(&work, FILE_TIMEOUT);
        let outcome = written.lock().unwrap_or_else(PoisonError::into_inner).take();
        let line = match outcome {
            Some(Ok(path)) => {
                format!("Guru Meditation Report written to {}\n", path.display())
            }
            Some(Err(error)) => {
                format!("{text}Guru Meditation Report: cannot write to {folder}: {error}\n")
            }
            None => {
                format!("{text}Guru Meditation Report: cannot write to {folder}: {ended:?}\n")
            }
        };
        self.write_stderr(line, runner);
    }

    /// Writes to standard error. Others write there too and may use the room that poll reported, so
    /// a disposable thread writes; while it hangs, nothing else is written.
    fn write_stderr(&self, text: String, runner: &mut JobRunner) {
        // A failure to write to standard error cannot be reported anywhere.
        let work = self.0.stderr.with_body(move || drop(output::write_stderr(&text)));
        runner.run(&work, output::WRITE_TIMEOUT);
    }
}
