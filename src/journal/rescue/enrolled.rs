//! Counts the keys that are enrolled at the end of a stream: certificates bind to them.
//!
//! Guarantees the number that a broker restored from the stream has, as far as state and records of
//! the stream can be decoded. Needs memory for the credentials. Does not know certificates.

use crate::codec;
use crate::grid::log::effect::Effect;
use crate::grid::log::record::Record;
use crate::grid::state::State;
use crate::grid::state::identities::Identities;
use crate::journal::record::EncodedRecord;

/// The credentials of a stream, up to what was read.
#[derive(Debug, Default)]
pub(super) struct EnrolledKeys {
    identities: Identities,
    /// The last record that is in `identities`.
    through: u64,
}

impl EnrolledKeys {
    /// Starts from the state of a checkpoint after record `through`.
    pub(super) fn load(&mut self, through: u64, state: &State) {
        *self = Self { identities: state.identities().clone(), through };
    }

    /// Continues with a record.
    pub(super) fn push(&mut self, record: &Record) {
        if record.number <= self.through {
            return;
        }
        self.through = record.number;
        for effect in &record.effects {
            if let Effect::Identity(change) = effect {
                self.identities.apply_effect(change);
            }
        }
    }

    /// Continues with records; those that can't be decoded are left out.
    pub(super) fn push_encoded(&mut self, records: &[EncodedRecord]) {
        for record in records {
            if record.number > self.through
                && let Ok(record) = codec::decode_record(&record.bytes)
            {
                self.push(&record);
            }
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.identities.keys().len()
    }
}
