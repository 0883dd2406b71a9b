//! The appliance's spool: what could not be said yet, and the numbers of all that is said.
//!
//! A folder on the appliance's disk, shared by all processes that speak for it:
//!
//! ```text
//! lock      held for a moment by whoever reads or changes the files below
//! numbers   the spool id and the next number
//! spool     the events that wait, in order
//! aside     events that ended two sessions, for people
//! answers   what the broker made of events that others wait for, if it did not simply keep them
//! sender    held by the one process that sends
//! drainer   held by the one process that was left behind to empty the spool
//! ```
//!
//! Guarantees that an event that was put here is on the disk, that no two bear one number under one
//! spool id, that what goes for want of room or is damaged is told by an event that comes after it,
//! and that nothing here hinders the next event: what can't be read is counted and moved aside. Does
//! not know how events are sent.

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

/// Longest wait for another process that reads or changes the files; that takes milliseconds.
const LOCK_WITHIN: Duration = Duration::from_secs(5);

/// The file may take so many times the bytes that count, before entries that are over are taken out.
const SLACK: usize = 2;

/// Names an event within its appliance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Whose number it bears.
    pub spool_id: u64,
    /// The number.
    pub sequence: u64,
}

/// An event that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// Its name.
    pub key: Key,
    /// Whether it was sent before.
    pub state: State,
    /// Its kind.
    pub kind: EventKind,
    /// Who says it.
    pub appliance: String,
    /// When it was put here, by the appliance's clock, in microseconds since 1970.
    pub spooled_at_us: i64,
    /// The event, an `Event` of the contract with its number.
    pub event: Bytes,
}

/// Where an event came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its name.
    pub key: Key,
    /// It was not there before.
    pub is_new: bool,
}

/// Who speaks, in which boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Teller {
    /// The appliance.
    pub appliance: String,
    /// The boot, if it is known.
    pub boot: Option<Uuid>,
}

/// How the spool's file looks from outside: another one, something changed.
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
    /// How long another process may hold the lock.
    patience: Duration,
}

impl Spool {
    /// Opens the spool in `folder`, which is made if its parent is there or can be.
    ///
    /// # Errors
    ///
    /// When it can't be read and written.
    pub fn open(folder: &Path, limits: Limits, teller: Teller) -> Result<Self, SpoolError> {
        Self::open_within(LOCK_WITHIN, folder, limits, teller)
    }

    /// The same, and never waits longer than `patience` for another process.
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
        // What can't be locked or read is known at once.
        let _lock = spool.lock()?;
        spool.load()?;
        Ok(spool)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the folder is still there.
    pub fn is_there(&self) -> bool {
        self.folder.is_dir()
    }

    /// How it looks from outside; `None`: there is none.
    pub fn print(&self) -> Option<Print> {
        let found = fs::metadata(self.path("spool")).ok()?;
        let changed = (found.mtime(), found.mtime_nsec());
        Some(Print { inode: found.ino(), bytes: found.len(), changed })
    }

    /// All events that wait, in order.
    ///
    /// # Errors
    ///
    /// When the spool can't be read.
    pub fn waiting(&self) -> Result<Vec<Waiting>, SpoolError> {
        let _lock = self.lock()?;
        Ok(self.load()?.live().map(waiting).collect())
    }

    /// Puts events here, in order and durably; each is numbered. `state` says whether they are about
    /// to be sent by whoever puts them here.
    ///
    /// # Errors
    ///
    /// When there is no room and none can be made, or the disk says no; then none of them is here.
    pub fn append(&self, events: Vec<Event>, state: State) -> Result<Vec<Key>, SpoolError> {
        let events = events.into_iter().map(|event| (event, 0)).collect();
        let placed = self.append_calls(events, state)?;
        Ok(placed.into_iter().map(|it| it.key).collect())
    }

    /// The same, each with the number of the call that says it (0: none): an event that the same call
    /// put here by another way is not put here again.
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

    /// Notes, durably, that these are about to be sent.
    ///
    /// # Errors
    ///
    /// When it can't be written.
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

    /// These were answered. `acked`: the highest number of this boot among them, if the broker knows
    /// it from now on. `exceptions`: what was not simply kept, for those who wait for it.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn answered(
        &self,
        keys: &BTreeSet<Key>,
        acked: Option<Key>,
        exceptions: &[Exception],
    ) -> Result<(), SpoolError> {
        let _lock = self.lock()?;
        // A disk without room takes neither this nor the numbers; that must not keep what is answered
        // in the spool.
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

    /// What became of that event, as far as it can still be seen here.
    ///
    /// # Errors
    ///
    /// When the spool can't be read.
    pub fn state(&self, key: Key) -> Result<Option<State>, SpoolError> {
        let _lock = self.lock()?;
        let file = self.load()?;
        let found = file.image.entries.iter().rfind(|entry| key_of(&entry.kept) == key);
        Ok(found.map(|entry| entry.state))
    }

    /// What the broker made of that event, if it did not simply keep it and somebody noted it.
    pub fn exception(&self, key: Key) -> Option<Exception> {
        let _lock = self.lock().ok()?;
        answers::find(&self.path("answers"), key).filter(|it| !it.answer.is_empty())
    }

    /// Which number that event bears by now, if it was given another one.
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

    /// The file; what is damaged in it is counted, told by a log, and kept aside.
    fn load(&self) -> Result<SpoolFile, SpoolError> {
        let path = self.path("spool");
        let mut file = SpoolFile::open(&path, self.file_bytes_max())?;
        if file.image.damaged > 0 {
            let kept = self.path("spool.damaged");
            let what = "the spool of this appliance was damaged";
            // Where there are no hard links, that is no reason to stop.
            let told = match file.keep_as(&kept) {
                Ok(()) => format!("{what}; what was found is in {}", kept.display()),
                Err(error) => format!("{what}; what was found is not kept: {error}"),
            };
            let reason = LostReason::SpoolDamaged;
            let lost = losses::some(EventKind::Unspecified, file.image.damaged, None, reason);
            let mut numbers = self.numbers(&file)?;
            let new = self.own_word(&mut numbers, told, vec![lost])?;
            numbers.write(&self.path("numbers"))?;
            // A disk without room for it leaves what can be read where it is, to be told later.
            let _ = file.rewrite(&[], &[], &[new], self.file_bytes_max());
        }
        Ok(file)
    }
}

/// Who could put links or files into the folder could have us write anywhere.
fn is_safe(folder: &Path) -> Result<(), SpoolError> {
    let found = fs::metadata(folder).map_err(SpoolError::io("look at", folder))?;
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
