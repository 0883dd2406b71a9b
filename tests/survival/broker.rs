//! A gridd for the survival tests: small files, long deadlines, and calls that fail by the shim.

use std::path::Path;

use super::shim::Shim;
use crate::support::{Gridd, Launch, Setup, Variables, scratch};

/// There from the moment when the shim made the first call fail, or hang.
const FAILED: &str = "failed";

/// Files and checkpoints as small as they may be; deadlines that no test waits for.
const CONFIG: &str = "\
[journal]
commit_file = \"64KiB\"
span = \"64KiB\"
checkpoint_records = 1000
[class.default]
boot_timeout = \"12h\"
maintenance_silence = \"12h\"
promise_max = \"12h\"
stuck_progress = \"12h\"
lost_contact = \"12h\"
";

/// A line of configuration: appliances may send as many events as they like.
pub(crate) const UNLIMITED: &str = "budget = \"unlimited\"\n";

/// One with an empty data folder, not started yet, that accepts all events.
pub(crate) fn broker() -> Gridd {
    broker_with(UNLIMITED)
}

/// With these lines of configuration besides, the first ones about the class.
pub(crate) fn broker_with(more: &str) -> Gridd {
    Setup::within(scratch(), &format!("{CONFIG}{more}")).stopped()
}

/// Starts it with calls that fail or hang, as in `shim.c`, and these variables besides; waits for
/// nothing.
pub(crate) fn spawn_failing(gridd: &mut Gridd, fail: &str, variables: Variables) {
    let _ = std::fs::remove_file(gridd.path(FAILED));
    spawn_with_shim(gridd, None, Some(fail), variables);
}

/// Starts it with all its calls recorded in `log`; waits for nothing.
pub(crate) fn spawn_recorded(gridd: &mut Gridd, log: &Path) {
    spawn_with_shim(gridd, Some(log), None, Variables::new());
}

fn spawn_with_shim(
    gridd: &mut Gridd,
    log: Option<&Path>,
    fail: Option<&str>,
    variables: Variables,
) {
    let shim = Shim { root: gridd.folder(), log, fail: fail.map(ToOwned::to_owned) };
    let environment = [shim.environment(), variables].concat();
    gridd.spawn(Launch { environment, ..Launch::default() });
}

/// Whether a call was made to fail since it was started so.
pub(crate) fn has_failed(gridd: &Gridd) -> bool {
    gridd.path(FAILED).exists()
}
