//! The outcome of one event, by whatever way it was sent.
//!
//! Guarantees that "stored" is reported on proof only: an outcome that is no longer visible is
//! reported as unknown. Does not know how events are sent.

use grid_broker::exit_code::ExitCode;
use grid_broker::spool::{Key, Spool, SpoolError, State};
use grid_broker::wire::proto::AckException;
use prost::Message;

use crate::answer::Answer;

/// The outcome of an event, before it becomes a line of text.
pub(crate) enum Fate {
    Answered(Answer),
    /// It is in the spool; the reason why it was not sent.
    Spooled(String),
    /// It is neither stored nor spooled.
    Lost {
        why: String,
        exit_code: ExitCode,
    },
}

/// The outcome of a spooled event, as the spool shows it; `None` while it waits. Follows it to
/// another number.
pub(crate) fn became(spool: &Spool, key: &mut Key) -> Result<Option<Fate>, SpoolError> {
    const UNKNOWN: &str = "its outcome is unknown here; `gridctl log list` shows it";
    let failed = |why: &str, exit_code| Fate::Lost { why: why.to_owned(), exit_code };
    while let Some(renumbered) = spool.moved(*key) {
        *key = renumbered;
    }
    Ok(match spool.state(*key)? {
        Some(State::Waiting | State::Attempted) => None,
        Some(State::Kept) => Some(Fate::Answered(Answer::kept())),
        Some(State::Excepted) => {
            let exception = spool.exception(*key).and_then(|it| decoded(&it.answer));
            Some(match exception {
                Some(exception) => Fate::Answered(Answer::of_session(&exception)),
                None => failed(UNKNOWN, ExitCode::Failed),
            })
        }
        Some(State::Gone) => Some(failed(
            "it was evicted from the full spool, or quarantined; a later event reports it",
            ExitCode::Unavailable,
        )),
        None => Some(failed(UNKNOWN, ExitCode::Failed)),
    })
}

/// `None`: it was stored.
pub(crate) fn answer(exception: Option<AckException>) -> Answer {
    match exception {
        Some(exception) => Answer::of_session(&exception),
        None => Answer::kept(),
    }
}

fn decoded(bytes: &[u8]) -> Option<AckException> {
    AckException::decode(bytes).ok()
}
