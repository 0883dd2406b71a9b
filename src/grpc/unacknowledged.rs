//! What a session has brought and not acknowledged yet, in order.
//!
//! A chunk in which something was suppressed is answered with its tally, up to a second later; what the
//! client said behind it is brought meanwhile. Guarantees that acks leave in the order of the stream, and
//! that no more waits than the window goes. Decides nothing.

use std::collections::VecDeque;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::RecvError;

use super::ahead::WINDOW_EVENTS;
use crate::broker::EventAnswer;
use crate::grid::explain;
use crate::grid::record::Outcome;
use crate::wire::proto::{Ack, AckException};
use crate::wire::{show, timestamp};

/// Chunks of one session that wait for their answers.
#[derive(Default)]
pub(super) struct Unacknowledged {
    chunks: VecDeque<Chunk>,
    events: usize,
}

/// A chunk that was brought.
struct Chunk {
    /// The position of its last event.
    through: u64,
    /// The positions of its events, in order.
    positions: Vec<u64>,
    /// What was no event.
    exceptions: Vec<AckException>,
    answers: Answers,
}

/// What became of a chunk's events.
pub(super) enum Answers {
    /// This.
    There(Vec<EventAnswer>),
    /// It will be said.
    ToCome(oneshot::Receiver<Vec<EventAnswer>>),
}

impl Unacknowledged {
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Whether another chunk may be brought.
    pub(super) fn has_room(&self) -> bool {
        self.events < WINDOW_EVENTS as usize
    }

    /// Takes in a chunk, behind those before it.
    pub(super) fn push(
        &mut self,
        through: u64,
        positions: Vec<u64>,
        exceptions: Vec<AckException>,
        answers: Answers,
    ) {
        self.events += positions.len();
        self.chunks.push_back(Chunk { through, positions, exceptions, answers });
    }

    /// The ack of the first chunk, once its answers are there. May be dropped and asked again.
    pub(super) async fn next(&mut self) -> Result<Option<Ack>, RecvError> {
        let Some(chunk) = self.chunks.front_mut() else { return Ok(None) };
        if let Answers::ToCome(answers) = &mut chunk.answers {
            chunk.answers = Answers::There(answers.await?);
        }
        let Some(chunk) = self.chunks.pop_front() else { return Ok(None) };
        self.events -= chunk.positions.len();
        let Chunk { through, positions, mut exceptions, answers } = chunk;
        if let Answers::There(answers) = answers {
            let answered = positions.into_iter().zip(answers);
            exceptions.extend(answered.filter_map(|(at, answer)| exception(at, answer)));
        }
        exceptions.sort_by_key(|exception| exception.position);
        Ok(Some(Ack { through, exceptions }))
    }
}

/// What an ack says of an event that was not simply kept.
fn exception(position: u64, answer: EventAnswer) -> Option<AckException> {
    if answer.outcome == Outcome::Kept {
        return None;
    }
    let (reason, explanation) = explain::outcome(answer.outcome);
    Some(AckException {
        position,
        outcome: show::outcome(answer.outcome).into(),
        reason: reason.to_owned(),
        explanation: explanation.to_owned(),
        suppressed_until: answer.suppressed_until.map(timestamp),
        violations: Vec::new(),
    })
}
