//! `vme maintain`: runs a long command and reports its output lines as progress of the start.
//!
//! Guarantees a report at least every 10 s while the command runs and at most one per second,
//! however much it prints and however slow the broker is. Memory is bounded, since only the newest
//! line counts. Does not know the real progress: it trusts the lines.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use grid_broker::clock::monotonic_now;
use grid_broker::event_words::Spoken;
use rustix::process::Signal;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::arguments::MaintainArguments;
use crate::child::{self, End, Group, Running, Signals, StartError, asks_to_end};
use crate::lines::{LastLine, LastWords, Lines};
use crate::output::{Passing, Stream};
use crate::pacing::{Due, Pacing, Progress, Repeats};
use crate::progress_line;
use crate::reason;
use crate::telling::{self, Telling, Trouble, time};
use crate::voice::{Said, Voice};

/// The report deadline of each report: three times the repeat interval, so that a report that is
/// lost, or waits for the broker as long as vme tries by default, does not make the start hung.
const NEXT_REPORT: Duration = Duration::from_secs(30);

/// Runs the command. The exit code is the command's own, or with `--then-report` that of `vme run`.
pub(crate) async fn maintain(arguments: MaintainArguments, voice: &Voice) -> ExitCode {
    let mut signals = Signals::listen();
    let at_work = AtWork::start(&arguments, voice);
    let ended = match at_work {
        Ok(at_work) => Ok(at_work.report(voice, &mut signals, arguments.then_report).await),
        Err(error) => Err(error),
    };
    if arguments.then_report {
        let outcome = match ended {
            Ok(Ended { end, asked: None, .. }) if end.is_good() => Ok(()),
            Ok(Ended { end, asked, last }) => Err(reason::of_a_command(&last, end, asked, None)),
            Err(error) => Err(reason::not_started(&error)),
        };
        return telling::outcome(voice, outcome, &mut signals).await.into();
    }
    match ended {
        Ok(Ended { end, .. }) => end.code().into(),
        Err(error) => {
            crate::tell(&error.to_string());
            error.code().into()
        }
    }
}

/// How the command ended, and the summary of its standard error.
struct Ended {
    end: End,
    asked: Option<Signal>,
    last: LastWords,
}

/// The running command and its outputs.
struct AtWork {
    running: Running,
    group: Group,
    passing: [Passing; 2],
    heard: watch::Receiver<Progress>,
    last: Arc<Mutex<LastLine>>,
}

/// The events of the main loop.
enum Happened {
    Ended(End),
    Heard,
    Said(Said),
    Signal(Signal),
    TimeCame,
}

impl AtWork {
    fn start(arguments: &MaintainArguments, voice: &Voice) -> Result<Self, StartError> {
        let mut command = child::command(&arguments.command, voice.speaker());
        command.stdin(child::stdin());
        let name = std::path::Path::new(&arguments.command[0]).file_name();
        // Without its arguments: they may contain passwords.
        let name = name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (hear, heard) = watch::channel(Progress { percent: None, text: name });
        let last = Arc::new(Mutex::new(LastLine::default()));

        let system = |error| StartError::System("the command's output".to_owned(), error);
        let stdout = Passing::of(&mut command, Stream::Stdout, reading(hear.clone()));
        let (mut read, remember) = (reading(hear), Arc::clone(&last));
        let stderr = Passing::of(&mut command, Stream::Stderr, move |piece| {
            if let Some(piece) = piece {
                remember.lock().unwrap_or_else(PoisonError::into_inner).take(piece);
            }
            read(piece);
        });
        let passing = [stdout.map_err(system)?, stderr.map_err(system)?];
        let (running, group) = Running::start(command)?;
        Ok(Self { running, group, passing, heard, last })
    }

    /// Reports until the command has ended. The newest progress is still sent, unless an outcome
    /// follows.
    async fn report(
        mut self,
        voice: &Voice,
        signals: &mut Signals,
        an_outcome_follows: bool,
    ) -> Ended {
        let started = monotonic_now();
        let mut reports = Reports::new(Telling::new(voice));
        reports.pacing.hear(self.heard.borrow_and_update().clone());
        let mut asked = None;
        let end = loop {
            match self.wait(&mut reports, signals, started).await {
                Happened::Ended(end) => break end,
                Happened::Heard => {
                    reports.pacing.hear_line(self.heard.borrow_and_update().clone());
                }
                Happened::Said(said) => reports.said(&said, started),
                Happened::Signal(signal) => {
                    self.group.forward(signal);
                    asked = asked.or(Some(signal).filter(|signal| asks_to_end(*signal)));
                }
                Happened::TimeCame => {}
            }
        };
        for passing in self.passing {
            passing.finish().await;
        }
        // Both output threads have delivered their progress, or were given up.
        let newest = self.heard.borrow_and_update().clone();
        if newest != *reports.pacing.progress() {
            reports.pacing.hear_line(newest);
        }
        if asked.is_some() {
            voice.hurry();
        }
        reports.finish(voice, signals, started, an_outcome_follows).await;
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).words();
        Ended { end, asked, last }
    }

    async fn wait(
        &mut self,
        reports: &mut Reports<'_>,
        signals: &mut Signals,
        started: Instant,
    ) -> Happened {
        let due = reports.begin_what_is_due(started);
        // After both output threads have ended there is no more progress.
        let heard = async {
            if self.heard.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            end = self.running.ended() => Happened::Ended(end),
            () = heard => Happened::Heard,
            said = reports.telling.done() => Happened::Said(said),
            signal = signals.next() => Happened::Signal(signal),
            () = time(due) => Happened::TimeCame,
        }
    }
}

/// Parses the lines of one output and publishes only the newest progress of a chunk. An unfinished
/// line counts after a short silence: many programs begin a state with a carriage return.
fn reading(hear: watch::Sender<Progress>) -> impl FnMut(Option<&[u8]>) + Send {
    let (mut lines, mut reader) = (Lines::default(), progress_line::Reader::default());
    move |piece| {
        let (mut percent, mut text) = (None, None);
        let mut read = |line: &[u8]| {
            if let Some(told) = reader.read(line) {
                percent = told.progress.or(percent);
                text = told.text.or(text.take());
            }
        };
        match piece {
            Some(piece) => lines.take(piece, read),
            None => read(lines.rest()),
        }
        if percent.is_some() || text.is_some() {
            hear.send_modify(|progress| {
                progress.percent = percent.or(progress.percent);
                if let Some(text) = text {
                    progress.text = text;
                }
            });
        }
    }
}

/// Sends reports to the broker, one at a time.
struct Reports<'v> {
    telling: Telling<'v>,
    pacing: Pacing,
    trouble: Trouble,
}

impl<'v> Reports<'v> {
    fn new(telling: Telling<'v>) -> Self {
        Self { telling, pacing: Pacing::new(Repeats::Always), trouble: Trouble::default() }
    }

    /// Starts the due report, unless one is in progress. Returns when to call it again.
    fn begin_what_is_due(&mut self, started: Instant) -> Option<Instant> {
        // The broker replied that the start is over. It would record this every 10 s in its grid
        // log.
        if !self.telling.is_idle() || self.trouble.is_refused() {
            return None;
        }
        if let Some(Due { progress, repeated }) = self.pacing.take(started.elapsed()) {
            let Progress { percent, text } = progress;
            self.telling.begin(Spoken::maintenance(percent, &text, NEXT_REPORT, repeated));
            return None;
        }
        self.pacing.due_at().map(|due| started + due)
    }

    fn said(&mut self, said: &Said, started: Instant) {
        self.pacing.answered(started.elapsed());
        self.trouble.tell(said);
    }

    /// Finishes the report in progress. Then sends newer progress, unless an outcome follows or a
    /// stop was requested.
    async fn finish(
        &mut self,
        voice: &Voice,
        signals: &mut Signals,
        started: Instant,
        mut is_enough: bool,
    ) {
        loop {
            let wanted = self.pacing.is_fresh() && !is_enough && !self.trouble.is_refused();
            if self.telling.is_idle() && !wanted {
                return;
            }
            let due = if wanted { self.begin_what_is_due(started) } else { None };
            tokio::select! {
                said = self.telling.done() => self.said(&said, started),
                signal = signals.next() => if asks_to_end(signal) {
                    voice.hurry();
                    is_enough = true;
                },
                () = time(due) => {}
            }
        }
    }
}
