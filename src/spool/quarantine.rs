//! Handles events that cannot be sent as they are: renumbers or quarantines them.
//!
//! Guarantees that none of them is lost silently: it stays under another number, or is saved in
//! `aside` and reported. Does not know when an event is poison.

use std::collections::BTreeSet;
use std::fs;

use prost::Message;

use super::file::{NewEntry, SpoolFile};
use super::format::EntryState;
use super::{EventKey, Spool, SpoolError, StoredReply, indices_of};
use crate::contract::proto::{Event, LostReason};
use crate::spool::enqueue::losses_with;
use crate::spool::replies;
use crate::spool::sequence_file::SequenceCounter;

/// Most bytes of quarantined events that are saved for people.
const QUARANTINE_BYTES_MAX: u64 = 1 << 20;

impl Spool {
    /// Gives these events numbers under another spool id: the broker knows their numbers although
    /// they were never sent. Returns the old and new keys.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn renumber(
        &self,
        keys: &BTreeSet<EventKey>,
    ) -> Result<Vec<(EventKey, EventKey)>, SpoolError> {
        let _lock = self.lock()?;
        let mut file = self.load()?;
        let mut numbers = self.load_counter(&file)?;
        if keys.iter().any(|key| key.spool_id == numbers.spool_id) {
            numbers = SequenceCounter::random();
        }
        let removed = indices_of(&file, keys, |state| !state.is_finished());
        let (mut new, mut renamed) = (Vec::new(), Vec::new());
        for at in &removed {
            let entry = &file.image.entries[*at];
            let key = numbers.next_key();
            let mut payload = entry.payload.clone();
            let before = EventKey { spool_id: payload.spool_id, sequence: payload.sequence };
            renamed.push((before, key));
            (payload.spool_id, payload.sequence) = (key.spool_id, key.sequence);
            if let Ok(event) = Event::decode(payload.event.clone()) {
                payload.event = Event { sequence: key.sequence, ..event }.encode_to_vec().into();
            }
            new.push(NewEntry { payload, kind: entry.kind, state: EntryState::Waiting });
        }
        numbers.write(&self.path("numbers"))?;
        file.write(new, &removed)?;
        let moved: Vec<_> =
            renamed.iter().map(|(key, to)| StoredReply::renumbered(*key, *to)).collect();
        // If this fails, a waiting call learns only that its event was removed.
        let _ = replies::add(&self.path("answers"), &moved);
        Ok(renamed)
    }

    /// Moves an event that cannot be sent to `aside`, and reports it and `why` by a log event.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn quarantine(&self, key: EventKey, why: &str) -> Result<(), SpoolError> {
        let _lock = self.lock()?;
        let mut file = self.load()?;
        let indices = indices_of(&file, &BTreeSet::from([key]), |state| !state.is_finished());
        let Some(at) = indices.first().copied() else { return Ok(()) };
        let entry = file.image.entries[at].clone();
        let aside = self.path("aside");
        let length = fs::metadata(&aside).map_or(0, |found| found.len());
        let location = if length < QUARANTINE_BYTES_MAX {
            let mut kept_aside = SpoolFile::open(&aside, 0)?;
            let (payload, kind) = (entry.payload.clone(), entry.kind);
            kept_aside
                .write(vec![NewEntry { payload, kind, state: EntryState::Attempted }], &[])?;
            format!("it is in {}", aside.display())
        } else {
            format!("{} has no room for it", aside.display())
        };
        let text = format!("an event of this appliance was quarantined: {why}; {location}");
        let lost = losses_with(&entry, LostReason::SetAside);
        let mut numbers = self.load_counter(&file)?;
        let new = self.notice_entry(&mut numbers, text, lost)?;
        numbers.write(&self.path("numbers"))?;
        file.write(vec![new], &[at])
    }
}
