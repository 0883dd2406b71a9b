//! A chunk of a session: the messages that are there already and become one commit.
//!
//! Guarantees that a chunk ends, whatever the messages are, and that what is no event is INVALID
//! or UNSUPPORTED at its position. Waits for nothing.

use tonic::Status;

use super::status;
use crate::broker::HeardEvent;
use crate::wire::check::{self, Checked, Unfit, violation};
use crate::wire::proto::{self, AckException};
use crate::wire::received::{Said, SessionRequest};

/// Most messages in a chunk.
const CHUNK_MESSAGES: usize = 256;

/// Most bytes of events in a chunk; the event that exceeds them is the last.
const CHUNK_BYTES: usize = 64 << 10;

/// The reason and the explanation of what is of a kind to come.
pub(super) const UNSUPPORTED: (&str, &str) =
    ("UNSUPPORTED", "of a kind that this broker does not know");

/// The events that are there, and what is to be said of those that are none.
pub(super) struct Chunk {
    pub(super) events: Vec<HeardEvent>,
    /// The positions of `events`, in order.
    pub(super) positions: Vec<u64>,
    pub(super) exceptions: Vec<AckException>,
    pub(super) bytes: usize,
    /// The client is done.
    pub(super) is_last: bool,
    /// Whether the session's events may be numbered.
    has_spool: bool,
    messages: usize,
}

impl Chunk {
    pub(super) fn new(has_spool: bool) -> Self {
        Self {
            events: Vec::new(),
            positions: Vec::new(),
            exceptions: Vec::new(),
            bytes: 0,
            is_last: false,
            has_spool,
            messages: 0,
        }
    }

    /// Messages that are no events count too: whoever sends nothing else must not keep a chunk,
    /// and so the look at whether the broker stops, from ending.
    pub(super) fn is_full(&self) -> bool {
        self.is_last || self.messages >= CHUNK_MESSAGES || self.bytes >= CHUNK_BYTES
    }

    /// Takes the next message; `position` counts the events of the session.
    pub(super) fn take(
        &mut self,
        request: SessionRequest,
        position: &mut u64,
    ) -> Result<(), Status> {
        self.messages += 1;
        match request.message {
            Some(Said::Event(bytes)) => {
                *position += 1;
                self.bytes += bytes.len();
                match check::event(&bytes).and_then(|checked| self.numbered(checked)) {
                    Ok(Checked { boot, sequence, event }) => {
                        self.events.push(HeardEvent { boot, sequence, event });
                        self.positions.push(*position);
                    }
                    Err(unfit) => self.exceptions.push(unfit_exception(*position, unfit)),
                }
                Ok(())
            }
            Some(Said::Goodbye(_)) => {
                self.is_last = true;
                Ok(())
            }
            // No command is sent yet, so no result belongs to one.
            Some(Said::CommandResult(_)) => Ok(()),
            Some(Said::Hello(_)) => {
                Err(status::precondition("SECOND_HELLO", "a session has one Hello"))
            }
            // Something newer than this broker; the contract grows by messages one may ignore.
            None => Ok(()),
        }
    }

    /// A number without a spool would be taken for none, and its event for new each time it is
    /// sent again.
    fn numbered(&self, checked: Checked) -> Result<Checked, Unfit> {
        if checked.sequence.is_none() || self.has_spool {
            return Ok(checked);
        }
        let text = "is set, but hello.spool_id is not; it says whose numbers these are";
        Err(Unfit::Invalid(vec![violation("sequence", text)]))
    }
}

fn unfit_exception(position: u64, unfit: Unfit) -> AckException {
    let (outcome, reason, explanation, violations) = match unfit {
        Unfit::Invalid(violations) => {
            let text = "not an event; sending it again is no use";
            (proto::Outcome::Invalid, "INVALID", text, violations)
        }
        Unfit::Unsupported => {
            let (reason, text) = UNSUPPORTED;
            (proto::Outcome::Unsupported, reason, text, Vec::new())
        }
    };
    AckException {
        position,
        outcome: outcome.into(),
        reason: reason.to_owned(),
        explanation: explanation.to_owned(),
        suppressed_until: None,
        violations,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::proto::CommandResult;

    #[test]
    fn messages_that_are_no_events_fill_a_chunk_too() {
        let result = || Some(Said::CommandResult(CommandResult::default()));
        for message in [result, || None] {
            let (mut chunk, mut position) = (Chunk::new(false), 0);
            for _ in 0..CHUNK_MESSAGES {
                assert!(!chunk.is_full());
                let taken = chunk.take(SessionRequest { message: message() }, &mut position);
                assert!(taken.is_ok());
            }
            assert!(chunk.is_full());
            assert_eq!((position, chunk.events.len()), (0, 0));
        }
    }
}
