//! What a session has brought and not acknowledged yet, in order.
//!
//! A chunk in which something was suppressed is answered with its tally, up to a second later; what the
//! client said behind it is brought meanwhile. Guarantees that acks leave in the order of the stream, and
//! that no more waits than the window goes. Decides nothing.

use std::collections::VecDeque;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::RecvError;

use crate::broker::EventReply;
use crate::contract::proto::{Ack, AckException};
use crate::contract::{encode, encode_timestamp};
use crate::grid::explain;
use crate::grid::log::record::Outcome;
use crate::grpc::read_ahead::WINDOW_EVENTS;

/// Chunks of one session that wait for their answers.
#[derive(Default)]
pub(super) struct Unacknowledged {
    batches: VecDeque<UnacknowledgedBatch>,
    event_count: usize,
}

/// A chunk that was brought.
struct UnacknowledgedBatch {
    /// The position of its last event.
    through: u64,
    /// The positions of its events, in order.
    positions: Vec<u64>,
    /// What was no event.
    exceptions: Vec<AckException>,
    replies: BatchReplies,
}

/// What became of a chunk's events.
pub(super) enum BatchReplies {
    /// This.
    Ready(Vec<EventReply>),
    /// It will be said.
    Pending(oneshot::Receiver<Vec<EventReply>>),
}

impl Unacknowledged {
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether another chunk may be brought.
    pub(super) fn has_room(&self) -> bool {
        self.event_count < WINDOW_EVENTS as usize
    }

    /// Takes in a chunk, behind those before it.
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

    /// The ack of the first chunk, once its answers are there. May be dropped and asked again.
    pub(super) async fn next(&mut self) -> Result<Option<Ack>, RecvError> {
        let Some(chunk) = self.batches.front_mut() else { return Ok(None) };
        if let BatchReplies::Pending(answers) = &mut chunk.replies {
            chunk.replies = BatchReplies::Ready(answers.await?);
        }
        let Some(chunk) = self.batches.pop_front() else { return Ok(None) };
        self.event_count -= chunk.positions.len();
        let UnacknowledgedBatch { through, positions, mut exceptions, replies: answers } = chunk;
        if let BatchReplies::Ready(answers) = answers {
            let answered = positions.into_iter().zip(answers);
            exceptions.extend(answered.filter_map(|(at, answer)| ack_exception(at, answer)));
        }
        exceptions.sort_by_key(|exception| exception.position);
        Ok(Some(Ack { through, exceptions }))
    }
}

/// What an ack says of an event that was not simply kept.
fn ack_exception(position: u64, answer: EventReply) -> Option<AckException> {
    if answer.outcome == Outcome::Stored {
        return None;
    }
    let (reason, explanation) = explain::describe_outcome(answer.outcome);
    Some(AckException {
        position,
        outcome: encode::outcome(answer.outcome).into(),
        reason: reason.to_owned(),
        explanation: explanation.to_owned(),
        suppressed_until: answer.suppressed_until.map(encode_timestamp),
        violations: Vec::new(),
    })
}
