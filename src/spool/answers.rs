//! What did the broker make of an event that another process sent for us?
//!
//! A small file of the last answers that were not simply "kept", for calls that wait for another one's
//! answer. Guarantees at most [`ANSWERS_MAX`] of them; older ones are forgotten, and then an event
//! counts as kept. It is not synced: after a crash nobody waits any more.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use prost::Message;

use super::Key;
use super::error::SpoolError;

/// Answers that are remembered.
const ANSWERS_MAX: usize = 128;

/// What became of an event that was not simply kept.
#[derive(Clone, PartialEq, Message)]
pub struct Exception {
    /// Whose number it bears.
    #[prost(fixed64, tag = "1")]
    pub spool_id: u64,
    /// The number.
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
    /// An `AckException` of the contract.
    #[prost(bytes = "bytes", tag = "3")]
    pub answer: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct Answers {
    #[prost(message, repeated, tag = "1")]
    exceptions: Vec<Exception>,
}

/// Adds answers; the oldest go.
pub(super) fn add(path: &Path, exceptions: &[Exception]) -> Result<(), SpoolError> {
    let mut all = read(path).exceptions;
    all.extend(exceptions.iter().cloned());
    all.drain(..all.len().saturating_sub(ANSWERS_MAX));
    let bytes = Answers { exceptions: all }.encode_to_vec();
    let beside = path.with_added_extension("new");
    let written = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    written.map_err(SpoolError::io("write", path))
}

/// The answer to that event, if it is remembered.
pub(super) fn find(path: &Path, key: Key) -> Option<Exception> {
    let is_it = |it: &Exception| (it.spool_id, it.sequence) == (key.spool_id, key.sequence);
    read(path).exceptions.into_iter().rfind(is_it)
}

/// A file that can't be read holds no answers.
fn read(path: &Path) -> Answers {
    let bytes = fs::read(path).unwrap_or_default();
    Answers::decode(&*bytes).unwrap_or_default()
}
