//! Tests the drivers against doubles of their back ends: sockets, and scripts in place of programs.

mod command;
mod ipmi;
mod libvirt;
mod programs;
mod qemu;

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

/// A script that stands in for a tool, in a folder of its own. A shell runs it: a program of its own could be
/// busy while another test starts one.
struct Script {
    path: String,
    folder: tempfile::TempDir,
}

impl Script {
    /// It writes its arguments and locale to a file, each on a line, and then runs `text`.
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tool").display().to_string();
        let reported = folder.path().join("reported").display().to_string();
        let script = format!("printf '%s\\n' \"$LC_ALL\" \"$@\" > {reported}\n{text}\n");
        std::fs::write(&path, script).expect("writes");
        Self { path, folder }
    }

    fn tool(&self) -> [&str; 2] {
        ["/bin/sh", &self.path]
    }

    /// What it was started with; `None`: it was not.
    fn reported(&self) -> Option<Vec<String>> {
        let text = std::fs::read_to_string(self.folder.path().join("reported")).ok()?;
        Some(text.lines().map(str::to_owned).collect())
    }
}

#[tokio::test]
async fn a_name_that_could_leave_its_folder_or_be_an_option_is_refused() {
    for name in ["..", "-x", ".hidden"] {
        let mut target = target(DumpDriver::Command, CrashDumpSettings::default());
        target.name = ApplianceName::from_stored(name).expect("an older broker accepted it");
        let why = unsupported(check(&target, &Agents::default()).await);
        assert!(why.contains("does not begin with a letter or digit"), "{why}");
        let error = trigger(&target, &Agents::default()).await.expect_err("is refused");
        assert!(!error.is_unknown && error.why == why);
    }
    let target = target(DumpDriver::None, CrashDumpSettings::default());
    let why = unsupported(check(&target, &Agents::default()).await);
    assert_eq!(why, "no driver is configured");
}

#[test]
fn reasons_quote_the_last_line_escaped_and_short() {
    assert_eq!(last_line("error: a\n  error: b\x1b[0m  \n\n"), "error: b\\x1b[0m");
    assert_eq!(last_line(" \n"), "it gives no reason");
    let long = last_line(&"\u{e4}".repeat(400));
    assert_eq!(long, format!("{}...", "\u{e4}".repeat(150)));
}
