//! What does systemd, or whoever else started us, hear of how we are? `sd_notify(3)` and the watchdog.
//!
//! Guarantees that nothing is said unless `NOTIFY_SOCKET` is set, that the watchdog is petted only
//! while the broker loop really turns, and that a service manager that does not listen holds nobody
//! up: a thread of its own speaks to it. Knows nothing of events.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::broker::Broker;
use crate::clock::monotonic_now;
use crate::tasks;

/// While a start takes long, the service manager is asked for more time so often.
const EXTEND_EVERY: Duration = Duration::from_secs(5);

/// How much more time is asked for, each time.
const EXTEND_BY: Duration = Duration::from_secs(30);

/// A start that takes longer is not spoken for any more.
const START_WITHIN: Duration = Duration::from_secs(3_600);

/// The loop gets this part of the time between two pets for its answer.
const ANSWER_PART: u32 = 2;

/// Words that may wait for a service manager that is slow; what comes then is not said.
const WORDS_WAITING: usize = 16;

/// Whoever started us. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ServiceManager {
    /// `None`: nobody listens.
    words: Option<SyncSender<Word>>,
    watchdog: Option<Duration>,
}

/// A word for the service manager.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Ready(String),
    Reloading,
    Stopping,
    Extend(String),
    Pet,
}

impl ServiceManager {
    /// As the environment says: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    pub fn of_environment() -> Self {
        let nobody = Self { words: None, watchdog: None };
        if std::env::var_os("NOTIFY_SOCKET").is_none_or(|socket| socket.is_empty()) {
            return nobody;
        }
        let (words, to_say) = sync_channel(WORDS_WAITING);
        match tasks::spawn_thread("service manager", move || speak(&to_say)) {
            Ok(_) => Self { words: Some(words), watchdog: sd_notify::watchdog_enabled() },
            Err(error) => {
                tracing::warn!(%error, "no thread to speak to the service manager");
                nobody
            }
        }
    }

    /// It serves; `status` is a sentence for people.
    pub fn ready(&self, status: String) {
        self.say(Word::Ready(status));
    }

    /// The configuration is being read again; [`Self::ready`] must follow.
    pub fn reloading(&self) {
        self.say(Word::Reloading);
    }

    /// It stops.
    pub fn stopping(&self) {
        self.say(Word::Stopping);
    }

    /// Asks for more time until the task is aborted: a start reads the journal.
    pub fn starts(&self) -> Option<JoinHandle<()>> {
        self.words.as_ref()?;
        let manager = self.clone();
        Some(tasks::spawn("start status", async move {
            let began = monotonic_now();
            let mut ticks = tokio::time::interval(EXTEND_EVERY);
            while began.elapsed() < START_WITHIN {
                ticks.tick().await;
                let seconds = began.elapsed().as_secs();
                manager.say(Word::Extend(format!("reading the journal since {seconds} s")));
            }
        }))
    }

    /// Pets the watchdog for as long as the loop turns; without a watchdog this does nothing.
    pub fn watches(&self, broker: Broker) {
        let Some(limit) = self.watchdog else { return };
        let manager = self.clone();
        drop(tasks::spawn("watchdog", async move {
            let every = limit / 2;
            let mut ticks = tokio::time::interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                if turns(&broker, every / ANSWER_PART).await {
                    manager.say(Word::Pet);
                } else {
                    tracing::error!("the broker loop does not turn: the watchdog is not told");
                }
            }
        }));
    }

    fn say(&self, word: Word) {
        if let Some(words) = &self.words
            && words.try_send(word).is_err()
        {
            tracing::warn!("the service manager at NOTIFY_SOCKET does not read");
        }
    }
}

fn speak(words: &Receiver<Word>) {
    while let Ok(word) = words.recv() {
        if let Err(error) = tell(&word) {
            tracing::warn!(%error, "the service manager at NOTIFY_SOCKET does not listen");
        }
    }
}

/// Whether the loop answers, or has at least gone on: one that waits for room on a full disk
/// answers nobody, and ending it would help nobody.
async fn turns(broker: &Broker, within: Duration) -> bool {
    let before = broker.turns();
    let answer = tokio::time::timeout(within, broker.ask(|_, _| ())).await;
    matches!(answer, Ok(Ok(()))) || broker.turns() != before
}

fn tell(word: &Word) -> std::io::Result<()> {
    match word {
        Word::Ready(status) => {
            sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)])
        }
        Word::Reloading => {
            let now = NotifyState::monotonic_usec_now()?;
            sd_notify::notify(&[NotifyState::Reloading, now])
        }
        Word::Stopping => {
            sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status("stopping")])
        }
        Word::Extend(status) => {
            let more = u32::try_from(EXTEND_BY.as_micros()).unwrap_or(u32::MAX);
            sd_notify::notify(&[NotifyState::ExtendTimeoutUsec(more), NotifyState::Status(status)])
        }
        Word::Pet => sd_notify::notify(&[NotifyState::Watchdog]),
    }
}
