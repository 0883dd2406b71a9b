//! How do commands say what they have to say while something else goes on?
//!
//! Guarantees one event under way at a time, in the order it was begun, and an outcome that is told to
//! people and as an exit code. Does not know why it is said.

use std::pin::Pin;

use grid_broker::event_words::Spoken;
use grid_broker::exit_code::ExitCode;
use tokio::time::{Instant, sleep_until};

use crate::child::{Signals, asks_to_end};
use crate::voice::{Said, Voice};

/// An event under way, or none.
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

    /// Begins to say it. One that is still under way is given up.
    pub(crate) fn begin(&mut self, spoken: Spoken) {
        let voice = self.voice;
        self.under_way = Some(Box::pin(async move { voice.say(&spoken).await }));
    }

    /// Waits for what becomes of it: without end if there is none. May be dropped and called again.
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

/// What is wrong with reports that follow each other: told when it begins, changes and is over, so
/// that a broker that is away for an hour is no reason for 360 lines.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Option<ExitCode>);

impl Trouble {
    /// Tells it, if that is news.
    pub(crate) fn tell(&mut self, said: &Said) {
        let trouble = (said.exit_code != ExitCode::Done).then_some(said.exit_code);
        if trouble != self.0 {
            crate::tell(&said.line);
        }
        self.0 = trouble;
    }

    /// The broker's rules say no: to this report and, the start being over, to all that follow.
    pub(crate) fn is_refused(&self) -> bool {
        self.0 == Some(ExitCode::Refused)
    }
}

/// Waits for that moment, or without end.
pub(crate) async fn time(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Says how a start ended, and tells what became of that. The exit code is the broker's answer to a
/// good start, and 1 for a start that failed, whatever was answered. A signal that asks for an end
/// makes it short: the event waits in the spool then.
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
