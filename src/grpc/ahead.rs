//! Reads a session's messages ahead while a reply is pending, bounded by the window.
//!
//! Guarantees that a client within the advised window is read from at once: unread frames burden the
//! whole connection, which h2 closes when many small ones wait. Beyond the window nothing is read, so
//! memory is bounded. Tells the loop since when something waits, so that no deadline is decided before
//! it. Does not look into messages.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::time::Instant;
use tokio_stream::Stream;
use tonic::{Status, Streaming};

use crate::broker::Backlog;
use crate::wire::received::{Said, SessionRequest};

/// How many events a client may have unacknowledged.
pub(super) const WINDOW_EVENTS: u32 = 1_024;

/// How many bytes of events a client may have unacknowledged.
pub(super) const WINDOW_BYTES: u32 = 256 << 10;

type Heard = Result<Option<SessionRequest>, Status>;

/// A client's messages, read ahead up to its window.
pub(super) struct Ahead {
    said: Streaming<SessionRequest>,
    /// With their receive times.
    waiting: VecDeque<(Heard, Instant)>,
    /// Shows the loop since when messages wait.
    backlog: Backlog,
    bytes: usize,
    /// The client finished, or its stream failed: nothing more can be read.
    is_over: bool,
}

impl Ahead {
    pub(super) fn new(said: Streaming<SessionRequest>, backlog: Backlog) -> Self {
        Self { said, waiting: VecDeque::new(), backlog, bytes: 0, is_over: false }
    }

    /// All messages taken from here are in the broker's queue, or need no decision.
    pub(super) fn brought(&self) {
        self.backlog.set(self.waiting.front().map(|(_, at)| *at));
    }

    /// Messages now wait for the client to read, and so delay no deadline.
    pub(super) fn waits_for_client(&self) {
        self.backlog.set(None);
    }

    /// The next message.
    pub(super) async fn next(&mut self) -> Heard {
        match self.take() {
            Some(message) => message,
            None => {
                let message = self.said.message().await;
                self.backlog.add();
                message
            }
        }
    }

    /// The next message if it has arrived.
    pub(super) async fn ready(&mut self) -> Option<Heard> {
        if let Some(message) = self.take() {
            return Some(message);
        }
        std::future::poll_fn(|context| {
            Poll::Ready(match Pin::new(&mut self.said).poll_next(context) {
                Poll::Pending => None,
                Poll::Ready(next) => Some(next.transpose()),
            })
        })
        .await
    }

    /// Waits for `reply`, and reads ahead meanwhile.
    pub(super) async fn read_until<T>(&mut self, reply: impl Future<Output = T>) -> T {
        let mut reply = pin!(reply);
        loop {
            if !self.has_room() {
                return reply.await;
            }
            tokio::select! {
                biased;
                result = &mut reply => return result,
                message = self.said.message() => self.keep(message),
            }
        }
    }

    fn has_room(&self) -> bool {
        let has_room = self.waiting.len() < WINDOW_EVENTS as usize;
        !self.is_over && has_room && self.bytes < WINDOW_BYTES as usize
    }

    fn keep(&mut self, message: Heard) {
        let at = self.backlog.add();
        self.bytes += bytes(&message);
        self.is_over = !matches!(message, Ok(Some(_)));
        self.waiting.push_back((message, at));
    }

    fn take(&mut self) -> Option<Heard> {
        let (message, _) = self.waiting.pop_front()?;
        self.bytes -= bytes(&message);
        Some(message)
    }
}

fn bytes(message: &Heard) -> usize {
    match message {
        Ok(Some(SessionRequest { message: Some(Said::Event(bytes)) })) => bytes.len(),
        Ok(_) | Err(_) => 0,
    }
}
