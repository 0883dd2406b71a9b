//! Defines why the reporter cannot be installed, and why there is no report.

use std::io;

use super::reporter::CALLS_MAX;

/// Why reports could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The signal handler cannot be installed.
    #[error("cannot install the handler of SIGUSR2: {0}")]
    Signal(#[source] io::Error),
    /// The thread cannot be started.
    #[error("cannot start the thread for reports: {0}")]
    Thread(#[source] io::Error),
}

/// Why a call got no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Too many calls wait for one.
    #[error("{CALLS_MAX} calls already wait for a report; try again")]
    TooMany,
    /// The report took too long.
    #[error("no report within 15 s; try SIGUSR2")]
    TimedOut,
    /// The report itself failed.
    #[error("the report failed; standard error has the reason")]
    Failed,
}
