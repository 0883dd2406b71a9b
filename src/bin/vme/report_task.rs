//! Sends events in the background of a command, and reports their results.
//!
//! Guarantees that one event is in progress at a time, in the order of the calls, and that an
//! outcome is reported as text and exit code. Does not know why an event is sent.

use std::pin::Pin;

use grid_broker::event_args::EventCommand;
use grid_broker::exit_code::ExitCode;
use tokio::time::{Instant, sleep_until};

use crate::child::{SignalListener, is_stop_request};
use crate::event_sender::{EventSender, SendResult};

/// An event in progress, or none.
pub(crate) struct ReportTask<'v> {
    sender: &'v EventSender,
    in_progress: Option<Pin<Box<dyn Future<Output = SendResult> + 'v>>>,
}

impl<'v> ReportTask<'v> {
    pub(crate) fn new(sender: &'v EventSender) -> Self {
        Self { sender, in_progress: None }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.in_progress.is_none()
    }

    /// Starts to send an event. One that is still in progress is dropped.
    pub(crate) fn start(&mut self, event: EventCommand) {
        let sender = self.sender;
        self.in_progress = Some(Box::pin(async move { sender.send(&event).await }));
    }

    /// Waits for the result; waits for ever if no event is in progress. May be dropped and called
    /// again.
    pub(crate) async fn finished(&mut self) -> SendResult {
        match &mut self.in_progress {
            None => std::future::pending().await,
            Some(under_way) => {
                let result = under_way.await;
                self.in_progress = None;
                result
            }
        }
    }
}

/// The error of a series of reports: printed when it begins, changes and ends, so that a broker
/// that is away for an hour does not cause 360 lines.
#[derive(Debug, Default)]
pub(crate) struct ErrorReporter(Option<ExitCode>);

impl ErrorReporter {
    /// Prints the result, if the error changed.
    pub(crate) fn report(&mut self, result: &SendResult) {
        let error = (result.exit_code != ExitCode::Done).then_some(result.exit_code);
        if error != self.0 {
            crate::print_line(&result.line);
        }
        self.0 = error;
    }

    /// The broker's rules refuse this report and, since the start is over, all that follow.
    pub(crate) fn is_rejected(&self) -> bool {
        self.0 == Some(ExitCode::Refused)
    }
}

/// Waits until this time, or for ever.
pub(crate) async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Sends the outcome of a start, and prints the result. The exit code of a good start is the result
/// of reporting it, that of a failed start is 1. A stop request shortens the wait: the event then
/// waits in the spool.
pub(crate) async fn send_outcome(
    sender: &EventSender,
    outcome: Result<(), String>,
    signals: &mut SignalListener,
) -> ExitCode {
    let is_good = outcome.is_ok();
    let event = match &outcome {
        Ok(()) => EventCommand::started_ok(""),
        Err(reason) => EventCommand::start_failed(reason),
    };
    let mut task = ReportTask::new(sender);
    task.start(event);
    let code = loop {
        tokio::select! {
            result = task.finished() => {
                crate::print_line(&result.line);
                break result.exit_code;
            }
            signal = signals.next() => if is_stop_request(signal) {
                sender.shorten_deadline();
            }
        }
    };
    if let Err(reason) = &outcome {
        crate::print_line(&format!(
            "the start failed: {}",
            grid_broker::show::escape::escape(reason)
        ));
    }
    if is_good { code } else { ExitCode::Failed }
}
