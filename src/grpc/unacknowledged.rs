//! Keeps the batches that a session submitted and not acknowledged yet, in order.
//!
//! A session submits its next batch while the commit of the one before is under way. A batch with
//! suppressed events is acknowledged with its tally, up to a second later; later events are submitted
//! meanwhile. Guarantees that acks are sent in the order of the stream, and that no more than the window
//! waits. Decides nothing.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::RecvError;

use crate::broker::{BatchExceptions, BatchReply, EventReply};
use crate::contract::raw_response::{RawAck, RawAckException};
use crate::contract::{encode, encode_timestamp};
use crate::grid::explain;
use crate::grpc::read_ahead::WINDOW_EVENTS;

/// Batches of a session that wait for a commit: one that is being synced, and one that is next.
const BATCHES_SUBMITTED_MAX: usize = 2;

/// An empty queue with room for more batches is freed.
const BATCHES_KEPT: usize = 8;

/// Batches of one session that wait for their results.
#[derive(Default)]
pub(super) struct Unacknowledged {
    batches: VecDeque<UnacknowledgedBatch>,
    event_count: usize,
}

/// A batch that was received.
pub(super) struct UnacknowledgedBatch {
    /// The position of its last event.
    pub(super) through: u64,
    /// Its submitted events.
    pub(super) event_count: usize,
    /// The exceptions of undecodable events, in order.
    pub(super) exceptions: Vec<RawAckException>,
    pub(super) replies: BatchReplies,
}

/// The results of a batch's events.
pub(super) enum BatchReplies {
    /// The broker loop has not replied yet.
    Submitted(oneshot::Receiver<BatchReply>),
    /// They follow with a tally.
    Deferred(oneshot::Receiver<BatchExceptions>),
    /// They have arrived.
    Ready(BatchExceptions),
}

impl UnacknowledgedBatch {
    /// How many events of the stream it covers: an undecodable one takes memory until the ack, too.
    fn positions(&self) -> usize {
        self.event_count + self.exceptions.len()
    }
}

impl Unacknowledged {
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether another batch may be submitted.
    pub(super) fn has_room(&self) -> bool {
        let is_submitted =
            |it: &&UnacknowledgedBatch| matches!(it.replies, BatchReplies::Submitted(_));
        self.event_count < WINDOW_EVENTS as usize
            && self.batches.iter().filter(is_submitted).count() < BATCHES_SUBMITTED_MAX
    }

    /// Adds the next batch.
    pub(super) fn push(&mut self, batch: UnacknowledgedBatch) {
        self.event_count += batch.positions();
        self.batches.push_back(batch);
    }

    /// The ack of the first batch, once its results have arrived; `None` if there is room for another
    /// batch sooner. Waits for ever if there is no batch. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Option<RawAck>, RecvError> {
        let had_room = self.has_room();
        std::future::poll_fn(|context| {
            if let Err(closed) = self.poll_replies(context) {
                return Poll::Ready(Err(closed));
            }
            match self.pop_ready() {
                Some(ack) => Poll::Ready(Ok(Some(ack))),
                None if !had_room && self.has_room() => Poll::Ready(Ok(None)),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Takes the replies that have arrived.
    fn poll_replies(&mut self, context: &mut Context<'_>) -> Result<(), RecvError> {
        for batch in &mut self.batches {
            if let BatchReplies::Submitted(reply) = &mut batch.replies
                && let Poll::Ready(reply) = Pin::new(reply).poll(context)
            {
                batch.replies = match reply? {
                    BatchReply::Complete(exceptions) => BatchReplies::Ready(exceptions),
                    BatchReply::Deferred(exceptions) => BatchReplies::Deferred(exceptions),
                };
            }
            if let BatchReplies::Deferred(exceptions) = &mut batch.replies
                && let Poll::Ready(exceptions) = Pin::new(exceptions).poll(context)
            {
                batch.replies = BatchReplies::Ready(exceptions?);
            }
        }
        Ok(())
    }

    fn pop_ready(&mut self) -> Option<RawAck> {
        let is_ready = |it: &UnacknowledgedBatch| matches!(it.replies, BatchReplies::Ready(_));
        let batch = self.batches.pop_front_if(|it| is_ready(it))?;
        self.event_count -= batch.positions();
        if self.batches.is_empty() && self.batches.capacity() > BATCHES_KEPT {
            self.batches = VecDeque::new();
        }
        let UnacknowledgedBatch { through, event_count, exceptions, replies } = batch;
        let BatchReplies::Ready(results) = replies else { return None };
        let mut positions = Positions {
            next: through + 1 - (event_count + exceptions.len()) as u64,
            undecodable: exceptions.iter().map(|it| it.position).collect(),
        };
        let mut all = exceptions;
        let mut next_index = 0;
        for (index, reply) in results {
            let position = positions.by_ref().nth(index - next_index);
            next_index = index + 1;
            all.extend(position.map(|position| ack_exception(position, reply)));
        }
        all.sort_by_key(|exception| exception.position);
        Some(RawAck { through, exceptions: all })
    }
}

/// The positions in the stream of a batch's submitted events, in order.
struct Positions {
    next: u64,
    /// Those of events that were not submitted.
    undecodable: VecDeque<u64>,
}

impl Iterator for Positions {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        while self.undecodable.pop_front_if(|position| *position == self.next).is_some() {
            self.next += 1;
        }
        self.next += 1;
        Some(self.next - 1)
    }
}

/// The exception of an event that was not simply stored.
fn ack_exception(position: u64, reply: EventReply) -> RawAckException {
    let (reason, explanation) = explain::describe_outcome(reply.outcome);
    RawAckException {
        position,
        outcome: encode::outcome(reply.outcome).into(),
        reason: reason.into(),
        explanation: explanation.into(),
        suppressed_until: reply.suppressed_until.map(encode_timestamp),
        violations: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::values::outcome::Outcome;
    use crate::test_timeout::timeout;

    fn batch(through: u64, event_count: usize, undecodable: &[u64]) -> UnacknowledgedBatch {
        let exception =
            |position: &u64| RawAckException { position: *position, ..Default::default() };
        UnacknowledgedBatch {
            through,
            event_count,
            exceptions: undecodable.iter().map(exception).collect(),
            replies: BatchReplies::Ready(Vec::new()),
        }
    }

    fn duplicate(index: usize) -> (usize, EventReply) {
        let (outcome, flags) = (Outcome::Duplicate, Default::default());
        (index, EventReply { outcome, flags, record: None, suppressed_until: None })
    }

    fn positions(ack: &RawAck) -> Vec<u64> {
        ack.exceptions.iter().map(|it| it.position).collect()
    }

    async fn next(waiting: &mut Unacknowledged) -> Option<RawAck> {
        let next = tokio::time::timeout(timeout(), waiting.next()).await;
        next.expect("in time").expect("not closed")
    }

    #[tokio::test]
    async fn exceptions_have_the_positions_of_their_events() {
        let mut waiting = Unacknowledged::default();
        let replies = BatchReplies::Ready([0, 1, 4].map(duplicate).into());
        // 11 . 13 14 . . 17: the second, the fifth and the sixth are undecodable.
        waiting.push(UnacknowledgedBatch { replies, ..batch(18, 5, &[12, 15, 16]) });
        let ack = next(&mut waiting).await.expect("is ready");
        assert_eq!((ack.through, positions(&ack)), (18, vec![11, 12, 13, 15, 16, 18]));
        assert!(waiting.is_empty());
    }

    #[tokio::test]
    async fn undecodable_events_fill_the_window_too() {
        let mut waiting = Unacknowledged::default();
        let (_first, reply) = oneshot::channel();
        let replies = BatchReplies::Submitted(reply);
        waiting.push(UnacknowledgedBatch { replies, ..batch(1, 1, &[]) });
        let mut through = 1;
        while waiting.has_room() {
            let undecodable: Vec<u64> = (through + 1..=through + 100).collect();
            through += 100;
            waiting.push(batch(through, 0, &undecodable));
            assert!(through < 10_000, "it is bounded");
        }
    }

    #[tokio::test]
    async fn acks_keep_their_order_and_a_deferred_batch_leaves_room() {
        let mut waiting = Unacknowledged::default();
        let (first, reply) = oneshot::channel();
        let replies = BatchReplies::Submitted(reply);
        waiting.push(UnacknowledgedBatch { replies, ..batch(2, 2, &[]) });
        let (second, reply) = oneshot::channel();
        let replies = BatchReplies::Submitted(reply);
        waiting.push(UnacknowledgedBatch { replies, ..batch(4, 2, &[]) });
        assert!(!waiting.has_room());
        let (tally, tallied) = oneshot::channel();
        assert!(first.send(BatchReply::Deferred(tallied)).is_ok());
        assert!(next(&mut waiting).await.is_none(), "there is room before there is an ack");
        assert!(waiting.has_room());
        assert!(second.send(BatchReply::Complete(Vec::new())).is_ok());
        assert!(tally.send(vec![duplicate(1)]).is_ok());
        let ack = next(&mut waiting).await.expect("the first batch");
        assert_eq!((ack.through, positions(&ack)), (2, vec![2]));
        assert_eq!(next(&mut waiting).await.map(|ack| ack.through), Some(4));
    }
}
