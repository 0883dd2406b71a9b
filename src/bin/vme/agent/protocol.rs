//! The protocol between a call of vme and the agent: framed messages over a Unix socket.
//!
//! ```text
//! vme:   AgentRequest          then it may disconnect at any time
//! agent: AgentResponse ...     at most one of each kind, the reply last
//! frame: length u32 little-endian | message
//! ```
//!
//! Guarantees that no message is longer than [`MESSAGE_BYTES_MAX`]. Both sides are of one release:
//! this is not a public contract.

use std::io;

use bytes::Bytes;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Longest message: an event of 64 KiB and its metadata.
pub(crate) const MESSAGE_BYTES_MAX: usize = 72 << 10;

/// The request of a call.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AgentRequest {
    /// The event, an `Event` of the contract without a number.
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) event: Bytes,
    /// The broker, if the caller named one; empty: the agent's.
    #[prost(string, tag = "2")]
    pub(crate) broker: String,
    /// The appliance, if the caller named one; empty: the agent's.
    #[prost(string, tag = "3")]
    pub(crate) appliance: String,
    /// Identifies the call, so that its event is spooled once, by the agent or by the call; never
    /// 0.
    #[prost(fixed64, tag = "4")]
    pub(crate) call: u64,
}

/// A message of the agent.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AgentResponse {
    #[prost(oneof = "AgentUpdate", tags = "1, 2, 3, 4, 5")]
    pub(crate) update: Option<AgentUpdate>,
}

/// The content of a message of the agent.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum AgentUpdate {
    /// The event is in the spool; the reason why it is not sent at once, if the broker is away.
    #[prost(string, tag = "1")]
    Spooled(String),
    /// The broker's reply, an `AckException` of the contract; empty: stored.
    #[prost(bytes = "bytes", tag = "2")]
    Acknowledged(Bytes),
    /// It cannot be spooled; the reason.
    #[prost(string, tag = "3")]
    NotSpooled(String),
    /// The agent serves another broker or appliance; which ones.
    #[prost(string, tag = "4")]
    WrongTarget(String),
    /// It cannot be sent; the reason.
    #[prost(string, tag = "5")]
    Quarantined(String),
}

/// Reads a message; `None`: the other side closed the connection.
pub(crate) async fn read_message<M: Message + Default>(
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
pub(crate) async fn write_message(
    to: &mut (impl AsyncWriteExt + Unpin),
    message: &impl Message,
) -> io::Result<()> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    to.write_all(&[length.to_le_bytes().as_slice(), &bytes].concat()).await
}
