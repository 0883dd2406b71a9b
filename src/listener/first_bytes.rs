//! The first bytes of a connection, which say what it speaks, and the short words for who is wrong here.
//!
//! Guarantees that nothing that was read is lost: it is put back before the stream. Works over
//! anything that can be read and written, so that TLS can lie below. Has no deadline: its caller has.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What every HTTP/2 connection begins with.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// It sent the whole preface.
    Http2,
    /// It may be HTTP/1: letters of a method.
    Http1,
    /// It is neither.
    Other,
}

/// Reads until it is clear what the other side speaks; gives the stream with all bytes before it.
///
/// # Errors
///
/// When it ends before that, or breaks.
pub(super) async fn read<S: AsyncRead + Unpin>(
    mut stream: S,
) -> io::Result<(Protocol, Rewound<S>)> {
    let mut bytes = [0; PREFACE.len()];
    let mut count = 0;
    while count < bytes.len() && PREFACE.starts_with(&bytes[..count]) {
        count += match stream.read(&mut bytes[count..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => more,
        };
    }
    let speaks = if bytes == *PREFACE {
        Protocol::Http2
    } else if bytes[0].is_ascii_alphabetic() {
        Protocol::Http1
    } else {
        Protocol::Other
    };
    Ok((speaks, Rewound { bytes, from: 0, to: count, stream }))
}

/// A stream with the bytes before it that were read already.
#[derive(Debug)]
pub(super) struct Rewound<S> {
    bytes: [u8; PREFACE.len()],
    from: usize,
    to: usize,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.from < self.to {
            let end = self.to.min(self.from + buffer.remaining());
            buffer.put_slice(&self.bytes[self.from..end]);
            self.from = end;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A whole answer in HTTP/1.1 that ends the connection.
pub(super) fn plain_answer(status: &str, sentence: &str) -> Vec<u8> {
    let length = sentence.len() + 1;
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{sentence}\n"
    )
    .into_bytes()
}

/// What HTTP/2 has for it: empty SETTINGS, then GOAWAY that says why, ENHANCE_YOUR_CALM.
pub(super) fn go_away(sentence: &str) -> Vec<u8> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const ENHANCE_YOUR_CALM: u32 = 0xb;
    // No stream was begun; the reason stands behind the last one's number and the code.
    let length = u32::try_from(8 + sentence.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut bytes = SETTINGS.to_vec();
    bytes.extend([length[1], length[2], length[3], 7, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(ENHANCE_YOUR_CALM.to_be_bytes());
    bytes.extend(sentence.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_spoken_is_clear_by_the_first_bytes_and_none_is_lost() {
        let get = &b"GET / HTTP/1.1\r\n\r\n"[..];
        let post = &b"POST /"[..];
        let hello = &[0x16, 3, 1, 0, 200][..];
        let with_more = [&PREFACE[..], b"frames"].concat();
        for (sent, expected) in [
            (get, Protocol::Http1),
            (post, Protocol::Http1),
            (b"PROPFIND / HTTP/1.1\r\n\r\n", Protocol::Http1),
            (hello, Protocol::Other),
            (&with_more, Protocol::Http2),
        ] {
            let (speaks, mut stream) = read(sent).await.expect("it is clear");
            assert_eq!(speaks, expected);
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.expect("the rest");
            assert_eq!(all, sent);
        }
    }

    #[tokio::test]
    async fn whoever_stops_within_the_preface_has_said_nothing() {
        for length in [0, 1, 20, 23] {
            let ended = read(&PREFACE[..length]).await.expect_err("it is not clear");
            assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
