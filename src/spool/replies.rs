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

use super::EventKey;
use super::error::SpoolError;
use super::lock::NO_FOLLOW;

/// Replies that are stored.
const REPLIES_MAX: usize = 128;

/// The reply to an event with another outcome than stored, or its new number.
#[derive(Clone, PartialEq, Message)]
pub struct StoredReply {
    /// The spool id of the event's number.
    #[prost(fixed64, tag = "1")]
    pub spool_id: u64,
    /// The number.
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
    /// An `AckException` of the contract; empty: the event has another number now.
    #[prost(bytes = "bytes", tag = "3")]
    pub reply: Bytes,
    /// The spool id of the new number.
    #[prost(fixed64, tag = "4")]
    pub new_spool_id: u64,
    /// The new number.
    #[prost(uint64, tag = "5")]
    pub new_sequence: u64,
}

impl StoredReply {
    /// A reply of the broker, an `AckException` of the contract.
    pub fn from_broker(key: EventKey, answer: Bytes) -> Self {
        let EventKey { spool_id, sequence } = key;
        Self { spool_id, sequence, reply: answer, ..Self::default() }
    }

    /// The event that it belongs to.
    pub(super) fn key(&self) -> EventKey {
        EventKey { spool_id: self.spool_id, sequence: self.sequence }
    }

    /// The event's new number.
    pub(super) fn renumbered(key: EventKey, to: EventKey) -> Self {
        let EventKey { spool_id, sequence } = key;
        let (moved_spool_id, moved_sequence) = (to.spool_id, to.sequence);
        Self {
            spool_id,
            sequence,
            reply: Bytes::new(),
            new_spool_id: moved_spool_id,
            new_sequence: moved_sequence,
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct StoredReplies {
    #[prost(message, repeated, tag = "1")]
    replies: Vec<StoredReply>,
}

/// Adds replies; drops the oldest.
pub(super) fn add(path: &Path, exceptions: &[StoredReply]) -> Result<(), SpoolError> {
    let mut all = read(path).replies;
    all.extend(exceptions.iter().cloned());
    all.drain(..all.len().saturating_sub(REPLIES_MAX));
    let bytes = StoredReplies { replies: all }.encode_to_vec();
    let temporary = path.with_added_extension("new");
    let mut options = File::options();
    options.create(true).write(true).truncate(true).mode(0o600).custom_flags(NO_FOLLOW);
    let written = options.open(&temporary).and_then(|mut file| file.write_all(&bytes));
    let written = written.and_then(|()| fs::rename(&temporary, path));
    written.map_err(SpoolError::io("write", path))
}

/// The stored reply to this event, if there is one.
pub(super) fn find(path: &Path, key: EventKey) -> Option<StoredReply> {
    let is_it = |it: &StoredReply| (it.spool_id, it.sequence) == (key.spool_id, key.sequence);
    read(path).replies.into_iter().rfind(is_it)
}

/// An unreadable file contains no replies.
fn read(path: &Path) -> StoredReplies {
    let bytes = fs::read(path).unwrap_or_default();
    StoredReplies::decode(&*bytes).unwrap_or_default()
}
