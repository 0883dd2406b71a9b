//! What time is it? The only place that reads the clocks.
//!
//! Told time is the wall clock at start plus the monotonic clock, and never lies behind the last
//! record. It follows the wall clock forward (set, or a machine that slept) and goes on by itself
//! when that is set back. Guarantees that it never falls. Knows nothing of what time is needed for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::grid::time::Timestamp;

/// A wall clock that lies so far from told time was set, or the machine slept.
const STEP: Duration = Duration::from_secs(1);

/// Told time. Cheap to clone; all clones tell the same.
#[derive(Clone, Debug)]
pub struct Clock {
    told_at_start: Timestamp,
    started: Instant,
    /// How far told time was moved forward since, in microseconds.
    moved_us: Arc<AtomicU64>,
    /// How far the wall clock was found behind, in microseconds.
    behind_us: Arc<AtomicU64>,
}

/// What was done to the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It went ahead by so much, and told time with it.
    Forward(Duration),
    /// It lies behind told time by so much; told time goes on.
    Back(Duration),
}

impl Clock {
    /// Starts at the wall clock's time, or at `not_before` if that is later; then also says how far
    /// the wall clock lies behind.
    pub fn start(not_before: Timestamp) -> (Self, Option<Duration>) {
        let wall = wall_now();
        let behind = not_before.since(wall);
        let clock = Self {
            told_at_start: wall.max(not_before),
            started: monotonic_now(),
            moved_us: Arc::default(),
            behind_us: Arc::new(AtomicU64::new(micros(behind))),
        };
        (clock, (!behind.is_zero()).then_some(behind))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.told_at_start.after(self.started.elapsed() + self.moved())
    }

    /// When the monotonic clock will stand at told time `at`.
    pub fn instant(&self, at: Timestamp) -> Instant {
        self.started + at.since(self.told_at_start).saturating_sub(self.moved())
    }

    /// Compares told time with the wall clock: follows it forward, and tells once of a step.
    pub fn follow_wall(&self) -> Option<Step> {
        self.follow(wall_now())
    }

    fn follow(&self, wall: Timestamp) -> Option<Step> {
        let now = self.now();
        let ahead = wall.since(now);
        if ahead >= STEP {
            self.moved_us.fetch_add(micros(ahead), Ordering::Relaxed);
            self.behind_us.store(0, Ordering::Relaxed);
            return Some(Step::Forward(ahead));
        }
        let behind = now.since(wall);
        let known = Duration::from_micros(self.behind_us.load(Ordering::Relaxed));
        if behind.abs_diff(known) < STEP {
            return None;
        }
        self.behind_us.store(micros(behind), Ordering::Relaxed);
        (behind > known).then_some(Step::Back(behind))
    }

    fn moved(&self) -> Duration {
        Duration::from_micros(self.moved_us.load(Ordering::Relaxed))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3_600)
    }

    fn is_about(step: Option<Step>, expected: Step) -> bool {
        let near = |one: Duration, other: Duration| one.abs_diff(other) < Duration::from_secs(30);
        match (step, expected) {
            (Some(Step::Forward(one)), Step::Forward(other))
            | (Some(Step::Back(one)), Step::Back(other)) => near(one, other),
            (_, _) => false,
        }
    }

    #[test]
    fn told_time_follows_the_wall_clock_forward_and_says_so_once() {
        let (clock, behind) = Clock::start(Timestamp::EPOCH);
        assert_eq!(behind, None);
        let ahead = wall_now().after(hours(3));
        assert!(is_about(clock.follow(ahead), Step::Forward(hours(3))));
        assert_eq!(clock.follow(ahead), None);
        assert!(clock.now() >= ahead);
        assert!(clock.instant(ahead.after(hours(1))) > monotonic_now());
    }

    #[test]
    fn told_time_never_falls_and_a_clock_set_back_is_told_once() {
        let (clock, _) = Clock::start(Timestamp::EPOCH);
        let before = clock.now();
        let back = wall_now().before(hours(3));
        assert!(is_about(clock.follow(back), Step::Back(hours(3))));
        assert_eq!(clock.follow(back), None);
        assert!(clock.now() >= before);
        assert_eq!(clock.follow(wall_now()), None, "set right again is nothing to tell");
        assert!(is_about(clock.follow(back), Step::Back(hours(3))), "and again it is");
    }

    #[test]
    fn a_start_behind_the_last_record_goes_on_from_there() {
        let last = wall_now().after(hours(2));
        let (clock, behind) = Clock::start(last);
        assert!(behind.is_some_and(|it| it > hours(1)));
        assert!(clock.now() >= last);
        assert_eq!(clock.follow_wall(), None, "the start told it");
    }
}
