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
const WAITING: usize = 64;

/// Why a telling ends.
#[derive(Debug)]
pub(super) enum Ended {
    /// The client has gone.
    Gone,
    /// Something broke, or the broker stops.
    Failed(Status),
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::Failed(status)
    }
}

/// The telling end of a stream.
pub(super) struct Teller<T> {
    told: mpsc::Sender<Result<T, Status>>,
    stopping: watch::Receiver<bool>,
}

impl<T> Teller<T> {
    /// A teller, and what its client reads.
    pub(super) fn new(
        stopping: watch::Receiver<bool>,
    ) -> (Self, ReceiverStream<Result<T, Status>>) {
        let (told, stream) = mpsc::channel(WAITING);
        (Self { told, stopping }, ReceiverStream::new(stream))
    }

    pub(super) async fn tell(&mut self, message: T) -> Result<(), Ended> {
        tokio::select! {
            biased;
            sent = self.told.send(Ok(message)) => sent.map_err(|_| Ended::Gone),
            () = listener::stopped(&mut self.stopping) => Err(stops()),
        }
    }

    /// For what has to be said should the teller fail.
    pub(super) fn sender(&self) -> mpsc::Sender<Result<T, Status>> {
        self.told.clone()
    }

    /// Whether to go on with a round that may tell nothing for long.
    pub(super) fn go_on(&self) -> Result<(), Ended> {
        if self.told.is_closed() {
            return Err(Ended::Gone);
        }
        if *self.stopping.borrow() { Err(stops()) } else { Ok(()) }
    }

    /// Waits until there is no use in telling any more.
    pub(super) async fn ended(&mut self) -> Ended {
        tokio::select! {
            () = self.told.closed() => Ended::Gone,
            () = listener::stopped(&mut self.stopping) => stops(),
        }
    }

    /// Tells why it ends, to a client that is still there.
    pub(super) async fn close(self, ended: Result<(), Ended>) {
        if let Err(Ended::Failed(status)) = ended {
            let _ = self.told.send(Err(status)).await;
        }
    }
}

fn stops() -> Ended {
    Ended::Failed(status::unavailable(Unavailable::Stopping))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_does_not_read_holds_no_broker_up_that_stops() {
        let (stop, stopping) = watch::channel(false);
        let (mut teller, _unread) = Teller::new(stopping);
        for number in 0..WAITING {
            teller.tell(number).await.expect("there is room");
        }
        teller.go_on().expect("nobody stops");
        stop.send(true).expect("it listens");
        assert!(matches!(teller.tell(WAITING).await, Err(Ended::Failed(_))));
        assert!(matches!(teller.go_on(), Err(Ended::Failed(_))));
    }

    #[tokio::test]
    async fn a_client_that_has_gone_is_noticed_before_there_is_anything_to_tell() {
        let (_stop, stopping) = watch::channel(false);
        let (mut teller, unread) = Teller::<u8>::new(stopping);
        drop(unread);
        assert!(matches!(teller.go_on(), Err(Ended::Gone)));
        assert!(matches!(teller.ended().await, Ended::Gone));
        assert!(matches!(teller.tell(1).await, Err(Ended::Gone)));
    }
}
