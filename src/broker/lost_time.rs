//! Handles clock irregularities: a paused loop, a machine that slept, a wall clock that was set.
//!
//! Guarantees that each leaves a record and causes no decision: every deadline is extended by the time
//! in which the broker received nothing, and all that is pending shifts with broker time. Does not
//! decide when the wall clock is followed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::Loop;
use crate::clock::wall_now;
use crate::clock::watch::{Found, Watch};
use crate::grid::occurrence::Occurrence;
use crate::grid::record::{Input, Stall};
use crate::grid::shift::Shift;
use crate::grid::time::{Offset, Timestamp};
use crate::grid::wall_clock::WallClock;

/// A longer pause extends the deadlines: a paused machine, a stalled disk.
pub(super) const LATE_TURN: Duration = Duration::from_secs(2);

/// A shorter sleep is ignored.
const SLEPT: Duration = Duration::from_secs(1);

/// What the loop knows of the wall clock.
#[derive(Debug)]
pub(super) struct Wall {
    watch: Watch,
    /// Since when times are of the clock as it is followed now.
    era: Timestamp,
    /// How long the machine slept, as far as that is recorded.
    slept: Duration,
    /// What broker time would have been at the start by the trusted clock, in microseconds.
    trusted_us: Arc<AtomicI64>,
}

impl Wall {
    /// The state at a start; times from `era` on are of its clock.
    pub(super) fn new(trusted: Timestamp, era: Timestamp) -> Self {
        let trusted_us = Arc::new(AtomicI64::new(trusted.as_micros()));
        Self { watch: Watch::new(trusted), era, slept: Duration::ZERO, trusted_us }
    }

    /// What broker time would have been at the start by the trusted clock, for the note beside the
    /// journal.
    pub(super) fn trusted_us(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.trusted_us)
    }
}

impl Loop {
    /// Extends deadlines by a pause of the loop, in which it could receive nothing.
    pub(super) fn credit_late_turn(&mut self, now: Timestamp, lasted: Duration) {
        self.last_turn = now;
        if lasted > LATE_TURN {
            tracing::warn!(duration_ms = lasted.as_millis(), "the broker loop could not run");
            self.take(Input::BrokerStalled { lasted, cause: Stall::LateTurn }, now);
        }
    }

    /// Records sleep of the machine and steps of its wall clock, and follows them.
    pub(super) fn follow_wall(&mut self) {
        let slept = self.clock.slept();
        let lasted = slept.saturating_sub(self.wall.slept);
        if lasted > SLEPT {
            self.wall.slept = slept;
            tracing::warn!(duration_ms = lasted.as_millis(), "the machine slept");
            self.last_turn = self.clock.now();
            self.take_clock(WallClock::Slept { lasted });
        }
        let elapsed = self.clock.elapsed();
        let found = self.wall.watch.look(self.clock.now(), wall_now(), elapsed);
        match found {
            None => {}
            Some(Found::Differs(by)) => {
                let ahead_ms = by.as_micros() / 1_000;
                tracing::warn!(ahead_ms, "the wall clock and broker time differ");
                self.take_clock(WallClock::Differs { by });
            }
            Some(Found::Agrees) => {
                tracing::info!("the wall clock and broker time agree again");
                self.take_clock(WallClock::Agrees);
            }
            Some(Found::Trusted) => {
                tracing::info!("the wall clock stayed stable since it was set, and is trusted");
                self.take_clock(WallClock::Trusted);
            }
            Some(Found::Follow { by, is_sure }) => self.follow(by, is_sure),
        }
        let other = self.wall.watch.other(self.clock.now(), elapsed);
        self.take(Occurrence::OtherClock(other), self.clock.now());
        let trusted = self.wall.watch.trusted(Duration::ZERO);
        self.wall.trusted_us.store(trusted.as_micros(), Ordering::Relaxed);
    }

    fn follow(&mut self, by: Offset, is_sure: bool) {
        let ahead_ms = by.as_micros() / 1_000;
        tracing::warn!(ahead_ms, "the wall clock was set, and broker time follows it");
        self.clock.shift(by);
        self.last_turn = self.last_turn.moved(by);
        self.driver.shift(by);
        let shift = Shift { by, from: self.wall.era };
        self.wall.era = self.wall.era.moved(by);
        self.take_clock(WallClock::Followed { shift, is_sure });
    }

    fn take_clock(&mut self, found: WallClock) {
        self.take(Input::WallClock(found), self.clock.now());
    }
}
