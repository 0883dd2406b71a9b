//! Telling a client one thing after the other, for as long as both sides want.
//!
//! Guarantees that nobody goes on telling a client that has gone, or for a broker that stops, even
//! in the middle of a long round or while the client does not read. Knows nothing of what is told.

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::status;
use crate::broker::Unavailable;
use crate::listener;

/// Messages that may wait for a client to read them.
const MESSAGES_BUFFERED: usize = 64;

/// Why a telling ends.
#[derive(Debug)]
pub(super) enum StreamEnd {
    /// The client has gone.
    ClientGone,
    /// Something broke, or the broker stops.
    Failed(Status),
}

impl From<Status> for StreamEnd {
    fn from(status: Status) -> Self {
        Self::Failed(status)
    }
}

/// The telling end of a stream.
pub(super) struct StreamSender<T> {
    responses: mpsc::Sender<Result<T, Status>>,
    stopping: watch::Receiver<bool>,
}

impl<T> StreamSender<T> {
    /// A teller, and what its client reads.
    pub(super) fn new(
        stopping: watch::Receiver<bool>,
    ) -> (Self, ReceiverStream<Result<T, Status>>) {
        let (told, stream) = mpsc::channel(MESSAGES_BUFFERED);
        (Self { responses: told, stopping }, ReceiverStream::new(stream))
    }

    pub(super) async fn send(&mut self, message: T) -> Result<(), StreamEnd> {
        tokio::select! {
            biased;
            sent = self.responses.send(Ok(message)) => sent.map_err(|_| StreamEnd::ClientGone),
            () = listener::stopped(&mut self.stopping) => Err(stopping_end()),
        }
    }

    /// For what has to be said should the teller fail.
    pub(super) fn error_sender(&self) -> mpsc::Sender<Result<T, Status>> {
        self.responses.clone()
    }

    /// Whether to go on with a round that may tell nothing for long.
    pub(super) fn ensure_open(&self) -> Result<(), StreamEnd> {
        if self.responses.is_closed() {
            return Err(StreamEnd::ClientGone);
        }
        if *self.stopping.borrow() { Err(stopping_end()) } else { Ok(()) }
    }

    /// Waits until there is no use in telling any more.
    pub(super) async fn closed(&mut self) -> StreamEnd {
        tokio::select! {
            () = self.responses.closed() => StreamEnd::ClientGone,
            () = listener::stopped(&mut self.stopping) => stopping_end(),
        }
    }

    /// Tells why it ends, to a client that is still there.
    pub(super) async fn finish(self, ended: Result<(), StreamEnd>) {
        if let Err(StreamEnd::Failed(status)) = ended {
            let _ = self.responses.send(Err(status)).await;
        }
    }
}

fn stopping_end() -> StreamEnd {
    StreamEnd::Failed(status::unavailable(Unavailable::Stopping))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_does_not_read_does_not_delay_a_shutdown() {
        let (stop, stopping) = watch::channel(false);
        let (mut teller, _unread) = StreamSender::new(stopping);
        for number in 0..MESSAGES_BUFFERED {
            teller.send(number).await.expect("there is room");
        }
        teller.ensure_open().expect("nobody stops");
        stop.send(true).expect("it listens");
        assert!(matches!(teller.send(MESSAGES_BUFFERED).await, Err(StreamEnd::Failed(_))));
        assert!(matches!(teller.ensure_open(), Err(StreamEnd::Failed(_))));
    }

    #[tokio::test]
    async fn a_disconnected_client_is_noticed_before_there_is_anything_to_send() {
        let (_stop, stopping) = watch::channel(false);
        let (mut teller, unread) = StreamSender::<u8>::new(stopping);
        drop(unread);
        assert!(matches!(teller.ensure_open(), Err(StreamEnd::ClientGone)));
        assert!(matches!(teller.closed().await, StreamEnd::ClientGone));
        assert!(matches!(teller.send(1).await, Err(StreamEnd::ClientGone)));
    }
}
