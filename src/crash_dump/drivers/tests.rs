//! Tests the drivers against doubles of their back ends: sockets, and scripts in place of programs.

mod programs;

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::grid::model::crash_dump::CrashDumpSettings;
use crate::grid::values::id::{ApplianceIndex, ApplianceName};

/// The appliance `vm1`, with these settings.
fn target(driver: DumpDriver, settings: CrashDumpSettings) -> DumpTarget {
    DumpTarget {
        name: ApplianceName::new("vm1").expect("a name"),
        uuid: Uuid::from_u128(7),
        index: ApplianceIndex(1),
        boot: None,
        driver,
        settings: Arc::new(settings),
    }
}

/// Why a check finds that a crash dump is not possible at all.
#[track_caller]
fn unsupported(checked: Result<Vec<String>, CheckError>) -> String {
    match checked {
        Err(CheckError::Unsupported(why)) => why,
        other => panic!("not unsupported, but {other:?}"),
    }
}

/// Why a check finds that a crash dump is not possible now.
#[track_caller]
fn not_now(checked: Result<Vec<String>, CheckError>) -> String {
    match checked {
        Err(CheckError::NotNow(why)) => why,
        other => panic!("not busy, but {other:?}"),
    }
}
