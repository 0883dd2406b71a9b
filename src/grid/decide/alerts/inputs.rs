//! Decides on inputs about alerts and silences, before what follows from them.
//!
//! Guarantees that nothing follows from what is not due, or is refused. Applies nothing.

use super::{command, silence};
use crate::grid::decide::{DecisionDraft, Reply};
use crate::grid::log::alert_input::AlertInput;
use crate::grid::log::silence_input::SilenceInput;
use crate::grid::state::State;
use crate::grid::values::time::Timestamp;

/// What follows for alerts is added to the record when it is complete.
pub(in crate::grid) fn decide_alert(
    state: &State,
    input: &AlertInput,
    now: Timestamp,
) -> (Reply, Option<DecisionDraft>) {
    let done = || Some(DecisionDraft::recorded(Vec::new()));
    match input {
        AlertInput::Due { id } => {
            let due = state.alerts().get(*id).and_then(|alert| alert.due_at());
            (Reply::Nothing, done().filter(|_| due.is_some_and(|due| due <= now)))
        }
        AlertInput::Command { id, command, .. } => match command::check(state, *id, command, now) {
            Ok(()) => (Reply::Alert(Ok(*id)), done()),
            Err(rejection) => (Reply::Alert(Err(rejection)), None),
        },
    }
}

/// The same for a silence.
pub(in crate::grid) fn decide_silence(
    state: &State,
    input: &SilenceInput,
    now: Timestamp,
) -> (Reply, Option<DecisionDraft>) {
    let done = || Some(DecisionDraft::recorded(Vec::new()));
    if let SilenceInput::Due { id } = input {
        let due = state.alerts().silence(*id).map(|silence| silence.due_at());
        return (Reply::Nothing, done().filter(|_| due.is_some_and(|due| due <= now)));
    }
    match silence::check(state, input, now) {
        Ok(id) => (Reply::Silence(Ok(id)), done()),
        Err(rejection) => (Reply::Silence(Err(rejection)), None),
    }
}
