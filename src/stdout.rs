//! Writes standard output completely, or reports that it is incomplete.
//!
//! Guarantees that a full disk behind standard output is an error of the command, with the system's
//! message, and that a closed pipe is not. Does not know what is written.

use std::io::{self, IsTerminal, Write};

use crate::exit_code::ExitCode;
use crate::stderr;
use crate::system_error::Explained;

/// Writes `text` and flushes everything written before.
///
/// # Errors
///
/// When writing fails; a closed pipe is not an error.
pub fn write(text: &str) -> Result<(), StdoutError> {
    let mut out = io::stdout().lock();
    unless_broken_pipe(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Writing to standard output failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output, what it shows is not complete: {}", Explained(.0))]
pub struct StdoutError(#[source] io::Error);

/// The result of a write to standard output for the command.
///
/// # Errors
///
/// [`StdoutError`], unless the reader closed the pipe, as `head` does.
pub fn unless_broken_pipe(outcome: io::Result<()>) -> Result<(), StdoutError> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(StdoutError(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The exit code of a command by the result of its output: `done`, or [`ExitCode::Failed`] with a
/// line on standard error.
pub fn finish(program: &str, outcome: Result<(), StdoutError>, done: ExitCode) -> ExitCode {
    match outcome {
        Ok(()) => done,
        Err(error) => {
            stderr::write_line(&format!("{program}: {error}"));
            ExitCode::Failed
        }
    }
}

/// Prints what clap returns in place of a command: its help, its version, or an error of the command
/// line.
pub fn finish_with(program: &str, shown: &clap::Error) -> ExitCode {
    if !shown.use_stderr() {
        let outcome = shown.print().and_then(|()| io::stdout().flush());
        return finish(program, unless_broken_pipe(outcome), ExitCode::Done);
    }
    let is_coloured = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let text = shown.render();
    let text = if is_coloured { text.ansi().to_string() } else { text.to_string() };
    stderr::write_line(text.trim_end());
    ExitCode::Usage
}
