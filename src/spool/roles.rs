//! The ownership of a spool: the sender lock and the drainer lock.
//!
//! Guarantees at most one owner each, and that a process that appends an event finds the drainer
//! lock either held or free: it is released under the lock under which events are appended. Does
//! not know how events are sent.

use super::lock::{self, Held};
use super::{Spool, SpoolError};

impl Spool {
    /// Acquires the sender lock, if it is free.
    ///
    /// # Errors
    ///
    /// When the lock file cannot be used.
    pub fn try_sender(&self) -> Result<Option<Held>, SpoolError> {
        Held::if_free(&self.path("sender"))
    }

    /// Acquires the drainer lock, if it is free.
    ///
    /// # Errors
    ///
    /// When the lock file cannot be used.
    pub fn try_drainer(&self) -> Result<Option<Held>, SpoolError> {
        // A check holds it for a moment, which no other process must see.
        let _lock = self.lock()?;
        Held::if_free(&self.path("drainer"))
    }

    /// The note of the drainer or the agent.
    pub fn drainer(&self) -> Option<String> {
        lock::word(&self.path("drainer"))
    }

    /// The owner of the drainer lock: `agent PID` or `drainer PID`; `None`: it is free.
    ///
    /// # Errors
    ///
    /// When the lock file cannot be used.
    pub fn who_sends(&self) -> Result<Option<String>, SpoolError> {
        // Held here for a moment, which no other process must see.
        let _lock = self.lock()?;
        Ok(match Held::if_free(&self.path("drainer"))? {
            Some(_) => None,
            None => Some(self.drainer().unwrap_or_default()),
        })
    }

    /// Whether the sender lock still belongs to this folder, which may have been replaced.
    pub fn still_has(&self, sender: &Held) -> bool {
        sender.is_at(&self.path("sender"))
    }

    /// Releases the drainer lock if nothing waits; a process that appends an event later finds it
    /// free.
    ///
    /// # Errors
    ///
    /// When the spool cannot be read; the lock is released then, too.
    pub fn release_if_empty(&self, drainer: Held) -> Result<Option<Held>, SpoolError> {
        let _lock = self.lock()?;
        let is_empty = self.load()?.live().next().is_none();
        Ok((!is_empty).then_some(drainer))
    }
}
