//! Encodes crash dumps and locks as messages of the contract.
//!
//! Escapes nothing.

use uuid::Uuid;

use super::{encode_timestamp, encode_uuid, millis, proto};
use crate::grid::explain;
use crate::grid::model::crash_dump::{ApplianceLock, CrashDump, DumpEnd, DumpTrigger};
use crate::grid::values::crash_dump::FoundDump;

/// A request id, as Nova writes them.
pub fn request_id(request: Uuid) -> String {
    format!("req-{}", encode_uuid(request))
}

/// Encodes a crash dump.
pub fn crash_dump(dump: &CrashDump) -> proto::CrashDump {
    use proto::{CrashDumpEnd as End, CrashDumpTrigger as Trigger};
    let trigger = match dump.trigger {
        DumpTrigger::Due => Trigger::Due,
        DumpTrigger::Pending => Trigger::Pending,
        DumpTrigger::Done { .. } => Trigger::Done,
        DumpTrigger::Failed { .. } => Trigger::Failed,
        DumpTrigger::Unknown { .. } => Trigger::Unknown,
    };
    let (end, next_boot) = match dump.end {
        None => (End::Unspecified, None),
        Some((DumpEnd::NewBoot { boot }, _)) => (End::NewBoot, boot),
        Some((DumpEnd::NoBoot, _)) => (End::NoBoot, None),
        Some((DumpEnd::NoEffect, _)) => (End::NoEffect, None),
        Some((DumpEnd::NotTriggered, _)) => (End::NotTriggered, None),
        Some((DumpEnd::Stopped, _)) => (End::Stopped, None),
    };
    proto::CrashDump {
        request_id: request_id(dump.request),
        by: dump.by.to_string(),
        cause: dump.cause.as_str().to_owned(),
        driver: dump.driver.as_str().to_owned(),
        boot_id: dump.boot.map_or_else(String::new, |boot| encode_uuid(boot.0)),
        requested_at: Some(encode_timestamp(dump.requested_at)),
        trigger: trigger.into(),
        triggered_at: dump.trigger.done_at().map(encode_timestamp),
        detail: dump.detail.to_string(),
        output: dump.output.to_string(),
        last_event_at: dump.last_event_at.map(encode_timestamp),
        end: end.into(),
        ended_at: dump.end.map(|(_, at)| encode_timestamp(at)),
        next_boot_id: next_boot.map_or_else(String::new, |boot| encode_uuid(boot.0)),
        found: dump.found.iter().map(found).collect(),
        explanation: explain::crash_dump::describe(dump),
    }
}

/// Encodes a dump that was found.
pub(super) fn found(found: &FoundDump) -> proto::FoundCrashDump {
    proto::FoundCrashDump {
        path: found.path.to_string(),
        bytes: found.bytes,
        incomplete: found.is_incomplete,
        last_words: found.last_words.to_string(),
        took_ms: found.took.map_or(0, millis),
        written_at: found.written_at.map(encode_timestamp),
    }
}

/// Encodes a lock.
pub(super) fn lock(lock: &ApplianceLock) -> proto::ApplianceLock {
    proto::ApplianceLock {
        by: lock.by.to_string(),
        reason: lock.reason.to_string(),
        since: Some(encode_timestamp(lock.at)),
        by_admin: lock.is_by_admin,
    }
}
