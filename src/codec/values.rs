//! Encodes and decodes leaf values of `grid.journal.v1`: ids, names, severities, durations.
//!
//! Guarantees that an unknown value is an error. Does not know messages.

use std::time::Duration;

use uuid::Uuid;

use crate::codec::{DecodeError, proto};
use crate::grid::model::settings::Overrides;
use crate::grid::values::event::{Progress, Severity};
use crate::grid::values::id::{ApplianceName, BootId};

pub(super) fn encode_boot(id: BootId) -> Vec<u8> {
    id.0.as_bytes().to_vec()
}

pub(super) fn decode_boot(bytes: &[u8]) -> Result<BootId, DecodeError> {
    decode_uuid(bytes).map(BootId)
}

pub(super) fn decode_uuid(bytes: &[u8]) -> Result<Uuid, DecodeError> {
    Uuid::from_slice(bytes).map_err(|_| DecodeError::Impossible { what: "a UUID" })
}

pub(super) fn decode_name(name: &str) -> Result<ApplianceName, DecodeError> {
    ApplianceName::from_stored(name)
        .map_err(|_| DecodeError::Impossible { what: "an appliance's name" })
}

pub(super) fn percent(progress: Option<Progress>) -> u32 {
    progress.map_or(0, |progress| u32::from(progress.percent()))
}

pub(super) fn decode_progress(percent: u32) -> Result<Option<Progress>, DecodeError> {
    match percent {
        0 => Ok(None),
        percent => match Progress::new(percent) {
            Some(progress) => Ok(Some(progress)),
            None => Err(DecodeError::Impossible { what: "a progress" }),
        },
    }
}

pub(super) fn severity_number(severity: Severity) -> u32 {
    match severity {
        Severity::Debug => 1,
        Severity::Info => 2,
        Severity::Warn => 3,
        Severity::Error => 4,
        Severity::Fatal => 5,
    }
}

pub(super) fn decode_severity(severity: u32) -> Result<Severity, DecodeError> {
    Ok(match severity {
        1 => Severity::Debug,
        2 => Severity::Info,
        3 => Severity::Warn,
        4 => Severity::Error,
        5 => Severity::Fatal,
        _ => return Err(DecodeError::Newer { what: "a severity" }),
    })
}

pub(super) fn encode_overrides(own: &Overrides) -> proto::Overrides {
    proto::Overrides {
        managed: own.managed,
        boot_timeout_us: own.boot_timeout.map(micros),
        maintenance_silence_us: own.report_deadline.map(micros),
    }
}

pub(super) fn decode_overrides(own: Option<&proto::Overrides>) -> Overrides {
    let Some(own) = own else { return Overrides::default() };
    Overrides {
        managed: own.managed,
        boot_timeout: own.boot_timeout_us.map(Duration::from_micros),
        report_deadline: own.maintenance_silence_us.map(Duration::from_micros),
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
