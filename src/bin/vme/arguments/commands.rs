//! What may stand behind `vme run`, `vme maintain`, `vme notify` and `vme agent`?
//!
//! Takes options as they come; what they mean is the commands' own matter.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

/// `vme run [--script FILE] [-- COMMAND ...]`
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The start script, read by a POSIX shell [default: /etc/sysconfig/applogic_appliance].
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    pub(crate) script: Option<PathBuf>,

    /// A command to run in place of the script.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// `vme maintain [--then-report] -- COMMAND ...`
#[derive(Debug, Args)]
pub(crate) struct MaintainArguments {
    /// The command's exit is the outcome of the start: 0 started_ok, else start_failed.
    #[arg(long)]
    pub(crate) then_report: bool,

    /// The command, whose lines such as `34 %` or `34% checking table 7` are reports.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// `vme notify -- COMMAND ...`
#[derive(Debug, Args)]
pub(crate) struct NotifyArguments {
    /// The service, started with NOTIFY_SOCKET set.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// `vme spool [--json]`
#[derive(Debug, Args)]
pub(crate) struct SpoolArguments {
    /// One JSON object in place of words.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `vme agent`
#[derive(Debug, Args)]
pub(crate) struct AgentArguments {}
