//! `vme maintain`: runs a long command and reports its output lines as progress of the start.
//!
//! Guarantees a report at least every 10 s while the command runs and at most one per second,
//! however much it prints and however slow the broker is. Memory is bounded, since only the newest
//! line counts. Does not know the real progress: it trusts the lines.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use grid_broker::clock::monotonic_now;
use grid_broker::event_args::EventCommand;
use rustix::process::Signal;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::arguments::MaintainArguments;
use crate::capture::failure_reason;
use crate::capture::line_splitter::{LineSplitter, OutputSummarizer, OutputSummary};
use crate::capture::tee::{OutputStream, TeeStream};
use crate::child::{
    self, ChildStatus, ProcessGroup, RunningChild, SignalListener, SpawnError, is_stop_request,
};
use crate::event_sender::{EventSender, SendResult};
use crate::pacing::{DueReport, JobProgress, Pacing, RepeatPolicy};
use crate::progress_line;
use crate::report_task;
use crate::report_task::{ErrorReporter, ReportTask, wait_until};

/// The report deadline of each report: three times the repeat interval, so that a report that is
/// lost, or waits for the broker as long as vme tries by default, does not make the start hung.
const REPORT_DEADLINE: Duration = Duration::from_secs(30);

/// Runs the command. The exit code is the command's own, or with `--then-report` that of `vme run`.
pub(crate) async fn maintain(arguments: MaintainArguments, sender: &EventSender) -> ExitCode {
    let mut signals = SignalListener::listen();
    let at_work = MonitoredCommand::start(&arguments, sender);
    let ended = match at_work {
        Ok(at_work) => {
            Ok(at_work.report_until_exit(sender, &mut signals, arguments.then_report).await)
        }
        Err(error) => Err(error),
    };
    if arguments.then_report {
        let outcome = match ended {
            Ok(MaintainResult { status: end, stop_signal: None, .. }) if end.is_success() => Ok(()),
            Ok(MaintainResult { status, stop_signal, stderr }) => {
                Err(failure_reason::command_failure(&stderr, status, stop_signal, None))
            }
            Err(error) => Err(failure_reason::spawn_failure(&error)),
        };
        return report_task::send_outcome(sender, outcome, &mut signals).await.into();
    }
    match ended {
        Ok(MaintainResult { status, .. }) => status.exit_code().into(),
        Err(error) => {
            crate::print_line(&error.to_string());
            error.exit_code().into()
        }
    }
}

/// How the command ended, and the summary of its standard error.
struct MaintainResult {
    status: ChildStatus,
    stop_signal: Option<Signal>,
    stderr: OutputSummary,
}

/// The running command and its outputs.
struct MonitoredCommand {
    child: RunningChild,
    group: ProcessGroup,
    tees: [TeeStream; 2],
    progress: watch::Receiver<JobProgress>,
    stderr: Arc<Mutex<OutputSummarizer>>,
}

/// The events of the main loop.
enum MaintainEvent {
    Exited(ChildStatus),
    ProgressChanged,
    Sent(SendResult),
    Signal(Signal),
    TimerExpired,
}

impl MonitoredCommand {
    fn start(arguments: &MaintainArguments, sender: &EventSender) -> Result<Self, SpawnError> {
        let mut command = child::child_command(&arguments.command, sender.config());
        command.stdin(child::child_stdin());
        let name = std::path::Path::new(&arguments.command[0]).file_name();
        // Without its arguments: they may contain passwords.
        let name = name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (publish, changes) = watch::channel(JobProgress { percent: None, text: name });
        let last = Arc::new(Mutex::new(OutputSummarizer::default()));

        let system = |error| SpawnError::System("the command's output".to_owned(), error);
        let stdout = TeeStream::attach(
            &mut command,
            OutputStream::Stdout,
            progress_callback(publish.clone()),
        );
        let (mut read, summarizer) = (progress_callback(publish), Arc::clone(&last));
        let stderr = TeeStream::attach(&mut command, OutputStream::Stderr, move |chunk| {
            if let Some(chunk) = chunk {
                summarizer.lock().unwrap_or_else(PoisonError::into_inner).push(chunk);
            }
            read(chunk);
        });
        let passing = [stdout.map_err(system)?, stderr.map_err(system)?];
        let (running, group) = RunningChild::start(command)?;
        Ok(Self { child: running, group, tees: passing, progress: changes, stderr: last })
    }

    /// Reports until the command has ended. The newest progress is still sent, unless an outcome
    /// follows.
    async fn report_until_exit(
        mut self,
        sender: &EventSender,
        signals: &mut SignalListener,
        an_outcome_follows: bool,
    ) -> MaintainResult {
        let started = monotonic_now();
        let mut reports = ProgressReporter::new(ReportTask::new(sender));
        reports.pacing.set_progress(self.progress.borrow_and_update().clone());
        let mut stop_signal = None;
        let end = loop {
            match self.next_event(&mut reports, signals, started).await {
                MaintainEvent::Exited(end) => break end,
                MaintainEvent::ProgressChanged => {
                    reports
                        .pacing
                        .set_progress_from_line(self.progress.borrow_and_update().clone());
                }
                MaintainEvent::Sent(result) => reports.on_sent(&result, started),
                MaintainEvent::Signal(signal) => {
                    self.group.signal_group(signal);
                    stop_signal =
                        stop_signal.or(Some(signal).filter(|signal| is_stop_request(*signal)));
                }
                MaintainEvent::TimerExpired => {}
            }
        };
        for tee in self.tees {
            tee.finish().await;
        }
        // Both output threads have delivered their progress, or were given up.
        let newest = self.progress.borrow_and_update().clone();
        if newest != *reports.pacing.progress() {
            reports.pacing.set_progress_from_line(newest);
        }
        if stop_signal.is_some() {
            sender.shorten_deadline();
        }
        reports.finish(sender, signals, started, an_outcome_follows).await;
        let last = self.stderr.lock().unwrap_or_else(PoisonError::into_inner).summary();
        MaintainResult { status: end, stop_signal, stderr: last }
    }

    async fn next_event(
        &mut self,
        reports: &mut ProgressReporter<'_>,
        signals: &mut SignalListener,
        started: Instant,
    ) -> MaintainEvent {
        let due = reports.start_due_report(started);
        // After both output threads have ended there is no more progress.
        let changes = async {
            if self.progress.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            end = self.child.wait() => MaintainEvent::Exited(end),
            () = changes => MaintainEvent::ProgressChanged,
            result = reports.task.finished() => MaintainEvent::Sent(result),
            signal = signals.next() => MaintainEvent::Signal(signal),
            () = wait_until(due) => MaintainEvent::TimerExpired,
        }
    }
}

/// Parses the lines of one output and publishes only the newest progress of a chunk. An unfinished
/// line counts after a short silence: many programs begin a state with a carriage return.
fn progress_callback(publish: watch::Sender<JobProgress>) -> impl FnMut(Option<&[u8]>) + Send {
    let (mut lines, mut reader) =
        (LineSplitter::default(), progress_line::ProgressParser::default());
    move |chunk| {
        let (mut percent, mut text) = (None, None);
        let mut read = |line: &[u8]| {
            if let Some(parsed) = reader.parse(line) {
                percent = parsed.progress.or(percent);
                text = parsed.text.or(text.take());
            }
        };
        match chunk {
            Some(chunk) => lines.push(chunk, read),
            None => read(lines.partial_line()),
        }
        if percent.is_some() || text.is_some() {
            publish.send_modify(|progress| {
                progress.percent = percent.or(progress.percent);
                if let Some(text) = text {
                    progress.text = text;
                }
            });
        }
    }
}

/// Sends reports to the broker, one at a time.
struct ProgressReporter<'v> {
    task: ReportTask<'v>,
    pacing: Pacing,
    errors: ErrorReporter,
}

impl<'v> ProgressReporter<'v> {
    fn new(task: ReportTask<'v>) -> Self {
        Self { task, pacing: Pacing::new(RepeatPolicy::Always), errors: ErrorReporter::default() }
    }

    /// Starts the due report, unless one is in progress. Returns when to call it again.
    fn start_due_report(&mut self, started: Instant) -> Option<Instant> {
        // The broker replied that the start is over. It would record this every 10 s in its grid
        // log.
        if !self.task.is_idle() || self.errors.is_rejected() {
            return None;
        }
        if let Some(DueReport { progress, repeated }) = self.pacing.poll(started.elapsed()) {
            let JobProgress { percent, text } = progress;
            self.task.start(EventCommand::maintenance(percent, &text, REPORT_DEADLINE, repeated));
            return None;
        }
        self.pacing.due_at().map(|due| started + due)
    }

    fn on_sent(&mut self, result: &SendResult, started: Instant) {
        self.pacing.completed(started.elapsed());
        self.errors.report(result);
    }

    /// Finishes the report in progress. Then sends newer progress, unless an outcome follows or a
    /// stop was requested.
    async fn finish(
        &mut self,
        sender: &EventSender,
        signals: &mut SignalListener,
        started: Instant,
        mut is_enough: bool,
    ) {
        loop {
            let wanted = self.pacing.has_news() && !is_enough && !self.errors.is_rejected();
            if self.task.is_idle() && !wanted {
                return;
            }
            let due = if wanted { self.start_due_report(started) } else { None };
            tokio::select! {
                result = self.task.finished() => self.on_sent(&result, started),
                signal = signals.next() => if is_stop_request(signal) {
                    sender.shorten_deadline();
                    is_enough = true;
                },
                () = wait_until(due) => {}
            }
        }
    }
}
