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

use crate::broker::BrokerHandle;
use crate::clock::monotonic_now;
use crate::tasks;

/// While a start takes long, the service manager is asked for more time so often.
const EXTEND_INTERVAL: Duration = Duration::from_secs(5);

/// How much more time is asked for, each time.
const EXTEND_BY: Duration = Duration::from_secs(30);

/// A start that takes longer is not spoken for any more.
const EXTEND_START_MAX: Duration = Duration::from_secs(3_600);

/// The loop gets this part of the time between two pets for its answer.
const QUERY_TIMEOUT_DIVISOR: u32 = 2;

/// Words that may wait for a service manager that is slow; what comes then is not said.
const MESSAGES_BUFFERED: usize = 16;

/// Whoever started us. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ServiceManager {
    /// `None`: nobody listens.
    messages: Option<SyncSender<NotifyMessage>>,
    watchdog: Option<Duration>,
}

/// A word for the service manager.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NotifyMessage {
    Ready(String),
    Reloading,
    Stopping,
    ExtendTimeout(String),
    Watchdog,
}

impl ServiceManager {
    /// As the environment says: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    pub fn from_environment() -> Self {
        let nobody = Self { messages: None, watchdog: None };
        if std::env::var_os("NOTIFY_SOCKET").is_none_or(|socket| socket.is_empty()) {
            return nobody;
        }
        let (words, to_say) = sync_channel(MESSAGES_BUFFERED);
        match tasks::spawn_thread("service manager", move || run_sender(&to_say)) {
            Ok(_) => Self { messages: Some(words), watchdog: sd_notify::watchdog_enabled() },
            Err(error) => {
                tracing::warn!(%error, "no thread to speak to the service manager");
                nobody
            }
        }
    }

    /// It serves; `status` is a sentence for people.
    pub fn ready(&self, status: String) {
        self.send(NotifyMessage::Ready(status));
    }

    /// The configuration is being read again; [`Self::ready`] must follow.
    pub fn reloading(&self) {
        self.send(NotifyMessage::Reloading);
    }

    /// It stops.
    pub fn stopping(&self) {
        self.send(NotifyMessage::Stopping);
    }

    /// Asks for more time until the task is aborted: a start reads the journal.
    pub fn extend_start(&self) -> Option<JoinHandle<()>> {
        self.messages.as_ref()?;
        let manager = self.clone();
        Some(tasks::spawn("start status", async move {
            let began = monotonic_now();
            let mut ticks = tokio::time::interval(EXTEND_INTERVAL);
            while began.elapsed() < EXTEND_START_MAX {
                ticks.tick().await;
                let seconds = began.elapsed().as_secs();
                manager.send(NotifyMessage::ExtendTimeout(format!(
                    "reading the journal since {seconds} s"
                )));
            }
        }))
    }

    /// Pets the watchdog for as long as the loop turns; without a watchdog this does nothing.
    pub fn ping_watchdog(&self, broker: BrokerHandle) {
        let Some(limit) = self.watchdog else { return };
        let manager = self.clone();
        drop(tasks::spawn("watchdog", async move {
            let every = limit / 2;
            let mut ticks = tokio::time::interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                if is_loop_alive(&broker, every / QUERY_TIMEOUT_DIVISOR).await {
                    manager.send(NotifyMessage::Watchdog);
                } else {
                    tracing::error!("the broker loop does not turn: the watchdog is not told");
                }
            }
        }));
    }

    fn send(&self, word: NotifyMessage) {
        if let Some(words) = &self.messages
            && words.try_send(word).is_err()
        {
            tracing::warn!("the service manager at NOTIFY_SOCKET does not read");
        }
    }
}

fn run_sender(words: &Receiver<NotifyMessage>) {
    while let Ok(word) = words.recv() {
        if let Err(error) = notify(&word) {
            tracing::warn!(%error, "the service manager at NOTIFY_SOCKET does not listen");
        }
    }
}

/// Whether the loop answers, or has at least gone on: one that waits for room on a full disk
/// answers nobody, and ending it would help nobody.
async fn is_loop_alive(broker: &BrokerHandle, within: Duration) -> bool {
    let before = broker.heartbeat();
    let answer = tokio::time::timeout(within, broker.query(|_, _| ())).await;
    matches!(answer, Ok(Ok(()))) || broker.heartbeat() != before
}

fn notify(word: &NotifyMessage) -> std::io::Result<()> {
    match word {
        NotifyMessage::Ready(status) => {
            sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)])
        }
        NotifyMessage::Reloading => {
            let now = NotifyState::monotonic_usec_now()?;
            sd_notify::notify(&[NotifyState::Reloading, now])
        }
        NotifyMessage::Stopping => {
            sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status("stopping")])
        }
        NotifyMessage::ExtendTimeout(status) => {
            let more = u32::try_from(EXTEND_BY.as_micros()).unwrap_or(u32::MAX);
            sd_notify::notify(&[NotifyState::ExtendTimeoutUsec(more), NotifyState::Status(status)])
        }
        NotifyMessage::Watchdog => sd_notify::notify(&[NotifyState::Watchdog]),
    }
}
