//! Defines the requests of `EventService` as received: the event is left as undecoded bytes.
//!
//! An event is decoded when it is validated, with its texts still as bytes. Guarantees the contract's
//! tags: a test compares each type with the generated one. Validates nothing.

use bytes::Bytes;
use prost_types::Timestamp;

use super::proto::{
    CommandResult, CrashDumpReadiness, Goodbye, Hello, Log, LostEvents, Maintenance, StartFailed,
    StartedOk,
};

/// `grid.events.v1.ReportRequest` with the event undecoded.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RawReportRequest {
    /// The event's bytes.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub event: Option<Bytes>,
    /// See the contract.
    #[prost(fixed64, tag = "2")]
    pub spool_id: u64,
}

/// `grid.events.v1.SessionRequest` with the event undecoded.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RawSessionRequest {
    /// The message.
    #[prost(oneof = "ClientMessage", tags = "1, 2, 3, 4, 5")]
    pub message: Option<ClientMessage>,
}

/// One message of an appliance in a session.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum ClientMessage {
    /// First, and only once.
    #[prost(message, boxed, tag = "1")]
    Hello(Box<Hello>),
    /// An event's bytes.
    #[prost(bytes = "bytes", tag = "2")]
    Event(Bytes),
    /// The result of a command.
    #[prost(message, tag = "3")]
    CommandResult(CommandResult),
    /// The end.
    #[prost(message, tag = "4")]
    Goodbye(Goodbye),
    /// Whether the appliance is ready for a crash dump.
    #[prost(message, tag = "5")]
    CrashDump(CrashDumpReadiness),
}

/// `grid.events.v1.Event` with its texts as bytes, so that one that is not UTF-8 can be named.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RawEvent {
    /// What happened.
    #[prost(oneof = "RawKind", tags = "1, 2, 3, 4, 5")]
    pub kind: Option<RawKind>,
    /// See the contract.
    #[prost(bytes = "bytes", tag = "16")]
    pub text: Bytes,
    /// See the contract.
    #[prost(int32, tag = "17")]
    pub severity: i32,
    /// See the contract.
    #[prost(bytes = "bytes", tag = "18")]
    pub boot_id: Bytes,
    /// See the contract.
    #[prost(uint64, tag = "19")]
    pub sequence: u64,
    /// See the contract.
    #[prost(message, optional, tag = "20")]
    pub event_time: Option<Timestamp>,
    /// See the contract.
    #[prost(uint64, tag = "21")]
    pub uptime_ms: u64,
    /// See the contract.
    #[prost(message, optional, tag = "22")]
    pub spooled_at: Option<Timestamp>,
    /// See the contract.
    #[prost(bool, tag = "23")]
    pub repeated: bool,
    /// See the contract.
    #[prost(uint32, tag = "24")]
    pub next_report_within_ms: u32,
    /// See the contract.
    #[prost(message, repeated, tag = "25")]
    pub lost_before: Vec<LostEvents>,
    /// See the contract.
    #[prost(bytes = "bytes", tag = "26")]
    pub alert_key: Bytes,
    /// See the contract.
    #[prost(message, optional, tag = "27")]
    pub crash_dump: Option<RawFoundCrashDump>,
    /// See the contract.
    #[prost(bool, tag = "28")]
    pub alert_resolved: bool,
}

/// `grid.events.v1.FoundCrashDump` with its texts as bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RawFoundCrashDump {
    /// See the contract.
    #[prost(bytes = "bytes", tag = "1")]
    pub path: Bytes,
    /// See the contract.
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
    /// See the contract.
    #[prost(bool, tag = "3")]
    pub incomplete: bool,
    /// See the contract.
    #[prost(bytes = "bytes", tag = "4")]
    pub last_words: Bytes,
    /// See the contract.
    #[prost(uint64, tag = "5")]
    pub took_ms: u64,
    /// See the contract.
    #[prost(message, optional, tag = "6")]
    pub written_at: Option<Timestamp>,
}

/// The kinds of [`RawEvent`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum RawKind {
    /// See the contract.
    #[prost(message, tag = "1")]
    StartedOk(StartedOk),
    /// See the contract.
    #[prost(message, tag = "2")]
    StartFailed(StartFailed),
    /// See the contract.
    #[prost(message, tag = "3")]
    Maintenance(Maintenance),
    /// See the contract.
    #[prost(message, tag = "4")]
    Log(Log),
    /// See the contract.
    #[prost(message, tag = "5")]
    Alert(RawAlert),
}

/// `grid.events.v1.Alert`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RawAlert {
    /// See the contract.
    #[prost(message, optional, tag = "1")]
    pub counter: Option<RawCounter>,
}

/// `grid.events.v1.Counter` with its name as bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RawCounter {
    /// See the contract.
    #[prost(bytes = "bytes", tag = "1")]
    pub name: Bytes,
    /// See the contract.
    #[prost(double, tag = "2")]
    pub value: f64,
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::super::proto;
    use super::*;

    fn full_event() -> proto::Event {
        proto::Event {
            kind: Some(proto::event::Kind::Alert(proto::Alert {
                counter: Some(proto::Counter { name: "n".into(), value: 46.5 }),
            })),
            text: "text".into(),
            severity: 5,
            boot_id: "b".into(),
            sequence: 7,
            event_time: Some(Timestamp { seconds: 1, nanos: 2 }),
            uptime_ms: 3,
            spooled_at: Some(Timestamp { seconds: 4, nanos: 5 }),
            repeated: true,
            next_report_within_ms: 6,
            lost_before: vec![LostEvents { kind: 4, count: 8, reason: 2, ..LostEvents::default() }],
            alert_key: "raid:md0".into(),
            crash_dump: Some(proto::FoundCrashDump {
                path: "/var/crash/1/dump.1".into(),
                bytes: 22,
                incomplete: true,
                last_words: "Kernel panic - not syncing".into(),
                took_ms: 1_500,
                written_at: Some(Timestamp { seconds: 6, nanos: 7 }),
            }),
            alert_resolved: true,
        }
    }

    #[test]
    fn an_event_decodes_the_same_by_both_types() {
        let event = full_event();
        let sent = RawEvent::decode(&*event.encode_to_vec()).expect("as sent");
        assert_eq!(sent.encode_to_vec(), event.encode_to_vec());
        for kind in [
            proto::event::Kind::StartedOk(StartedOk {}),
            proto::event::Kind::StartFailed(StartFailed {}),
            proto::event::Kind::Maintenance(Maintenance { progress: Some(3) }),
            proto::event::Kind::Log(Log {}),
        ] {
            let event = proto::Event { kind: Some(kind), ..proto::Event::default() };
            let sent = RawEvent::decode(&*event.encode_to_vec()).expect("as sent");
            assert_eq!(sent.encode_to_vec(), event.encode_to_vec());
        }
    }

    #[test]
    fn requests_decode_the_same_by_both_types() {
        use proto::session_request::Message as M;
        let report = proto::ReportRequest { event: Some(full_event()), spool_id: 9 };
        let received = RawReportRequest::decode(&*report.encode_to_vec()).expect("received");
        assert_eq!(received.encode_to_vec(), report.encode_to_vec());
        for message in [
            M::Hello(Hello { boot_id: "b".into(), ..Hello::default() }),
            M::Event(full_event()),
            M::CommandResult(CommandResult { done: true, ..CommandResult::default() }),
            M::Goodbye(Goodbye { reason: "r".into() }),
            M::CrashDump(CrashDumpReadiness { crash_kernel_loaded: true, ..Default::default() }),
        ] {
            let request = proto::SessionRequest { message: Some(message) };
            let received = RawSessionRequest::decode(&*request.encode_to_vec()).expect("received");
            assert!(received.message.is_some());
            assert_eq!(received.encode_to_vec(), request.encode_to_vec());
        }
    }
}
