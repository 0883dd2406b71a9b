//! Defines the responses of a session as they are sent: the fixed texts of acks are not copied.
//!
//! A flood of suppressed events has an exception each, with the same two texts. Guarantees the contract's
//! tags: a test compares the bytes with those of the generated types. Decides nothing.

use bytes::Bytes;
use prost_types::Timestamp;

use super::proto::{Command, GoAway, Notice, Violation, Welcome};

/// `grid.events.v1.SessionResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RawSessionResponse {
    /// The message.
    #[prost(oneof = "BrokerMessage", tags = "1, 2, 3, 4, 5")]
    pub message: Option<BrokerMessage>,
}

/// One message of the broker in a session.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum BrokerMessage {
    /// The reply to Hello.
    #[prost(message, boxed, tag = "1")]
    Welcome(Box<Welcome>),
    /// Acknowledges the events so far.
    #[prost(message, tag = "2")]
    Ack(RawAck),
    /// Information for the appliance.
    #[prost(message, boxed, tag = "3")]
    Notice(Box<Notice>),
    /// A command to the appliance.
    #[prost(message, boxed, tag = "4")]
    Command(Box<Command>),
    /// The broker ends the session.
    #[prost(message, boxed, tag = "5")]
    GoAway(Box<GoAway>),
}

/// `grid.events.v1.Ack`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RawAck {
    /// See the contract.
    #[prost(uint64, tag = "1")]
    pub through: u64,
    /// See the contract.
    #[prost(message, repeated, tag = "2")]
    pub exceptions: Vec<RawAckException>,
}

/// `grid.events.v1.AckException` with its texts as bytes, which are UTF-8.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RawAckException {
    /// See the contract.
    #[prost(uint64, tag = "1")]
    pub position: u64,
    /// See the contract.
    #[prost(enumeration = "super::proto::Outcome", tag = "2")]
    pub outcome: i32,
    /// See the contract.
    #[prost(bytes = "bytes", tag = "3")]
    pub reason: Bytes,
    /// See the contract.
    #[prost(bytes = "bytes", tag = "4")]
    pub explanation: Bytes,
    /// See the contract.
    #[prost(message, optional, tag = "5")]
    pub suppressed_until: Option<Timestamp>,
    /// See the contract.
    #[prost(message, repeated, tag = "6")]
    pub violations: Vec<Violation>,
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::contract::proto::session_response::Message as M;
    use crate::contract::proto::{self, Outcome};

    #[test]
    fn responses_have_the_same_bytes_by_both_types() {
        let exception = proto::AckException {
            position: 7,
            outcome: Outcome::Suppressed.into(),
            reason: "OVER_BUDGET".into(),
            explanation: "over the rate limit".into(),
            suppressed_until: Some(Timestamp { seconds: 1, nanos: 2 }),
            violations: vec![Violation { field: "text".into(), description: "is missing".into() }],
        };
        let notice = Notice { reason: "RESULT_RECEIVED".into(), ..Notice::default() };
        for message in [
            M::Welcome(Welcome { broker_id: "u".into(), ..Welcome::default() }),
            M::Ack(proto::Ack { through: 9, exceptions: vec![exception] }),
            M::Notice(notice),
            M::Command(Command { command_id: "c".into(), ..Command::default() }),
            M::GoAway(GoAway { retry_after_ms: 5, ..GoAway::default() }),
        ] {
            let response = proto::SessionResponse { message: Some(message) };
            let bytes = response.encode_to_vec();
            let raw = RawSessionResponse::decode(&*bytes).expect("the same contract");
            assert!(raw.message.is_some());
            assert_eq!(raw.encode_to_vec(), bytes);
        }
    }
}
