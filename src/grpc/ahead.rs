//! What a session's client says while an answer is still being waited for.
//!
//! Guarantees that whoever keeps to the advised window is read from at once: what nobody reads is a
//! burden for the whole connection, which h2 ends when many small frames wait on it. Beyond the
//! window nothing is read, so that memory is bounded. Tells the loop since when something waits, so that
//! no deadline is judged before it. Looks into no message.

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

/// A client's words, read as far ahead as its window goes.
pub(super) struct Ahead {
    said: Streaming<SessionRequest>,
    /// With the times of their receipt.
    waiting: VecDeque<(Heard, Instant)>,
    /// What the loop sees of it.
    backlog: Backlog,
    bytes: usize,
    /// The client is done, or its stream broke: nothing more is to be read.
    is_over: bool,
}

impl Ahead {
    pub(super) fn new(said: Streaming<SessionRequest>, backlog: Backlog) -> Self {
        Self { said, waiting: VecDeque::new(), backlog, bytes: 0, is_over: false }
    }

    /// All that was taken from here is in the broker's queue, or needs no decision.
    pub(super) fn brought(&self) {
        self.backlog.set(self.waiting.front().map(|(_, at)| *at));
    }

    /// What waits waits for the client, and so holds no deadline up.
    pub(super) fn waits_for_client(&self) {
        self.backlog.set(None);
    }

    /// The next message.
    pub(super) async fn next(&mut self) -> Heard {
        match self.take() {
            Some(heard) => heard,
            None => {
                let heard = self.said.message().await;
                self.backlog.add();
                heard
            }
        }
    }

    /// The next message if it is there already.
    pub(super) async fn ready(&mut self) -> Option<Heard> {
        if let Some(heard) = self.take() {
            return Some(heard);
        }
        std::future::poll_fn(|context| {
            Poll::Ready(match Pin::new(&mut self.said).poll_next(context) {
                Poll::Pending => None,
                Poll::Ready(next) => Some(next.transpose()),
            })
        })
        .await
    }

    /// Waits for `answer`, and reads on meanwhile.
    pub(super) async fn read_until<T>(&mut self, answer: impl Future<Output = T>) -> T {
        let mut answer = pin!(answer);
        loop {
            if !self.has_room() {
                return answer.await;
            }
            tokio::select! {
                biased;
                answered = &mut answer => return answered,
                heard = self.said.message() => self.keep(heard),
            }
        }
    }

    fn has_room(&self) -> bool {
        let has_room = self.waiting.len() < WINDOW_EVENTS as usize;
        !self.is_over && has_room && self.bytes < WINDOW_BYTES as usize
    }

    fn keep(&mut self, heard: Heard) {
        let at = self.backlog.add();
        self.bytes += bytes(&heard);
        self.is_over = !matches!(heard, Ok(Some(_)));
        self.waiting.push_back((heard, at));
    }

    fn take(&mut self) -> Option<Heard> {
        let (heard, _) = self.waiting.pop_front()?;
        self.bytes -= bytes(&heard);
        Some(heard)
    }
}

fn bytes(heard: &Heard) -> usize {
    match heard {
        Ok(Some(SessionRequest { message: Some(Said::Event(bytes)) })) => bytes.len(),
        Ok(_) | Err(_) => 0,
    }
}
