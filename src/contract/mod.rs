//! Maps the contract to the domain: generated messages, their decoding and their encoding.
//!
//! Guarantees that the core and the journal never see a message of the contract. Opens no connection.

pub mod decode;
pub mod encode;
pub mod encoded;
pub mod event_codec;
pub mod raw;
pub mod raw_response;

use uuid::Uuid;

use crate::grid::values::event::{EventKind, Severity};
use crate::grid::values::time::Timestamp;

/// Metadata key with the appliance's name. With a credential it must be the credential's.
pub const APPLIANCE_METADATA: &str = "grid-appliance";

/// Metadata key with the administrator's name, for a broker that trusts everybody on loopback.
pub const ADMINISTRATOR_METADATA: &str = "grid-administrator";

/// Messages and clients of the contract, as generated from `proto/grid/events/v1`.
#[allow(missing_docs, clippy::all, clippy::too_many_lines)]
pub mod proto {
    tonic::include_proto!("grid.events.v1");
}

/// Servers of the administrators' services, as generated.
#[allow(missing_docs, clippy::all, clippy::too_many_lines)]
pub mod servers {
    include!(concat!(env!("OUT_DIR"), "/servers/grid.events.v1.rs"));
}

/// The server of `EventService` over the types of [`raw`], as generated.
#[allow(missing_docs, clippy::all, clippy::too_many_lines)]
pub mod event_server {
    include!(concat!(env!("OUT_DIR"), "/received/grid.events.v1.rs"));
}

/// The contract's file descriptors, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/grid_events_v1.fds"));

/// Encodes a kind of event: the numbers are the same.
pub fn encode_event_kind(kind: EventKind) -> proto::EventKind {
    proto::EventKind::try_from(i32::from(kind.number())).unwrap_or_default()
}

/// Decodes a kind of event; `None`: unspecified.
pub fn decode_event_kind(kind: proto::EventKind) -> Option<EventKind> {
    EventKind::from_number(u32::try_from(i32::from(kind)).ok()?)
}

/// Decodes a time; `None` outside the years 1 to 9999. Nanoseconds are truncated to microseconds.
pub fn decode_timestamp(sent: &prost_types::Timestamp) -> Option<Timestamp> {
    let nanos = u32::try_from(sent.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    let micros = sent.seconds.checked_mul(1_000_000)?.checked_add(i64::from(nanos / 1_000))?;
    let moment = Timestamp::from_micros(micros);
    (moment.as_micros() == micros).then_some(moment)
}

/// Encodes a time.
pub fn encode_timestamp(moment: Timestamp) -> prost_types::Timestamp {
    let micros = moment.as_micros();
    let nanos = i32::try_from(micros.rem_euclid(1_000_000)).unwrap_or(0) * 1_000;
    prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

/// Decodes a severity; `None`: unspecified.
pub fn decode_severity(sent: proto::Severity) -> Option<Severity> {
    match sent {
        proto::Severity::Unspecified => None,
        proto::Severity::Debug => Some(Severity::Debug),
        proto::Severity::Info => Some(Severity::Info),
        proto::Severity::Warn => Some(Severity::Warn),
        proto::Severity::Error => Some(Severity::Error),
        proto::Severity::Fatal => Some(Severity::Fatal),
    }
}

/// Encodes a UUID as text.
pub fn encode_uuid(uuid: Uuid) -> String {
    uuid.hyphenated().to_string()
}
