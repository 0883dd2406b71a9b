//! Notifies the service manager (`sd_notify(3)`) of readiness, reloads and stops, and its watchdog.
//!
//! Guarantees that nothing is sent unless `NOTIFY_SOCKET` is set, that the watchdog is notified only
//! while the broker loop really runs, and that a service manager that does not read blocks nothing: a
//! separate thread writes to it. Does not know events.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::broker::BrokerHandle;
use crate::clock::monotonic_now;
use crate::tasks;

/// How often a long start asks the service manager for more time.
const EXTEND_INTERVAL: Duration = Duration::from_secs(5);

/// How much more time it asks for.
const EXTEND_BY: Duration = Duration::from_secs(30);

/// A longer start asks for no more time.
const EXTEND_START_MAX: Duration = Duration::from_secs(3_600);

/// The loop has this fraction of the time between two watchdog notifications to respond.
const QUERY_TIMEOUT_DIVISOR: u32 = 2;

/// Messages that may wait for a slow service manager; further ones are dropped.
const MESSAGES_BUFFERED: usize = 16;

/// The service manager. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ServiceManager {
    /// `None`: there is none.
    messages: Option<SyncSender<NotifyMessage>>,
    watchdog: Option<Duration>,
}

/// A message to the service manager.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NotifyMessage {
    Ready(String),
    Reloading,
    Stopping,
    ExtendTimeout(String),
    Watchdog,
}

impl ServiceManager {
    /// Reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn from_environment() -> Self {
        let none = Self { messages: None, watchdog: None };
        if std::env::var_os("NOTIFY_SOCKET").is_none_or(|socket| socket.is_empty()) {
            return none;
        }
        let (words, messages) = sync_channel(MESSAGES_BUFFERED);
        match tasks::spawn_thread("service manager", move || run_sender(&messages)) {
            Ok(_) => Self { messages: Some(words), watchdog: sd_notify::watchdog_enabled() },
            Err(error) => {
                tracing::warn!(%error, "no thread to notify the service manager");
                none
            }
        }
    }

    /// Notifies that gridd serves; `status` is a sentence for people.
    pub fn ready(&self, status: String) {
        self.send(NotifyMessage::Ready(status));
    }

    /// Notifies of a reload; [`Self::ready`] must follow.
    pub fn reloading(&self) {
        self.send(NotifyMessage::Reloading);
    }

    /// Notifies that gridd stops.
    pub fn stopping(&self) {
        self.send(NotifyMessage::Stopping);
    }

    /// Asks for more time until the task is aborted, while a start reads the journal.
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

    /// Notifies the watchdog as long as the loop runs; does nothing without a watchdog.
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
                    tracing::error!(
                        "the broker loop does not respond: the watchdog is not notified"
                    );
                }
            }
        }));
    }

    fn send(&self, message: NotifyMessage) {
        if let Some(words) = &self.messages
            && words.try_send(message).is_err()
        {
            tracing::warn!("the service manager at NOTIFY_SOCKET does not read");
        }
    }
}

fn run_sender(messages: &Receiver<NotifyMessage>) {
    while let Ok(message) = messages.recv() {
        if let Err(error) = notify(&message) {
            tracing::warn!(%error, "the service manager at NOTIFY_SOCKET does not listen");
        }
    }
}

/// Whether the loop responds, or at least makes progress: one that waits for room on a full disk does
/// not respond, and restarting it would not help.
async fn is_loop_alive(broker: &BrokerHandle, within: Duration) -> bool {
    let before = broker.heartbeat();
    let response = tokio::time::timeout(within, broker.query(|_, _| ())).await;
    matches!(response, Ok(Ok(()))) || broker.heartbeat() != before
}

fn notify(message: &NotifyMessage) -> std::io::Result<()> {
    match message {
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
