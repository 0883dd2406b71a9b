//! Crash dumps of this appliance: whether its kernel is ready, the broker's order, and dumps that are
//! found.

mod finder;
pub(crate) mod kernel;
mod last_words;
mod layout;
mod open_folder;
mod reported_dumps;
pub(crate) mod session_duty;
mod survey;
pub(crate) mod watch;

use std::path::PathBuf;

use crate::crash_dump::kernel::Kernel;

/// What `vme agent` does for crash dumps.
#[derive(Debug)]
pub(crate) struct CrashDumpConfig {
    /// The broker may order a crash of the kernel.
    pub(crate) has_leave: bool,
    /// Where dumps are looked for, and whether that was given; `None`: nowhere.
    pub(crate) folder: Option<(PathBuf, bool)>,
    /// The kernel.
    pub(crate) kernel: Kernel,
}
