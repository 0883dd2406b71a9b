//! Detects the protocol of a connection, and builds the short responses to rejected clients.
//!
//! Guarantees that no byte is lost: what was read is put back before the stream. Works over any
//! stream, so that TLS can be below. Has no deadline: the caller has one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The first bytes of every HTTP/2 connection.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DetectedProtocol {
    /// The whole preface arrived.
    Http2,
    /// Probably HTTP/1: the first byte is a letter.
    Http1,
    /// Neither.
    Other,
}

/// Reads until the protocol is known; returns the stream with all bytes put back.
///
/// # Errors
///
/// If the stream ends before that, or fails.
pub(super) async fn detect<S: AsyncRead + Unpin>(
    mut stream: S,
) -> io::Result<(DetectedProtocol, RewoundStream<S>)> {
    let mut bytes = [0; PREFACE.len()];
    let mut count = 0;
    while count < bytes.len() && PREFACE.starts_with(&bytes[..count]) {
        count += match stream.read(&mut bytes[count..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => more,
        };
    }
    let detected = if bytes == *PREFACE {
        DetectedProtocol::Http2
    } else if bytes[0].is_ascii_alphabetic() {
        DetectedProtocol::Http1
    } else {
        DetectedProtocol::Other
    };
    Ok((detected, RewoundStream { bytes, from: 0, to: count, stream }))
}

/// Reads the first byte; returns it and the stream with it put back.
///
/// # Errors
///
/// If the stream ends before that, or fails.
pub(super) async fn read_first<S: AsyncRead + Unpin>(
    mut stream: S,
) -> io::Result<(u8, RewoundStream<S>)> {
    let mut bytes = [0; PREFACE.len()];
    bytes[0] = stream.read_u8().await?;
    Ok((bytes[0], RewoundStream { bytes, from: 0, to: 1, stream }))
}

/// A stream preceded by bytes that were already read.
#[derive(Debug)]
pub(super) struct RewoundStream<S> {
    bytes: [u8; PREFACE.len()],
    from: usize,
    to: usize,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for RewoundStream<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for RewoundStream<S> {
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

/// A complete HTTP/1.1 response that closes the connection.
pub(super) fn plain_response(status: &str, sentence: &str) -> Vec<u8> {
    let length = sentence.len() + 1;
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{sentence}\n"
    )
    .into_bytes()
}

/// The HTTP/2 frames of a rejection: empty SETTINGS, then GOAWAY with ENHANCE_YOUR_CALM and a
/// reason.
pub(super) fn go_away(sentence: &str) -> Vec<u8> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const ENHANCE_YOUR_CALM: u32 = 0xb;
    // No stream was opened; the reason follows the id of the last stream and the code.
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
    async fn the_first_bytes_show_the_protocol_and_none_is_lost() {
        let get = &b"GET / HTTP/1.1\r\n\r\n"[..];
        let post = &b"POST /"[..];
        let hello = &[0x16, 3, 1, 0, 200][..];
        let with_more = [&PREFACE[..], b"frames"].concat();
        for (sent, expected) in [
            (get, DetectedProtocol::Http1),
            (post, DetectedProtocol::Http1),
            (b"PROPFIND / HTTP/1.1\r\n\r\n", DetectedProtocol::Http1),
            (hello, DetectedProtocol::Other),
            (&with_more, DetectedProtocol::Http2),
        ] {
            let (detected, mut stream) = detect(sent).await.expect("it is clear");
            assert_eq!(detected, expected);
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.expect("the rest");
            assert_eq!(all, sent);
        }
    }

    #[tokio::test]
    async fn an_incomplete_preface_is_no_protocol() {
        for length in [0, 1, 20, 23] {
            let ended = detect(&PREFACE[..length]).await.expect_err("it is not clear");
            assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
