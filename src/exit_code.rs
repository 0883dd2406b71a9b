//! The exit codes of `gridd`, `gridctl` and `vme`: one list, the same in the README.

/// How a program of ours ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done; for `vme`: the event is durably kept, or needed no keeping.
    Done = 0,
    /// Something broke; the last line says what.
    Failed = 1,
    /// Wrong usage, wrong configuration or a malformed event; nothing was done.
    Usage = 2,
    /// The broker's rules say no; nothing changed.
    Refused = 3,
    /// `vme`: the broker holds this appliance's events back for a while.
    Suppressed = 4,
    /// `vme`: the broker is away, the event waits in the appliance's spool.
    Spooled = 5,
    /// The broker cannot be reached or takes nothing now; try again later.
    Unavailable = 6,
    /// There is no such appliance, record or other thing.
    NotFound = 7,
    /// `gridd journal`: it was looked at, and is damaged or lacks records.
    Damaged = 8,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
