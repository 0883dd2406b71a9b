//! Standard output, written to its end, or said not to be.
//!
//! Guarantees that a full disk behind standard output is an error of the command, with the system's
//! word, and that a reader who has seen enough is none. Does not know what is written.

use std::io::{self, IsTerminal, Write};

use crate::exit_code::ExitCode;
use crate::stderr;
use crate::system_error::Explained;

/// Writes `text` and what was written before, to its end.
///
/// # Errors
///
/// When standard output takes no more; a reader that went away is no error.
pub fn write(text: &str) -> Result<(), NotWritten> {
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Standard output took no more.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output, what it shows is not complete: {}", Explained(.0))]
pub struct NotWritten(#[source] io::Error);

/// What a write to standard output that ended so means for the command.
///
/// # Errors
///
/// [`NotWritten`], unless the reader went away, as `head` does.
pub fn written(outcome: io::Result<()>) -> Result<(), NotWritten> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(NotWritten(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Ends a command by how its output went: `done`, or, with a line on standard error,
/// [`ExitCode::Failed`].
pub fn end(program: &str, outcome: Result<(), NotWritten>, done: ExitCode) -> ExitCode {
    match outcome {
        Ok(()) => done,
        Err(error) => {
            stderr::say(&format!("{program}: {error}"));
            ExitCode::Failed
        }
    }
}

/// Shows what clap has to show in place of a command: its help, its version, or what is wrong with
/// the command line.
pub fn end_by(program: &str, shown: &clap::Error) -> ExitCode {
    if !shown.use_stderr() {
        let outcome = shown.print().and_then(|()| io::stdout().flush());
        return end(program, written(outcome), ExitCode::Done);
    }
    let is_coloured = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let text = shown.render();
    let text = if is_coloured { text.ansi().to_string() } else { text.to_string() };
    stderr::say(text.trim_end());
    ExitCode::Usage
}
