//! What if time did not go on as told? A turn that came late, a machine that slept, a wall clock
//! that was set.
//!
//! Guarantees that each leaves a record, and that no verdict comes of it: time in which nobody
//! could be heard is credited to every deadline, and what is pending moves with told time.

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

/// A turn later than this is credited to the deadlines: a paused machine, a stalled disk.
pub(super) const LATE_TURN: Duration = Duration::from_secs(2);

/// A sleep shorter than this is none.
const SLEPT: Duration = Duration::from_secs(1);

/// What the loop knows of the wall clock.
#[derive(Debug)]
pub(super) struct Wall {
    watch: Watch,
    /// From when on times were told by the clock as it is followed now.
    era: Timestamp,
    /// For how long the machine slept, as far as that is told.
    slept: Duration,
    /// What told time would have been at the start by what is known, in microseconds.
    trusted_us: Arc<AtomicI64>,
}

impl Wall {
    /// What holds from a start on; times from `era` on are of its clock.
    pub(super) fn new(trusted: Timestamp, era: Timestamp) -> Self {
        let trusted_us = Arc::new(AtomicI64::new(trusted.as_micros()));
        Self { watch: Watch::new(trusted), era, slept: Duration::ZERO, trusted_us }
    }

    /// What told time would have been at the start by what is known, for the note beside the
    /// journal.
    pub(super) fn trusted_us(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.trusted_us)
    }
}

impl Loop {
    /// Time in which the broker could not hear anybody is not held against anybody.
    pub(super) fn credit_late_turn(&mut self, now: Timestamp, lasted: Duration) {
        self.last_turn = now;
        if lasted > LATE_TURN {
            tracing::warn!(duration_ms = lasted.as_millis(), "the broker loop could not run");
            self.take(Input::BrokerStalled { lasted, cause: Stall::LateTurn }, now);
        }
    }

    /// What became of the machine and its wall clock leaves a record, and no verdict comes of it.
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
                tracing::info!("the wall clock stayed as it was set, and is taken for right");
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
