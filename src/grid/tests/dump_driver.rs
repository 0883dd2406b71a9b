//! Requests crash dumps of DB1, and reports what their drivers did.

use uuid::Uuid;

use super::driver::{DB1, Timeline, name};
use crate::grid::log::command::{AdminCommand, DumpOrder};
use crate::grid::log::crash_dump::{DumpReport, DumpResult};
use crate::grid::log::input::Input;
use crate::grid::log::record::Record;
use crate::grid::model::crash_dump::CrashDump;
use crate::grid::values::crash_dump::DumpDriver;

/// The request of a crash dump of DB1, of that number.
pub(super) fn crash_dump(number: u128) -> AdminCommand {
    let (request, requester) = (Uuid::from_u128(number), "ann".into());
    let order = DumpOrder { request, requester, driver: DumpDriver::Qemu, ..DumpOrder::default() };
    AdminCommand::CrashDump { name: name(DB1), order }
}

impl Timeline {
    pub(super) fn crash_dump(&mut self) {
        self.crash_dumps += 1;
        assert_eq!(self.command(crash_dump(self.crash_dumps)), Ok(DB1));
    }

    /// The newest crash dump of DB1.
    pub(super) fn newest_dump(&self) -> &CrashDump {
        let appliance = self.grid().state().appliance(DB1).expect("it exists");
        appliance.crash_dumps.first().expect("a crash dump")
    }

    /// The driver reports on the newest crash dump of DB1.
    pub(super) fn driver_reports(&mut self, result: DumpResult) -> Option<Record> {
        let (appliance, request) = (DB1, self.newest_dump().request);
        let (detail, output) = ("detail".into(), "output".into());
        let report = DumpReport { appliance, request, result, detail, output };
        self.handle(Input::CrashDump(report)).record
    }
}
