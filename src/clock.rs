//! Reads the clocks, as the only file that does, and derives broker time and lived time.
//!
//! Broker time is the time at the start plus what passed since, by a clock that cannot be set and that
//! continues while the machine sleeps. It is shifted, ahead or back, only when the broker follows the
//! wall clock. Lived time is how long the broker was running, and never decreases. Does not know what
//! time is used for, or when the wall clock is followed: see [`wall_clock`].

pub mod wall_clock;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use crate::grid::values::time::{Offset, Timestamp};

/// Broker time and lived time. Cheap to clone; all clones agree.
#[derive(Clone, Debug)]
pub struct Clock {
    started_at: Timestamp,
    /// The kernel's clocks at the start, with sleep and without.
    uptime_at_start: Duration,
    awake_at_start: Duration,
    lived_before: Duration,
    /// How far broker time was shifted since, in microseconds.
    shifted_us: Arc<AtomicI64>,
}

/// When something was received, independent of shifts of broker time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(Duration);

impl Clock {
    /// Starts with broker time `began`; brokers ran on this journal for `lived` before.
    pub fn start(began: Timestamp, lived: Duration) -> Self {
        let (up, awake, moved_us) = (machine_uptime(), awake_time(), Arc::default());
        Self {
            started_at: began,
            uptime_at_start: up,
            awake_at_start: awake,
            lived_before: lived,
            shifted_us: moved_us,
        }
    }

    /// Broker time now.
    pub fn now(&self) -> Timestamp {
        self.at(self.stamp())
    }

    /// A stamp of now.
    pub fn stamp(&self) -> Stamp {
        Stamp(self.elapsed())
    }

    /// Broker time at that stamp, by the clock as it is followed now.
    pub fn at(&self, stamp: Stamp) -> Timestamp {
        let shifted = Offset::from_micros(self.shifted_us.load(Ordering::Relaxed));
        self.started_at.after(stamp.0).shifted_by(shifted)
    }

    /// How long ago the broker started, with sleep of the machine.
    pub fn elapsed(&self) -> Duration {
        machine_uptime().saturating_sub(self.uptime_at_start)
    }

    /// How long brokers ran on this journal, this one included.
    pub fn lived(&self) -> Duration {
        self.lived_before.saturating_add(awake_time().saturating_sub(self.awake_at_start))
    }

    /// How long the machine slept since the start.
    pub fn slept(&self) -> Duration {
        self.elapsed().saturating_sub(awake_time().saturating_sub(self.awake_at_start))
    }

    /// Shifts broker time.
    pub fn shift_by(&self, by: Offset) {
        self.shifted_us.fetch_add(by.as_micros(), Ordering::Relaxed);
    }
}

/// Time since the machine's boot, with sleep. Not by the C library, which a test may intercept.
pub fn machine_uptime() -> Duration {
    read_kernel_clock(ClockId::Boottime)
}

fn awake_time() -> Duration {
    read_kernel_clock(ClockId::Monotonic)
}

fn read_kernel_clock(clock: ClockId) -> Duration {
    let at = clock_gettime(clock);
    let seconds = u64::try_from(at.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(at.tv_nsec).unwrap_or(0))
}

/// The wall clock, for times that are compared with other hosts or outlive the process.
pub fn wall_now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::EPOCH.after(since_epoch.unwrap_or_default())
}

/// The monotonic clock, for how long something took.
pub fn monotonic_now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_shifts_with_broker_time_and_lived_time_does_not() {
        let began = Timestamp::EPOCH.after(Duration::from_secs(1_000_000));
        let clock = Clock::start(began, Duration::from_secs(5));
        let (stamp, lived) = (clock.stamp(), clock.lived());
        let before = clock.at(stamp);
        assert!(before >= began);
        for by in [-3_600_000_000, 7_200_000_000] {
            clock.shift_by(Offset::from_micros(by));
        }
        assert_eq!(clock.at(stamp), before.after(Duration::from_secs(3_600)));
        assert!(lived >= Duration::from_secs(5) && clock.lived() < Duration::from_secs(3_600));
    }
}
