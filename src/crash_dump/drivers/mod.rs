//! Calls the driver of a crash dump.
//!
//! Guarantees that a check and a trigger end within their time limits, and that output is bounded.
//! Does not know records.

mod agent;
mod command;
mod ipmi;
mod libvirt;
mod output;
mod process;
mod qemu;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::crash_dump::DumpTarget;
use crate::crash_dump::agents::Agents;
use crate::grid::values::crash_dump::DumpDriver;
use crate::grid::values::id::is_valid_name;
use crate::show::escape::escape;

use self::process::{End, StartError};

/// How much longer than its settings' timeout a driver may take: it kills its program, and waits for it.
pub const ENDING_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest text of a back end in a reason, in bytes.
const QUOTE_BYTES_MAX: usize = 300;

/// What a paused machine does with an NMI (crash-dump-vm.md, sections 5 and 8).
const PAUSED: &str = "the NMI takes effect when it is continued";

/// Why a back end refuses before anything happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// It cannot at all: no driver, no socket, no such domain, no BMC.
    #[error("{0}")]
    Unsupported(String),
    /// It cannot now: busy, silent, or in a state without a dump.
    #[error("{0}")]
    NotNow(String),
}

/// A back end accepted the trigger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Triggered {
    /// What is to be known of it, as a sentence; empty: nothing.
    pub note: String,
    /// The output of the driver, bounded.
    pub output: String,
}

/// A driver failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct TriggerError {
    /// Why, as a sentence without a period.
    pub why: String,
    /// The output of the driver, bounded.
    pub output: String,
    /// It is unknown whether it took effect: it died or fell silent after it was reported.
    pub is_unknown: bool,
}

impl CheckError {
    fn not_started(error: StartError) -> Self {
        if error.is_lasting() {
            Self::Unsupported(error.to_string())
        } else {
            Self::NotNow(error.to_string())
        }
    }
}

impl TriggerError {
    /// Nothing happened to the appliance.
    fn refused(why: String) -> Self {
        Self { why, output: String::new(), is_unknown: false }
    }

    fn not_started(error: StartError) -> Self {
        Self::refused(error.to_string())
    }

    /// A program that did not end by itself.
    fn interrupted(program: &str, end: End, limit: Duration, output: String) -> Self {
        let why = match end {
            End::TimedOut => {
                format!("{program} did not end within {} s and was killed", limit.as_secs_f32())
            }
            End::Signalled(signal) => format!("{program} was killed by signal {signal}"),
            End::Exited(code) => format!("{program} ended with exit code {code}"),
        };
        Self { why, output, is_unknown: true }
    }
}

/// A text of a back end, escaped and short enough for a reason.
fn quote(text: &str) -> String {
    match text.floor_char_boundary(QUOTE_BYTES_MAX) {
        end if end < text.len() => format!("{}...", escape(&text[..end])),
        _ => escape(text).into_owned(),
    }
}

/// The last line of what a program wrote: mostly the reason.
fn last_line(text: &str) -> String {
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    line.map_or_else(|| "it gives no reason".to_owned(), quote)
}

/// Why names cannot be put into paths and arguments: an older broker accepted `..` and `-`.
fn name_problem(target: &DumpTarget) -> Option<String> {
    let has_placeholders = match target.driver {
        DumpDriver::None | DumpDriver::Agent => false,
        DumpDriver::Qemu | DumpDriver::Libvirt | DumpDriver::Ipmi | DumpDriver::Command => true,
    };
    (has_placeholders && !is_valid_name(target.name.as_str())).then(|| {
        "the name of the appliance does not begin with a letter or digit, so it could be taken for \
         an option or another folder"
            .to_owned()
    })
}

/// Asks the back end whether a crash dump is possible now. Returns warnings.
///
/// # Errors
///
/// [`CheckError`].
pub async fn check(target: &DumpTarget, agents: &Agents) -> Result<Vec<String>, CheckError> {
    if let Some(problem) = name_problem(target) {
        return Err(CheckError::Unsupported(problem));
    }
    match target.driver {
        DumpDriver::None => Err(CheckError::Unsupported("no driver is configured".to_owned())),
        DumpDriver::Qemu => qemu::check(target).await,
        DumpDriver::Libvirt => libvirt::check(target).await,
        DumpDriver::Ipmi => ipmi::check(target).await,
        DumpDriver::Agent => agent::check(target, agents),
        DumpDriver::Command => command::check(target),
    }
}

/// Triggers the crash dump. Ends within the settings' timeout and [`ENDING_TIMEOUT`].
///
/// # Errors
///
/// [`TriggerError`].
pub async fn trigger(target: &DumpTarget, agents: &Agents) -> Result<Triggered, TriggerError> {
    if let Some(problem) = name_problem(target) {
        return Err(TriggerError::refused(problem));
    }
    match target.driver {
        DumpDriver::None => Err(TriggerError::refused("no driver is configured".to_owned())),
        DumpDriver::Qemu => qemu::trigger(target).await,
        DumpDriver::Libvirt => libvirt::trigger(target).await,
        DumpDriver::Ipmi => ipmi::trigger(target).await,
        DumpDriver::Agent => agent::trigger(target, agents).await,
        DumpDriver::Command => command::trigger(target).await,
    }
}
