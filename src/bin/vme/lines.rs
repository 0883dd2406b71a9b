//! What are the lines of a program's output, and which was the last that says something?
//!
//! Guarantees that memory is bounded however long a line is: of each only the head is kept. A line
//! ends with a line feed or a carriage return, so a progress bar's every state is a line. Does not
//! know what lines mean.

/// The head of a line that is kept; more than the broker keeps of a text would help nobody.
const LINE_BYTES_MAX: usize = 4_096;

/// Cuts output into lines, in pieces as they come.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    head: Vec<u8>,
}

impl Lines {
    /// Takes the next piece; `line` is called with each line that ends in it, without its end.
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

    /// What came behind the last end of a line.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.head
    }
}

fn is_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// The last line that is not empty, whether or not it was ended.
#[derive(Debug, Default)]
pub(crate) struct LastLine {
    lines: Lines,
    last: Vec<u8>,
}

impl LastLine {
    pub(crate) fn take(&mut self, piece: &[u8]) {
        self.lines.take(piece, |line| {
            if !line.trim_ascii().is_empty() {
                self.last.clear();
                self.last.extend_from_slice(line.trim_ascii());
            }
        });
    }

    /// As text: what is not UTF-8 is replaced by U+FFFD. Empty: nothing was said.
    pub(crate) fn text(&self) -> String {
        let rest = self.lines.rest().trim_ascii();
        let last = if rest.is_empty() { &self.last } else { rest };
        String::from_utf8_lossy(last).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(pieces: &[&[u8]]) -> String {
        let mut last = LastLine::default();
        for piece in pieces {
            last.take(piece);
        }
        last.text()
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
            (&[b"wr\xffng \x1b[31m\n"], "wr\u{fffd}ng \x1b[31m"),
            (&[b"split ch", b"\xc3", b"\xa4racter\n"], "split ch\u{e4}racter"),
        ] {
            assert_eq!(last(pieces), expected, "{pieces:?}");
        }
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory_and_the_next_one_is_whole() {
        let mut last = LastLine::default();
        for _ in 0..1_000 {
            last.take(&[b'x'; 4_096]);
        }
        assert_eq!(last.text().len(), LINE_BYTES_MAX);
        assert!(last.lines.head.capacity() <= 2 * LINE_BYTES_MAX);
        last.take(b"\nshort\n");
        assert_eq!(last.text(), "short");
    }
}
