//! Builds the entry of a new event, and evicts others to make room for it.
//!
//! Guarantees that an entry reports all events that were evicted for it, and the losses that those
//! had to report. Does not know the disk: it writes nothing.

use std::collections::BTreeSet;

use prost::Message;

use super::file::{NewEntry, SpoolFile};
use super::format::{EntryPayload, EntryState, PAYLOAD_BYTES_MAX, SpoolEntry};
use super::{EventKey, Spool, SpoolError, kind_of_event, losses};
use crate::clock::wall_now;
use crate::contract::encode_timestamp;
use crate::contract::proto::event::Kind;
use crate::contract::proto::{Event, Log, LostEvents, LostReason, Severity};
use crate::spool::eviction;
use crate::spool::eviction::{Candidate, SpoolLimits};
use crate::spool::sequence_file::SequenceCounter;

/// Bytes that reports of losses may add to an event.
const LOSSES_BYTES_MAX: usize = 1 << 10;

impl Spool {
    pub(super) fn new_entry(
        &self,
        event: Event,
        call: u64,
        key: EventKey,
        state: EntryState,
    ) -> Result<NewEntry, SpoolError> {
        let kind = kind_of_event(&event);
        let event = Event { sequence: key.sequence, ..event };
        let payload = EntryPayload {
            spool_id: key.spool_id,
            sequence: key.sequence,
            appliance: self.sender.appliance.clone(),
            spooled_at_us: wall_now().as_micros(),
            event: event.encode_to_vec().into(),
            call,
        };
        match payload.encoded_len() + LOSSES_BYTES_MAX {
            bytes if bytes > PAYLOAD_BYTES_MAX => Err(SpoolError::TooLarge { bytes }),
            _ => Ok(NewEntry { payload, kind, state }),
        }
    }

    /// Makes room for one more entry, which reports the events that are evicted for it.
    pub(super) fn make_room_for(
        &self,
        file: &SpoolFile,
        new: &[NewEntry],
        removed: &mut BTreeSet<usize>,
        mut arriving: NewEntry,
    ) -> Result<NewEntry, SpoolError> {
        let entries = file.image.entries.iter().enumerate();
        let indexed: Vec<(usize, Candidate)> = entries
            .filter(|(at, entry)| !entry.state.is_finished() && !removed.contains(at))
            .map(|(at, entry)| {
                let (kind, state, bytes) = (entry.kind, entry.state, entry.frame_bytes);
                (at, Candidate { kind, state, bytes })
            })
            .collect();
        let candidates: Vec<Candidate> = indexed.iter().map(|(_, candidate)| *candidate).collect();
        // Entries of the same batch are not evicted for it.
        let together: usize = new.iter().map(|it| it.frame().len()).sum();
        let needed = together + arriving.frame().len();
        let limits =
            SpoolLimits { events: self.limits.events.saturating_sub(new.len()), ..self.limits };
        let mut evicted = eviction::evict(&candidates, needed, limits);
        if evicted.as_ref().is_some_and(|evicted| !evicted.is_empty()) {
            // It has to report them.
            evicted = eviction::evict(&candidates, needed + LOSSES_BYTES_MAX, limits);
        }
        let Some(evicted) = evicted else {
            return Err(SpoolError::Full { events: indexed.len() + new.len() });
        };
        if evicted.is_empty() {
            return Ok(arriving);
        }
        let mut lost = Vec::new();
        for candidate in evicted {
            let at = indexed[candidate].0;
            removed.insert(at);
            lost.extend(losses_with(&file.image.entries[at], LostReason::SpoolFull));
        }
        if let Ok(mut event) = Event::decode(arriving.payload.event.clone()) {
            event.lost_before = losses::sum_losses(lost.into_iter().chain(event.lost_before));
            arriving.payload.event = event.encode_to_vec().into();
        }
        Ok(arriving)
    }

    /// A log event of the spool about itself.
    pub(super) fn notice_entry(
        &self,
        numbers: &mut SequenceCounter,
        text: String,
        lost_before: Vec<LostEvents>,
    ) -> Result<NewEntry, SpoolError> {
        let event = Event {
            kind: Some(Kind::Log(Log {})),
            text,
            severity: Severity::Warn.into(),
            boot_id: self.sender.boot.map_or_else(String::new, |boot| boot.to_string()),
            event_time: Some(encode_timestamp(wall_now())),
            lost_before,
            ..Event::default()
        };
        self.new_entry(event, 0, numbers.next_key(), EntryState::Waiting)
    }
}

/// The losses if an entry is dropped: the event itself, and the losses that it had to report.
pub(super) fn losses_with(entry: &SpoolEntry, why: LostReason) -> Vec<LostEvents> {
    let event = Event::decode(entry.payload.event.clone()).unwrap_or_default();
    let own = losses::single_loss(entry.kind, event.event_time, why);
    losses::sum_losses(event.lost_before.into_iter().chain([own]))
}
