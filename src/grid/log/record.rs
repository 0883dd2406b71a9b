//! Defines the record of the grid log: the input as received, and its effects.
//!
//! Guarantees that effects are absolute values of one entity each, so that applying all records to
//! an empty state gives the same state under any settings. Does not know the encoding.

use super::effect::Effect;
use crate::grid::log::input::Input;
use crate::grid::values::id::RecordNumber;
use crate::grid::values::outcome::Outcome;
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;

/// One entry of the grid log.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its number.
    pub number: RecordNumber,
    /// When its input was received. Never before the record before it, unless broker time is moved.
    pub at: Timestamp,
    /// The input.
    pub input: Input,
    /// The outcome, if it is an event.
    pub outcome: Outcome,
    /// Its flags.
    pub flags: RecordFlags,
    /// What changed.
    pub effects: Vec<Effect>,
}
