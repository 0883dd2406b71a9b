//! Encodes and decodes the messages of `EventService`, with a small buffer for replies: acks are short, and
//! most sessions are silent.
//!
//! Guarantees the format of prost's own codec. Does not know the messages.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// What the replies of a call have from its start, in bytes; it grows with a reply. tonic's default is 8 KiB,
/// and stays what requests have: a smaller one is allocated anew more often when many events arrive.
const REPLY_BUFFER_BYTES: usize = 1 << 10;

/// Replies that are ready are sent together up to this size, in bytes. tonic's default.
const SENT_TOGETHER_BYTES: usize = 32 << 10;

/// The codec of `EventService`; `build.rs` names it.
#[derive(Clone, Copy, Debug)]
pub struct EventCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for EventCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for EventCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        let buffers = BufferSettings::new(REPLY_BUFFER_BYTES, SENT_TOGETHER_BYTES);
        ProstCodec::<T, U>::raw_encoder(buffers)
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::default())
    }
}
