//! Builds the reason of a failed start as one text of bounded length.
//!
//! Guarantees that the reason comes first, and that a long reason does not cut off the remarks
//! after it. Does not know how the failure was detected.

use std::path::Path;

use grid_broker::grid::values::event::TEXT_BYTES_MAX;
use rustix::process::Signal;

use crate::capture::line_splitter::OutputSummary;
use crate::child::{ChildStatus, signal_name};

/// The vendor's text for a failed start without output.
pub(crate) const NO_OUTPUT_REASON: &str = "Failed to Start";

/// Marks truncated text.
const TRUNCATION_MARK: &str = "...";

/// Longest first error that is appended.
const ERROR_BYTES_MAX: usize = 1_024;

/// The remark with the first error before the last line.
pub(crate) fn first_error(last: &OutputSummary) -> Option<String> {
    let error = last.first_error.as_deref()?;
    Some(format!("first error: {}", &error[..error.floor_char_boundary(ERROR_BYTES_MAX)]))
}

/// The reason of a failed command with the output summary `last`. `asked` is the signal that asked
/// it to stop, `file` contains all of its standard error.
pub(crate) fn command_failure(
    last: &OutputSummary,
    end: ChildStatus,
    stop_signal: Option<Signal>,
    file: Option<&Path>,
) -> String {
    let line = &last.last_line;
    let how = match (stop_signal, end) {
        (Some(signal), _) => format!("stopped by {}", signal_name(signal.as_raw())),
        (None, ChildStatus::Killed(_)) => end.describe(),
        (None, ChildStatus::Exited(126 | 127)) if line.is_empty() => end.describe(),
        (None, ChildStatus::Exited(_)) => String::new(),
    };
    let all = file.map(|file| format!("all of it: {}", file.display()));
    let remarks: Vec<_> = first_error(last).into_iter().chain([how]).chain(all).collect();
    with_remarks(if line.is_empty() { NO_OUTPUT_REASON } else { line }, &remarks)
}

/// The reason of a command that could not be started.
pub(crate) fn spawn_failure(why: &dyn std::fmt::Display) -> String {
    with_remarks(&format!("{NO_OUTPUT_REASON}: {why}"), &[])
}

/// `reason (one; other)`, in the length that the broker stores.
pub(crate) fn with_remarks(reason: &str, remarks: &[String]) -> String {
    let remarks: Vec<&str> =
        remarks.iter().map(String::as_str).filter(|remark| !remark.is_empty()).collect();
    let suffix =
        if remarks.is_empty() { String::new() } else { format!(" ({})", remarks.join("; ")) };
    let room = TEXT_BYTES_MAX.saturating_sub(suffix.len());
    if reason.len() <= room {
        return format!("{reason}{suffix}");
    }
    let head = &reason[..reason.floor_char_boundary(room.saturating_sub(TRUNCATION_MARK.len()))];
    format!("{head}{TRUNCATION_MARK}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_last_line_with_remarks() {
        let file = Path::new("/var/lib/vme/start-1.stderr");
        let exit = ChildStatus::Exited(1);
        for (last, end, stop_signal, file, reason) in [
            ("Missing DNS server address", exit, None, None, "Missing DNS server address"),
            (
                "Missing DNS server address",
                exit,
                None,
                Some(file),
                "Missing DNS server address (all of it: /var/lib/vme/start-1.stderr)",
            ),
            ("", exit, None, None, "Failed to Start"),
            ("", ChildStatus::Killed(11), None, None, "Failed to Start (killed by SIGSEGV)"),
            (
                "fsck",
                ChildStatus::Killed(9),
                None,
                Some(file),
                "fsck (killed by SIGKILL; all of it: /var/lib/vme/start-1.stderr)",
            ),
            (
                "",
                ChildStatus::Exited(0),
                Some(Signal::TERM),
                None,
                "Failed to Start (stopped by SIGTERM)",
            ),
            ("x", ChildStatus::Killed(15), Some(Signal::TERM), None, "x (stopped by SIGTERM)"),
            (
                "",
                ChildStatus::Exited(127),
                None,
                None,
                "Failed to Start (exit status 127, a command is not found)",
            ),
            (
                "sh: 1: fsk: not found",
                ChildStatus::Exited(127),
                None,
                None,
                "sh: 1: fsk: not found",
            ),
        ] {
            assert_eq!(command_failure(&last.into(), end, stop_signal, file), reason);
        }
        let last = OutputSummary {
            last_line: "cleanup done".to_owned(),
            first_error: Some("db: cannot bind port 80".to_owned()),
        };
        assert_eq!(
            command_failure(&last, exit, None, Some(file)),
            "cleanup done (first error: db: cannot bind port 80; all of it: \
             /var/lib/vme/start-1.stderr)"
        );
        assert_eq!(spawn_failure(&"fsk is not found"), "Failed to Start: fsk is not found");
    }

    #[test]
    fn a_long_reason_is_truncated_and_the_remark_stays() {
        let reason = with_remarks(&"é".repeat(4_000), &["all of it: /x".to_owned()]);
        assert!(reason.len() <= TEXT_BYTES_MAX && reason.len() > TEXT_BYTES_MAX - 4);
        assert!(reason.ends_with("é... (all of it: /x)"), "{reason}");
    }
}
