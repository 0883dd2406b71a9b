//! Computes for how long brokers ran.
//!
//! Guarantees that neither shifts of broker time nor pauses count. Reads no clock.

use std::time::Duration;

use crate::grid::log::effect::Effect;
use crate::grid::log::input::{BrokerPause, Input};
use crate::grid::log::record::Record;
use crate::grid::values::time::Timestamp;

/// How long a broker ran between a record and the one before it, at `before`.
pub(super) fn lived_since(record: &Record, before: Timestamp) -> Duration {
    let mut shifts = record.effects.iter().filter_map(|effect| {
        if let Effect::TimeShifted(shift) = effect { Some(shift.by) } else { None }
    });
    let shift = shifts.next();
    match (&record.input, shift) {
        (_, Some(by)) => record.at.since(before.shifted_by(by)),
        // Of earlier releases: no broker was running, or the machine was suspended.
        (Input::BrokerStarted(_), None) => Duration::ZERO,
        (Input::BrokerPaused { lasted, cause: BrokerPause::ClockJumpedAhead }, None) => {
            record.at.since(before).saturating_sub(*lasted)
        }
        // The first record of the journal.
        (_, None) if record.number <= 1 => Duration::ZERO,
        (_, None) => record.at.since(before),
    }
}
