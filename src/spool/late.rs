//! How does an event come here that had its turn before: it was numbered without the spool, or handed
//! to a process that broke off?
//!
//! Guarantees that it stands where its number belongs, and that what is here already can be found, so
//! that it is not said twice. Does not know why it comes late.

use std::collections::BTreeSet;

use prost::Message;

use super::format::{Entry, State};
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
        let arriving = self.arriving(event, key, state)?;
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

    /// Under which number an event is here, or was until a moment ago, that was given to another
    /// process to be put here. Its times tell it from others that say the same.
    ///
    /// # Errors
    ///
    /// When the spool can't be read.
    pub fn find(&self, event: &Event) -> Result<Option<Key>, SpoolError> {
        let wanted = Event { sequence: 0, lost_before: Vec::new(), ..event.clone() };
        let _lock = self.lock()?;
        let file = self.load()?;
        let is_it = |entry: &&Entry| {
            let event = Event::decode(entry.kept.event.clone()).unwrap_or_default();
            Event { sequence: 0, lost_before: Vec::new(), ..event } == wanted
        };
        let found = file.image.entries.iter().rfind(is_it).map(|entry| &entry.kept);
        Ok(found.map(|kept| Key { spool_id: kept.spool_id, sequence: kept.sequence }))
    }
}
