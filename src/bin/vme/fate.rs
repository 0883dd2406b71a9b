//! What became of one event, whatever way it went.
//!
//! Guarantees that "kept" is said on proof alone: what cannot be seen any more is told as not known.
//! Does not know how events are sent.

use grid_broker::exit_code::ExitCode;
use grid_broker::spool::{Key, Spool, SpoolError, State};
use grid_broker::wire::proto::AckException;
use prost::Message;

use crate::answer::Answer;

/// What became of it, before it is put into a line.
pub(crate) enum Fate {
    Answered(Answer),
    /// It is in the spool; why it was not sent.
    Spooled(String),
    /// It is nowhere.
    Lost {
        why: String,
        exit_code: ExitCode,
    },
}

/// What became of an event of the spool, as the spool shows; `None`: it waits. Follows it to another
/// number.
pub(crate) fn became(spool: &Spool, key: &mut Key) -> Result<Option<Fate>, SpoolError> {
    const UNKNOWN: &str = "what became of it is not known here; `gridctl log list` shows it";
    let lost = |why: &str, exit_code| Fate::Lost { why: why.to_owned(), exit_code };
    while let Some(moved) = spool.moved(*key) {
        *key = moved;
    }
    Ok(match spool.state(*key)? {
        Some(State::Waiting | State::Attempted) => None,
        Some(State::Kept) => Some(Fate::Answered(Answer::kept())),
        Some(State::Excepted) => {
            let exception = spool.exception(*key).and_then(|it| decoded(&it.answer));
            Some(match exception {
                Some(exception) => Fate::Answered(Answer::of_session(&exception)),
                None => lost(UNKNOWN, ExitCode::Failed),
            })
        }
        Some(State::Gone) => Some(lost(
            "it made room for others in the full spool, or was set aside; a later event tells",
            ExitCode::Unavailable,
        )),
        None => Some(lost(UNKNOWN, ExitCode::Failed)),
    })
}

/// `None`: it was simply kept.
pub(crate) fn answer(exception: Option<AckException>) -> Answer {
    match exception {
        Some(exception) => Answer::of_session(&exception),
        None => Answer::kept(),
    }
}

fn decoded(bytes: &[u8]) -> Option<AckException> {
    AckException::decode(bytes).ok()
}
