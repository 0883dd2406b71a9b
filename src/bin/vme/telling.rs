//! Sends events in the background of a command, and reports their results.
//!
//! Guarantees that one event is in progress at a time, in the order of the calls, and that an
//! outcome is reported as text and exit code. Does not know why an event is sent.

use std::pin::Pin;

use grid_broker::event_words::Spoken;
use grid_broker::exit_code::ExitCode;
use tokio::time::{Instant, sleep_until};

use crate::child::{Signals, asks_to_end};
use crate::voice::{Said, Voice};

/// An event in progress, or none.
pub(crate) struct Telling<'v> {
    voice: &'v Voice,
    under_way: Option<Pin<Box<dyn Future<Output = Said> + 'v>>>,
}

impl<'v> Telling<'v> {
    pub(crate) fn new(voice: &'v Voice) -> Self {
        Self { voice, under_way: None }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// Starts to send an event. One that is still in progress is dropped.
    pub(crate) fn begin(&mut self, spoken: Spoken) {
        let voice = self.voice;
        self.under_way = Some(Box::pin(async move { voice.say(&spoken).await }));
    }

    /// Waits for the result; waits for ever if no event is in progress. May be dropped and called
    /// again.
    pub(crate) async fn done(&mut self) -> Said {
        match &mut self.under_way {
            None => std::future::pending().await,
            Some(under_way) => {
                let said = under_way.await;
                self.under_way = None;
                said
            }
        }
    }
}

/// The error of a series of reports: printed when it begins, changes and ends, so that a broker
/// that is away for an hour does not cause 360 lines.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Option<ExitCode>);

impl Trouble {
    /// Prints the result, if the error changed.
    pub(crate) fn tell(&mut self, said: &Said) {
        let trouble = (said.exit_code != ExitCode::Done).then_some(said.exit_code);
        if trouble != self.0 {
            crate::tell(&said.line);
        }
        self.0 = trouble;
    }

    /// The broker's rules refuse this report and, since the start is over, all that follow.
    pub(crate) fn is_refused(&self) -> bool {
        self.0 == Some(ExitCode::Refused)
    }
}

/// Waits until this time, or for ever.
pub(crate) async fn time(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Sends the outcome of a start, and prints the result. The exit code of a good start is the result
/// of reporting it, that of a failed start is 1. A stop request shortens the wait: the event then
/// waits in the spool.
pub(crate) async fn outcome(
    voice: &Voice,
    outcome: Result<(), String>,
    signals: &mut Signals,
) -> ExitCode {
    let is_good = outcome.is_ok();
    let spoken = match &outcome {
        Ok(()) => Spoken::started_ok(""),
        Err(reason) => Spoken::start_failed(reason),
    };
    let mut telling = Telling::new(voice);
    telling.begin(spoken);
    let code = loop {
        tokio::select! {
            said = telling.done() => {
                crate::tell(&said.line);
                break said.exit_code;
            }
            signal = signals.next() => if asks_to_end(signal) {
                voice.hurry();
            }
        }
    };
    if let Err(reason) = &outcome {
        crate::tell(&format!("the start failed: {}", grid_broker::show::escape::escape(reason)));
    }
    if is_good { code } else { ExitCode::Failed }
}
