//! Tests that crash dumps and locks read back.

use std::time::Duration;

use uuid::Uuid;

use super::tests::{INDEX, at, reads_back, record};
use crate::grid::log::command::{AdminCommand, DumpOrder};
use crate::grid::log::crash_dump::{DumpReport, DumpResult};
use crate::grid::log::effect::ApplianceEffect;
use crate::grid::log::input::Input;
use crate::grid::model::crash_dump::{ApplianceLock, CrashDump, DumpEnd, DumpTrigger};
use crate::grid::values::crash_dump::{DumpCause, DumpDriver, FoundDump};
use crate::grid::values::id::{ApplianceName, BootId};

pub(super) fn found() -> FoundDump {
    FoundDump {
        path: "/var/crash/202611301612/dump.202611301612".into(),
        bytes: 22_300_000,
        is_incomplete: true,
        last_words: "Kernel panic - not syncing: NMI: Not continuing".into(),
        took: Some(Duration::from_millis(1_500)),
        written_at: Some(at(77)),
    }
}

fn name() -> ApplianceName {
    ApplianceName::new("db1").expect("a name")
}

#[test]
fn commands_on_crash_dumps_and_locks_read_back() {
    let mut commands = vec![
        AdminCommand::Lock { name: name(), reason: "a disk is changed".into(), is_by_admin: true },
        AdminCommand::Lock { name: name(), reason: "".into(), is_by_admin: false },
        AdminCommand::Unlock { name: name(), is_by_admin: true },
        AdminCommand::Unlock { name: name(), is_by_admin: false },
    ];
    for (driver, cause) in
        DumpDriver::ALL.into_iter().flat_map(|it| DumpCause::ALL.map(|cause| (it, cause)))
    {
        let (request, requester) = (Uuid::max(), "ann".into());
        let appliance = Some(Uuid::from_u128(7)).filter(|_| cause == DumpCause::Hung);
        let order = DumpOrder { request, requester, driver, cause, passes_lock: true, appliance };
        commands.push(AdminCommand::CrashDump { name: name(), order });
    }
    for command in commands {
        reads_back(&record(Input::Command { by: "ann".into(), command }, Vec::new()));
    }
}

#[test]
fn what_a_driver_reports_reads_back() {
    for result in [DumpResult::Done, DumpResult::Failed, DumpResult::Unknown] {
        let (detail, output) = ("it is paused".into(), "line\n".into());
        let report = DumpReport { appliance: INDEX, request: Uuid::max(), result, detail, output };
        reads_back(&record(Input::CrashDump(report), Vec::new()));
    }
}

#[test]
fn crash_dumps_and_locks_of_an_appliance_read_back() {
    let triggers = [
        DumpTrigger::Due,
        DumpTrigger::Pending,
        DumpTrigger::Done { at: at(3) },
        DumpTrigger::Failed { at: at(4) },
        DumpTrigger::Unknown { at: at(5) },
    ];
    let boot = Some(BootId(Uuid::from_u128(9)));
    let ends = [
        None,
        Some(DumpEnd::NewBoot { boot }),
        Some(DumpEnd::NewBoot { boot: None }),
        Some(DumpEnd::NoBoot),
        Some(DumpEnd::NoEffect),
        Some(DumpEnd::NotTriggered),
        Some(DumpEnd::Stopped),
    ];
    let mut effects: Vec<_> = ends
        .into_iter()
        .zip(triggers.into_iter().cycle())
        .map(|(end, trigger)| {
            let dump = CrashDump {
                request: Uuid::from_u128(5),
                by: "ann".into(),
                cause: DumpCause::Hung,
                driver: DumpDriver::Ipmi,
                boot: end.and(boot),
                requested_at: at(1),
                trigger,
                detail: "detail".into(),
                output: "output".into(),
                last_event_at: end.map(|_| at(2)),
                end: end.map(|end| (end, at(8))),
                found: end.map(|_| vec![found(), found()]).unwrap_or_default(),
            };
            ApplianceEffect::CrashDump { dump: Box::new(dump) }.of(INDEX)
        })
        .collect();
    let lock = ApplianceLock {
        by: "ann".into(),
        is_by_admin: true,
        reason: "a disk is changed".into(),
        at: at(9),
    };
    effects.push(ApplianceEffect::Lock { lock: Some(Box::new(lock)) }.of(INDEX));
    effects.push(ApplianceEffect::Lock { lock: None }.of(INDEX));
    reads_back(&record(Input::BrokerStopped, effects));
}
