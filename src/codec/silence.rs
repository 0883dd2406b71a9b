//! Encodes and decodes silences, and inputs about them.
//!
//! Guarantees that a silence whose matchers cannot be read is an error. Decides nothing.

use super::proto::record::Input as P;
use super::{DecodeError, proto};
use crate::grid::log::input::Input;
use crate::grid::log::silence_input::SilenceInput;
use crate::grid::model::matcher::Matchers;
use crate::grid::model::silence::Silence;
use crate::grid::values::id::SilenceId;
use crate::grid::values::time::Timestamp;

pub(super) fn encode(silence: &Silence) -> proto::SilenceState {
    proto::SilenceState {
        id: silence.id.0,
        matchers: silence.matchers.to_string(),
        starts_at_us: silence.starts_at.as_micros(),
        ends_at_us: silence.ends_at.as_micros(),
        ends_with_alert: silence.ends_with_alert,
        reason: silence.reason.to_string(),
        owner: silence.owner.to_string(),
        created_at_us: silence.created_at.as_micros(),
        muted: silence.muted,
        reminded_at_us: silence.reminded_at.map(Timestamp::as_micros),
    }
}

pub(super) fn decode(it: proto::SilenceState) -> Result<Silence, DecodeError> {
    let matchers = Matchers::parse(&it.matchers)
        .map_err(|_| DecodeError::Newer { what: "the matchers of a silence" })?;
    Ok(Silence {
        id: SilenceId(it.id),
        matchers,
        starts_at: Timestamp::from_micros(it.starts_at_us),
        ends_at: Timestamp::from_micros(it.ends_at_us),
        ends_with_alert: it.ends_with_alert,
        reason: it.reason.into(),
        owner: it.owner.into(),
        created_at: Timestamp::from_micros(it.created_at_us),
        muted: it.muted,
        reminded_at: it.reminded_at_us.map(Timestamp::from_micros),
    })
}

pub(super) fn encode_input(input: &SilenceInput) -> P {
    match input {
        SilenceInput::Due { id } => P::SilenceDue(proto::SilenceDue { id: id.0 }),
        SilenceInput::Add { by, silence } => P::SilenceAdded(proto::SilenceAdded {
            by: by.to_string(),
            silence: Some(encode(silence)),
        }),
        SilenceInput::End { by, id } => {
            P::SilenceEnded(proto::SilenceEnded { by: by.to_string(), id: id.0 })
        }
    }
}

pub(super) fn due(it: &proto::SilenceDue) -> Input {
    Input::Silence(SilenceInput::Due { id: SilenceId(it.id) })
}

pub(super) fn decode_added(it: proto::SilenceAdded) -> Result<Input, DecodeError> {
    let silence = it.silence.ok_or(DecodeError::Impossible { what: "a silence" })?;
    let silence = Box::new(decode(silence)?);
    Ok(Input::Silence(SilenceInput::Add { by: it.by.into(), silence }))
}

pub(super) fn ended(it: proto::SilenceEnded) -> Input {
    Input::Silence(SilenceInput::End { by: it.by.into(), id: SilenceId(it.id) })
}
