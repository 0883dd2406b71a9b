//! The ownership of a spool: the sender lock and the drainer lock.
//!
//! Guarantees at most one owner each, and that a process that appends an event finds the drainer
//! lock either held or free: it is released under the lock under which events are appended. Does
//! not know how events are sent.

use super::lock::{self, LockGuard};
use super::{Spool, SpoolError};

impl Spool {
    /// Acquires the sender lock, if it is free.
    ///
    /// # Errors
    ///
    /// When the lock file cannot be used.
    pub fn try_lock_sender(&self) -> Result<Option<LockGuard>, SpoolError> {
        LockGuard::try_acquire(&self.path("sender"))
    }

    /// Acquires the drainer lock, if it is free.
    ///
    /// # Errors
    ///
    /// When the lock file cannot be used.
    pub fn try_lock_drainer(&self) -> Result<Option<LockGuard>, SpoolError> {
        // A check holds it for a moment, which no other process must see.
        let _lock = self.lock()?;
        LockGuard::try_acquire(&self.path("drainer"))
    }

    /// The note of the drainer or the agent.
    pub fn drainer_note(&self) -> Option<String> {
        lock::read_note(&self.path("drainer"))
    }

    /// The owner of the drainer lock: `agent PID` or `drainer PID`; `None`: it is free.
    ///
    /// # Errors
    ///
    /// When the lock file cannot be used.
    pub fn current_drainer(&self) -> Result<Option<String>, SpoolError> {
        // Held here for a moment, which no other process must see.
        let _lock = self.lock()?;
        Ok(match LockGuard::try_acquire(&self.path("drainer"))? {
            Some(_) => None,
            None => Some(self.drainer_note().unwrap_or_default()),
        })
    }

    /// Whether the sender lock still belongs to this folder, which may have been replaced.
    pub fn still_owns(&self, sender: &LockGuard) -> bool {
        sender.is_at(&self.path("sender"))
    }

    /// Releases the drainer lock if nothing waits; a process that appends an event later finds it
    /// free.
    ///
    /// # Errors
    ///
    /// When the spool cannot be read; the lock is released then, too.
    pub fn release_if_empty(&self, drainer: LockGuard) -> Result<Option<LockGuard>, SpoolError> {
        let _lock = self.lock()?;
        let is_empty = self.load()?.unfinished().next().is_none();
        Ok((!is_empty).then_some(drainer))
    }
}
