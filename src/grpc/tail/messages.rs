//! Gathers encoded messages of a tail into buffers that all tails with the same filter share.
//!
//! Guarantees the order of the records, and that a buffer ends with a whole message. The messages are framed
//! as gRPC sends them, so that nobody copies them again. Does not know who receives them.

use bytes::Bytes;
use prost::Message;

use crate::contract::proto::TailRecordsResponse;

/// A batch with so many bytes, and one message more, is handed over.
pub(super) const BATCH_BYTES: usize = 32 << 10;

/// A message of gRPC begins with a flag and its length.
const PREFIX_BYTES: usize = 5;

/// Appends a message with gRPC's prefix, not compressed.
pub(super) fn append_message(bytes: &mut Vec<u8>, message: &TailRecordsResponse) {
    let length = message.encoded_len();
    bytes.reserve(PREFIX_BYTES + length);
    bytes.push(0);
    let length = u32::try_from(length).expect("a record is smaller than 4 GiB");
    bytes.extend_from_slice(&length.to_be_bytes());
    message.encode(bytes).expect("a vector grows");
}

/// Messages about ascending records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MessageBatch {
    bytes: Bytes,
    /// For each message the last record it is about, and where it ends.
    ends: Vec<(u64, usize)>,
}

impl MessageBatch {
    /// The last record it is about.
    pub(super) fn last(&self) -> u64 {
        self.ends.last().map_or(0, |(number, _)| *number)
    }

    /// The messages about records after `number`; `None` without any.
    pub(super) fn after(&self, number: u64) -> Option<Bytes> {
        let known = self.ends.partition_point(|(last, _)| *last <= number);
        let begin = known.checked_sub(1).map_or(0, |at| self.ends[at].1);
        (known < self.ends.len()).then(|| self.bytes.slice(begin..))
    }
}

/// A batch that is being filled.
#[derive(Debug, Default)]
pub(super) struct BatchBuilder {
    bytes: Vec<u8>,
    ends: Vec<(u64, usize)>,
}

impl BatchBuilder {
    /// Adds a framed message about records up to `last`.
    pub(super) fn push(&mut self, last: u64, framed: &[u8]) {
        self.bytes.extend_from_slice(framed);
        self.ends.push((last, self.bytes.len()));
    }

    /// Whether it is to be handed over.
    pub(super) fn is_full(&self, batch_bytes: usize) -> bool {
        self.bytes.len() >= batch_bytes
    }

    /// What was gathered; `None` without any message.
    pub(super) fn take(&mut self) -> Option<MessageBatch> {
        if self.ends.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.bytes).into();
        Some(MessageBatch { bytes, ends: std::mem::take(&mut self.ends) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_cut_between_messages_only() {
        let mut builder = BatchBuilder::default();
        assert_eq!(builder.take(), None);
        for (last, text) in [(3, "three"), (4, "4"), (9, "nine")] {
            builder.push(last, text.as_bytes());
        }
        assert!(builder.is_full(10) && !builder.is_full(11));
        let batch = builder.take().expect("three messages");
        assert_eq!(batch.last(), 9);
        let after = |number| batch.after(number).map(|it| String::from_utf8(it.to_vec()).unwrap());
        for (number, left) in [(0, "three4nine"), (2, "three4nine"), (3, "4nine"), (4, "nine")] {
            assert_eq!(after(number).as_deref(), Some(left), "{number}");
        }
        assert_eq!((after(8).as_deref(), after(9), after(10)), (Some("nine"), None, None));
        assert_eq!(builder.take(), None);
    }

    #[test]
    fn a_message_is_framed_as_grpc_sends_it() {
        let message = TailRecordsResponse { behind: 300, ..Default::default() };
        let mut bytes = vec![7];
        append_message(&mut bytes, &message);
        assert_eq!(bytes[..6], [7, 0, 0, 0, 0, 3]);
        assert_eq!(TailRecordsResponse::decode(&bytes[6..]), Ok(message));
    }
}
