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
mod numbers;
mod room;
mod trouble;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use uuid::Uuid;

pub use answers::Exception;
pub use error::SpoolError;
pub use format::{Entry, Image, Kept, State, read};
pub use lock::Held;
pub use room::{BYTES_MAX, EVENTS_MAX, Limits};

use crate::wire::proto::event::Kind;
use crate::wire::proto::{Event, EventKind, LostReason};
use file::{New, SpoolFile};
use numbers::Numbers;

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

/// Who speaks, in which boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Teller {
    /// The appliance.
    pub appliance: String,
    /// The boot, if it is known.
    pub boot: Option<Uuid>,
}

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
}

impl Spool {
    /// Opens the spool in `folder`, which is made if its parent is there or can be.
    ///
    /// # Errors
    ///
    /// When it can't be read and written.
    pub fn open(folder: &Path, limits: Limits, teller: Teller) -> Result<Self, SpoolError> {
        let made = DirBuilder::new().recursive(true).mode(0o755).create(folder);
        made.map_err(SpoolError::io("create the folder", folder))?;
        let spool = Self { folder: folder.to_owned(), limits, teller };
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
        Held::if_free(&self.path("drainer"))
    }

    /// What the drainer, or the agent, says of itself.
    pub fn drainer(&self) -> Option<String> {
        lock::word(&self.path("drainer"))
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

    /// All events that wait, in order.
    ///
    /// # Errors
    ///
    /// When the spool can't be read.
    pub fn waiting(&self) -> Result<Vec<Waiting>, SpoolError> {
        let _lock = self.lock()?;
        Ok(self.load()?.live().map(waiting).collect())
    }

    /// How the numbers stand.
    ///
    /// # Errors
    ///
    /// When they can't be read.
    pub fn numbering(&self) -> Result<Numbering, SpoolError> {
        let _lock = self.lock()?;
        let numbers = self.numbers(&self.load()?)?;
        // Kept as it was drawn, if it was.
        numbers.write(&self.path("numbers"))?;
        let is_of_this_boot = self.teller.boot == Some(numbers.boot);
        let acked = if is_of_this_boot { numbers.acked } else { 0 };
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
        let key = next(&mut numbers);
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

    /// Puts events here, in order and durably; each is numbered. `state` says whether they are about
    /// to be sent by whoever puts them here.
    ///
    /// # Errors
    ///
    /// When there is no room and none can be made, or the disk says no; then none of them is here.
    pub fn append(&self, events: Vec<Event>, state: State) -> Result<Vec<Key>, SpoolError> {
        let _lock = self.lock()?;
        let mut file = self.load()?;
        let mut numbers = self.numbers(&file)?;
        let (mut keys, mut new, mut over) = (Vec::new(), Vec::<New>::new(), BTreeSet::new());
        for event in events {
            let key = next(&mut numbers);
            let arriving = self.arriving(event, key, state)?;
            new.push(self.with_room(&file, &new, &mut over, arriving)?);
            keys.push(key);
        }
        numbers.write(&self.path("numbers"))?;
        file.write(new, &over.into_iter().collect::<Vec<_>>())?;
        let _ = file.shrink(self.file_bytes_max());
        Ok(keys)
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
        if let (Some(acked), Some(boot)) = (acked, self.teller.boot)
            && acked.spool_id == numbers.spool_id
            && (numbers.boot != boot || numbers.acked < acked.sequence)
        {
            (numbers.boot, numbers.acked) = (boot, acked.sequence);
            let _ = numbers.write(&self.path("numbers"));
        }
        let over = places_of(&file, keys, |state| state != State::Over);
        let states: Vec<_> = over.into_iter().map(|at| (at, State::Over)).collect();
        file.set_states(&states)?;
        let _ = file.shrink(self.file_bytes_max());
        Ok(())
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
        Held::wait(&self.path("lock"))
    }

    fn file_bytes_max(&self) -> usize {
        self.limits.bytes.saturating_mul(SLACK)
    }

    /// The numbers, never behind those of events that are in the file.
    fn numbers(&self, file: &SpoolFile) -> Result<Numbers, SpoolError> {
        let mut numbers = Numbers::read(&self.path("numbers"))?;
        let kept = file.image.entries.iter().map(|entry| &entry.kept);
        let own = kept.filter(|kept| kept.spool_id == numbers.spool_id);
        if let Some(highest) = own.map(|kept| kept.sequence).max() {
            numbers.next = numbers.next.max(highest.saturating_add(1));
        }
        Ok(numbers)
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
            let new = self.own_word(&mut numbers, told, lost)?;
            numbers.write(&self.path("numbers"))?;
            // A disk without room for it leaves what can be read where it is, to be told later.
            let _ = file.rewrite(&[], &[], &[new], self.file_bytes_max());
        }
        Ok(file)
    }
}

fn next(numbers: &mut Numbers) -> Key {
    let key = Key { spool_id: numbers.spool_id, sequence: numbers.next };
    numbers.next = numbers.next.saturating_add(1);
    key
}

fn waiting(entry: &Entry) -> Waiting {
    let Kept { spool_id, sequence, appliance, spooled_at_us, event } = entry.kept.clone();
    let key = Key { spool_id, sequence };
    Waiting { key, state: entry.state, kind: entry.kind, appliance, spooled_at_us, event }
}

fn places_of(file: &SpoolFile, keys: &BTreeSet<Key>, has: impl Fn(State) -> bool) -> Vec<usize> {
    let entries = file.image.entries.iter().enumerate();
    let found = entries.filter(|(_, entry)| {
        let key = Key { spool_id: entry.kept.spool_id, sequence: entry.kept.sequence };
        has(entry.state) && keys.contains(&key)
    });
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
