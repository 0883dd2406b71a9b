//! Shortens all waits of a process once it is asked to stop.
//!
//! Guarantees that every wait then ends in bounded time, in the same way as at its deadline, so
//! that an event goes into the spool and is not lost with the process. Does not know who asks to
//! stop.

use std::time::Duration;

use grid_broker::clock::monotonic_now;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How much longer a reply is awaited after a stop request. Service managers kill after 10 s
/// (containers) or more, and network and disk are still available in the first seconds of a
/// shutdown.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// The common limit of all waits of one process.
#[derive(Debug, Default)]
pub(crate) struct StopDeadline {
    /// No wait is longer than this, whatever its deadline.
    latest: watch::Sender<Option<Instant>>,
}

impl StopDeadline {
    /// Starts the limit: vme was asked to stop. Further requests change nothing.
    pub(crate) fn start(&self) {
        self.latest.send_if_modified(|latest| {
            let is_first = latest.is_none();
            latest.get_or_insert_with(|| monotonic_now() + STOP_WITHIN);
            is_first
        });
    }

    /// Whether the limit has passed after a stop request.
    pub(crate) fn is_expired(&self) -> bool {
        self.latest.borrow().is_some_and(|latest| monotonic_now() >= latest)
    }

    pub(crate) fn is_past(&self, deadline: Instant) -> bool {
        self.is_expired() || monotonic_now() >= deadline
    }

    /// The result of the work; `None` if the deadline or the limit passes first.
    pub(crate) async fn run_until<T>(
        &self,
        deadline: Instant,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.expired(deadline) => None,
        }
    }

    async fn expired(&self, deadline: Instant) {
        let mut latest = self.latest.subscribe();
        loop {
            let until = latest.borrow_and_update().map_or(deadline, |latest| latest.min(deadline));
            tokio::select! {
                () = sleep_until(until) => return,
                // The sender is our own, so it does not end.
                _ = latest.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_request_shortens_every_wait() {
        let limit = StopDeadline::default();
        let soon = || monotonic_now() + Duration::from_millis(20);
        let silence = std::future::pending::<()>;
        assert_eq!(limit.run_until(soon(), async { 7 }).await, Some(7));
        let deadline = soon();
        assert_eq!(limit.run_until(deadline, silence()).await, None);
        assert!(limit.is_past(deadline) && !limit.is_expired());

        let begun = monotonic_now();
        let repeated_requests = async {
            loop {
                limit.start();
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        let far = begun + Duration::from_secs(60);
        assert_eq!(limit.run_until(far, repeated_requests).await, None::<()>);
        assert!(begun.elapsed() >= STOP_WITHIN);
        assert!(limit.is_expired() && limit.is_past(far));
    }
}
