//! Defines why the reporter cannot be installed, and why there is no report.

use std::io;

use super::reporter::CALLS_MAX;

/// Why there are to be no reports.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The signal can't be heard.
    #[error("SIGUSR2 can't be heard: {0}")]
    Signal(#[source] io::Error),
    /// There is no thread to be had.
    #[error("there is no thread for reports: {0}")]
    Thread(#[source] io::Error),
}

/// Why a call got no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoReport {
    /// Too many wait for one.
    #[error("{CALLS_MAX} others wait for a report already; try again")]
    TooMany,
    /// It took too long.
    #[error("no report within 15 s; SIGUSR2 may do better")]
    TookTooLong,
    /// The report's own code failed.
    #[error("the report itself failed; standard error says why")]
    Failed,
}
