//! Writes fields of protobuf messages, or measures them, without building the message first.
//!
//! Guarantees the bytes that the generated types write: default values are omitted, and lengths are
//! known before the content. Does not know any message.

use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};

/// The types of a field on the wire.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;

/// Where fields go: a buffer, or a [`Length`].
pub(super) trait FieldSink {
    fn varint(&mut self, value: u64);
    fn raw(&mut self, bytes: &[u8]);
    fn nested(&mut self, message: &impl Message);

    /// A number that is omitted if it is 0.
    #[inline]
    fn uint(&mut self, tag: u32, value: u64) {
        if value != 0 {
            self.present_uint(tag, value);
        }
    }

    /// A number that is written even if it is 0.
    #[inline]
    fn present_uint(&mut self, tag: u32, value: u64) {
        self.key(tag, VARINT);
        self.varint(value);
    }

    /// A signed number that is written even if it is 0.
    fn present_int(&mut self, tag: u32, value: i64) {
        self.present_uint(tag, value.cast_unsigned());
    }

    fn fixed64(&mut self, tag: u32, value: u64) {
        if value != 0 {
            self.key(tag, FIXED64);
            self.raw(&value.to_le_bytes());
        }
    }

    /// A text or bytes, omitted if empty.
    fn bytes(&mut self, tag: u32, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.begin(tag, bytes.len());
            self.raw(bytes);
        }
    }

    /// A message, written even if it is empty.
    fn message(&mut self, tag: u32, message: &impl Message) {
        self.begin(tag, message.encoded_len());
        self.nested(message);
    }

    /// The key of a message or text of that many bytes, which follow.
    #[inline]
    fn begin(&mut self, tag: u32, bytes: usize) {
        self.key(tag, LENGTH_DELIMITED);
        self.varint(bytes as u64);
    }

    #[inline]
    fn key(&mut self, tag: u32, wire_type: u32) {
        self.varint(u64::from(tag << 3 | wire_type));
    }
}

impl FieldSink for Vec<u8> {
    #[inline]
    fn varint(&mut self, value: u64) {
        let [low, high, ..] = value.to_le_bytes();
        match value {
            0..0x80 => self.push(low),
            // Keys of fields above 15, and most lengths.
            0x80..0x4000 => self.extend_from_slice(&[low | 0x80, high << 1 | low >> 7]),
            _ => encode_varint(value, self),
        }
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn nested(&mut self, message: &impl Message) {
        message.encode_raw(self);
    }
}

/// Counts the bytes of fields.
#[derive(Debug, Default)]
pub(super) struct Length(pub(super) usize);

impl FieldSink for Length {
    fn varint(&mut self, value: u64) {
        self.0 += encoded_len_varint(value);
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn nested(&mut self, message: &impl Message) {
        self.0 += message.encoded_len();
    }
}
