//! What the test crates share: starting the real programs, sessions with them, waiting, random
//! numbers, and the oracle.
//!
//! Guarantees that each program it started ends with the test, that every wait has a deadline, and
//! that what a broker said is shown when its test fails. Does not know what is tested. What one crate
//! alone needs is in that crate.

#![allow(dead_code, unused_imports, reason = "each test crate uses a part of it")]

mod asking;
mod folders;
mod gridd;
mod namespace;
mod notify;
pub(crate) mod oracle;
mod preload;
mod programs;
mod random;
mod session;
#[path = "../../src/small_disk.rs"]
mod small_disk;
#[path = "../../src/test_timeout.rs"]
mod test_timeout;

use std::time::Duration;

use grid_broker::clock::monotonic_now;

pub(crate) use folders::{copy_folder, files_below, scratch};
pub(crate) use gridd::{Gridd, Launch, Setup, Variables, gridd_alone};
pub(crate) use namespace::Namespace;
pub(crate) use notify::Notified;
pub(crate) use preload::compiled;
pub(crate) use programs::{Follower, Run, clean, lines, run, run_into};
pub(crate) use random::{Random, count, number, say, seed};
pub(crate) use session::{Hellos, Raw, Session, ack_exceptions, event};
pub(crate) use small_disk::{fill, on_small_disk};
pub(crate) use test_timeout::{scaled, timeout, wait_for};

/// The records of a start: that it started, and with which settings.
pub(crate) const START_RECORDS: usize = 2;

/// How often something is looked at that tells nobody when it changes.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until `look` finds something, or fails the test with `what` was waited for.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = monotonic_now() + timeout();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(monotonic_now() < until, "{what}: not within {} s", timeout().as_secs());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until `condition` holds, or fails the test with `what` was waited for.
pub(crate) async fn holds(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    eventually(what, async || condition().await.then_some(())).await;
}

/// Runs `work` in a runtime of its own, for a test that is to be in another process first.
pub(crate) fn in_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

/// Waits for `future`, or fails the test with `what` was waited for.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(timeout(), future).await {
        Ok(found) => found,
        Err(_) => panic!("{what}: not within {} s", timeout().as_secs()),
    }
}
