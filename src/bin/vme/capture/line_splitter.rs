//! Splits a program's output into lines, and finds its last line and first error.
//!
//! Guarantees bounded memory however long a line is: only its head is stored. A line ends with a
//! line feed or a carriage return, so each state of a progress bar is a line. Does not know what
//! lines mean.

use grid_broker::show::terminal;

use crate::capture::error_line::looks_like_an_error;

/// The stored head of a line; the broker stores no longer texts either.
const LINE_BYTES_MAX: usize = 4_096;

/// Splits output into lines, chunk by chunk.
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    head: Vec<u8>,
}

impl LineSplitter {
    /// Adds the next chunk; calls `line` with each line that ends in it, without its line end.
    pub(crate) fn push(&mut self, chunk: &[u8], mut line: impl FnMut(&[u8])) {
        for part in chunk.split_inclusive(|byte| is_line_end(*byte)) {
            let ends = part.last().copied().is_some_and(is_line_end);
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
    pub(crate) fn partial_line(&self) -> &[u8] {
        &self.head
    }
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// The last line and the first error of a program, as people read them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutputSummary {
    /// The last line that is not empty. Empty if there was no output.
    pub(crate) last_line: String,
    /// The first line that looks like an error, if the last one does not.
    pub(crate) first_error: Option<String>,
}

impl From<&str> for OutputSummary {
    fn from(line: &str) -> Self {
        Self { last_line: line.to_owned(), first_error: None }
    }
}

/// Summarizes lines into [`OutputSummary`]. Terminal sequences are removed.
#[derive(Debug, Default)]
pub(crate) struct OutputSummarizer {
    splitter: LineSplitter,
    last_line: String,
    first_error: Option<String>,
    /// The error ends with a colon, so the next line belongs to it.
    is_error_unfinished: bool,
}

impl OutputSummarizer {
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        let Self { splitter, last_line, first_error, is_error_unfinished } = self;
        splitter.push(chunk, |line| {
            let line = printable(line);
            if line.is_empty() {
                return;
            }
            if *is_error_unfinished {
                *is_error_unfinished = false;
                if let Some(error) = first_error {
                    error.push(' ');
                    error.push_str(&line);
                }
            } else if first_error.is_none() && looks_like_an_error(&line) {
                *is_error_unfinished = line.ends_with(':');
                *first_error = Some(line.clone());
            }
            *last_line = line;
        });
    }

    /// The summary so far. Invalid UTF-8 is replaced by U+FFFD, and the last line need not have
    /// ended.
    pub(crate) fn summary(&self) -> OutputSummary {
        let rest = printable(self.splitter.partial_line());
        let line = if rest.is_empty() { self.last_line.clone() } else { rest };
        let error =
            self.first_error.clone().filter(|error| !line.is_empty() && !error.ends_with(&line));
        let error = error.filter(|_| !looks_like_an_error(&line));
        OutputSummary { last_line: line, first_error: error }
    }
}

fn printable(line: &[u8]) -> String {
    terminal::strip_controls(&String::from_utf8_lossy(line)).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(pieces: &[&[u8]]) -> String {
        let mut last = OutputSummarizer::default();
        for chunk in pieces {
            last.push(chunk);
        }
        last.summary().last_line
    }

    #[test]
    fn the_last_nonempty_line_is_found() {
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
    fn the_first_error_is_reported_if_the_last_line_is_none() {
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
            let mut last = OutputSummarizer::default();
            last.push(output.as_bytes());
            let error = error.map(ToOwned::to_owned);
            assert_eq!(
                last.summary(),
                OutputSummary { last_line: line.to_owned(), first_error: error },
                "{output}"
            );
        }
    }

    #[test]
    fn an_endless_line_takes_bounded_memory_and_the_next_one_is_whole() {
        let mut last = OutputSummarizer::default();
        for _ in 0..1_000 {
            last.push(&[b'x'; 4_096]);
        }
        assert_eq!(last.summary().last_line.len(), LINE_BYTES_MAX);
        assert!(last.splitter.head.capacity() <= 2 * LINE_BYTES_MAX);
        last.push(b"\nshort\n");
        assert_eq!(last.summary().last_line, "short");
    }
}
