//! What if time did not go on as told? A turn that came late, a wall clock that was set.
//!
//! Guarantees that both leave a record, and that no verdict comes of them: time in which nobody
//! could be heard is credited to every deadline.

use std::time::Duration;

use super::Loop;
use crate::clock::Step;
use crate::grid::record::{Input, Stall};
use crate::grid::time::Timestamp;

/// A turn later than this is credited to the deadlines: a paused machine, a stalled disk.
pub(super) const LATE_TURN: Duration = Duration::from_secs(2);

impl Loop {
    /// Time in which the broker could not hear anybody is not held against anybody.
    pub(super) fn credit_late_turn(&mut self, now: Timestamp, lasted: Duration) {
        self.last_turn = now;
        if lasted > LATE_TURN {
            tracing::warn!(duration_ms = lasted.as_millis(), "the broker loop could not run");
            self.take(Input::BrokerStalled { lasted, cause: Stall::LateTurn }, now);
        }
    }

    /// What was done to the wall clock leaves a record, and no verdict comes of it.
    pub(super) fn follow_wall(&mut self) {
        match self.clock.follow_wall() {
            None => {}
            Some(Step::Forward(lasted)) => {
                let now = self.clock.now();
                self.last_turn = now;
                tracing::warn!(duration_ms = lasted.as_millis(), "the wall clock went ahead");
                self.take(Input::BrokerStalled { lasted, cause: Stall::ClockWentAhead }, now);
            }
            Some(Step::Back(by)) => {
                tracing::warn!(duration_ms = by.as_millis(), "the wall clock was set back");
                self.take(Input::ClockSetBack { by }, self.clock.now());
            }
        }
    }
}
