//! Handles clock irregularities: a paused loop, a machine that slept, a wall clock that was set.
//!
//! Guarantees that each leaves a record and causes no decision: every deadline is extended by the time
//! in which the broker received nothing, and all that is pending shifts with broker time. Does not
//! decide when the wall clock is followed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::EventLoop;
use crate::clock::wall_clock::{WallClockFinding, WallClockTracker};
use crate::clock::wall_now;
use crate::grid::log::input::{BrokerPause, Input};
use crate::grid::log::time_shift::TimeShift;
use crate::grid::log::wall_clock_change::WallClockChange;
use crate::grid::occurrence::Occurrence;
use crate::grid::values::time::{Offset, Timestamp};

/// A longer pause extends the deadlines: a paused machine, a stalled disk.
pub(super) const PAUSE_MIN: Duration = Duration::from_secs(2);

/// A shorter sleep is ignored.
const SLEEP_MIN: Duration = Duration::from_secs(1);

/// What the loop knows of the wall clock.
#[derive(Debug)]
pub(super) struct WallClockFollower {
    tracker: WallClockTracker,
    /// Since when times are of the clock as it is followed now.
    era_start: Timestamp,
    /// How long the machine slept, as far as that is recorded.
    recorded_sleep: Duration,
    /// What broker time would have been at the start by the trusted clock, in microseconds.
    trusted_us: Arc<AtomicI64>,
}

impl WallClockFollower {
    /// The state at a start; times from `era` on are of its clock.
    pub(super) fn new(trusted: Timestamp, era: Timestamp) -> Self {
        let trusted_us = Arc::new(AtomicI64::new(trusted.as_micros()));
        Self {
            tracker: WallClockTracker::new(trusted),
            era_start: era,
            recorded_sleep: Duration::ZERO,
            trusted_us,
        }
    }

    /// What broker time would have been at the start by the trusted clock, for the note beside the
    /// journal.
    pub(super) fn trusted_us(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.trusted_us)
    }
}

impl EventLoop {
    /// Extends deadlines by a pause of the loop, in which it could receive nothing.
    pub(super) fn compensate_pause(&mut self, now: Timestamp, lasted: Duration) {
        self.last_turn = now;
        if lasted > PAUSE_MIN {
            tracing::warn!(duration_ms = lasted.as_millis(), "the broker loop could not run");
            self.decide(Input::BrokerPaused { lasted, cause: BrokerPause::ProcessPaused }, now);
        }
    }

    /// Records sleep of the machine and steps of its wall clock, and follows them.
    pub(super) fn follow_wall_clock(&mut self) {
        let slept = self.clock.slept();
        let lasted = slept.saturating_sub(self.wall_clock.recorded_sleep);
        if lasted > SLEEP_MIN {
            self.wall_clock.recorded_sleep = slept;
            tracing::warn!(duration_ms = lasted.as_millis(), "the machine slept");
            self.last_turn = self.clock.now();
            self.record_clock_change(WallClockChange::Slept { lasted });
        }
        let elapsed = self.clock.elapsed();
        let found = self.wall_clock.tracker.compare(self.clock.now(), wall_now(), elapsed);
        match found {
            None => {}
            Some(WallClockFinding::Differs(by)) => {
                let ahead_ms = by.as_micros() / 1_000;
                tracing::warn!(ahead_ms, "the wall clock and broker time differ");
                self.record_clock_change(WallClockChange::Differs { by });
            }
            Some(WallClockFinding::Agrees) => {
                tracing::info!("the wall clock and broker time agree again");
                self.record_clock_change(WallClockChange::Agrees);
            }
            Some(WallClockFinding::Trusted) => {
                tracing::info!("the wall clock stayed stable since it was set, and is trusted");
                self.record_clock_change(WallClockChange::Trusted);
            }
            Some(WallClockFinding::Follow { by, is_confirmed }) => {
                self.shift_clock(by, is_confirmed)
            }
        }
        let other = self.wall_clock.tracker.alternative_offset(self.clock.now(), elapsed);
        self.decide(Occurrence::OtherClock(other), self.clock.now());
        let trusted = self.wall_clock.tracker.trusted_time(Duration::ZERO);
        self.wall_clock.trusted_us.store(trusted.as_micros(), Ordering::Relaxed);
    }

    fn shift_clock(&mut self, by: Offset, is_sure: bool) {
        let ahead_ms = by.as_micros() / 1_000;
        tracing::warn!(ahead_ms, "the wall clock was set: broker time follows it");
        self.clock.shift_by(by);
        self.last_turn = self.last_turn.shifted_by(by);
        self.driver.shift(by);
        let shift = TimeShift { by, from: self.wall_clock.era_start };
        self.wall_clock.era_start = self.wall_clock.era_start.shifted_by(by);
        self.record_clock_change(WallClockChange::Followed { shift, is_confirmed: is_sure });
    }

    fn record_clock_change(&mut self, found: WallClockChange) {
        self.decide(Input::WallClock(found), self.clock.now());
    }
}
