//! Ends a connection whose peer takes nothing from its socket.
//!
//! h2 answers a missing PONG with a GOAWAY that it must write before it closes, so a peer that never
//! reads would keep its connection. Guarantees that a write which makes no progress for the timeout
//! fails. Any byte that the peer takes is progress. Does not know what is written.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long a write may make no progress: longer than a peer has to reply to a ping.
pub(super) const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(120);

/// A stream whose writes have a deadline.
#[derive(Debug)]
pub(super) struct WriteDeadline<S> {
    stream: S,
    timeout: Duration,
    /// Set while a write is pending.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteDeadline<S> {
    /// A stream whose writes fail after [`WRITE_STALL_TIMEOUT`] without progress.
    pub(super) fn new(stream: S) -> Self {
        Self::with_timeout(stream, WRITE_STALL_TIMEOUT)
    }

    fn with_timeout(stream: S, timeout: Duration) -> Self {
        Self { stream, timeout, stalled: None }
    }

    /// The result of a write: pending no longer than the timeout.
    fn limited<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let timeout = self.timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(timeout)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => {
                let text = "the peer takes nothing from the connection";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.limited(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.limited(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.limited(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.limited(shut, context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_write_without_progress_fails_and_one_with_progress_does_not() {
        let timeout = Duration::from_secs(4);
        let (ours, mut theirs) = tokio::io::duplex(8);
        let mut stream = WriteDeadline::with_timeout(ours, timeout);
        // Slow, but something is taken each time.
        let writing = async { stream.write_all(&[7; 40]).await };
        let reading = async {
            let mut some = [0; 8];
            for _ in 0..4 {
                tokio::time::sleep(timeout / 3).await;
                theirs.read_exact(&mut some).await.expect("is sent");
            }
        };
        let (written, ()) = tokio::join!(writing, reading);
        written.expect("it made progress");
        let failed = stream.write_all(&[7; 40]).await.expect_err("nothing is read");
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
    }
}
