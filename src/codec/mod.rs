//! Encodes and decodes records and states of the domain as `grid.journal.v1`.
//!
//! Guarantees that what this release writes reads back equal, and that what a newer one
//! wrote is rejected with a clear message instead of being decoded in part. Does not know files or
//! blocks.

mod alert;
mod appliance;
mod applied_settings;
mod clock;
mod crash_dump;
mod effect;
mod event;
mod fields;
mod identity;
mod input;
mod journal_incident;
mod mail;
mod plain_event;
mod record_bytes;
mod silence;
mod state;
mod timer;
mod values;

pub use state::{EncodedState, decode_state, encode_state};

use prost::Message;

pub use self::plain_event::{LOSSES_KEY, is_plain_event};

use crate::grid::log::record::Record;
use crate::grid::values::outcome::{EventRejection, Outcome};
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;

pub use record_bytes::RecordBytes;

/// `grid.journal.v1`, as generated.
#[allow(missing_docs, clippy::all)]
pub mod proto {
    tonic::include_proto!("grid.journal.v1");
}

/// The reason why bytes of the journal can't be decoded, though their checksum is right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not a message at all.
    #[error("not a journal message: {0}")]
    Malformed(String),
    /// A value that this release does not know.
    #[error("{what} is unknown: written by a newer gridd, which must be used to read it")]
    Newer {
        /// What is unknown.
        what: &'static str,
    },
    /// A value that gridd never writes.
    #[error("{what} has a value that gridd never writes")]
    Impossible {
        /// Which field.
        what: &'static str,
    },
}

/// Encodes a record.
pub fn encode_record(record: &Record) -> Vec<u8> {
    let bytes = RecordBytes::new(record);
    let mut out = Vec::with_capacity(bytes.len());
    bytes.write_into(&mut out);
    out
}

fn outcome_numbers(outcome: Outcome) -> (proto::Outcome, proto::EventRejection) {
    match outcome {
        // The latter two are never recorded.
        Outcome::Stored | Outcome::Duplicate | Outcome::Coalesced => {
            (proto::Outcome::Stored, proto::EventRejection::Unspecified)
        }
        Outcome::Repeated => (proto::Outcome::Repeated, proto::EventRejection::Unspecified),
        Outcome::BelowThreshold => {
            (proto::Outcome::BelowThreshold, proto::EventRejection::Unspecified)
        }
        Outcome::Suppressed => (proto::Outcome::Suppressed, proto::EventRejection::Unspecified),
        Outcome::OlderBoot => (proto::Outcome::OlderBoot, proto::EventRejection::Unspecified),
        Outcome::StaleEvent => (proto::Outcome::Stale, proto::EventRejection::Unspecified),
        Outcome::Rejected(rejection) => (
            proto::Outcome::Refused,
            match rejection {
                EventRejection::Stopped => proto::EventRejection::Stopped,
                EventRejection::AlreadyRunning => proto::EventRejection::AlreadyRunning,
                EventRejection::FailedPermanently => proto::EventRejection::FailedPermanently,
                EventRejection::Dumping => proto::EventRejection::Dumping,
                EventRejection::Removed => proto::EventRejection::Removed,
            },
        ),
    }
}

/// Decodes a record.
///
/// # Errors
///
/// [`DecodeError`], which says what can't be decoded.
pub fn decode_record(bytes: &[u8]) -> Result<Record, DecodeError> {
    let message = proto::Record::decode(bytes).map_err(malformed)?;
    let rejection = || input::decode_rejection(message.rejection);
    let outcome = match proto::Outcome::try_from(message.outcome) {
        Ok(proto::Outcome::Unspecified | proto::Outcome::Stored) => Outcome::Stored,
        Ok(proto::Outcome::OlderBoot) => Outcome::OlderBoot,
        Ok(proto::Outcome::Stale) => Outcome::StaleEvent,
        Ok(proto::Outcome::Suppressed) => Outcome::Suppressed,
        Ok(proto::Outcome::Repeated) => Outcome::Repeated,
        Ok(proto::Outcome::BelowThreshold) => Outcome::BelowThreshold,
        Ok(proto::Outcome::Refused) => Outcome::Rejected(rejection()?),
        Err(_) => return Err(DecodeError::Newer { what: "an outcome" }),
    };
    let effects = message.effects.into_iter().map(effect::decode).collect::<Result<Vec<_>, _>>()?;
    Ok(Record {
        number: message.number,
        at: Timestamp::from_micros(message.at_us),
        outcome,
        flags: RecordFlags::from_bits(message.flags),
        input: input::decode(message.input, &effects)?,
        effects,
    })
}

fn malformed(error: prost::DecodeError) -> DecodeError {
    DecodeError::Malformed(error.to_string())
}

#[cfg(test)]
mod crash_dump_tests;
#[cfg(test)]
mod identity_tests;
#[cfg(test)]
mod refusal_tests;
#[cfg(test)]
mod test_states;
#[cfg(test)]
mod tests;
mod usage;
#[cfg(test)]
mod usage_tests;
