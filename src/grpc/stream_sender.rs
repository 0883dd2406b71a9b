//! Sends the messages of a response stream until the client or the broker ends it.
//!
//! Guarantees that sending ends when the client disconnects or the broker stops, even in the middle of
//! a long round or while the client does not read. Does not know the messages.

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::status;
use crate::broker::Unavailable;
use crate::listener;

/// Messages that may wait for a client to read them.
const MESSAGES_BUFFERED: usize = 64;

/// Why a stream ends.
#[derive(Debug)]
pub(super) enum StreamEnd {
    /// The client disconnected.
    ClientGone,
    /// Something failed, or the broker stops.
    Failed(Status),
}

impl From<Status> for StreamEnd {
    fn from(status: Status) -> Self {
        Self::Failed(status)
    }
}

/// The sending end of a stream.
pub(super) struct StreamSender<T> {
    responses: mpsc::Sender<Result<T, Status>>,
    stopping: watch::Receiver<bool>,
}

impl<T> StreamSender<T> {
    /// A sender, and the stream that its client reads.
    pub(super) fn new(
        stopping: watch::Receiver<bool>,
    ) -> (Self, ReceiverStream<Result<T, Status>>) {
        Self::with_room(MESSAGES_BUFFERED, stopping)
    }

    /// The same with room for `messages` that wait for the client to read them.
    pub(super) fn with_room(
        messages: usize,
        stopping: watch::Receiver<bool>,
    ) -> (Self, ReceiverStream<Result<T, Status>>) {
        let (responses, stream) = mpsc::channel(messages);
        (Self { responses, stopping }, ReceiverStream::new(stream))
    }

    pub(super) async fn send(&mut self, message: T) -> Result<(), StreamEnd> {
        tokio::select! {
            biased;
            sent = self.responses.send(Ok(message)) => sent.map_err(|_| StreamEnd::ClientGone),
            () = listener::shutdown_requested(&mut self.stopping) => Err(stopping_end()),
        }
    }

    /// For what is not sent by the task: the error if it panics, and what others send for it.
    pub(super) fn error_sender(&self) -> mpsc::Sender<Result<T, Status>> {
        self.responses.clone()
    }

    /// Checks whether to continue a round that may send nothing for long.
    pub(super) fn ensure_open(&self) -> Result<(), StreamEnd> {
        if self.responses.is_closed() {
            return Err(StreamEnd::ClientGone);
        }
        if *self.stopping.borrow() { Err(stopping_end()) } else { Ok(()) }
    }

    /// Waits until the stream ends.
    pub(super) async fn closed(&mut self) -> StreamEnd {
        tokio::select! {
            () = self.responses.closed() => StreamEnd::ClientGone,
            () = listener::shutdown_requested(&mut self.stopping) => stopping_end(),
        }
    }

    /// Sends the reason of the end to a client that is still connected.
    pub(super) async fn finish(self, result: Result<(), StreamEnd>) {
        if let Err(StreamEnd::Failed(status)) = result {
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
        let (mut sender, _unread) = StreamSender::new(stopping);
        for number in 0..MESSAGES_BUFFERED {
            sender.send(number).await.expect("there is room");
        }
        sender.ensure_open().expect("is open");
        stop.send(true).expect("is open");
        assert!(matches!(sender.send(MESSAGES_BUFFERED).await, Err(StreamEnd::Failed(_))));
        assert!(matches!(sender.ensure_open(), Err(StreamEnd::Failed(_))));
    }

    #[tokio::test]
    async fn a_disconnected_client_is_noticed_before_there_is_anything_to_send() {
        let (_stop, stopping) = watch::channel(false);
        let (mut sender, unread) = StreamSender::<u8>::new(stopping);
        drop(unread);
        assert!(matches!(sender.ensure_open(), Err(StreamEnd::ClientGone)));
        assert!(matches!(sender.closed().await, StreamEnd::ClientGone));
        assert!(matches!(sender.send(1).await, Err(StreamEnd::ClientGone)));
    }
}
