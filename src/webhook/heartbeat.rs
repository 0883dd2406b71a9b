//! Sends a heartbeat to a URL while the broker is well, for a watcher that alarms when it stays away.
//!
//! Guarantees that nothing is sent while the broker does not accept events, and that tracing says why,
//! and when it goes on. Knows nothing of mails and webhooks: they may fail while the broker is well.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::classification::delivery;
use super::client::{TIME_LIMITS, TimeLimits, get};
use super::stopped;
use crate::config::webhook::HeartbeatConfig;
use crate::grid::model::mail_message::Delivery;
use crate::metrics::{Label, Metrics};
use crate::tasks;

/// The effective settings; `None`: no heartbeat.
pub type HeartbeatWatch = watch::Receiver<Option<Arc<HeartbeatConfig>>>;

/// Starts the heartbeat, which ends when `stopping` becomes true. `unready` tells why the broker is not
/// well.
pub fn start_heartbeat<F>(
    config: HeartbeatWatch,
    metrics: Metrics,
    stopping: watch::Receiver<bool>,
    unready: impl Fn() -> F + Send + Sync + 'static,
) -> JoinHandle<()>
where
    F: Future<Output = Option<&'static str>> + Send + 'static,
{
    let heart = Heart { metrics, limits: TIME_LIMITS, last: Beat::Sent };
    tasks::spawn("heartbeat", heart.run(config, stopping, unready))
}

/// What became of one heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Beat {
    Sent,
    /// The watcher did not accept it.
    Failed(Box<str>),
    /// The broker is not well.
    HeldBack(&'static str),
}

struct Heart {
    metrics: Metrics,
    limits: TimeLimits,
    /// What was traced last.
    last: Beat,
}

impl Heart {
    async fn run<F>(
        mut self,
        mut config: HeartbeatWatch,
        mut stopping: watch::Receiver<bool>,
        unready: impl Fn() -> F,
    ) where
        F: Future<Output = Option<&'static str>>,
    {
        let mut next = Instant::now();
        loop {
            let current = config.borrow_and_update().clone();
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => return,
                changed = config.changed() => {
                    if changed.is_err() { return }
                    next = Instant::now();
                }
                () = sleep_until(next), if current.is_some() => {
                    let Some(current) = current else { continue };
                    next += current.interval;
                    let beat = match unready().await {
                        Some(reason) => Beat::HeldBack(reason),
                        None => self.send(&current).await,
                    };
                    self.note(beat);
                    // One that took long is no reason to hurry.
                    next = next.max(Instant::now());
                }
            }
        }
    }

    async fn send(&self, config: &HeartbeatConfig) -> Beat {
        let answer = get(&config.target, self.limits).await;
        match delivery(&config.target.authority, 0, &answer) {
            Delivery::Sent(_) => Beat::Sent,
            Delivery::Deferred(why) | Delivery::Unreachable(why) | Delivery::Refused(why) => {
                Beat::Failed(why)
            }
        }
    }

    /// Counts it, and traces what is new.
    fn note(&mut self, beat: Beat) {
        self.metrics.heartbeat(Label(match &beat {
            Beat::Sent => "sent",
            Beat::Failed(_) => "failed",
            Beat::HeldBack(_) => "held_back",
        }));
        if beat == self.last {
            return;
        }
        match &beat {
            Beat::Sent => tracing::info!("heartbeats are sent again"),
            Beat::Failed(why) => tracing::warn!("the heartbeat was not accepted: {why}"),
            Beat::HeldBack(why) => tracing::warn!("no heartbeat is sent: {why}"),
        }
        self.last = beat;
    }
}
