//! Tests the crash dumps that the broker decides by itself.

use std::sync::Arc;

use super::driver::*;
use crate::grid::explain;
use crate::grid::log::command::{AdminCommand, DumpOrder};
use crate::grid::log::crash_dump::DumpResult;
use crate::grid::model::crash_dump::{AutomaticDump, CrashDumpSettings, DumpEnd, DumpTrigger};
use crate::grid::model::settings::ClassSettings;
use crate::grid::values::crash_dump::{DumpCause, DumpDriver};

/// The broker decides by itself, at a boot timeout and at a hung start.
fn automatic() -> ClassSettings {
    let settings = CrashDumpSettings {
        driver: DumpDriver::Qemu,
        on_hung: AutomaticDump::Configured,
        on_boot_timeout: AutomaticDump::By(DumpDriver::Command),
        ..CrashDumpSettings::default()
    };
    ClassSettings { crash_dump: Arc::new(settings), ..ClassSettings::default() }
}

#[test]
fn nothing_is_dumped_by_itself_unless_it_is_configured() {
    let mut timeline = Timeline::new();
    timeline.hello(1);
    timeline.at(301);
    assert_eq!(timeline.failure(), "boot_timeout");
    assert!(timeline.grid().state().appliance(DB1).expect("it").crash_dumps.is_empty());
}

#[test]
fn a_boot_timeout_makes_a_crash_dump_due_once_a_boot() {
    let mut timeline = Timeline::with(automatic());
    timeline.hello(1);
    timeline.at(301);
    let dump = timeline.newest_dump().clone();
    assert_eq!((dump.trigger, dump.cause), (DumpTrigger::Due, DumpCause::BootTimeout));
    assert_eq!((dump.driver, &*dump.by), (DumpDriver::Command, "gridd"));
    assert!(
        explain::describe_record(timeline.last())
            .render(|at| at.as_micros().to_string())
            .contains("a crash dump is due")
    );
    // It may report late, and hang then: that is the same boot.
    timeline.at(310).store(maintenance(1, 5, "checking"));
    timeline.at(500);
    assert_eq!(timeline.failure(), "hung");
    assert_eq!(timeline.grid().state().appliance(DB1).expect("it").crash_dumps.len(), 1);
    timeline.at(600).hello(2);
    timeline.at(901);
    assert_eq!(timeline.failure(), "boot_timeout");
    assert_eq!(timeline.grid().state().appliance(DB1).expect("it").crash_dumps.len(), 2);
    assert_ne!(timeline.newest_dump().request, dump.request);
}

#[test]
fn a_due_crash_dump_begins_once_and_only_while_the_start_is_failed() {
    let mut timeline = Timeline::with(automatic());
    timeline.hello(1);
    timeline.store(maintenance(1, 5, "checking"));
    timeline.at(61);
    assert_eq!(timeline.failure(), "hung");
    let request = timeline.newest_dump().request;
    let order = DumpOrder {
        request,
        requester: "gridd".into(),
        driver: DumpDriver::Qemu,
        cause: DumpCause::Hung,
        ..DumpOrder::default()
    };
    let begin = || AdminCommand::CrashDump { name: name(DB1), order: order.clone() };
    assert_eq!(timeline.command(begin()), Ok(DB1));
    assert_eq!(
        (timeline.state(), timeline.newest_dump().trigger),
        ("dumping", DumpTrigger::Pending)
    );
    timeline.driver_reports(DumpResult::Failed);
    assert_eq!(timeline.failure(), "hung");
    assert!(timeline.command(begin()).is_err(), "it was tried");

    let mut timeline = Timeline::with(automatic());
    timeline.hello(1);
    timeline.store(maintenance(1, 5, "checking"));
    timeline.at(61);
    let request = timeline.newest_dump().request;
    let order = DumpOrder { request, ..order };
    timeline.at(62).store(started_ok(1));
    let begin = AdminCommand::CrashDump { name: name(DB1), order };
    assert!(timeline.command(begin).is_err(), "it has recovered");
    timeline.driver_reports(DumpResult::Failed).expect("that is recorded");
    assert_eq!(timeline.state(), "running");
    assert_eq!(timeline.newest_dump().end.map(|it| it.0), Some(DumpEnd::NotTriggered));
}

#[test]
fn what_is_due_does_not_begin_in_another_boot() {
    let mut timeline = Timeline::with(automatic());
    timeline.hello(1);
    timeline.at(301);
    let request = timeline.newest_dump().request;
    timeline.at(310).hello(2);
    assert_eq!(timeline.newest_dump().end.map(|it| it.0), Some(DumpEnd::NotTriggered));
    timeline.store(start_failed(2, "no disk"));
    let cause = DumpCause::BootTimeout;
    let order = DumpOrder { request, cause, ..DumpOrder::default() };
    let begin = AdminCommand::CrashDump { name: name(DB1), order };
    assert!(timeline.command(begin).is_err());
    assert_eq!(timeline.driver_reports(DumpResult::Failed), None);
    assert_eq!(timeline.state(), "failed");
}
