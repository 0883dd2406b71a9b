//! Stores the broker's recent replies to events that another process sent.
//!
//! A small file with the last replies other than "stored", for calls that wait while another
//! process sends. Guarantees at most [`REPLIES_MAX`] replies; older ones are dropped, and the
//! outcome of their events is then unknown. The file is not synced: after a crash no call waits any
//! more. Does not know what a reply means.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bytes::Bytes;
use prost::Message;

use super::Key;
use super::error::SpoolError;
use super::lock::NO_LINKS;

/// Replies that are stored.
const ANSWERS_MAX: usize = 128;

/// The reply to an event with another outcome than stored, or its new number.
#[derive(Clone, PartialEq, Message)]
pub struct Exception {
    /// The spool id of the event's number.
    #[prost(fixed64, tag = "1")]
    pub spool_id: u64,
    /// The number.
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
    /// An `AckException` of the contract; empty: the event has another number now.
    #[prost(bytes = "bytes", tag = "3")]
    pub answer: Bytes,
    /// The spool id of the new number.
    #[prost(fixed64, tag = "4")]
    pub moved_spool_id: u64,
    /// The new number.
    #[prost(uint64, tag = "5")]
    pub moved_sequence: u64,
}

impl Exception {
    /// A reply of the broker, an `AckException` of the contract.
    pub fn answered(key: Key, answer: Bytes) -> Self {
        let Key { spool_id, sequence } = key;
        Self { spool_id, sequence, answer, ..Self::default() }
    }

    /// The event that it belongs to.
    pub(super) fn key(&self) -> Key {
        Key { spool_id: self.spool_id, sequence: self.sequence }
    }

    /// The event's new number.
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

/// Adds replies; drops the oldest.
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

/// The stored reply to this event, if there is one.
pub(super) fn find(path: &Path, key: Key) -> Option<Exception> {
    let is_it = |it: &Exception| (it.spool_id, it.sequence) == (key.spool_id, key.sequence);
    read(path).exceptions.into_iter().rfind(is_it)
}

/// An unreadable file contains no replies.
fn read(path: &Path) -> Answers {
    let bytes = fs::read(path).unwrap_or_default();
    Answers::decode(&*bytes).unwrap_or_default()
}
