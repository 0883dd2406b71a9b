//! The two requests of `EventService` as the broker receives them: everything decoded but the
//! event, which stays bytes until it is checked.

use bytes::Bytes;

use super::proto::{CommandResult, Goodbye, Hello};

/// `grid.events.v1.ReportRequest` with the event undecoded.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReportRequest {
    /// The event's bytes.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub event: Option<Bytes>,
    /// See the contract.
    #[prost(fixed64, tag = "2")]
    pub spool_id: u64,
}

/// `grid.events.v1.SessionRequest` with the event undecoded.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SessionRequest {
    /// What is said.
    #[prost(oneof = "Said", tags = "1, 2, 3, 4")]
    pub message: Option<Said>,
}

/// One thing an appliance says in a session.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Said {
    /// First, and only once.
    #[prost(message, tag = "1")]
    Hello(Hello),
    /// An event's bytes.
    #[prost(bytes = "bytes", tag = "2")]
    Event(Bytes),
    /// What became of a command.
    #[prost(message, tag = "3")]
    CommandResult(CommandResult),
    /// The end.
    #[prost(message, tag = "4")]
    Goodbye(Goodbye),
}
