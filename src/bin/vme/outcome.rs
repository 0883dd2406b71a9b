//! The outcome of one event, by whatever way it was sent.
//!
//! Guarantees that "stored" is reported on proof only: an outcome that is no longer visible is
//! reported as unknown. Does not know how events are sent.

use grid_broker::contract::proto::AckException;
use grid_broker::exit_code::ExitCode;
use grid_broker::spool::{EntryState, EventKey, Spool, SpoolError};
use prost::Message;

use crate::outcome_text::OutcomeText;

/// The outcome of an event, before it becomes a line of text.
pub(crate) enum SendOutcome {
    Replied(OutcomeText),
    /// It is in the spool; the reason why it was not sent.
    Spooled(String),
    /// It is neither stored nor spooled.
    Failed {
        why: String,
        exit_code: ExitCode,
    },
}

/// The outcome of a spooled event, as the spool shows it; `None` while it waits. Follows it to
/// another number.
pub(crate) fn outcome_of(
    spool: &Spool,
    key: &mut EventKey,
) -> Result<Option<SendOutcome>, SpoolError> {
    const UNKNOWN: &str = "its outcome is unknown here; `gridctl log list` shows it";
    let failed = |why: &str, exit_code| SendOutcome::Failed { why: why.to_owned(), exit_code };
    while let Some(renumbered) = spool.renumbered_to(*key) {
        *key = renumbered;
    }
    Ok(match spool.state(*key)? {
        Some(EntryState::Waiting | EntryState::Attempted) => None,
        Some(EntryState::Stored) => Some(SendOutcome::Replied(OutcomeText::stored())),
        Some(EntryState::OtherReply) => {
            let exception = spool.stored_reply(*key).and_then(|it| decode_exception(&it.reply));
            Some(match exception {
                Some(exception) => SendOutcome::Replied(OutcomeText::from_exception(&exception)),
                None => failed(UNKNOWN, ExitCode::Failed),
            })
        }
        Some(EntryState::Removed) => Some(failed(
            "it was evicted from the full spool, or quarantined; a later event reports it",
            ExitCode::Unavailable,
        )),
        None => Some(failed(UNKNOWN, ExitCode::Failed)),
    })
}

/// `None`: it was stored.
pub(crate) fn text_of_ack(exception: Option<AckException>) -> OutcomeText {
    match exception {
        Some(exception) => OutcomeText::from_exception(&exception),
        None => OutcomeText::stored(),
    }
}

fn decode_exception(bytes: &[u8]) -> Option<AckException> {
    AckException::decode(bytes).ok()
}
