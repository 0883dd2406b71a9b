//! Keeps the batches that a session submitted and not acknowledged yet, in order.
//!
//! A batch with suppressed events is acknowledged with its tally, up to a second later; later events are
//! submitted meanwhile. Guarantees that acks are sent in the order of the stream, and that no more than
//! the window waits. Decides nothing.

use std::collections::VecDeque;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::RecvError;

use crate::broker::EventReply;
use crate::contract::proto::{Ack, AckException};
use crate::contract::{encode, encode_timestamp};
use crate::grid::explain;
use crate::grid::values::outcome::Outcome;
use crate::grpc::read_ahead::WINDOW_EVENTS;

/// Batches of one session that wait for their results.
#[derive(Default)]
pub(super) struct Unacknowledged {
    batches: VecDeque<UnacknowledgedBatch>,
    event_count: usize,
}

/// A submitted batch.
struct UnacknowledgedBatch {
    /// The position of its last event.
    through: u64,
    /// The positions of its events, in order.
    positions: Vec<u64>,
    /// The exceptions of undecodable events.
    exceptions: Vec<AckException>,
    replies: BatchReplies,
}

/// The results of a batch's events.
pub(super) enum BatchReplies {
    /// They have arrived.
    Ready(Vec<EventReply>),
    /// They follow with a tally.
    Pending(oneshot::Receiver<Vec<EventReply>>),
}

impl Unacknowledged {
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether another batch may be submitted.
    pub(super) fn has_room(&self) -> bool {
        self.event_count < WINDOW_EVENTS as usize
    }

    /// Adds a submitted batch.
    pub(super) fn push(
        &mut self,
        through: u64,
        positions: Vec<u64>,
        exceptions: Vec<AckException>,
        answers: BatchReplies,
    ) {
        self.event_count += positions.len();
        self.batches.push_back(UnacknowledgedBatch {
            through,
            positions,
            exceptions,
            replies: answers,
        });
    }

    /// The ack of the first batch, once its results have arrived. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Option<Ack>, RecvError> {
        let Some(chunk) = self.batches.front_mut() else { return Ok(None) };
        if let BatchReplies::Pending(answers) = &mut chunk.replies {
            chunk.replies = BatchReplies::Ready(answers.await?);
        }
        let Some(chunk) = self.batches.pop_front() else { return Ok(None) };
        self.event_count -= chunk.positions.len();
        let UnacknowledgedBatch { through, positions, mut exceptions, replies } = chunk;
        if let BatchReplies::Ready(answers) = replies {
            let results = positions.into_iter().zip(answers);
            exceptions.extend(results.filter_map(|(at, reply)| ack_exception(at, reply)));
        }
        exceptions.sort_by_key(|exception| exception.position);
        Ok(Some(Ack { through, exceptions }))
    }
}

/// The exception of an event that was not simply stored.
fn ack_exception(position: u64, reply: EventReply) -> Option<AckException> {
    if reply.outcome == Outcome::Stored {
        return None;
    }
    let (reason, explanation) = explain::describe_outcome(reply.outcome);
    Some(AckException {
        position,
        outcome: encode::outcome(reply.outcome).into(),
        reason: reason.to_owned(),
        explanation: explanation.to_owned(),
        suppressed_until: reply.suppressed_until.map(encode_timestamp),
        violations: Vec::new(),
    })
}
