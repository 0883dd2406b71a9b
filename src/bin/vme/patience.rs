//! How long is an answer waited for? Until a call's deadline, or shorter once vme is told to end.
//!
//! Guarantees that what waits by it ends in bounded time then, and by the same way as at the deadline,
//! so that an event goes into the spool and not with the process. Does not know who tells us to end.

use std::time::Duration;

use grid_broker::clock::monotonic_now;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Told to end, an answer is waited for so much longer. Whoever stops us kills after 10 s (containers)
/// or more, and network and disk are still there in the first seconds of a shutdown.
const HURRIED_WITHIN: Duration = Duration::from_secs(2);

/// The patience of all that is said by one process.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    /// Nothing is waited for any longer, whatever its deadline.
    latest: watch::Sender<Option<Instant>>,
}

impl Patience {
    /// vme is told to end. That it is told so again changes nothing.
    pub(crate) fn hurry(&self) {
        self.latest.send_if_modified(|latest| {
            let is_news = latest.is_none();
            latest.get_or_insert_with(|| monotonic_now() + HURRIED_WITHIN);
            is_news
        });
    }

    /// Whether it is over because vme was told to end.
    pub(crate) fn is_cut(&self) -> bool {
        self.latest.borrow().is_some_and(|latest| monotonic_now() >= latest)
    }

    pub(crate) fn is_over(&self, deadline: Instant) -> bool {
        self.is_cut() || monotonic_now() >= deadline
    }

    /// What the work gives; none if it is over before that.
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
        let patience = Patience::default();
        let soon = || monotonic_now() + Duration::from_millis(20);
        let silence = std::future::pending::<()>;
        assert_eq!(patience.in_time(soon(), async { 7 }).await, Some(7));
        let deadline = soon();
        assert_eq!(patience.in_time(deadline, silence()).await, None);
        assert!(patience.is_over(deadline) && !patience.is_cut());

        let begun = monotonic_now();
        let told_again_and_again = async {
            loop {
                patience.hurry();
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        let far = begun + Duration::from_secs(60);
        assert_eq!(patience.in_time(far, told_again_and_again).await, None::<()>);
        assert!(begun.elapsed() >= HURRIED_WITHIN);
        assert!(patience.is_cut() && patience.is_over(far));
    }
}
