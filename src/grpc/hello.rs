//! Reads and checks the Hello of a session, and builds its Welcome.
//!
//! Guarantees that a Hello comes in bounded time, and that all that is wrong with it is named at once.

use std::time::Duration;

use tonic::{Status, Streaming};

use super::{Services, status};
use crate::broker::SessionAccepted;
use crate::contract::decode::{EVENT_BYTES_MAX, violation};
use crate::contract::proto::{Hello, Limits, Welcome};
use crate::contract::raw::{ClientMessage, RawSessionRequest};
use crate::contract::{decode, encode_timestamp, encode_uuid};
use crate::grid::values::event::TEXT_BYTES_MAX;
use crate::grid::values::id::BootId;
use crate::grpc::read_ahead::{WINDOW_BYTES, WINDOW_EVENTS};

/// The supported revision of the contract.
const PROTOCOL_REVISION: u32 = 1;

/// How long a client may take to send its Hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a tool should report in maintenance.
const REPORTING_INTERVAL_MS: u32 = 10_000;

/// The first message.
pub(super) async fn receive(inbound: &mut Streaming<RawSessionRequest>) -> Result<Hello, Status> {
    let first = tokio::time::timeout(HELLO_TIMEOUT, inbound.message()).await;
    match first {
        Err(_) => Err(status::precondition("NO_HELLO", "no Hello was received within 10 s")),
        Ok(Err(status)) => Err(status),
        Ok(Ok(Some(RawSessionRequest { message: Some(ClientMessage::Hello(hello)) }))) => {
            Ok(*hello)
        }
        Ok(Ok(_)) => {
            Err(status::precondition("NO_HELLO", "a session's first message must be a Hello"))
        }
    }
}

/// The boot of a valid Hello.
pub(super) fn check(hello: &Hello) -> Result<BootId, Status> {
    let mut violations = Vec::new();
    if hello.protocol_revision != PROTOCOL_REVISION {
        let revision = hello.protocol_revision;
        violations.push(violation(
            "hello.protocol_revision",
            format!("is {revision}; this broker supports {PROTOCOL_REVISION}"),
        ));
    }
    if hello.capabilities.len() > 32 || hello.capabilities.iter().any(|it| it.len() > 64) {
        violations.push(violation("hello.capabilities", "at most 32 of 64 bytes each are allowed"));
    }
    if hello.tool_version.len() > 64 {
        violations.push(violation("hello.tool_version", "at most 64 bytes are allowed"));
    }
    let boot = match decode::boot_id(hello.boot_id.as_bytes(), "hello.boot_id") {
        Ok(Some(boot)) => Some(boot),
        Ok(None) => {
            violations.push(violation("hello.boot_id", "is missing; a session belongs to a boot"));
            None
        }
        Err(violation) => {
            violations.push(violation);
            None
        }
    };
    match boot {
        Some(boot) if violations.is_empty() => Ok(boot),
        Some(_) | None => Err(status::invalid(violations)),
    }
}

/// The reply to a Hello.
pub(super) fn welcome(services: &Services, welcomed: &SessionAccepted, has_spool: bool) -> Welcome {
    let promise_max = u32::try_from(welcomed.report_deadline_max.as_millis()).unwrap_or(u32::MAX);
    Welcome {
        broker_id: encode_uuid(services.identity.broker),
        journal_id: encode_uuid(services.identity.journal),
        term: services.term,
        limits: Some(Limits {
            text_bytes: u32::try_from(TEXT_BYTES_MAX).unwrap_or(u32::MAX),
            event_bytes: u32::try_from(EVENT_BYTES_MAX).unwrap_or(u32::MAX),
            next_report_within_ms: promise_max,
        }),
        window_events: WINDOW_EVENTS,
        window_bytes: WINDOW_BYTES,
        reporting_interval_ms: REPORTING_INTERVAL_MS,
        server_time: Some(encode_timestamp(services.broker.now())),
        sequence_reset: has_spool && !welcomed.is_spool_known,
        appliance_uuid: encode_uuid(welcomed.uuid),
    }
}
