//! `vme notify`: runs a service that speaks systemd's notification protocol, and reports its start.
//!
//! Guarantees that the service's notifications reach the broker and our own service manager, and
//! never delay the service. After the start it stays the parent: it forwards signals and
//! notifications, and ends as the service does. Does not know which service it is.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use grid_broker::clock::monotonic_now;
use grid_broker::show::escape;
use grid_broker::system_error::Explained;
use rustix::process::Signal;
use tokio::time::Instant;

use crate::arguments::NotifyArguments;
use crate::child::{self, End, Running, Signals, asks_to_end, signal_name};
use crate::lines::{LastLine, LastWords};
use crate::notification;
use crate::notify_socket::{Inbox, Manager, watchdog};
use crate::output::{Passing, Stream};
use crate::service_start::{ServiceStart, Word};
use crate::telling::{Telling, Trouble, time};
use crate::voice::{Said, Voice};

/// Datagrams that are read after the service has ended.
const LAST_WORDS_MAX: usize = 1_000;

/// Runs the service; the exit code is the service's own.
pub(crate) async fn notify(arguments: NotifyArguments, voice: &Voice) -> ExitCode {
    let mut signals = Signals::listen();
    let mut start = Start::new(voice);
    let code = match start.run(&arguments, &mut signals).await {
        Ok(end) => end.code(),
        Err(NotStarted { why, code }) => {
            start.service.ended(&why, &LastWords::default());
            code
        }
    };
    start.finish(&mut signals).await;
    code.into()
}

/// The service could not be started.
struct NotStarted {
    why: String,
    code: u8,
}

impl NotStarted {
    fn new(why: impl ToString) -> Self {
        Self { why: why.to_string(), code: 126 }
    }
}

/// Creates the service's socket in the first usable folder. If there is none, reports it; the
/// service is started anyway.
fn inbox(folders: [&Path; 2]) -> Option<Inbox> {
    for folder in folders {
        match Inbox::new(folder) {
            Ok(inbox) => return Some(inbox),
            Err(error) => {
                let folder = escape::excerpt(&folder.to_string_lossy());
                crate::tell(&format!(
                    "no socket for the service in {folder}: {}",
                    Explained(&error)
                ));
            }
        }
    }
    crate::tell(
        "this start is not reported to the broker: there is no socket for notifications; the \
         service is started anyway",
    );
    None
}

/// The events of the main loop.
enum Happened {
    Heard(notification::Notification),
    ManagerListens,
    Ended(End),
    Said(Said),
    Signal(Signal),
    TimeCame,
}

/// The running service and the reports of its start.
struct Start<'v> {
    voice: &'v Voice,
    telling: Telling<'v>,
    trouble: Trouble,
    service: ServiceStart,
    began: Instant,
    /// The event in progress is an outcome, whose result is always printed.
    says_outcome: bool,
}

impl<'v> Start<'v> {
    fn new(voice: &'v Voice) -> Self {
        Self {
            voice,
            telling: Telling::new(voice),
            trouble: Trouble::default(),
            service: ServiceStart::new(),
            began: monotonic_now(),
            says_outcome: false,
        }
    }

    async fn run(
        &mut self,
        arguments: &NotifyArguments,
        signals: &mut Signals,
    ) -> Result<End, NotStarted> {
        let variable = |name: &str| std::env::var_os(name);
        let mut manager = Manager::of_environment(variable("NOTIFY_SOCKET").as_deref());
        let mut inbox = inbox([&std::env::temp_dir(), &self.voice.speaker().state]);
        let mut command = child::command(&arguments.command, self.voice.speaker());
        command.stdin(child::stdin());
        // Without a socket it may still notify our own service manager.
        if let Some(inbox) = &inbox {
            command.env("NOTIFY_SOCKET", inbox.name());
        }
        let pid = variable("WATCHDOG_PID");
        command.env_remove("WATCHDOG_PID").env_remove("WATCHDOG_USEC");
        if let Some(time) = watchdog(variable("WATCHDOG_USEC"), pid.as_deref(), &manager) {
            command.env("WATCHDOG_USEC", time);
        }
        let last = Arc::new(Mutex::new(LastLine::default()));
        let hearing = Arc::clone(&last);
        let stderr = Passing::of(&mut command, Stream::Stderr, move |piece| {
            if let Some(piece) = piece {
                hearing.lock().unwrap_or_else(PoisonError::into_inner).take(piece);
            }
        });
        let stderr = stderr.map_err(NotStarted::new)?;
        let last_line = || last.lock().unwrap_or_else(PoisonError::into_inner).words();
        let (mut running, group) = Running::start(command)
            .map_err(|error| NotStarted { code: error.code(), ..NotStarted::new(&error) })?;

        let mut asked = None;
        let end = loop {
            match self.wait(&mut inbox, &mut manager, &mut running, signals).await {
                Happened::Heard(said) => {
                    self.service.hear(&said, &last_line(), self.began.elapsed());
                    manager.pass_on(&said.passed_on);
                }
                Happened::ManagerListens => {}
                Happened::Ended(end) => break end,
                Happened::Said(said) => self.said(&said),
                Happened::Signal(signal) => {
                    group.forward_to_leader(signal);
                    asked = asked.or(Some(signal).filter(|signal| asks_to_end(*signal)));
                }
                Happened::TimeCame => {}
            }
        };
        stderr.finish().await;
        for _ in 0..LAST_WORDS_MAX {
            let waiting = inbox.as_mut().and_then(Inbox::waiting);
            let Some(said) = waiting.map(notification::read) else { break };
            self.service.hear(&said, &last_line(), self.began.elapsed());
            manager.pass_on(&said.passed_on);
        }
        let how = match asked {
            Some(signal) => {
                self.voice.hurry();
                format!("stopped by {}", signal_name(signal.as_raw()))
            }
            None => end.words(),
        };
        // Without a socket it may have been ready for long.
        if inbox.is_some() {
            self.service.ended(&how, &last_line());
        }
        Ok(end)
    }

    async fn wait(
        &mut self,
        inbox: &mut Option<Inbox>,
        manager: &mut Manager,
        running: &mut Running,
        signals: &mut Signals,
    ) -> Happened {
        let due = self.begin_what_is_due();
        let heard = async {
            match inbox {
                Some(inbox) => inbox.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            datagram = heard => Happened::Heard(notification::read(datagram)),
            () = manager.listens_again() => Happened::ManagerListens,
            end = running.ended() => Happened::Ended(end),
            said = self.telling.done() => Happened::Said(said),
            signal = signals.next() => Happened::Signal(signal),
            () = time(due) => Happened::TimeCame,
        }
    }

    /// Starts to send the next event, unless one is in progress. Returns when to call it again.
    fn begin_what_is_due(&mut self) -> Option<Instant> {
        if !self.telling.is_idle() {
            return None;
        }
        match self.service.take(self.began.elapsed()) {
            Some(Word::Outcome(spoken)) => {
                self.says_outcome = true;
                self.telling.begin(spoken);
                None
            }
            // The broker replied that the start is over.
            Some(Word::Report(_)) if self.trouble.is_refused() => self.next_due(),
            Some(Word::Report(spoken)) => {
                self.says_outcome = false;
                self.telling.begin(spoken);
                None
            }
            None => self.next_due(),
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.service.due_at().map(|due| self.began + due)
    }

    fn said(&mut self, said: &Said) {
        self.service.answered(self.began.elapsed());
        if self.says_outcome {
            crate::tell(&said.line);
        } else {
            self.trouble.tell(said);
        }
    }

    /// Sends the remaining outcomes; the start is over, so there are no more reports.
    async fn finish(&mut self, signals: &mut Signals) {
        loop {
            let due = self.begin_what_is_due();
            if self.telling.is_idle() && due.is_none() {
                return;
            }
            tokio::select! {
                said = self.telling.done() => self.said(&said),
                signal = signals.next() => if asks_to_end(signal) {
                    self.voice.hurry();
                },
                () = time(due) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_that_cannot_be_used_is_no_end() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(60));
        std::fs::create_dir(&long).unwrap();
        for unusable in [Path::new("/dev/null/tmp"), &long] {
            let other = inbox([unusable, folder.path()]).unwrap();
            assert!(other.name().starts_with(folder.path()));
            assert!(inbox([unusable, Path::new("/dev/null/vme")]).is_none());
        }
        assert_eq!(std::fs::read_dir(&long).unwrap().count(), 0);
    }
}
