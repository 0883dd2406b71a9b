//! How does a call of vme speak with the agent? Framed messages over a Unix socket.
//!
//! ```text
//! vme:   Ask              then it may go at any time
//! agent: Told, Told ...   at most one of each kind, the answer last
//! frame: length u32 little-endian | message
//! ```
//!
//! Guarantees that no message is longer than [`MESSAGE_BYTES_MAX`]. Both sides are of one release: this
//! is no contract.

use std::io;

use bytes::Bytes;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Longest message: an event of 64 KiB and what belongs to it.
pub(crate) const MESSAGE_BYTES_MAX: usize = 72 << 10;

/// What a call asks for.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Ask {
    /// The event, an `Event` of the contract without a number.
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) event: Bytes,
    /// The broker that was asked for by name; empty: the agent's.
    #[prost(string, tag = "2")]
    pub(crate) broker: String,
    /// Who speaks, if that was said; empty: as whom the agent speaks.
    #[prost(string, tag = "3")]
    pub(crate) appliance: String,
    /// Names the call, so that its event is spooled once whoever does it; never 0.
    #[prost(fixed64, tag = "4")]
    pub(crate) call: u64,
}

/// What the agent tells.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AgentTold {
    #[prost(oneof = "Word", tags = "1, 2, 3, 4, 5")]
    pub(crate) word: Option<Word>,
}

/// One thing that it tells.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Word {
    /// The event is in the spool; why it is not sent at once, if the broker is away.
    #[prost(string, tag = "1")]
    Spooled(String),
    /// The broker's answer, an `AckException` of the contract; empty: simply kept.
    #[prost(bytes = "bytes", tag = "2")]
    Answered(Bytes),
    /// It can't be put into the spool, and why.
    #[prost(string, tag = "3")]
    NotSpooled(String),
    /// This agent does not speak to that broker or as that appliance; to which and as which.
    #[prost(string, tag = "4")]
    NotMine(String),
    /// It can't be said, and why.
    #[prost(string, tag = "5")]
    SetAside(String),
}

/// Reads a message; `None`: the other side has nothing more to say.
pub(crate) async fn read<M: Message + Default>(
    from: &mut (impl AsyncReadExt + Unpin),
) -> io::Result<Option<M>> {
    let length = match from.read_u32_le().await {
        Ok(length) => usize::try_from(length).unwrap_or(usize::MAX),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::other(format!("a message of {length} bytes is too long")));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await?;
    M::decode(&*bytes).map(Some).map_err(io::Error::other)
}

/// Writes a message.
pub(crate) async fn write(
    to: &mut (impl AsyncWriteExt + Unpin),
    message: &impl Message,
) -> io::Result<()> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    to.write_all(&[length.to_le_bytes().as_slice(), &bytes].concat()).await
}
