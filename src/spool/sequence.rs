//! The sequence numbers of events, consistent with the spool.
//!
//! Guarantees that an event sent at once never overtakes a waiting one, and that a number file
//! older than the spool never repeats a number. Does not know the format of the file.

use uuid::Uuid;

use super::file::SpoolFile;
use super::{EventKey, Spool, SpoolError};
use crate::spool::sequence_file::SequenceCounter;

/// The sequence numbers, for the hello of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceStatus {
    /// The spool id of new events.
    pub spool_id: u64,
    /// Their next number.
    pub next: u64,
    /// The highest acknowledged number of this boot; 0: none.
    pub acked_through: u64,
}

impl Spool {
    /// The sequence numbers for events of this appliance.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub fn sequence_status(&self, appliance: &str) -> Result<SequenceStatus, SpoolError> {
        let _lock = self.lock()?;
        let numbers = self.load_counter(&self.load()?)?;
        // Stores a spool id that was just drawn.
        numbers.write(&self.path("numbers"))?;
        let is_acked = self.owner_id(appliance) == Some(numbers.owner);
        let acked = if is_acked { numbers.acked_through } else { 0 };
        Ok(SequenceStatus { spool_id: numbers.spool_id, next: numbers.next, acked_through: acked })
    }

    /// A number for an event that is sent without the spool. `None` if events wait: it would
    /// overtake them.
    ///
    /// # Errors
    ///
    /// When the files cannot be read or written.
    pub fn reserve_if_empty(&self) -> Result<Option<EventKey>, SpoolError> {
        let _lock = self.lock()?;
        let file = self.load()?;
        if file.unfinished().next().is_some() {
            return Ok(None);
        }
        let mut numbers = self.load_counter(&file)?;
        let key = numbers.next_key();
        numbers.write(&self.path("numbers"))?;
        Ok(Some(key))
    }

    /// Changes to another spool id, since the broker already knows numbers of this one.
    ///
    /// # Errors
    ///
    /// When the numbers cannot be written.
    pub fn rotate_spool_id(&self) -> Result<(), SpoolError> {
        let _lock = self.lock()?;
        SequenceCounter::random().write(&self.path("numbers"))
    }

    /// The counter, never below the numbers of events in the file.
    pub(super) fn load_counter(&self, file: &SpoolFile) -> Result<SequenceCounter, SpoolError> {
        let mut numbers = SequenceCounter::read(&self.path("numbers"))?;
        let payloads = file.image.entries.iter().map(|entry| &entry.payload);
        let own = payloads.filter(|payload| payload.spool_id == numbers.spool_id);
        if let Some(highest) = own.map(|payload| payload.sequence).max() {
            numbers.next = numbers.next.max(highest.saturating_add(1));
        }
        Ok(numbers)
    }

    /// The id of this appliance in this boot.
    pub(super) fn owner_id(&self, appliance: &str) -> Option<Uuid> {
        self.sender.boot.map(|boot| Uuid::new_v5(&boot, appliance.as_bytes()))
    }
}
