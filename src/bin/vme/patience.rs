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
const HURRIED_WITHIN: Duration = Duration::from_secs(2);

/// The common limit of all waits of one process.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    /// No wait is longer than this, whatever its deadline.
    latest: watch::Sender<Option<Instant>>,
}

impl Patience {
    /// Starts the limit: vme was asked to stop. Further requests change nothing.
    pub(crate) fn hurry(&self) {
        self.latest.send_if_modified(|latest| {
            let is_first = latest.is_none();
            latest.get_or_insert_with(|| monotonic_now() + HURRIED_WITHIN);
            is_first
        });
    }

    /// Whether the limit has passed after a stop request.
    pub(crate) fn is_cut(&self) -> bool {
        self.latest.borrow().is_some_and(|latest| monotonic_now() >= latest)
    }

    pub(crate) fn is_over(&self, deadline: Instant) -> bool {
        self.is_cut() || monotonic_now() >= deadline
    }

    /// The result of the work; `None` if the deadline or the limit passes first.
    pub(crate) async fn in_time<T>(
        &self,
        deadline: Instant,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.over(deadline) => None,
        }
    }

    async fn over(&self, deadline: Instant) {
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
    async fn who_is_told_to_end_waits_a_little_longer_and_no_more() {
        let limit = Patience::default();
        let soon = || monotonic_now() + Duration::from_millis(20);
        let silence = std::future::pending::<()>;
        assert_eq!(limit.in_time(soon(), async { 7 }).await, Some(7));
        let deadline = soon();
        assert_eq!(limit.in_time(deadline, silence()).await, None);
        assert!(limit.is_over(deadline) && !limit.is_cut());

        let begun = monotonic_now();
        let repeated_requests = async {
            loop {
                limit.hurry();
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        let far = begun + Duration::from_secs(60);
        assert_eq!(limit.in_time(far, repeated_requests).await, None::<()>);
        assert!(begun.elapsed() >= HURRIED_WITHIN);
        assert!(limit.is_cut() && limit.is_over(far));
    }
}
