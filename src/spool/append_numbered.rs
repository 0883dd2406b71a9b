//! Appends an event that was numbered outside the spool and could not be sent.
//!
//! Guarantees its position in the order of numbers. Does not know why it comes late.

use std::collections::BTreeSet;

use super::format::EntryState;
use super::{EventKey, Spool, SpoolError};
use crate::contract::proto::Event;

impl Spool {
    /// Appends a numbered event without a reply; `state` is whether it may have been sent. It is
    /// inserted before events with later numbers: the broker treats a number far below the highest
    /// as a duplicate.
    ///
    /// # Errors
    ///
    /// As [`Spool::append`].
    pub fn append_numbered(
        &self,
        event: Event,
        key: EventKey,
        state: EntryState,
    ) -> Result<(), SpoolError> {
        let _lock = self.lock()?;
        let mut file = self.load()?;
        let mut removed = BTreeSet::new();
        let arriving = self.new_entry(event, 0, key, state)?;
        let new = self.make_room_for(&file, &[], &mut removed, arriving)?;
        let removed: Vec<usize> = removed.into_iter().collect();
        let is_overtaken = file.unfinished().any(|it| it.payload.spool_id == key.spool_id);
        let first = std::slice::from_ref(&new);
        // A full disk without space for another file may have some left in this one.
        if !is_overtaken || file.rewrite(first, &removed, &[], self.file_bytes_max()).is_err() {
            file.write(vec![new], &removed)?;
        }
        let _ = file.shrink(self.file_bytes_max());
        Ok(())
    }
}
