//! Builds the entry of a new event, and evicts others to make room for it.
//!
//! Guarantees that an entry reports all events that were evicted for it, and the losses that those
//! had to report. Does not know the disk: it writes nothing.

use std::collections::BTreeSet;

use prost::Message;

use super::file::{New, SpoolFile};
use super::format::{Entry, Kept, PAYLOAD_BYTES_MAX, State};
use super::numbers::Numbers;
use super::room::{self, Limits, Place};
use super::{Key, Spool, SpoolError, kind, losses};
use crate::clock::wall_now;
use crate::wire::proto::event::Kind;
use crate::wire::proto::{Event, Log, LostEvents, LostReason, Severity};
use crate::wire::timestamp;

/// Bytes that reports of losses may add to an event.
const LOSSES_BYTES_MAX: usize = 1 << 10;

impl Spool {
    pub(super) fn arriving(
        &self,
        event: Event,
        call: u64,
        key: Key,
        state: State,
    ) -> Result<New, SpoolError> {
        let kind = kind(&event);
        let event = Event { sequence: key.sequence, ..event };
        let kept = Kept {
            spool_id: key.spool_id,
            sequence: key.sequence,
            appliance: self.teller.appliance.clone(),
            spooled_at_us: wall_now().as_micros(),
            event: event.encode_to_vec().into(),
            call,
        };
        match kept.encoded_len() + LOSSES_BYTES_MAX {
            bytes if bytes > PAYLOAD_BYTES_MAX => Err(SpoolError::TooLarge { bytes }),
            _ => Ok(New { kept, kind, state }),
        }
    }

    /// Makes room for one more entry, which reports the events that are evicted for it.
    pub(super) fn with_room(
        &self,
        file: &SpoolFile,
        new: &[New],
        over: &mut BTreeSet<usize>,
        mut arriving: New,
    ) -> Result<New, SpoolError> {
        let entries = file.image.entries.iter().enumerate();
        let there: Vec<(usize, Place)> = entries
            .filter(|(at, entry)| !entry.state.is_over() && !over.contains(at))
            .map(|(at, entry)| {
                let (kind, state, bytes) = (entry.kind, entry.state, entry.frame_bytes);
                (at, Place { kind, state, bytes })
            })
            .collect();
        let places: Vec<Place> = there.iter().map(|(_, place)| *place).collect();
        // Entries of the same batch are not evicted for it.
        let together: usize = new.iter().map(|it| it.frame().len()).sum();
        let wanted = together + arriving.frame().len();
        let limits = Limits { events: self.limits.events.saturating_sub(new.len()), ..self.limits };
        let mut going = room::make(&places, wanted, limits);
        if going.as_ref().is_some_and(|going| !going.is_empty()) {
            // It has to report them.
            going = room::make(&places, wanted + LOSSES_BYTES_MAX, limits);
        }
        let Some(going) = going else {
            return Err(SpoolError::Full { events: there.len() + new.len() });
        };
        if going.is_empty() {
            return Ok(arriving);
        }
        let mut lost = Vec::new();
        for place in going {
            let at = there[place].0;
            over.insert(at);
            lost.extend(losses_of(&file.image.entries[at], LostReason::SpoolFull));
        }
        if let Ok(mut event) = Event::decode(arriving.kept.event.clone()) {
            event.lost_before = losses::summed_up(lost.into_iter().chain(event.lost_before));
            arriving.kept.event = event.encode_to_vec().into();
        }
        Ok(arriving)
    }

    /// A log event of the spool about itself.
    pub(super) fn own_word(
        &self,
        numbers: &mut Numbers,
        text: String,
        lost_before: Vec<LostEvents>,
    ) -> Result<New, SpoolError> {
        let event = Event {
            kind: Some(Kind::Log(Log {})),
            text,
            severity: Severity::Warn.into(),
            boot_id: self.teller.boot.map_or_else(String::new, |boot| boot.to_string()),
            event_time: Some(timestamp(wall_now())),
            lost_before,
            ..Event::default()
        };
        self.arriving(event, 0, numbers.give(), State::Waiting)
    }
}

/// The losses if an entry is dropped: the event itself, and the losses that it had to report.
pub(super) fn losses_of(entry: &Entry, why: LostReason) -> Vec<LostEvents> {
    let event = Event::decode(entry.kept.event.clone()).unwrap_or_default();
    let own = losses::one(entry.kind, event.event_time, why);
    losses::summed_up(event.lost_before.into_iter().chain([own]))
}
