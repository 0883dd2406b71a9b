//! `vme notify`: runs a service that speaks systemd's notification protocol, and reports its start.
//!
//! Guarantees that the service's notifications reach the broker and our own service manager, and
//! never delay the service. After the start it stays the parent: it forwards signals and
//! notifications, and ends as the service does. Does not know which service it is.

mod errno;
mod notification;
mod service_start;
mod socket;

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use grid_broker::clock::monotonic_now;
use grid_broker::show::escape;
use grid_broker::system_error::Explained;
use rustix::process::Signal;
use tokio::time::Instant;

use crate::arguments::NotifyArguments;
use crate::capture::line_splitter::{OutputSummarizer, OutputSummary};
use crate::child::{self, ChildStatus, RunningChild, SignalListener, is_stop_request, signal_name};

use crate::capture::tee::{OutputStream, TeeStream};
use crate::event_sender::{EventSender, SendResult};
use crate::notify::service_start::{Outgoing, ServiceStart};
use crate::notify::socket::{NotifySocket, ParentNotifier, watchdog_usec};
use crate::report_task::{ErrorReporter, ReportTask, wait_until};

/// Datagrams that are read after the service has ended.
const FINAL_DATAGRAMS_MAX: usize = 1_000;

/// Runs the service; the exit code is the service's own.
pub(crate) async fn notify(arguments: NotifyArguments, sender: &EventSender) -> ExitCode {
    let mut signals = SignalListener::listen();
    let mut start = MonitoredService::new(sender);
    let code = match start.run(&arguments, &mut signals).await {
        Ok(end) => end.exit_code(),
        Err(ServiceNotStarted { reason, exit_code }) => {
            start.service.on_exit(&reason, &OutputSummary::default());
            exit_code
        }
    };
    start.finish(&mut signals).await;
    code.into()
}

/// The service could not be started.
struct ServiceNotStarted {
    reason: String,
    exit_code: u8,
}

impl ServiceNotStarted {
    fn new(why: impl ToString) -> Self {
        Self { reason: why.to_string(), exit_code: 126 }
    }
}

/// Creates the service's socket in the first usable folder. If there is none, reports it; the
/// service is started anyway.
fn open_socket(folders: [&Path; 2]) -> Option<NotifySocket> {
    for folder in folders {
        match NotifySocket::new(folder) {
            Ok(inbox) => return Some(inbox),
            Err(error) => {
                let folder = escape::excerpt(&folder.to_string_lossy());
                crate::print_line(&format!(
                    "no socket for the service in {folder}: {}",
                    Explained(&error)
                ));
            }
        }
    }
    crate::print_line(
        "this start is not reported to the broker: there is no socket for notifications; the \
         service is started anyway",
    );
    None
}

/// The events of the main loop.
enum NotifyEvent {
    Notified(notification::Notification),
    ManagerWritable,
    Exited(ChildStatus),
    Sent(SendResult),
    Signal(Signal),
    TimerExpired,
}

/// The running service and the reports of its start.
struct MonitoredService<'v> {
    sender: &'v EventSender,
    task: ReportTask<'v>,
    errors: ErrorReporter,
    service: ServiceStart,
    started_at: Instant,
    /// The event in progress is an outcome, whose result is always printed.
    is_sending_outcome: bool,
}

impl<'v> MonitoredService<'v> {
    fn new(sender: &'v EventSender) -> Self {
        Self {
            sender,
            task: ReportTask::new(sender),
            errors: ErrorReporter::default(),
            service: ServiceStart::new(),
            started_at: monotonic_now(),
            is_sending_outcome: false,
        }
    }

    async fn run(
        &mut self,
        arguments: &NotifyArguments,
        signals: &mut SignalListener,
    ) -> Result<ChildStatus, ServiceNotStarted> {
        let variable = |name: &str| std::env::var_os(name);
        let mut manager = ParentNotifier::from_environment(variable("NOTIFY_SOCKET").as_deref());
        let mut inbox = open_socket([&std::env::temp_dir(), &self.sender.config().state_folder]);
        let mut command = child::child_command(&arguments.command, self.sender.config());
        command.stdin(child::child_stdin());
        // Without a socket it may still notify our own service manager.
        if let Some(inbox) = &inbox {
            command.env("NOTIFY_SOCKET", inbox.path());
        }
        let pid = variable("WATCHDOG_PID");
        command.env_remove("WATCHDOG_PID").env_remove("WATCHDOG_USEC");
        if let Some(time) = watchdog_usec(variable("WATCHDOG_USEC"), pid.as_deref(), &manager) {
            command.env("WATCHDOG_USEC", time);
        }
        let last = Arc::new(Mutex::new(OutputSummarizer::default()));
        let shared = Arc::clone(&last);
        let stderr = TeeStream::attach(&mut command, OutputStream::Stderr, move |chunk| {
            if let Some(chunk) = chunk {
                shared.lock().unwrap_or_else(PoisonError::into_inner).push(chunk);
            }
        });
        let stderr = stderr.map_err(ServiceNotStarted::new)?;
        let last_line = || last.lock().unwrap_or_else(PoisonError::into_inner).summary();
        let (mut running, group) = RunningChild::start(command).map_err(|error| {
            ServiceNotStarted { exit_code: error.exit_code(), ..ServiceNotStarted::new(&error) }
        })?;

        let mut stop_signal = None;
        let end = loop {
            match self.next_event(&mut inbox, &mut manager, &mut running, signals).await {
                NotifyEvent::Notified(notification) => {
                    self.service.on_notification(
                        &notification,
                        &last_line(),
                        self.started_at.elapsed(),
                    );
                    manager.forward(&notification.forwarded);
                }
                NotifyEvent::ManagerWritable => {}
                NotifyEvent::Exited(end) => break end,
                NotifyEvent::Sent(result) => self.on_sent(&result),
                NotifyEvent::Signal(signal) => {
                    group.signal_leader(signal);
                    stop_signal =
                        stop_signal.or(Some(signal).filter(|signal| is_stop_request(*signal)));
                }
                NotifyEvent::TimerExpired => {}
            }
        };
        stderr.finish().await;
        for _ in 0..FINAL_DATAGRAMS_MAX {
            let waiting = inbox.as_mut().and_then(NotifySocket::try_recv);
            let Some(notification) = waiting.map(notification::parse) else { break };
            self.service.on_notification(&notification, &last_line(), self.started_at.elapsed());
            manager.forward(&notification.forwarded);
        }
        let how = match stop_signal {
            Some(signal) => {
                self.sender.shorten_deadline();
                format!("stopped by {}", signal_name(signal.as_raw()))
            }
            None => end.describe(),
        };
        // Without a socket it may have been ready for long.
        if inbox.is_some() {
            self.service.on_exit(&how, &last_line());
        }
        Ok(end)
    }

    async fn next_event(
        &mut self,
        inbox: &mut Option<NotifySocket>,
        manager: &mut ParentNotifier,
        running: &mut RunningChild,
        signals: &mut SignalListener,
    ) -> NotifyEvent {
        let due = self.start_due_send();
        let notified = async {
            match inbox {
                Some(inbox) => inbox.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            datagram = notified => NotifyEvent::Notified(notification::parse(datagram)),
            () = manager.wait_writable() => NotifyEvent::ManagerWritable,
            end = running.wait() => NotifyEvent::Exited(end),
            result = self.task.finished() => NotifyEvent::Sent(result),
            signal = signals.next() => NotifyEvent::Signal(signal),
            () = wait_until(due) => NotifyEvent::TimerExpired,
        }
    }

    /// Starts to send the next event, unless one is in progress. Returns when to call it again.
    fn start_due_send(&mut self) -> Option<Instant> {
        if !self.task.is_idle() {
            return None;
        }
        match self.service.poll(self.started_at.elapsed()) {
            Some(Outgoing::Outcome(event)) => {
                self.is_sending_outcome = true;
                self.task.start(event);
                None
            }
            // The broker replied that the start is over.
            Some(Outgoing::Report(_)) if self.errors.is_rejected() => self.next_due(),
            Some(Outgoing::Report(event)) => {
                self.is_sending_outcome = false;
                self.task.start(event);
                None
            }
            None => self.next_due(),
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.service.due_at().map(|due| self.started_at + due)
    }

    fn on_sent(&mut self, result: &SendResult) {
        self.service.completed(self.started_at.elapsed());
        if self.is_sending_outcome {
            crate::print_line(&result.line);
        } else {
            self.errors.report(result);
        }
    }

    /// Sends the remaining outcomes; the start is over, so there are no more reports.
    async fn finish(&mut self, signals: &mut SignalListener) {
        loop {
            let due = self.start_due_send();
            if self.task.is_idle() && due.is_none() {
                return;
            }
            tokio::select! {
                result = self.task.finished() => self.on_sent(&result),
                signal = signals.next() => if is_stop_request(signal) {
                    self.sender.shorten_deadline();
                },
                () = wait_until(due) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unusable_folder_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(60));
        std::fs::create_dir(&long).unwrap();
        for unusable in [Path::new("/dev/null/tmp"), &long] {
            let other = open_socket([unusable, folder.path()]).unwrap();
            assert!(other.path().starts_with(folder.path()));
            assert!(open_socket([unusable, Path::new("/dev/null/vme")]).is_none());
        }
        assert_eq!(std::fs::read_dir(&long).unwrap().count(), 0);
    }
}
