//! Collects a batch of a session: the messages that have arrived and become one commit.
//!
//! Guarantees that a batch ends, whatever the messages are, and that an event that cannot be decoded
//! is INVALID or UNSUPPORTED at its position. Never waits.

use tonic::Status;

use super::status;
use crate::broker::HeardEvent;
use crate::wire::check::{self, Checked, Unfit, violation};
use crate::wire::proto::{self, AckException};
use crate::wire::received::{Said, SessionRequest};

/// Most messages in a batch.
const CHUNK_MESSAGES: usize = 256;

/// Most bytes of events in a batch; the event that exceeds them is the last.
const CHUNK_BYTES: usize = 64 << 10;

/// The reason and the explanation for an event of a reserved kind.
pub(super) const UNSUPPORTED: (&str, &str) =
    ("UNSUPPORTED", "of a kind that this broker does not know");

/// Decoded events, and the exceptions of those that cannot be decoded.
pub(super) struct Chunk {
    pub(super) events: Vec<HeardEvent>,
    /// The positions of `events`, in order.
    pub(super) positions: Vec<u64>,
    pub(super) exceptions: Vec<AckException>,
    pub(super) bytes: usize,
    /// The client is finished.
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

    /// Messages without events count too: a client that sends nothing else must not keep a batch from
    /// ending, and so delay the check whether the broker stops.
    pub(super) fn is_full(&self) -> bool {
        self.is_last || self.messages >= CHUNK_MESSAGES || self.bytes >= CHUNK_BYTES
    }

    /// Adds the next message; `position` counts the events of the session.
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
                    Err(invalid) => self.exceptions.push(unfit_exception(*position, invalid)),
                }
                Ok(())
            }
            Some(Said::Goodbye(_)) => {
                self.is_last = true;
                Ok(())
            }
            // No command is sent yet, so results are ignored.
            Some(Said::CommandResult(_)) => Ok(()),
            Some(Said::Hello(_)) => {
                Err(status::precondition("SECOND_HELLO", "a session has one Hello"))
            }
            // A message of a newer contract; new messages may be ignored.
            None => Ok(()),
        }
    }

    /// Rejects a sequence number without a spool: it would be ignored, and the event would be new each
    /// time it is sent again.
    fn numbered(&self, checked: Checked) -> Result<Checked, Unfit> {
        if checked.sequence.is_none() || self.has_spool {
            return Ok(checked);
        }
        let text = "is set, but hello.spool_id is not; sequence numbers belong to a spool";
        Err(Unfit::Invalid(vec![violation("sequence", text)]))
    }
}

fn unfit_exception(position: u64, invalid: Unfit) -> AckException {
    let (outcome, reason, explanation, violations) = match invalid {
        Unfit::Invalid(violations) => {
            let text = "not a valid event; do not send it again";
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
            let (mut batch, mut position) = (Chunk::new(false), 0);
            for _ in 0..CHUNK_MESSAGES {
                assert!(!batch.is_full());
                let pushed = batch.take(SessionRequest { message: message() }, &mut position);
                assert!(pushed.is_ok());
            }
            assert!(batch.is_full());
            assert_eq!((position, batch.events.len()), (0, 0));
        }
    }
}
