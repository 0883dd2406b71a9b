//! Reads a session's messages ahead while a reply is pending, bounded by the window.
//!
//! Guarantees that a client within the advised window is read from at once: unread frames burden the
//! whole connection, which h2 closes when many small ones wait. Beyond the window nothing is read, so
//! memory is bounded. Tells the loop since when something waits, so that no deadline is decided before
//! it. Does not look into messages.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

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

/// An empty queue with room for more messages is freed: most sessions are silent most of the time.
const MESSAGES_KEPT: usize = 64;

/// A message, the end of the stream, or its failure.
pub(super) type ReceivedMessage = Result<Option<RawSessionRequest>, Status>;

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
    pub(super) fn update_backlog(&mut self) {
        if self.waiting.is_empty() && self.waiting.capacity() > MESSAGES_KEPT {
            self.waiting = VecDeque::new();
        }
        self.backlog.set_oldest(self.waiting.front().map(|(_, at)| *at));
    }

    /// Messages now wait for the client to read, and so delay no deadline.
    pub(super) fn clear_backlog(&self) {
        self.backlog.set_oldest(None);
    }

    /// Waits until [`Self::pop`] has a message, if `may_take`; reads ahead in any case. Cancel-safe.
    pub(super) async fn readable(&mut self, may_take: bool) {
        std::future::poll_fn(|context| {
            self.poll_read(context);
            if may_take && !self.waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Waits for `reply`, and reads ahead meanwhile.
    pub(super) async fn buffer_until<T>(&mut self, reply: impl Future<Output = T>) -> T {
        let mut reply = pin!(reply);
        std::future::poll_fn(|context| {
            let result = reply.as_mut().poll(context);
            if result.is_pending() {
                self.poll_read(context);
            }
            result
        })
        .await
    }

    /// The next message that was read.
    pub(super) fn pop(&mut self) -> Option<ReceivedMessage> {
        let (message, _) = self.waiting.pop_front()?;
        self.bytes -= message_bytes(&message);
        Some(message)
    }

    /// Reads what has arrived, as far as there is room.
    fn poll_read(&mut self, context: &mut Context<'_>) {
        let mut received_at = None;
        while self.has_room() {
            let Poll::Ready(next) = Pin::new(&mut self.inbound).poll_next(context) else { return };
            let message = next.transpose();
            let at = *received_at.get_or_insert_with(|| self.backlog.note_received());
            self.bytes += message_bytes(&message);
            self.is_finished = !matches!(message, Ok(Some(_)));
            self.waiting.push_back((message, at));
        }
    }

    fn has_room(&self) -> bool {
        let has_room = self.waiting.len() < WINDOW_EVENTS as usize;
        !self.is_finished && has_room && self.bytes < WINDOW_BYTES as usize
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
