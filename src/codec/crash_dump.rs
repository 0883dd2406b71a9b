//! Encodes and decodes crash dumps and locks.
//!
//! Guarantees that an unknown value is an error. Does not know records.

use std::time::Duration;

use super::{DecodeError, proto};
use crate::codec::values::{decode_boot, decode_uuid, encode_boot, micros};
use crate::grid::log::command::DumpOrder;
use crate::grid::log::crash_dump::{DumpReport, DumpResult};
use crate::grid::model::crash_dump::{ApplianceLock, CrashDump, DumpEnd, DumpTrigger};
use crate::grid::values::crash_dump::{DumpCause, DumpDriver, FoundDump};
use crate::grid::values::id::{ApplianceIndex, BootId};
use crate::grid::values::time::Timestamp;

pub(super) fn encode_found(found: &FoundDump) -> proto::FoundDump {
    proto::FoundDump {
        path: found.path.to_string(),
        bytes: found.bytes,
        incomplete: found.is_incomplete,
        last_words: found.last_words.to_string(),
        took_us: found.took.map(micros),
        written_at_us: found.written_at.map(Timestamp::as_micros),
    }
}

pub(super) fn decode_found(found: proto::FoundDump) -> FoundDump {
    FoundDump {
        path: found.path.into(),
        bytes: found.bytes,
        is_incomplete: found.incomplete,
        last_words: found.last_words.into(),
        took: found.took_us.map(Duration::from_micros),
        written_at: found.written_at_us.map(Timestamp::from_micros),
    }
}

pub(super) fn encode_order(order: &DumpOrder) -> proto::CrashDumpOrder {
    proto::CrashDumpOrder {
        request: order.request.as_bytes().to_vec(),
        name: order.requester.to_string(),
        driver: order.driver.number().into(),
        cause: order.cause.number().into(),
        passes_lock: order.passes_lock,
        appliance: order.appliance.map_or_else(Vec::new, |uuid| uuid.as_bytes().to_vec()),
    }
}

/// The order of a command; `None`: of a release that had none.
pub(super) fn decode_order(order: Option<proto::CrashDumpOrder>) -> Result<DumpOrder, DecodeError> {
    let Some(order) = order else { return Ok(DumpOrder::default()) };
    Ok(DumpOrder {
        request: decode_uuid(&order.request)?,
        requester: order.name.into(),
        driver: decode_driver(order.driver)?,
        cause: decode_cause(order.cause)?,
        passes_lock: order.passes_lock,
        appliance: match order.appliance.as_slice() {
            [] => None,
            bytes => Some(decode_uuid(bytes)?),
        },
    })
}

pub(super) fn encode_report(report: &DumpReport) -> proto::CrashDumpReport {
    use proto::CrashDumpResult as P;
    let result = match report.result {
        DumpResult::Done => P::Done,
        DumpResult::Failed => P::Failed,
        DumpResult::Unknown => P::Unknown,
    };
    proto::CrashDumpReport {
        appliance: report.appliance.0,
        request: report.request.as_bytes().to_vec(),
        result: result.into(),
        detail: report.detail.to_string(),
        output: report.output.to_string(),
    }
}

pub(super) fn decode_report(report: proto::CrashDumpReport) -> Result<DumpReport, DecodeError> {
    use proto::CrashDumpResult as P;
    let result = match P::try_from(report.result) {
        Ok(P::Done) => DumpResult::Done,
        Ok(P::Failed) => DumpResult::Failed,
        Ok(P::Unknown) => DumpResult::Unknown,
        Ok(P::Unspecified) | Err(_) => {
            return Err(DecodeError::Newer { what: "a result of a crash dump" });
        }
    };
    Ok(DumpReport {
        appliance: ApplianceIndex(report.appliance),
        request: decode_uuid(&report.request)?,
        result,
        detail: report.detail.into(),
        output: report.output.into(),
    })
}

pub(super) fn encode_state(number: ApplianceIndex, dump: &CrashDump) -> proto::CrashDumpState {
    let trigger = match dump.trigger {
        DumpTrigger::Due => 1,
        DumpTrigger::Pending => 2,
        DumpTrigger::Done { .. } => 3,
        DumpTrigger::Failed { .. } => 4,
        DumpTrigger::Unknown { .. } => 5,
    };
    let (end, next_boot) = match dump.end {
        None => (0, None),
        Some((DumpEnd::NewBoot { boot }, _)) => (1, boot),
        Some((DumpEnd::NoBoot, _)) => (2, None),
        Some((DumpEnd::NoEffect, _)) => (3, None),
        Some((DumpEnd::NotTriggered, _)) => (4, None),
        Some((DumpEnd::Stopped, _)) => (5, None),
    };
    proto::CrashDumpState {
        number: number.0,
        request: dump.request.as_bytes().to_vec(),
        by: dump.by.to_string(),
        cause: dump.cause.number().into(),
        driver: dump.driver.number().into(),
        boot: dump.boot.map_or_else(Vec::new, encode_boot),
        requested_at_us: dump.requested_at.as_micros(),
        trigger,
        triggered_at_us: dump.trigger.done_at().map_or(0, Timestamp::as_micros),
        detail: dump.detail.to_string(),
        output: dump.output.to_string(),
        last_event_at_us: dump.last_event_at.map(Timestamp::as_micros),
        end,
        ended_at_us: dump.end.map_or(0, |(_, at)| at.as_micros()),
        next_boot: next_boot.map_or_else(Vec::new, encode_boot),
        found: dump.found.iter().map(encode_found).collect(),
    }
}

pub(super) fn decode_state(state: proto::CrashDumpState) -> Result<CrashDump, DecodeError> {
    let at = Timestamp::from_micros(state.triggered_at_us);
    let trigger = match state.trigger {
        1 => DumpTrigger::Due,
        2 => DumpTrigger::Pending,
        3 => DumpTrigger::Done { at },
        4 => DumpTrigger::Failed { at },
        5 => DumpTrigger::Unknown { at },
        _ => return Err(DecodeError::Newer { what: "a trigger of a crash dump" }),
    };
    let end = match state.end {
        0 => None,
        1 => Some(DumpEnd::NewBoot { boot: boot(&state.next_boot)? }),
        2 => Some(DumpEnd::NoBoot),
        3 => Some(DumpEnd::NoEffect),
        4 => Some(DumpEnd::NotTriggered),
        5 => Some(DumpEnd::Stopped),
        _ => return Err(DecodeError::Newer { what: "an end of a crash dump" }),
    };
    Ok(CrashDump {
        request: decode_uuid(&state.request)?,
        by: state.by.into(),
        cause: decode_cause(state.cause)?,
        driver: decode_driver(state.driver)?,
        boot: boot(&state.boot)?,
        requested_at: Timestamp::from_micros(state.requested_at_us),
        trigger,
        detail: state.detail.into(),
        output: state.output.into(),
        last_event_at: state.last_event_at_us.map(Timestamp::from_micros),
        end: end.map(|end| (end, Timestamp::from_micros(state.ended_at_us))),
        found: state.found.into_iter().map(decode_found).collect(),
    })
}

pub(super) fn encode_lock(lock: &ApplianceLock) -> proto::ApplianceLock {
    proto::ApplianceLock {
        by: lock.by.to_string(),
        by_admin: lock.is_by_admin,
        reason: lock.reason.to_string(),
        at_us: lock.at.as_micros(),
    }
}

pub(super) fn decode_lock(lock: proto::ApplianceLock) -> ApplianceLock {
    ApplianceLock {
        by: lock.by.into(),
        is_by_admin: lock.by_admin,
        reason: lock.reason.into(),
        at: Timestamp::from_micros(lock.at_us),
    }
}

fn boot(bytes: &[u8]) -> Result<Option<BootId>, DecodeError> {
    if bytes.is_empty() { Ok(None) } else { decode_boot(bytes).map(Some) }
}

fn decode_driver(number: u32) -> Result<DumpDriver, DecodeError> {
    DumpDriver::from_number(number).ok_or(DecodeError::Newer { what: "a driver of crash dumps" })
}

fn decode_cause(number: u32) -> Result<DumpCause, DecodeError> {
    DumpCause::from_number(number).ok_or(DecodeError::Newer { what: "a cause of a crash dump" })
}
