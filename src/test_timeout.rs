//! Defines how long a test waits before it fails, for unit tests and for tests that start programs.
//!
//! Guarantees that a wait ends as soon as its condition is true, so that a generous timeout costs a
//! passing test nothing, and that `GRID_TEST_TIMEOUT_FACTOR` scales all of them: on a machine that
//! does ten things at once every step takes ten times as long. Does not know what is waited for.

use std::time::Duration;

use tokio::time::Instant;

/// The timeout for what should happen at once, on an idle machine.
const BASE_TIMEOUT: Duration = Duration::from_secs(15);

/// The factor, unless the variable overrides it.
const DEFAULT_FACTOR: u32 = 10;

/// The interval at which a condition without notification is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The longest wait for anything that should happen at once.
pub(crate) fn timeout() -> Duration {
    scaled(BASE_TIMEOUT)
}

/// A bound for an idle machine, scaled for a busy one.
pub(crate) fn scaled(bound: Duration) -> Duration {
    bound * factor()
}

/// Waits until `poll` returns something, or fails the test with a message that names `what`.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + timeout();
    loop {
        if let Some(found) = poll() {
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
