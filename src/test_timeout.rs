//! How long a test waits before it fails: one timeout for unit tests and for all that start programs.
//!
//! Guarantees that a wait ends as soon as its condition holds, so that a generous timeout costs a
//! passing test nothing, and that `GRID_TEST_TIMEOUT_FACTOR` stretches all of them: on a machine that
//! does ten things at once every step takes ten times as long. Knows nothing of what is waited for.

use std::time::Duration;

use tokio::time::Instant;

/// What should happen at once has done so by then, on a machine that does nothing else.
const BASE_TIMEOUT: Duration = Duration::from_secs(15);

/// The factor, unless the variable says another one.
const DEFAULT_FACTOR: u32 = 10;

/// How often a condition is looked at that tells nobody when it changes.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The longest wait for anything that should happen at once.
pub(crate) fn timeout() -> Duration {
    scaled(BASE_TIMEOUT)
}

/// A bound that holds on an idle machine, as it is asserted on one that is busy.
pub(crate) fn scaled(bound: Duration) -> Duration {
    bound * factor()
}

/// Waits until `look` finds something, or fails the test with `what` was waited for.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + timeout();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what}: not within {} s", timeout().as_secs());
        std::thread::sleep(POLL_INTERVAL);
    }
}

fn factor() -> u32 {
    let Ok(text) = std::env::var("GRID_TEST_TIMEOUT_FACTOR") else { return DEFAULT_FACTOR };
    let factor = text.parse().ok().filter(|factor| (1..=1_000).contains(factor));
    factor.unwrap_or_else(|| {
        panic!("GRID_TEST_TIMEOUT_FACTOR is `{text}`, not a whole number from 1 to 1000")
    })
}
