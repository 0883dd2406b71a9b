//! Who sends, and who is to empty the spool?
//!
//! Guarantees one of each at most, and that whoever adds an event either finds somebody to send it or
//! finds the duty free: it is given back under the lock under which events are added. Sends nothing.

use super::lock::{self, Held};
use super::{Spool, SpoolError};

impl Spool {
    /// The right to send, if nobody has it.
    ///
    /// # Errors
    ///
    /// When the system does not say.
    pub fn try_sender(&self) -> Result<Option<Held>, SpoolError> {
        Held::if_free(&self.path("sender"))
    }

    /// The duty to empty the spool, if nobody has it.
    ///
    /// # Errors
    ///
    /// When the system does not say.
    pub fn try_drainer(&self) -> Result<Option<Held>, SpoolError> {
        // Whoever only looks has it for a moment, which nobody must see.
        let _lock = self.lock()?;
        Held::if_free(&self.path("drainer"))
    }

    /// What the drainer, or the agent, says of itself.
    pub fn drainer(&self) -> Option<String> {
        lock::word(&self.path("drainer"))
    }

    /// Who has the duty: `agent PID` or `drainer PID`; `None`: nobody.
    ///
    /// # Errors
    ///
    /// When the system does not say.
    pub fn who_sends(&self) -> Result<Option<String>, SpoolError> {
        // While it is held here nobody else may find it taken.
        let _lock = self.lock()?;
        Ok(match Held::if_free(&self.path("drainer"))? {
            Some(_) => None,
            None => Some(self.drainer().unwrap_or_default()),
        })
    }

    /// Whether the right to send is still one for this folder, which may have been made anew.
    pub fn still_has(&self, sender: &Held) -> bool {
        sender.is_at(&self.path("sender"))
    }

    /// Gives the duty back if nothing waits; whoever adds an event later finds it free.
    ///
    /// # Errors
    ///
    /// When the spool can't be read; the duty is given back then, too.
    pub fn release_if_empty(&self, drainer: Held) -> Result<Option<Held>, SpoolError> {
        let _lock = self.lock()?;
        let is_empty = self.load()?.live().next().is_none();
        Ok((!is_empty).then_some(drainer))
    }
}
