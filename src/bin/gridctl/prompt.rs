//! Asks the user at the terminal: a secret without showing it, or a question.
//!
//! Guarantees that only a terminal is asked, whatever stdin and stdout are, and that it shows typed
//! text again afterwards. Keeps nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// Longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 4096;

/// The terminal of the process; `None` without one.
pub(crate) fn terminal() -> Option<Terminal> {
    let tty = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
    Some(Terminal { tty })
}

/// A terminal.
#[derive(Debug)]
pub(crate) struct Terminal {
    tty: File,
}

impl Terminal {
    /// Asks for a secret, which is not shown.
    ///
    /// # Errors
    ///
    /// If the terminal cannot be used.
    pub(crate) fn read_secret(&self, question: &str) -> io::Result<String> {
        // First, since this discards what was typed before.
        let hidden = HiddenInput::begin(&self.tty)?;
        write!(&self.tty, "{question}")?;
        let line = self.read_line();
        drop(hidden);
        line
    }

    /// Asks for a text.
    ///
    /// # Errors
    ///
    /// If the terminal cannot be used.
    pub(crate) fn ask(&self, question: &str) -> io::Result<String> {
        write!(&self.tty, "{question}")?;
        self.read_line()
    }

    fn read_line(&self) -> io::Result<String> {
        let mut line = String::new();
        // Unbuffered reads of a terminal end with the line, so nothing of the next one is lost.
        BufReader::with_capacity(1, (&self.tty).take(LINE_BYTES_MAX)).read_line(&mut line)?;
        if !line.ends_with('\n') {
            // The input ended within the line: what follows has its own.
            writeln!(&self.tty)?;
        }
        Ok(line.trim().to_owned())
    }
}

/// A terminal that does not show what is typed, until this is dropped.
struct HiddenInput<'a> {
    tty: &'a File,
    before: Termios,
}

impl<'a> HiddenInput<'a> {
    fn begin(tty: &'a File) -> io::Result<Self> {
        let before = tcgetattr(tty)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        // The line break is shown, so that the next output has its own line.
        hidden.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(tty, OptionalActions::Flush, &hidden)?;
        Ok(Self { tty, before })
    }
}

impl Drop for HiddenInput<'_> {
    fn drop(&mut self) {
        // There is nothing else to try.
        let _ = tcsetattr(self.tty, OptionalActions::Now, &self.before);
    }
}
