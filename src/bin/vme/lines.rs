//! Splits a program's output into lines, and finds its last line and first error.
//!
//! Guarantees bounded memory however long a line is: only its head is stored. A line ends with a
//! line feed or a carriage return, so each state of a progress bar is a line. Does not know what
//! lines mean.

use grid_broker::show::terminal;

use crate::error_line::looks_like_an_error;

/// The stored head of a line; the broker stores no longer texts either.
const LINE_BYTES_MAX: usize = 4_096;

/// Splits output into lines, chunk by chunk.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    head: Vec<u8>,
}

impl Lines {
    /// Adds the next chunk; calls `line` with each line that ends in it, without its line end.
    pub(crate) fn take(&mut self, piece: &[u8], mut line: impl FnMut(&[u8])) {
        for part in piece.split_inclusive(|byte| is_end(*byte)) {
            let ends = part.last().copied().is_some_and(is_end);
            let part = if ends { &part[..part.len() - 1] } else { part };
            let room = LINE_BYTES_MAX.saturating_sub(self.head.len());
            self.head.extend_from_slice(&part[..part.len().min(room)]);
            if ends {
                line(&self.head);
                self.head.clear();
            }
        }
    }

    /// The text after the last line end.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.head
    }
}

fn is_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// The last line and the first error of a program, as people read them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LastWords {
    /// The last line that is not empty. Empty if there was no output.
    pub(crate) line: String,
    /// The first line that looks like an error, if the last one does not.
    pub(crate) error: Option<String>,
}

impl From<&str> for LastWords {
    fn from(line: &str) -> Self {
        Self { line: line.to_owned(), error: None }
    }
}

/// Summarizes lines into [`OutputSummary`]. Terminal sequences are removed.
#[derive(Debug, Default)]
pub(crate) struct LastLine {
    lines: Lines,
    last: String,
    error: Option<String>,
    /// The error ends with a colon, so the next line belongs to it.
    is_open: bool,
}

impl LastLine {
    pub(crate) fn take(&mut self, piece: &[u8]) {
        let Self { lines, last, error, is_open } = self;
        lines.take(piece, |line| {
            let line = readable(line);
            if line.is_empty() {
                return;
            }
            if *is_open {
                *is_open = false;
                if let Some(error) = error {
                    error.push(' ');
                    error.push_str(&line);
                }
            } else if error.is_none() && looks_like_an_error(&line) {
                *is_open = line.ends_with(':');
                *error = Some(line.clone());
            }
            *last = line;
        });
    }

    /// The summary so far. Invalid UTF-8 is replaced by U+FFFD, and the last line need not have
    /// ended.
    pub(crate) fn words(&self) -> LastWords {
        let rest = readable(self.lines.rest());
        let line = if rest.is_empty() { self.last.clone() } else { rest };
        let error = self.error.clone().filter(|error| !line.is_empty() && !error.ends_with(&line));
        let error = error.filter(|_| !looks_like_an_error(&line));
        LastWords { line, error }
    }
}

fn readable(line: &[u8]) -> String {
    terminal::plain(&String::from_utf8_lossy(line)).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(pieces: &[&[u8]]) -> String {
        let mut last = LastLine::default();
        for piece in pieces {
            last.take(piece);
        }
        last.words().line
    }

    #[test]
    fn the_last_line_that_says_something_is_found() {
        for (pieces, expected) in [
            (&[&b""[..]][..], ""),
            (&[b"one\ntwo\n"], "two"),
            (&[b"one\ntwo"], "two"),
            (&[b"on", b"e\n\n  \t\n", b"\r\n"], "one"),
            (&[b"10 %\r20 %\r30 %\r"], "30 %"),
            (&[b"one\r\n"], "one"),
            (&[b"  indented  \n"], "indented"),
            (&[b"wr\xffng \x1b[31m\n"], "wr\u{fffd}ng"),
            (&[b"\x1b[31mred\x1b[0m\n\x1b[0m\n"], "red"),
            (&[b"no space left\n\x1b[0m\x1b(B\x1b]0;\x07"], "no space left"),
            (&[b"split ch", b"\xc3", b"\xa4racter\n"], "split ch\u{e4}racter"),
        ] {
            assert_eq!(last(pieces), expected, "{pieces:?}");
        }
    }

    #[test]
    fn the_first_error_stands_beside_a_last_line_that_is_none() {
        for (output, line, error) in [
            (
                "Exception in thread \"main\" java.lang.RuntimeException: no port\n\
                 \tat org.example.Main.main(Main.java:3)\n\
                 Caused by: java.net.BindException: Address already in use\n\t... 12 more\n",
                "... 12 more",
                Some("Exception in thread \"main\" java.lang.RuntimeException: no port"),
            ),
            (
                "Traceback (most recent call last):\n  File \"x.py\", line 1, in <module>\n\
                 ValueError: no port\n",
                "ValueError: no port",
                None,
            ),
            (
                "+ cat /missing\ncat: /missing: No such file or directory\n+ false\n",
                "+ false",
                Some("cat: /missing: No such file or directory"),
            ),
            (
                "db: cannot bind port 80\ncleanup done\n",
                "cleanup done",
                Some("db: cannot bind port 80"),
            ),
            (
                "panic: runtime error: index out of range [3] with length 3\n\n\
                 goroutine 1 [running]:\nmain.main()\n\t/x/main.go:5 +0x1d\nexit status 2\n",
                "exit status 2",
                Some("panic: runtime error: index out of range [3] with length 3"),
            ),
            (
                "\nthread 'main' (7) panicked at src/main.rs:2:5:\nno port\n\
                 note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
                "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
                Some("thread 'main' (7) panicked at src/main.rs:2:5: no port"),
            ),
            ("starting\ndone\n", "done", None),
            ("error: one\nerror: two\n", "error: two", None),
            ("error: one\nerror: one", "error: one", None),
        ] {
            let mut last = LastLine::default();
            last.take(output.as_bytes());
            let error = error.map(ToOwned::to_owned);
            assert_eq!(last.words(), LastWords { line: line.to_owned(), error }, "{output}");
        }
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory_and_the_next_one_is_whole() {
        let mut last = LastLine::default();
        for _ in 0..1_000 {
            last.take(&[b'x'; 4_096]);
        }
        assert_eq!(last.words().line.len(), LINE_BYTES_MAX);
        assert!(last.lines.head.capacity() <= 2 * LINE_BYTES_MAX);
        last.take(b"\nshort\n");
        assert_eq!(last.words().line, "short");
    }
}
