//! Encodes and decodes states, a few appliances at a time.
//!
//! Guarantees that the parts of a state, one after the other, are one `Checkpoint`, and that neither
//! direction holds the effects of a whole state at once. Does not know files or blocks.

use std::fmt;

use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::{DecodeError, effect, malformed, proto};
use crate::grid::log::effect::Effect;
use crate::grid::state::State;
use crate::grid::state::snapshot::StateSnapshot;
use crate::grid::values::time::Timestamp;

/// The field of `Checkpoint` with its effects.
const EFFECTS_FIELD: u32 = 3;

/// The bytes of a state, in parts of some kilobytes.
pub struct EncodedState(Box<dyn Iterator<Item = Vec<u8>> + Send>);

impl EncodedState {
    /// The parts of that snapshot, each encoded when it is taken.
    pub fn new(snapshot: StateSnapshot) -> Self {
        let (last, last_at_us) = (snapshot.last(), snapshot.last_at().as_micros());
        let head = proto::Checkpoint { last, last_at_us, effects: Vec::new() }.encode_to_vec();
        // Begun when the first part is taken, by another thread than the loop: keys are sorted first.
        let effects = std::iter::once_with(move || snapshot.into_effects()).flatten();
        let parts = effects.map(|effects| encode_effects(&effects));
        Self(Box::new(std::iter::once(head).chain(parts)))
    }
}

impl fmt::Debug for EncodedState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("EncodedState").finish_non_exhaustive()
    }
}

impl Iterator for EncodedState {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        self.0.next()
    }
}

fn encode_effects(effects: &[Effect]) -> Vec<u8> {
    let mut out = Vec::new();
    for it in effects {
        prost::encoding::message::encode(EFFECTS_FIELD, &effect::encode(it), &mut out);
    }
    out
}

/// Encodes a whole state.
pub fn encode_state(state: &State) -> Vec<u8> {
    EncodedState::new(state.snapshot()).flatten().collect()
}

/// Decodes a whole state.
///
/// # Errors
///
/// [`DecodeError`], which says what can't be decoded.
pub fn decode_state(bytes: &[u8]) -> Result<State, DecodeError> {
    let mut rest = bytes;
    let mut state = State::default();
    let mut head = proto::Checkpoint::default();
    while !rest.is_empty() {
        let before = rest;
        let (field, wire_type) = decode_key(&mut rest).map_err(malformed)?;
        if field == EFFECTS_FIELD && wire_type == WireType::LengthDelimited {
            let length = decode_varint(&mut rest).map_err(malformed)?;
            let length = usize::try_from(length).ok().filter(|length| *length <= rest.len());
            let cut = || DecodeError::Malformed("an effect ends behind the state".into());
            let (encoded, behind) = rest.split_at(length.ok_or_else(cut)?);
            rest = behind;
            let message = proto::Effect::decode(encoded).map_err(malformed)?;
            state.restore(&effect::decode(message)?);
        } else {
            skip_field(wire_type, field, &mut rest, DecodeContext::default()).map_err(malformed)?;
            head.merge(&before[..before.len() - rest.len()]).map_err(malformed)?;
        }
    }
    state.set_last(head.last, Timestamp::from_micros(head.last_at_us));
    Ok(state)
}
