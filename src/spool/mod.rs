//! The appliance's spool: waiting events, and the sequence numbers of all events.
//!
//! A folder on the appliance's disk, shared by all its processes:
//!
//! ```text
//! lock      held for a moment by a process that reads or changes the files below
//! numbers   the spool id and the next number
//! spool     the events that wait, in order
//! aside     quarantined events, for people
//! answers   the broker's replies for waiting calls, if the outcome is not "stored"
//! sender    held by the one process that sends
//! drainer   held by the agent, or by the one process that was left behind to empty the spool
//! ```
//!
//! Guarantees that an appended event is on the disk, that no two events have the same number under
//! one spool id, that evicted and damaged events are reported by a later event, and that damage
//! never blocks the next event: unreadable entries are counted, and the file is saved. Does not
//! know how events are sent.

mod answers;
mod arriving;
mod error;
mod file;
mod format;
mod late;
mod lock;
mod losses;
mod numbering;
mod numbers;
mod roles;
mod room;
mod trouble;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

pub use answers::Exception;
pub use error::SpoolError;
pub use format::{Entry, Image, Kept, State, read};
pub use lock::Held;
pub use losses::summed_up;
pub use numbering::Numbering;
pub use room::{BYTES_MAX, EVENTS_MAX, Limits};

use crate::wire::proto::event::Kind;
use crate::wire::proto::{Event, EventKind, LostReason};
use file::{New, SpoolFile};

/// Longest wait for another process that reads or changes the files, which takes milliseconds.
const LOCK_WITHIN: Duration = Duration::from_secs(5);

/// The file may be this many times the limit, before finished entries are removed.
const SLACK: usize = 2;

/// Identifies an event within its appliance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The spool id of its number.
    pub spool_id: u64,
    /// The number.
    pub sequence: u64,
}

/// A waiting event.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// Its key.
    pub key: Key,
    /// Whether it was sent before.
    pub state: State,
    /// Its kind.
    pub kind: EventKind,
    /// The appliance.
    pub appliance: String,
    /// When it was spooled, by the appliance's clock, in microseconds since 1970.
    pub spooled_at_us: i64,
    /// The event, an `Event` of the contract with its number.
    pub event: Bytes,
}

/// The result of appending an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its key.
    pub key: Key,
    /// It was not in the spool before.
    pub is_new: bool,
}

/// The appliance and its boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Teller {
    /// The appliance.
    pub appliance: String,
    /// The boot, if it is known.
    pub boot: Option<Uuid>,
}

/// The metadata of the spool's file: if it differs, the file changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

/// The spool of one appliance.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
    limits: Limits,
    teller: Teller,
    /// How long to wait for another process that holds the lock.
    patience: Duration,
}

impl Spool {
    /// Opens the spool in `folder`, which is created if it does not exist, with its parents.
    ///
    /// # Errors
    ///
    /// When it cannot be read and written.
    pub fn open(folder: &Path, limits: Limits, teller: Teller) -> Result<Self, SpoolError> {
        Self::open_within(LOCK_WITHIN, folder, limits, teller)
    }

    /// The same, but never waits longer than `patience` for another process.
    ///
    /// # Errors
    ///
    /// As [`Spool::open`].
    pub fn open_within(
        patience: Duration,
        folder: &Path,
        limits: Limits,
        teller: Teller,
    ) -> Result<Self, SpoolError> {
        let made = DirBuilder::new().recursive(true).mode(0o755).create(folder);
        made.map_err(SpoolError::io("create the folder", folder))?;
        is_safe(folder)?;
        let patience = patience.min(LOCK_WITHIN);
        let spool = Self { folder: folder.to_owned(), limits, teller, patience };
        // Errors of locking and reading are found at once.
        let _lock = spool.lock()?;
        spool.load()?;
        Ok(spool)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the folder still exists.
    pub fn is_there(&self) -> bool {
        self.folder.is_dir()
    }

    /// The fingerprint of the file; `None` if there is no file.
    pub fn print(&self) -> Option<Print> {
        let found = fs::metadata(self.path("spool")).ok()?;
        let changed = (found.mtime(), found.mtime_nsec());
        Some(Print { inode: found.ino(), bytes: found.len(), changed })
    }

    /// All waiting events, in order.
    ///
    /// # Errors
    ///
    /// When the spool cannot be read.
    pub fn waiting(&self) -> Result<Vec<Waiting>, SpoolError> {
        let _lock = self.lock()?;
        Ok(self.load()?.live().map(waiting).collect())
    }

    /// Appends events in order and durably, each with a new number. `state` is whether the caller
    /// is about to send them.
    ///
    /// # Errors
    ///
    /// When there is no room and none can be made, or the disk fails; then none of them is
    /// appended.
    pub fn append(&self, events: Vec<Event>, state: State) -> Result<Vec<Key>, SpoolError> {
        let events = events.into_iter().map(|event| (event, 0)).collect();
        let placed = self.append_calls(events, state)?;
        Ok(placed.into_iter().map(|it| it.key).collect())
    }

    /// The same, each with the id of its call (0: none): an event that is already in the spool with
    /// this id is not appended again.
    ///
    /// # Errors
    ///
    /// As [`Spool::append`].
    pub fn append_calls(
        &self,
        events: Vec<(Event, u64)>,
        state: State,
    ) -> Result<Vec<Placed>, SpoolError> {
        let _lock = self.lock()?;
        let mut file = self.load()?;
        let mut numbers = self.numbers(&file)?;
        let (mut placed, mut new, mut over) = (Vec::new(), Vec::<New>::new(), BTreeSet::new());
        for (event, call) in events {
            let known = file.image.entries.iter().find(|it| call > 0 && it.kept.call == call);
            if let Some(known) = known {
                placed.push(Placed { key: key_of(&known.kept), is_new: false });
                continue;
            }
            let key = numbers.give();
            let arriving = self.arriving(event, call, key, state)?;
            new.push(self.with_room(&file, &new, &mut over, arriving)?);
            placed.push(Placed { key, is_new: true });
        }
        numbers.write(&self.path("numbers"))?;
        file.write(new, &over.into_iter().collect::<Vec<_>>())?;
        let _ = file.shrink(self.file_bytes_max());
        Ok(placed)
    }

    /// Records, durably, that these are about to be sent.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn attempt(&self, keys: &BTreeSet<Key>) -> Result<(), SpoolError> {
        let _lock = self.lock()?;
        let mut file = self.load()?;
        let places = places_of(&file, keys, |state| state == State::Waiting);
        if places.is_empty() {
            return Ok(());
        }
        let states: Vec<_> = places.into_iter().map(|at| (at, State::Attempted)).collect();
        file.set_states(&states)?;
        file.sync()
    }

    /// Records the broker's replies to these events. `acked`: the highest number of this boot among
    /// them, if the broker knows it from now on. `exceptions`: the replies other than stored, for
    /// waiting calls.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn answered(
        &self,
        keys: &BTreeSet<Key>,
        acked: Option<Key>,
        exceptions: &[Exception],
    ) -> Result<(), SpoolError> {
        let _lock = self.lock()?;
        // A full disk may refuse this and the numbers; that must not keep finished events in the
        // spool.
        if !exceptions.is_empty() {
            let _ = answers::add(&self.path("answers"), exceptions);
        }
        let mut file = self.load()?;
        let mut numbers = self.numbers(&file)?;
        let known = file.image.entries.iter().find(|it| Some(key_of(&it.kept)) == acked);
        let whose = known.and_then(|it| self.whose(&it.kept.appliance));
        if let (Some(acked), Some(whose)) = (acked, whose)
            && acked.spool_id == numbers.spool_id
            && (numbers.whose != whose || numbers.acked < acked.sequence)
        {
            (numbers.whose, numbers.acked) = (whose, acked.sequence);
            let _ = numbers.write(&self.path("numbers"));
        }
        let excepted: BTreeSet<Key> = exceptions.iter().map(Exception::key).collect();
        let over = places_of(&file, keys, |state| !state.is_over());
        let how = |at: usize| match excepted.contains(&key_of(&file.image.entries[at].kept)) {
            true => State::Excepted,
            false => State::Kept,
        };
        let states: Vec<_> = over.into_iter().map(|at| (at, how(at))).collect();
        file.set_states(&states)?;
        let _ = file.shrink(self.file_bytes_max());
        Ok(())
    }

    /// The state of the event, if it is still in the file.
    ///
    /// # Errors
    ///
    /// When the spool cannot be read.
    pub fn state(&self, key: Key) -> Result<Option<State>, SpoolError> {
        let _lock = self.lock()?;
        let file = self.load()?;
        let found = file.image.entries.iter().rfind(|entry| key_of(&entry.kept) == key);
        Ok(found.map(|entry| entry.state))
    }

    /// The broker's reply to the event, if it was not stored and the reply was recorded.
    pub fn exception(&self, key: Key) -> Option<Exception> {
        let _lock = self.lock().ok()?;
        answers::find(&self.path("answers"), key).filter(|it| !it.answer.is_empty())
    }

    /// The new number of the event, if it was renumbered.
    pub fn moved(&self, key: Key) -> Option<Key> {
        let _lock = self.lock().ok()?;
        let moved = answers::find(&self.path("answers"), key)?;
        let to = Key { spool_id: moved.moved_spool_id, sequence: moved.moved_sequence };
        moved.answer.is_empty().then_some(to)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn lock(&self) -> Result<Held, SpoolError> {
        Held::wait(&self.path("lock"), self.patience)
    }

    fn file_bytes_max(&self) -> usize {
        self.limits.bytes.saturating_mul(SLACK)
    }

    /// Opens the file. Damage is counted and reported by a log event, and the damaged file is
    /// saved.
    fn load(&self) -> Result<SpoolFile, SpoolError> {
        let path = self.path("spool");
        let mut file = SpoolFile::open(&path, self.file_bytes_max())?;
        if file.image.damaged > 0 {
            let kept = self.path("spool.damaged");
            let what = "the spool of this appliance was damaged";
            // A file system without hard links is no reason to stop.
            let text = match file.keep_as(&kept) {
                Ok(()) => format!("{what}; the damaged file is saved as {}", kept.display()),
                Err(error) => format!("{what}; the damaged file cannot be saved: {error}"),
            };
            let reason = LostReason::SpoolDamaged;
            let lost = losses::some(EventKind::Unspecified, file.image.damaged, None, reason);
            let mut numbers = self.numbers(&file)?;
            let new = self.own_word(&mut numbers, text, vec![lost])?;
            numbers.write(&self.path("numbers"))?;
            // A full disk leaves the file as it is; it is reported later.
            let _ = file.rewrite(&[], &[], &[new], self.file_bytes_max());
        }
        Ok(file)
    }
}

/// Rejects a folder in which another user could create links, and so make us write anywhere.
fn is_safe(folder: &Path) -> Result<(), SpoolError> {
    let found = fs::metadata(folder).map_err(SpoolError::io("examine", folder))?;
    let own = rustix::process::geteuid().as_raw();
    let is_ours = found.uid() == own || found.uid() == 0;
    if is_ours && found.mode() & 0o002 == 0 {
        return Ok(());
    }
    Err(SpoolError::Unsafe { path: folder.to_owned() })
}

fn key_of(kept: &Kept) -> Key {
    Key { spool_id: kept.spool_id, sequence: kept.sequence }
}

fn waiting(entry: &Entry) -> Waiting {
    let key = key_of(&entry.kept);
    let Kept { appliance, spooled_at_us, event, .. } = entry.kept.clone();
    Waiting { key, state: entry.state, kind: entry.kind, appliance, spooled_at_us, event }
}

fn places_of(file: &SpoolFile, keys: &BTreeSet<Key>, has: impl Fn(State) -> bool) -> Vec<usize> {
    let entries = file.image.entries.iter().enumerate();
    let found =
        entries.filter(|(_, entry)| has(entry.state) && keys.contains(&key_of(&entry.kept)));
    found.map(|(at, _)| at).collect()
}

/// The kind of an event.
pub fn kind(event: &Event) -> EventKind {
    match event.kind {
        Some(Kind::StartedOk(_)) => EventKind::StartedOk,
        Some(Kind::StartFailed(_)) => EventKind::StartFailed,
        Some(Kind::Maintenance(_)) => EventKind::Maintenance,
        Some(Kind::Log(_)) => EventKind::Log,
        Some(Kind::Alert(_)) => EventKind::Alert,
        None => EventKind::Unspecified,
    }
}
