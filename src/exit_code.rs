//! Defines the exit codes of `gridd`, `gridctl` and `vme`: one list, the same in the README.

/// How one of the programs ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Success; for `vme`: the event is durable, or need not be stored.
    Done = 0,
    /// A failure; the last line has the reason.
    Failed = 1,
    /// Invalid usage or configuration, or a malformed event; nothing was done.
    Usage = 2,
    /// Rejected by the broker's rules; nothing changed.
    Refused = 3,
    /// `vme`: the appliance is suppressed.
    Suppressed = 4,
    /// `vme`: the broker cannot be reached; the event waits in the appliance's spool.
    Spooled = 5,
    /// The broker cannot be reached or accepts nothing now; try again later.
    Unavailable = 6,
    /// There is no such appliance, record or other object.
    NotFound = 7,
    /// `gridd journal`: the check found damage or missing records.
    Damaged = 8,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
