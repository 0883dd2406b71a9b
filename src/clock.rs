//! What time is it? The only place that reads the clocks.
//!
//! Told time is the wall clock at start plus the monotonic clock, and never lies behind the last
//! record. Guarantees that it never falls, whatever is done to the wall clock meanwhile. Knows
//! nothing of what the time is needed for.

use std::time::Duration;

use tokio::time::Instant;

use crate::grid::time::Timestamp;

/// Told time. Cheap to copy; all copies tell the same.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    told_at_start: Timestamp,
    started: Instant,
}

impl Clock {
    /// Starts at the wall clock's time, or at `not_before` if that is later; then also says how far
    /// the wall clock lies behind.
    pub fn start(not_before: Timestamp) -> (Self, Option<Duration>) {
        let wall = wall_now();
        let behind = not_before.since(wall);
        let clock = Self { told_at_start: wall.max(not_before), started: monotonic_now() };
        (clock, (!behind.is_zero()).then_some(behind))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.told_at_start.after(self.started.elapsed())
    }

    /// When the monotonic clock will stand at told time `at`.
    pub fn instant(&self, at: Timestamp) -> Instant {
        self.started + at.since(self.told_at_start)
    }
}

/// The wall clock, for what is compared with other hosts or outlives the process.
pub fn wall_now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::EPOCH.after(since_epoch.unwrap_or_default())
}

/// The monotonic clock, for how long something took.
pub fn monotonic_now() -> Instant {
    Instant::now()
}
