//! How does a record lie in the journal? The domain's records and state as `grid.journal.v1`.
//!
//! Guarantees that what was written by this release reads back equal, and that what a newer one
//! wrote is refused in plain words rather than half understood. Knows no files and no frames.

mod applied_settings;
mod clock;
mod effect;
mod event;
mod input;
mod journal_notice;
mod mail;
mod timer;
mod to_proto;

use prost::Message;

use crate::grid::log::record::{Outcome, Record};
use crate::grid::state::State;
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;

/// `grid.journal.v1`, as generated.
#[allow(missing_docs, clippy::all)]
pub mod proto {
    tonic::include_proto!("grid.journal.v1");
}

/// Why bytes of the journal are not understood, though their checksum holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not a message at all.
    #[error("not a journal message: {0}")]
    Malformed(String),
    /// Something this release has no word for.
    #[error("{what} is unknown: written by a newer gridd, which must be used to read it")]
    Newer {
        /// What is unknown.
        what: &'static str,
    },
    /// Something a gridd never writes.
    #[error("{what} holds a value that no gridd writes")]
    Impossible {
        /// Which field.
        what: &'static str,
    },
}

/// The bytes of a record.
pub fn encode_record(record: &Record) -> Vec<u8> {
    to_proto::encode_record(record).encode_to_vec()
}

/// The record of such bytes.
///
/// # Errors
///
/// [`DecodeError`], naming what is not understood.
pub fn decode_record(bytes: &[u8]) -> Result<Record, DecodeError> {
    let read = proto::Record::decode(bytes).map_err(malformed)?;
    let refusal = || input::decode_rejection(read.refusal);
    let outcome = match proto::Outcome::try_from(read.outcome) {
        Ok(proto::Outcome::Unspecified | proto::Outcome::Kept) => Outcome::Stored,
        Ok(proto::Outcome::History) => Outcome::OlderBoot,
        Ok(proto::Outcome::Stale) => Outcome::StaleEvent,
        Ok(proto::Outcome::Suppressed) => Outcome::Suppressed,
        Ok(proto::Outcome::Repeated) => Outcome::Repeated,
        Ok(proto::Outcome::NotKept) => Outcome::BelowThreshold,
        Ok(proto::Outcome::Refused) => Outcome::Rejected(refusal()?),
        Err(_) => return Err(DecodeError::Newer { what: "an outcome" }),
    };
    let effects = read.effects.into_iter().map(effect::decode).collect::<Result<Vec<_>, _>>()?;
    Ok(Record {
        number: read.number,
        at: Timestamp::from_micros(read.at_us),
        outcome,
        flags: RecordFlags::from_bits(read.marks),
        input: input::decode(read.input, &effects)?,
        effects,
    })
}

/// The bytes of a whole state.
pub fn encode_state(state: &State) -> Vec<u8> {
    let effects = state.to_effects();
    proto::Checkpoint {
        last: state.last(),
        last_at_us: state.last_at().as_micros(),
        effects: effects.iter().map(to_proto::encode_effect).collect(),
    }
    .encode_to_vec()
}

/// The state of such bytes.
///
/// # Errors
///
/// [`DecodeError`], naming what is not understood.
pub fn decode_state(bytes: &[u8]) -> Result<State, DecodeError> {
    let read = proto::Checkpoint::decode(bytes).map_err(malformed)?;
    let effects: Vec<_> = read.effects.into_iter().map(effect::decode).collect::<Result<_, _>>()?;
    Ok(State::from_effects(&effects, read.last, Timestamp::from_micros(read.last_at_us)))
}

fn malformed(error: prost::DecodeError) -> DecodeError {
    DecodeError::Malformed(error.to_string())
}

#[cfg(test)]
mod refusal_tests;
#[cfg(test)]
mod tests;
mod usage;
#[cfg(test)]
mod usage_tests;
