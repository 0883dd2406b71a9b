//! The thread that writes reports, and what asks it to.
//!
//! Guarantees one report at a time, that signals during a report merge into one more, that a panic of
//! the program is reported before it goes its way, once a minute at most, and that a panic of the
//! report's own asks for none. A report that can't be written to its folder goes to standard error.

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

use super::error::{InstallError, NoReport};
use super::output::{self, LogDir};
use super::package::{self, Package};
use super::report::{Report, SECTION_WITHIN, Section};
use super::runner::{self, Runner, Whose, Work, in_words};
use super::trigger::Trigger;
use super::{processes, tasks, threads, time};
use crate::guru_meditation::section_builder::SectionBuilder;

/// Stacks of many threads, and the names of their functions, which the first time come from disk.
const THREADS_WITHIN: Duration = Duration::from_millis(1_000);

/// Two graces of the tasks, and the names.
const TASKS_WITHIN: Duration = Duration::from_millis(900);

/// A file of a report is written within this time, or the report goes to standard error.
const FILE_WITHIN: Duration = Duration::from_secs(2);

/// Panics are reported once in this time.
const PANIC_EVERY: Duration = Duration::from_secs(60);

/// A thread that panics waits so long for its report.
const PANIC_WAITS: Duration = Duration::from_secs(3);

/// Who asks by a call waits so long, at most behind a report that is under way.
const CALL_WAITS: Duration = Duration::from_secs(15);

/// The names of functions are kept so long for the next report: to read them again is what most of a
/// report's time goes for.
const NAMES_KEPT: Duration = Duration::from_secs(5);

/// Most calls that wait for a report.
pub(super) const CALLS_MAX: usize = 16;

/// Most sections a program may register.
const SECTIONS_MAX: usize = 64;

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As oslo.reports prints it.
    Text,
    /// One JSON object.
    Json,
}

/// The reports of this process. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Reporter(Arc<Shared>);

struct Shared {
    package: Package,
    started: Value,
    /// A byte in it wakes the thread; the signal's handler writes there, too.
    wake: UnixStream,
    asked: Mutex<Asked>,
    set: Mutex<Set>,
    /// The guard that standard error is not written to while an earlier report hangs there.
    stderr: Work,
}

#[derive(Default)]
struct Asked {
    calls: VecDeque<(Format, SyncSender<String>)>,
    panics: VecDeque<(String, SyncSender<()>)>,
    last_panic: Option<Instant>,
}

/// What may be set while it runs.
#[derive(Default)]
struct Set {
    sections: Vec<Section>,
    configuration: Option<Section>,
    announced: &'static [&'static str],
    runtimes: Vec<Handle>,
    log_dir: Option<LogDir>,
    trigger: Option<Trigger>,
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Reporter").field("package", &self.0.package).finish_non_exhaustive()
    }
}

/// Makes reports possible in this process, once: the signal, the hook for panics, the thread.
///
/// # Errors
///
/// [`InstallError`]; the process is as it was.
pub fn install(package: Package) -> Result<Reporter, InstallError> {
    let (wake, waiting) = UnixStream::pair().map_err(InstallError::Signal)?;
    wake.set_nonblocking(true).map_err(InstallError::Signal)?;
    let shared = Arc::new(Shared {
        package,
        started: Value::from(time::told(time::wall())),
        wake: wake.try_clone().map_err(InstallError::Signal)?,
        asked: Mutex::default(),
        set: Mutex::default(),
        stderr: Work::new(|| ()),
    });
    let reporter = Reporter(shared);
    // Without a handler threads are told without stacks, and the report says so.
    let _ = threads::install();
    let own = reporter.clone();
    runner::spawn("gmr", move || own.work(waiting)).map_err(InstallError::Thread)?;
    signal_hook::low_level::pipe::register(libc::SIGUSR2, wake).map_err(InstallError::Signal)?;
    let own = reporter.clone();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let whose = runner::whose(info);
        if whose == Whose::Theirs {
            own.panicked(info);
        }
        if whose != Whose::Ours {
            hook(info);
        }
    }));
    Ok(reporter)
}

impl Reporter {
    /// Adds a section. `write` is called for each report, in a thread of its own, and gets 300 ms.
    pub fn register(&self, title: &str, write: impl Fn(&SectionBuilder) + Send + Sync + 'static) {
        let mut set = self.set();
        if set.sections.len() < SECTIONS_MAX {
            set.sections.push(Section::new(title, SECTION_WITHIN, write));
        }
    }

    /// Says which sections there will be: those that are not there yet are told as such.
    pub fn announce(&self, titles: &'static [&'static str]) {
        self.set().announced = titles;
    }

    /// Says what the section Configuration tells, each time anew: key, value and origin of each
    /// setting. A key `mail.host` is the key `host` of the group `mail`; one without a group is of
    /// `default`.
    pub fn configuration(
        &self,
        settings: impl Fn() -> Vec<(String, Value, String)> + Send + Sync + 'static,
    ) {
        let section = Section::new("Configuration", SECTION_WITHIN, move |page| {
            for (path, value, origin) in settings() {
                let (group, key) = path.rsplit_once('.').unwrap_or(("default", &path));
                page.add_setting(group, key, value, &origin);
            }
        });
        self.set().configuration = Some(section);
    }

    /// Says which runtime's tasks are counted; with exactly one, tasks that its blocked workers do
    /// not take up can be asked all the same.
    pub fn watch_runtime(&self, runtime: Handle) {
        self.set().runtimes.push(runtime);
    }

    /// Writes reports that nobody calls for into a folder.
    pub fn log_dir(&self, log_dir: Option<LogDir>) {
        self.set().log_dir = log_dir;
    }

    /// Writes a report whenever the time of that file or folder changes; it need not be there yet.
    pub fn trigger_file(&self, file: PathBuf, every: Duration) {
        self.set().trigger = Some(Trigger::new(file, every));
        self.wake();
    }

    /// A report, as text or JSON. Blocks until it is there: not for a worker of a runtime.
    ///
    /// # Errors
    ///
    /// [`NoReport`] when too many ask, or it does not come.
    pub fn report(&self, format: Format) -> Result<String, NoReport> {
        let (tell, told) = sync_channel(1);
        {
            let mut asked = self.asked();
            if asked.calls.len() >= CALLS_MAX {
                return Err(NoReport::TooMany);
            }
            asked.calls.push_back((format, tell));
        }
        self.wake();
        told.recv_timeout(CALL_WAITS).map_err(|error| match error {
            RecvTimeoutError::Timeout => NoReport::TookTooLong,
            RecvTimeoutError::Disconnected => NoReport::Failed,
        })
    }

    /// The hook: a thread of the program panics, and waits in here for its report.
    fn panicked(&self, info: &PanicHookInfo<'_>) {
        let thread = std::thread::current();
        let words = format!("thread '{}' {}", thread.name().unwrap_or("?"), in_words(info));
        let Some(written) = self.ask_for_panic(words) else { return };
        self.wake();
        let _ = written.recv_timeout(PANIC_WAITS);
    }

    fn ask_for_panic(&self, words: String) -> Option<Receiver<()>> {
        // A thread that panics holding this lock must not wait for itself.
        let mut asked = self.0.asked.try_lock().ok()?;
        if asked.last_panic.is_some_and(|last| last.elapsed() < PANIC_EVERY) {
            return None;
        }
        asked.last_panic = Some(time::monotonic());
        let (tell, told) = sync_channel(1);
        asked.panics.push_back((words, tell));
        Some(told)
    }

    fn wake(&self) {
        // A full pipe wakes as well.
        let _ = (&self.0.wake).write(b"c");
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self) -> MutexGuard<'_, Set> {
        self.0.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread's loop.
    fn work(&self, mut waiting: UnixStream) {
        let mut runner = Runner::new();
        let mut bytes = [0; 512];
        let mut written: Option<Instant> = None;
        loop {
            if written.is_some_and(|written| written.elapsed() >= NAMES_KEPT) {
                threads::forget();
                written = None;
            }
            let every = self.set().trigger.as_ref().map(|trigger| trigger.every);
            let every =
                written.map(|_| every.map_or(NAMES_KEPT, |it| it.min(NAMES_KEPT))).or(every);
            if waiting.set_read_timeout(every).is_err() {
                return;
            }
            let signalled = match waiting.read(&mut bytes) {
                Ok(0) => return,
                // The handler writes an `X`, calls write a `c`.
                Ok(read) => bytes[..read].contains(&b'X'),
                Err(_) => false,
            };
            match catch_unwind(AssertUnwindSafe(|| self.turn(signalled, &mut runner))) {
                Ok(true) => written = Some(time::monotonic()),
                Ok(false) => {}
                Err(_) => {
                    let words = runner::last_panic().unwrap_or_else(|| "panicked".to_owned());
                    let line = format!("Guru Meditation Report: none, it {words}\n");
                    self.to_stderr(line, &mut runner);
                }
            }
        }
    }

    /// Writes what is asked for at this moment; gives whether anything was.
    fn turn(&self, signalled: bool, runner: &mut Runner) -> bool {
        let (calls, panics) = {
            let mut asked = self.asked();
            (std::mem::take(&mut asked.calls), std::mem::take(&mut asked.panics))
        };
        let touched = self.set().trigger.as_mut().and_then(Trigger::touched);
        let mut reasons: Vec<_> = panics.iter().map(|(words, _)| words.clone()).collect();
        reasons.extend(signalled.then(|| "signal SIGUSR2".to_owned()));
        reasons.extend(touched.map(|file| format!("{} was touched", file.display())));
        let is_kept = !reasons.is_empty();
        reasons.extend((!calls.is_empty()).then(|| "a call".to_owned()));
        if reasons.is_empty() {
            return false;
        }
        let report = Report::write(&self.sections(&reasons), runner);
        if is_kept {
            self.keep(&report, runner);
        }
        for (format, call) in calls {
            let text = match format {
                Format::Text => report.to_text(),
                Format::Json => report.to_json(),
            };
            // Who does not wait any more does not mind.
            let _ = call.send(text);
        }
        drop(panics);
        true
    }

    fn sections(&self, reasons: &[String]) -> Vec<Section> {
        let set = self.set();
        let (package, started) = (self.0.package, self.0.started.clone());
        let reasons = Value::from(reasons.join(", "));
        let runtimes = set.runtimes.clone();
        let mut sections = vec![
            Section::new("Package", SECTION_WITHIN, move |page| {
                page.add_more("asked_by", reasons.clone());
                page.add_more("started", started.clone());
                page.add_more("written", time::told(time::wall()));
                package::add_section(page, &package);
            }),
            Section::new("Threads", THREADS_WITHIN, threads::add_section),
            Section::new("Green Threads", TASKS_WITHIN, move |page| {
                tasks::add_section(page, &runtimes)
            }),
            Section::new("Processes", SECTION_WITHIN, processes::add_section),
        ];
        sections.extend(set.configuration.clone());
        sections.extend(set.sections.iter().cloned());
        let is_missing = |title: &&&str| !sections.iter().any(|it| it.title == ***title);
        let missing: Vec<_> = set.announced.iter().filter(is_missing).collect();
        let not_yet = |title: &&&'static str| {
            Section::new(title, SECTION_WITHIN, |page| {
                page.mark_missing("not there yet: the program is still starting");
            })
        };
        let missing: Vec<_> = missing.iter().map(not_yet).collect();
        sections.extend(missing);
        sections
    }

    /// Writes a report that nobody waits for.
    fn keep(&self, report: &Report, runner: &mut Runner) {
        let text = report.to_text();
        let Some(log_dir) = self.set().log_dir.clone() else {
            return self.to_stderr(text, runner);
        };
        let folder = log_dir.folder.display().to_string();
        let (text, at) = (Arc::new(text), report.at);
        let written = Arc::new(Mutex::new(None));
        let work = {
            let (text, written) = (Arc::clone(&text), Arc::clone(&written));
            Work::new(move || {
                let outcome = log_dir.write(&text, at);
                *written.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
            })
        };
        let ended = runner.run(&work, FILE_WITHIN);
        let outcome = written.lock().unwrap_or_else(PoisonError::into_inner).take();
        let line = match outcome {
            Some(Ok(path)) => {
                format!("Guru Meditation Report written to {}\n", path.display())
            }
            Some(Err(error)) => {
                format!("{text}Guru Meditation Report: can't write it in {folder}: {error}\n")
            }
            None => {
                format!("{text}Guru Meditation Report: can't write it in {folder}: {ended:?}\n")
            }
        };
        self.to_stderr(line, runner);
    }

    /// Writes to standard error. Others write there too and may take the room that was seen a moment
    /// before, so a thread writes that can be left behind; while it hangs nothing more is tried.
    fn to_stderr(&self, text: String, runner: &mut Runner) {
        // Nobody is there to be told that it takes nothing.
        let work = self.0.stderr.with(move || drop(output::to_stderr(&text)));
        runner.run(&work, output::WRITE_WITHIN);
    }
}
