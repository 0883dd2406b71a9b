//! Tracks the start of a service from its notifications. The caller passes notifications and time.
//!
//! ```text
//! starting --STATUS= with a percentage, or EXTEND_TIMEOUT_USEC=--> a progress report
//!          --READY=1-->                                           started_ok
//!          --ERRNO=, BUSERROR=, STOPPING=1, its end-->            start_failed
//! failed   --READY=1-->                                           started_ok
//! ```
//!
//! During an extension the last report is repeated, with a report deadline at its end. Other
//! notifications do not matter for the start, and none does after it. Guarantees each outcome at
//! most once. Does not know sockets or processes.

use std::collections::VecDeque;
use std::time::Duration;

use grid_broker::event_args::EventCommand;

use crate::capture::failure_reason;
use crate::capture::line_splitter::OutputSummary;
use crate::notify::errno;
use crate::notify::notification::Notification;
use crate::pacing::{DueReport, JobProgress, Pacing, RepeatPolicy};
use crate::progress_line;

/// The contract's limits of a report deadline.
const REPORT_DEADLINE_MIN: Duration = Duration::from_secs(1);
const REPORT_DEADLINE_MAX: Duration = Duration::from_secs(60);

/// One start of one service.
#[derive(Debug)]
pub(crate) struct ServiceStart {
    stage: ServiceStage,
    progress: JobProgress,
    extended_until: Option<Duration>,
    pacing: Pacing,
    /// Outcomes that are not sent yet: two at most.
    outcomes: VecDeque<EventCommand>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServiceStage {
    Starting,
    Failed,
    Started,
}

/// An event to send.
#[derive(Debug, PartialEq)]
pub(crate) enum Outgoing {
    Report(EventCommand),
    Outcome(EventCommand),
}

impl ServiceStart {
    pub(crate) fn new() -> Self {
        Self {
            stage: ServiceStage::Starting,
            progress: JobProgress::default(),
            extended_until: None,
            pacing: Pacing::new(RepeatPolicy::Until(Duration::ZERO)),
            outcomes: VecDeque::new(),
        }
    }

    /// Handles a notification; `last` summarizes the service's standard error.
    pub(crate) fn on_notification(
        &mut self,
        notification: &Notification,
        last: &OutputSummary,
        now: Duration,
    ) {
        match self.stage {
            ServiceStage::Started => return,
            ServiceStage::Starting => {}
            ServiceStage::Failed if notification.is_ready => {}
            ServiceStage::Failed => return,
        }
        let has_percent = self.apply_status(notification);
        if notification.is_ready {
            let text = notification.status.as_deref().unwrap_or_default();
            self.stage = ServiceStage::Started;
            self.outcomes.push_back(EventCommand::started_ok(text));
            return;
        }
        let error = [notification.errno.map(errno::describe), notification.bus_error.clone()];
        if error.iter().any(Option::is_some) {
            self.fail(error.into_iter().flatten(), last, "");
            return;
        }
        if notification.is_stopping {
            self.fail([], last, "stops before it was ready");
            return;
        }
        if let Some(extended_by) = notification.extension {
            let until = now.saturating_add(extended_by);
            self.extended_until = Some(until);
            self.pacing.repeats = RepeatPolicy::Until(until);
        }
        let is_extended = self.extended_until.is_some_and(|until| now < until);
        let has_status = notification.status.is_some();
        if notification.extension.is_some() || has_percent || is_extended && has_status {
            self.pacing.set_progress(self.progress.clone());
        }
    }

    /// Applies the status text; returns whether it had a percentage.
    fn apply_status(&mut self, notification: &Notification) -> bool {
        let status = notification.status.as_ref().map(|status| status.as_bytes());
        let Some(parsed) = status.and_then(progress_line::parse) else { return false };
        if let Some(text) = parsed.text {
            self.progress.text = text;
        }
        self.progress.percent = parsed.progress.or(self.progress.percent);
        parsed.progress.is_some()
    }

    /// The service ended, or could not be started; `how` describes it.
    pub(crate) fn on_exit(&mut self, how: &str, last: &OutputSummary) {
        match self.stage {
            ServiceStage::Starting => self.fail([], last, how),
            ServiceStage::Failed | ServiceStage::Started => {}
        }
    }

    fn fail(&mut self, error: impl IntoIterator<Item = String>, last: &OutputSummary, how: &str) {
        let known = [self.progress.text.clone()].into_iter().chain(error);
        let mut known = known.chain([last.last_line.clone()]).filter(|part| !part.is_empty());
        let first = known.next().unwrap_or_else(|| failure_reason::NO_OUTPUT_REASON.to_owned());
        let remarks = known.chain(failure_reason::first_error(last)).chain([how.to_owned()]);
        let remarks: Vec<_> = remarks.collect();
        let reason = failure_reason::with_remarks(&first, &remarks);
        self.stage = ServiceStage::Failed;
        self.outcomes.push_back(EventCommand::start_failed(&reason));
    }

    /// The event that is due `now`; it counts as sent. An outcome precedes earlier reports.
    pub(crate) fn poll(&mut self, now: Duration) -> Option<Outgoing> {
        if let Some(outcome) = self.outcomes.pop_front() {
            return Some(Outgoing::Outcome(outcome));
        }
        if self.stage != ServiceStage::Starting {
            return None;
        }
        let DueReport { progress: JobProgress { percent, text }, repeated } =
            self.pacing.poll(now)?;
        let rest = self.extended_until.and_then(|until| until.checked_sub(now));
        let promise =
            rest.unwrap_or(REPORT_DEADLINE_MAX).clamp(REPORT_DEADLINE_MIN, REPORT_DEADLINE_MAX);
        Some(Outgoing::Report(EventCommand::maintenance(percent, &text, promise, repeated)))
    }

    /// The last event was replied to.
    pub(crate) fn completed(&mut self, now: Duration) {
        self.pacing.completed(now);
    }

    /// When [`Self::poll`] will return an event; `None`: not before something happens.
    pub(crate) fn due_at(&self) -> Option<Duration> {
        if !self.outcomes.is_empty() {
            return Some(Duration::ZERO);
        }
        match self.stage {
            ServiceStage::Starting => self.pacing.due_at(),
            ServiceStage::Failed | ServiceStage::Started => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::notification::parse;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn notify(start: &mut ServiceStart, datagram: &str, second: u64) -> Option<Outgoing> {
        start.on_notification(&parse(datagram.as_bytes()), &"".into(), at(second));
        start.poll(at(second))
    }

    fn report(percent: Option<u8>, text: &str, promise: u64, repeated: bool) -> Option<Outgoing> {
        Some(Outgoing::Report(EventCommand::maintenance(percent, text, at(promise), repeated)))
    }

    fn failed(reason: &str) -> Option<Outgoing> {
        Some(Outgoing::Outcome(EventCommand::start_failed(reason)))
    }

    #[test]
    fn a_service_that_is_ready_at_once_sends_one_event() {
        let mut start = ServiceStart::new();
        assert_eq!((start.due_at(), start.poll(at(0))), (None, None));
        assert_eq!(
            notify(&mut start, "READY=1", 1),
            Some(Outgoing::Outcome(EventCommand::started_ok("")))
        );
        for later in
            ["READY=1", "STATUS=5 %", "EXTEND_TIMEOUT_USEC=9000000", "ERRNO=5", "STOPPING=1"]
        {
            assert_eq!(notify(&mut start, later, 2), None, "{later}");
        }
        start.on_exit("exit status 1", &"".into());
        assert_eq!((start.due_at(), start.poll(at(99))), (None, None));
    }

    #[test]
    fn reports_repeat_during_an_extension_and_promise_its_rest() {
        let mut start = ServiceStart::new();
        let recovery = "STATUS=To recover: 146 pages\nEXTEND_TIMEOUT_USEC=30000000";
        let text = "To recover: 146 pages";
        assert_eq!(notify(&mut start, recovery, 5), report(None, text, 30, false));
        assert_eq!(start.due_at(), Some(at(15)));
        assert_eq!(start.poll(at(15)), report(None, text, 20, true));
        assert_eq!(start.poll(at(25)), report(None, text, 10, true));
        assert_eq!((start.due_at(), start.poll(at(99))), (None, None), "the rest is silence");
        // The service itself repeats its status, with an extension longer than a report deadline
        // may be.
        let again = "EXTEND_TIMEOUT_USEC=3600000000";
        assert_eq!(notify(&mut start, again, 100), report(None, text, 60, false));
        assert_eq!(start.poll(at(110)), report(None, text, 60, true));
        // A status alone is news during an extension.
        assert_eq!(
            notify(&mut start, "STATUS=rolling back", 111),
            report(None, "rolling back", 60, false)
        );
        let ready = "READY=1\nSTATUS=Taking your SQL requests now...";
        let started = EventCommand::started_ok("Taking your SQL requests now...");
        assert_eq!(notify(&mut start, ready, 112), Some(Outgoing::Outcome(started)));
        assert_eq!(start.poll(at(999)), None);
    }

    #[test]
    fn a_percentage_is_a_report_and_a_bare_status_waits() {
        let mut start = ServiceStart::new();
        assert_eq!(notify(&mut start, "STATUS=Reading the index", 1), None);
        assert_eq!(
            notify(&mut start, "STATUS=34 %", 2),
            report(Some(34), "Reading the index", 60, false)
        );
        assert_eq!(start.due_at(), None, "without an extension nothing is repeated");
        assert_eq!(
            notify(&mut start, "STATUS=66% of file system check", 2),
            None,
            "within a second"
        );
        assert_eq!(start.poll(at(3)), report(Some(66), "of file system check", 60, false));
        let tiny = "EXTEND_TIMEOUT_USEC=1";
        assert_eq!(notify(&mut start, tiny, 4), report(Some(66), "of file system check", 1, false));
    }

    #[test]
    fn each_way_to_fail_has_its_reason() {
        for (datagrams, ended, reason) in [
            (&["ERRNO=28"][..], None, "ENOSPC, No space left on device (last line)"),
            (
                &["STATUS=Opening files", "ERRNO=28"],
                Some("exit status 1"),
                "Opening files (ENOSPC, No space left on device; last line)",
            ),
            (&["BUSERROR=org.example.Full"], None, "org.example.Full (last line)"),
            (&["ERRNO=4095"], None, "errno 4095, Unknown error 4095 (last line)"),
            (&["STOPPING=1"], None, "last line (stops before it was ready)"),
            (&[], Some("exit status 1"), "last line (exit status 1)"),
            (
                &["STATUS=Recovering"],
                Some("killed by SIGKILL"),
                "Recovering (last line; killed by SIGKILL)",
            ),
        ] {
            let mut start = ServiceStart::new();
            for datagram in datagrams {
                start.on_notification(&parse(datagram.as_bytes()), &"last line".into(), at(0));
            }
            if let Some(how) = ended {
                start.on_exit(how, &"last line".into());
            }
            assert_eq!(start.due_at(), Some(at(0)));
            assert_eq!(start.poll(at(0)), failed(reason));
            assert_eq!(start.poll(at(0)), None, "once");
        }
        let mut start = ServiceStart::new();
        start.on_exit("exit status 0", &"".into());
        assert_eq!(start.poll(at(0)), failed("Failed to Start (exit status 0)"));
    }

    #[test]
    fn a_failed_service_may_become_ready() {
        let mut start = ServiceStart::new();
        start.on_notification(&parse(b"ERRNO=5"), &"".into(), at(0));
        start.on_notification(
            &parse(b"STATUS=5 %\nEXTEND_TIMEOUT_USEC=9000000"),
            &"".into(),
            at(0),
        );
        start.on_notification(&parse(b"READY=1"), &"".into(), at(1));
        assert_eq!(start.poll(at(1)), failed("EIO, Input/output error"));
        assert_eq!(start.poll(at(1)), Some(Outgoing::Outcome(EventCommand::started_ok(""))));
        assert_eq!(start.poll(at(9)), None);
    }
}
