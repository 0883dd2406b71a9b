//! What did the broker make of an event that another process sent for us?
//!
//! A small file of the last answers that were not simply "kept", for calls that wait for another one's
//! answer. Guarantees at most [`ANSWERS_MAX`] of them; older ones are forgotten, and then an event
//! counts as kept. It is not synced: after a crash nobody waits any more.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bytes::Bytes;
use prost::Message;

use super::Key;
use super::error::SpoolError;
use super::lock::NO_LINKS;

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
    /// An `AckException` of the contract; empty: it bears another number from now on.
    #[prost(bytes = "bytes", tag = "3")]
    pub answer: Bytes,
    /// That number's spool id.
    #[prost(fixed64, tag = "4")]
    pub moved_spool_id: u64,
    /// That number.
    #[prost(uint64, tag = "5")]
    pub moved_sequence: u64,
}

impl Exception {
    /// The broker's answer, an `AckException` of the contract.
    pub fn answered(key: Key, answer: Bytes) -> Self {
        let Key { spool_id, sequence } = key;
        Self { spool_id, sequence, answer, ..Self::default() }
    }

    /// Whose answer it is.
    pub(super) fn key(&self) -> Key {
        Key { spool_id: self.spool_id, sequence: self.sequence }
    }

    /// It bears another number from now on.
    pub(super) fn moved(key: Key, to: Key) -> Self {
        let Key { spool_id, sequence } = key;
        let (moved_spool_id, moved_sequence) = (to.spool_id, to.sequence);
        Self { spool_id, sequence, answer: Bytes::new(), moved_spool_id, moved_sequence }
    }
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
    let mut options = File::options();
    options.create(true).write(true).truncate(true).mode(0o600).custom_flags(NO_LINKS);
    let written = options.open(&beside).and_then(|mut file| file.write_all(&bytes));
    let written = written.and_then(|()| fs::rename(&beside, path));
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
