//! Defines messages of the contract that are encoded where they are made, and only copied where they are
//! sent.
//!
//! Guarantees the bytes of the generated message: a test compares them. Does not know who sends them.

use bytes::{Buf, BufMut, Bytes};
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, skip_field};

/// `grid.events.v1.ExportRecordsResponse`, encoded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EncodedExport {
    /// The encoded message.
    pub bytes: Bytes,
}

impl prost::Message for EncodedExport {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        buffer.put_slice(&self.bytes);
    }

    /// Only clients decode, and they have the generated message: nothing is kept.
    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        skip_field(wire_type, tag, buffer, context)
    }

    fn encoded_len(&self) -> usize {
        self.bytes.len()
    }

    fn clear(&mut self) {
        self.bytes.clear();
    }
}
