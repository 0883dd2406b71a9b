//! Keeps the beginning and the end of what a program writes.
//!
//! Guarantees that all output is read, that a few KiB of it are kept however much there is, and that
//! the text of it has at most [`OUTPUT_BYTES_MAX`] bytes. Leaves control characters as they are:
//! whoever shows the text escapes it.

use std::collections::VecDeque;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::grid::model::crash_dump::OUTPUT_BYTES_MAX;

/// How much of the beginning is kept, and as much of the end; with the note between them it is
/// [`OUTPUT_BYTES_MAX`].
const PART_BYTES_MAX: usize = 960;

/// How much is read at once.
const CHUNK_BYTES: usize = 8 << 10;

/// What a program wrote.
#[derive(Clone, Debug, Default)]
pub(super) struct Output {
    stdout: Excerpt,
    stderr: Excerpt,
    /// Both, as they arrived.
    all: Excerpt,
}

impl Output {
    /// Its standard output.
    pub(super) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Its standard error.
    pub(super) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Both, in the order in which they arrived.
    pub(super) fn text(&self) -> String {
        self.all.text()
    }
}

/// Reads both to their ends.
pub(super) async fn read_both(
    stdout: &mut (impl AsyncRead + Unpin),
    stderr: &mut (impl AsyncRead + Unpin),
    output: &mut Output,
) {
    let Output { stdout: out, stderr: err, all } = output;
    let mut chunks = [vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]];
    let [out_chunk, err_chunk] = &mut chunks;
    let (mut is_out_open, mut is_err_open) = (true, true);
    while is_out_open || is_err_open {
        tokio::select! {
            read = stdout.read(out_chunk), if is_out_open => {
                let bytes = &out_chunk[..read.unwrap_or_default()];
                is_out_open = !bytes.is_empty();
                out.push(bytes);
                all.push(bytes);
            }
            read = stderr.read(err_chunk), if is_err_open => {
                let bytes = &err_chunk[..read.unwrap_or_default()];
                is_err_open = !bytes.is_empty();
                err.push(bytes);
                all.push(bytes);
            }
        }
    }
}

/// The beginning and the end of a stream of bytes.
#[derive(Clone, Debug, Default)]
struct Excerpt {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
}

impl Excerpt {
    fn push(&mut self, bytes: &[u8]) {
        let room = PART_BYTES_MAX - self.head.len();
        let (head, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(head);
        // Only the last of them can stay.
        let (skipped, rest) = rest.split_at(rest.len().saturating_sub(PART_BYTES_MAX));
        let displaced = (self.tail.len() + rest.len()).saturating_sub(PART_BYTES_MAX);
        self.tail.drain(..displaced);
        self.tail.extend(rest);
        self.left_out += (skipped.len() + displaced) as u64;
    }

    fn text(&self) -> String {
        let mut bytes = self.head.clone();
        if self.left_out == 0 {
            bytes.extend(&self.tail);
            let text = String::from_utf8_lossy(&bytes);
            // What is no UTF-8 became longer.
            if text.len() <= OUTPUT_BYTES_MAX {
                return text.into_owned();
            }
        }
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        let (head, tail) = (String::from_utf8_lossy(&self.head), String::from_utf8_lossy(&tail));
        let head = &head[..head.floor_char_boundary(PART_BYTES_MAX)];
        let tail = &tail[tail.ceil_char_boundary(tail.len().saturating_sub(PART_BYTES_MAX))..];
        format!("{head}\n[cut: {} bytes left out]\n{tail}", self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn excerpt(chunks: &[&[u8]]) -> Excerpt {
        let mut excerpt = Excerpt::default();
        chunks.iter().for_each(|chunk| excerpt.push(chunk));
        excerpt
    }

    #[test]
    fn short_output_is_kept_as_it_is_and_of_long_output_both_ends() {
        assert_eq!(excerpt(&[b"a\x1b[31m", b"", b"\r\nb\xff"]).text(), "a\x1b[31m\r\nb\u{fffd}");
        assert_eq!(excerpt(&[]).text(), "");
        let whole = "x".repeat(2 * PART_BYTES_MAX);
        assert_eq!(excerpt(&[whole.as_bytes()]).text(), whole);
        let long = [b"begin ", vec![b'x'; 64 << 10].as_slice(), b" end"].concat();
        for size in [1, 959, 8_192, long.len()] {
            let text = excerpt(&long.chunks(size).collect::<Vec<_>>()).text();
            assert!(text.starts_with("begin xxx") && text.ends_with("xxx end"), "{text}");
            let left_out = long.len() - 2 * PART_BYTES_MAX;
            assert!(text.contains(&format!("[cut: {left_out} bytes left out]")), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_output_is_longer_than_its_limit(
            chunks in prop::collection::vec(
                (0_usize..3_000, prop_oneof![Just(0xff), Just(b'a'), Just(0xc3), Just(0xa4)]),
                0..6,
            ),
        ) {
            let chunks: Vec<_> = chunks.iter().map(|(length, byte)| vec![*byte; *length]).collect();
            let chunks: Vec<_> = chunks.iter().map(Vec::as_slice).collect();
            let excerpt = excerpt(&chunks);
            prop_assert!(excerpt.text().len() <= OUTPUT_BYTES_MAX);
            prop_assert!(excerpt.head.len() <= PART_BYTES_MAX && excerpt.tail.len() <= PART_BYTES_MAX);
            let count = excerpt.head.len() as u64 + excerpt.tail.len() as u64 + excerpt.left_out;
            prop_assert_eq!(count, chunks.concat().len() as u64, "every byte is counted");
        }
    }
}
