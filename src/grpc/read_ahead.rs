//! Reads a session's messages ahead while a reply is pending, bounded by the window.
//!
//! Guarantees that a client within the advised window is read from at once: unread frames burden the
//! whole connection, which h2 closes when many small ones wait. Beyond the window nothing is read, so
//! memory is bounded. Tells the loop since when something waits, so that no deadline is decided before
//! it. Does not look into messages.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::task::Poll;

use prost::Message as _;
use tokio::time::Instant;
use tokio_stream::Stream;
use tonic::{Status, Streaming};

use crate::broker::Backlog;
use crate::contract::raw::{ClientMessage, RawSessionRequest};

/// How many events a client may have unacknowledged.
pub(super) const WINDOW_EVENTS: u32 = 1_024;

/// How many bytes of events a client may have unacknowledged.
pub(super) const WINDOW_BYTES: u32 = 256 << 10;

type ReceivedMessage = Result<Option<RawSessionRequest>, Status>;

/// A client's messages, read ahead up to its window.
pub(super) struct ReadAhead {
    inbound: Streaming<RawSessionRequest>,
    /// With their receive times.
    waiting: VecDeque<(ReceivedMessage, Instant)>,
    /// Shows the loop since when messages wait.
    backlog: Backlog,
    bytes: usize,
    /// The client finished, or its stream failed: nothing more can be read.
    is_finished: bool,
}

impl ReadAhead {
    pub(super) fn new(inbound: Streaming<RawSessionRequest>, backlog: Backlog) -> Self {
        Self { inbound, waiting: VecDeque::new(), backlog, bytes: 0, is_finished: false }
    }

    /// All messages taken from here are in the broker's queue, or need no decision.
    pub(super) fn update_backlog(&self) {
        self.backlog.set_oldest(self.waiting.front().map(|(_, at)| *at));
    }

    /// Messages now wait for the client to read, and so delay no deadline.
    pub(super) fn clear_backlog(&self) {
        self.backlog.set_oldest(None);
    }

    /// The next message.
    pub(super) async fn next_batch(&mut self) -> ReceivedMessage {
        match self.pop() {
            Some(message) => message,
            None => {
                let message = self.inbound.message().await;
                self.backlog.note_received();
                message
            }
        }
    }

    /// The next message if it has arrived.
    pub(super) async fn try_next(&mut self) -> Option<ReceivedMessage> {
        if let Some(message) = self.pop() {
            return Some(message);
        }
        std::future::poll_fn(|context| {
            Poll::Ready(match Pin::new(&mut self.inbound).poll_next(context) {
                Poll::Pending => None,
                Poll::Ready(next) => Some(next.transpose()),
            })
        })
        .await
    }

    /// Waits for `reply`, and reads ahead meanwhile.
    pub(super) async fn buffer_until<T>(&mut self, reply: impl Future<Output = T>) -> T {
        let mut reply = pin!(reply);
        loop {
            if !self.has_room() {
                return reply.await;
            }
            tokio::select! {
                biased;
                result = &mut reply => return result,
                message = self.inbound.message() => self.push(message),
            }
        }
    }

    fn has_room(&self) -> bool {
        let has_room = self.waiting.len() < WINDOW_EVENTS as usize;
        !self.is_finished && has_room && self.bytes < WINDOW_BYTES as usize
    }

    fn push(&mut self, message: ReceivedMessage) {
        let at = self.backlog.note_received();
        self.bytes += message_bytes(&message);
        self.is_finished = !matches!(message, Ok(Some(_)));
        self.waiting.push_back((message, at));
    }

    fn pop(&mut self) -> Option<ReceivedMessage> {
        let (message, _) = self.waiting.pop_front()?;
        self.bytes -= message_bytes(&message);
        Some(message)
    }
}

/// Of an event its bytes, which a client counts, too. Others are rare, and may be long.
fn message_bytes(message: &ReceivedMessage) -> usize {
    match message {
        Ok(Some(RawSessionRequest { message: Some(ClientMessage::Event(bytes)) })) => bytes.len(),
        Ok(Some(other)) => other.encoded_len(),
        Ok(None) | Err(_) => 0,
    }
}
