//! How does an event come here that was numbered without the spool, and could not be sent?
//!
//! Guarantees that it stands where its number belongs. Does not know why it comes late.

use std::collections::BTreeSet;

use super::format::State;
use super::{Key, Spool, SpoolError};
use crate::wire::proto::Event;

impl Spool {
    /// Puts an event here that bears a number and was not answered; `state` says whether it may have
    /// been sent. It goes before those that were numbered behind it meanwhile: the broker takes a
    /// number far below the highest for known.
    ///
    /// # Errors
    ///
    /// As [`Spool::append`].
    pub fn append_numbered(&self, event: Event, key: Key, state: State) -> Result<(), SpoolError> {
        let _lock = self.lock()?;
        let mut file = self.load()?;
        let mut over = BTreeSet::new();
        let arriving = self.arriving(event, 0, key, state)?;
        let new = self.with_room(&file, &[], &mut over, arriving)?;
        let over: Vec<usize> = over.into_iter().collect();
        let is_overtaken = file.live().any(|it| it.kept.spool_id == key.spool_id);
        let first = std::slice::from_ref(&new);
        // A disk without room for another file may have some left in this one.
        if !is_overtaken || file.rewrite(first, &over, &[], self.file_bytes_max()).is_err() {
            file.write(vec![new], &over)?;
        }
        let _ = file.shrink(self.file_bytes_max());
        Ok(())
    }
}
