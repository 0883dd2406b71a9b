//! The numbers of events, kept in step with the spool.
//!
//! Guarantees that no event that waits is overtaken by one that is sent at once, and that a number file
//! that is older than the spool gives no number again. Does not know how the file looks.

use uuid::Uuid;

use super::file::SpoolFile;
use super::numbers::Numbers;
use super::{Key, Spool, SpoolError};

/// What the numbers are like, for the hello of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbering {
    /// Whose numbers new events bear.
    pub spool_id: u64,
    /// The next of them.
    pub next: u64,
    /// The highest that was answered of this boot; 0: none.
    pub acked: u64,
}

impl Spool {
    /// How the numbers stand, for events of that appliance.
    ///
    /// # Errors
    ///
    /// When they can't be read.
    pub fn numbering(&self, appliance: &str) -> Result<Numbering, SpoolError> {
        let _lock = self.lock()?;
        let numbers = self.numbers(&self.load()?)?;
        // Kept as it was drawn, if it was.
        numbers.write(&self.path("numbers"))?;
        let is_acked = self.whose(appliance) == Some(numbers.whose);
        let acked = if is_acked { numbers.acked } else { 0 };
        Ok(Numbering { spool_id: numbers.spool_id, next: numbers.next, acked })
    }

    /// A number for an event that is not put here, if nothing waits: it would overtake.
    ///
    /// # Errors
    ///
    /// When the files can't be read or written.
    pub fn number_if_empty(&self) -> Result<Option<Key>, SpoolError> {
        let _lock = self.lock()?;
        let file = self.load()?;
        if file.live().next().is_some() {
            return Ok(None);
        }
        let mut numbers = self.numbers(&file)?;
        let key = numbers.give();
        numbers.write(&self.path("numbers"))?;
        Ok(Some(key))
    }

    /// Another spool id, since the numbers under this one are known to the broker.
    ///
    /// # Errors
    ///
    /// When the numbers can't be written.
    pub fn renew(&self) -> Result<(), SpoolError> {
        let _lock = self.lock()?;
        Numbers::drawn().write(&self.path("numbers"))
    }

    /// The numbers, never behind those of events that are in the file.
    pub(super) fn numbers(&self, file: &SpoolFile) -> Result<Numbers, SpoolError> {
        let mut numbers = Numbers::read(&self.path("numbers"))?;
        let kept = file.image.entries.iter().map(|entry| &entry.kept);
        let own = kept.filter(|kept| kept.spool_id == numbers.spool_id);
        if let Some(highest) = own.map(|kept| kept.sequence).max() {
            numbers.next = numbers.next.max(highest.saturating_add(1));
        }
        Ok(numbers)
    }

    /// That appliance in this boot.
    pub(super) fn whose(&self, appliance: &str) -> Option<Uuid> {
        self.teller.boot.map(|boot| Uuid::new_v5(&boot, appliance.as_bytes()))
    }
}
