//! Collects a batch of a session: the messages that have arrived and become one commit.
//!
//! Guarantees that a batch ends, whatever the messages are, and that an event that cannot be decoded
//! is INVALID or UNSUPPORTED at its position. Never waits.

use tonic::Status;

use super::status;
use crate::broker::{SessionEvent, SessionKey};
use crate::contract::decode;
use crate::contract::decode::{DecodedEvent, InvalidEvent, violation};
use crate::contract::proto;
use crate::contract::raw::{ClientMessage, RawSessionRequest};
use crate::contract::raw_response::RawAckException;

/// Most messages in a batch.
const BATCH_MESSAGES_MAX: usize = 1_024;

/// Most bytes of events in a batch; the event that exceeds them is the last.
const BATCH_BYTES_MAX: usize = 256 << 10;

/// The reason and the explanation for an event of a reserved kind.
pub(super) const UNSUPPORTED: (&str, &str) =
    ("UNSUPPORTED", "of a kind that this broker does not know");

/// Decoded events, and the exceptions of those that cannot be decoded.
pub(super) struct EventBatch {
    pub(super) events: Vec<SessionEvent>,
    pub(super) exceptions: Vec<RawAckException>,
    pub(super) bytes: usize,
    /// The client is finished.
    pub(super) is_last: bool,
    session: SessionKey,
    message_count: usize,
}

impl EventBatch {
    pub(super) fn new(session: SessionKey) -> Self {
        Self {
            events: Vec::new(),
            exceptions: Vec::new(),
            bytes: 0,
            is_last: false,
            session,
            message_count: 0,
        }
    }

    /// Messages without events count too: a client that sends nothing else must not keep a batch from
    /// ending, and so delay the check whether the broker stops.
    pub(super) fn is_full(&self) -> bool {
        self.is_last || self.message_count >= BATCH_MESSAGES_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// Adds the next message; `position` counts the events of the session.
    pub(super) fn push(
        &mut self,
        request: RawSessionRequest,
        position: &mut u64,
    ) -> Result<(), Status> {
        self.message_count += 1;
        match request.message {
            Some(ClientMessage::Event(bytes)) => {
                *position += 1;
                self.bytes += bytes.len();
                match decode::event(&bytes).and_then(|checked| self.check_sequence(checked)) {
                    Ok(DecodedEvent { boot_id, sequence, event }) => {
                        self.events.push(self.session.receive(boot_id, sequence, event));
                    }
                    Err(invalid) => self.exceptions.push(invalid_exception(*position, invalid)),
                }
                Ok(())
            }
            Some(ClientMessage::Goodbye(_)) => {
                self.is_last = true;
                Ok(())
            }
            // Of the agent; the session has seen to it.
            Some(ClientMessage::CommandResult(_) | ClientMessage::CrashDump(_)) => Ok(()),
            Some(ClientMessage::Hello(_)) => {
                Err(status::precondition("SECOND_HELLO", "a session has one Hello"))
            }
            // A message of a newer contract; new messages may be ignored.
            None => Ok(()),
        }
    }

    /// Rejects a sequence number without a spool: it would be ignored, and the event would be new each
    /// time it is sent again.
    fn check_sequence(&self, checked: DecodedEvent) -> Result<DecodedEvent, InvalidEvent> {
        if checked.sequence.is_none() || self.session.spool.is_some() {
            return Ok(checked);
        }
        let text = "is set, but hello.spool_id is not; sequence numbers belong to a spool";
        Err(InvalidEvent::Invalid(vec![violation("sequence", text)]))
    }
}

fn invalid_exception(position: u64, invalid: InvalidEvent) -> RawAckException {
    let (outcome, reason, explanation, violations) = match invalid {
        InvalidEvent::Invalid(violations) => {
            let text = "not a valid event; do not send it again";
            (proto::Outcome::Invalid, "INVALID", text, violations)
        }
        InvalidEvent::Unsupported => {
            let (reason, text) = UNSUPPORTED;
            (proto::Outcome::Unsupported, reason, text, Vec::new())
        }
    };
    RawAckException {
        position,
        outcome: outcome.into(),
        reason: reason.into(),
        explanation: explanation.into(),
        suppressed_until: None,
        violations,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::proto::CommandResult;
    use crate::grid::values::id::{ApplianceIndex, BootId, SessionId};

    #[test]
    fn messages_without_events_fill_a_batch_too() {
        let result = || Some(ClientMessage::CommandResult(CommandResult::default()));
        for message in [result, || None] {
            let session = SessionKey {
                id: SessionId(1),
                appliance: ApplianceIndex(1),
                boot: BootId(uuid::Uuid::from_u128(1)),
                spool: None,
            };
            let (mut batch, mut position) = (EventBatch::new(session), 0);
            for _ in 0..BATCH_MESSAGES_MAX {
                assert!(!batch.is_full());
                let pushed = batch.push(RawSessionRequest { message: message() }, &mut position);
                assert!(pushed.is_ok());
            }
            assert!(batch.is_full());
            assert_eq!((position, batch.events.len()), (0, 0));
        }
    }
}
