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

mod append_numbered;
mod enqueue;
mod error;
mod eviction;
mod file;
mod format;
mod lock;
mod losses;

mod ownership;
mod quarantine;
mod replies;
mod sequence;
mod sequence_file;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use file::{NewEntry, SpoolFile};
use uuid::Uuid;

use crate::contract;
use crate::contract::proto::{Event, EventKind, LostReason};

pub use crate::spool::eviction::{DEFAULT_BYTES_MAX, DEFAULT_EVENTS_MAX, SpoolLimits};
pub use crate::spool::replies::StoredReply;
pub use crate::spool::sequence::SequenceStatus;
pub use error::SpoolError;
pub use format::{EntryPayload, EntryState, SpoolEntry, SpoolImage, parse};
pub use lock::LockGuard;
pub use losses::sum_losses;

/// Longest wait for another process that reads or changes the files, which takes milliseconds.
const LOCK_WITHIN: Duration = Duration::from_secs(5);

/// The file may be this many times the limit, before finished entries are removed.
const SLACK: usize = 2;

/// Identifies an event within its appliance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey {
    /// The spool id of its number.
    pub spool_id: u64,
    /// The number.
    pub sequence: u64,
}

/// A waiting event.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitingEvent {
    /// Its key.
    pub key: EventKey,
    /// Whether it was sent before.
    pub state: EntryState,
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
pub struct AppendedEvent {
    /// Its key.
    pub key: EventKey,
    /// It was not in the spool before.
    pub is_new: bool,
}

/// The appliance and its boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderId {
    /// The appliance.
    pub appliance: String,
    /// The boot, if it is known.
    pub boot: Option<Uuid>,
}

/// The metadata of the spool's file: if it differs, the file changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFingerprint {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

/// The spool of one appliance.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
    limits: SpoolLimits,
    sender: SenderId,
    /// How long to wait for another process that holds the lock.
    lock_timeout: Duration,
}

impl Spool {
    /// Opens the spool in `folder`, which is created if it does not exist, with its parents.
    ///
    /// # Errors
    ///
    /// When it cannot be read and written.
    pub fn open(folder: &Path, limits: SpoolLimits, sender: SenderId) -> Result<Self, SpoolError> {
        Self::open_with_timeout(LOCK_WITHIN, folder, limits, sender)
    }

    /// The same, but never waits longer than `timeout` for another process.
    ///
    /// # Errors
    ///
    /// As [`Spool::open`].
    pub fn open_with_timeout(
        timeout: Duration,
        folder: &Path,
        limits: SpoolLimits,
        sender: SenderId,
    ) -> Result<Self, SpoolError> {
        let made = DirBuilder::new().recursive(true).mode(0o755).create(folder);
        made.map_err(SpoolError::io("create the folder", folder))?;
        check_folder(folder)?;
        let timeout = timeout.min(LOCK_WITHIN);
        let spool = Self { folder: folder.to_owned(), limits, sender, lock_timeout: timeout };
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
    pub fn exists(&self) -> bool {
        self.folder.is_dir()
    }

    /// The fingerprint of the file; `None` if there is no file.
    pub fn fingerprint(&self) -> Option<FileFingerprint> {
        let found = fs::metadata(self.path("spool")).ok()?;
        let changed = (found.mtime(), found.mtime_nsec());
        Some(FileFingerprint { inode: found.ino(), bytes: found.len(), changed })
    }

    /// All waiting events, in order.
    ///
    /// # Errors
    ///
    /// When the spool cannot be read.
    pub fn waiting(&self) -> Result<Vec<WaitingEvent>, SpoolError> {
        let _lock = self.lock()?;
        Ok(self.load()?.unfinished().map(waiting_event).collect())
    }

    /// Appends events in order and durably, each with a new number. `state` is whether the caller
    /// is about to send them.
    ///
    /// # Errors
    ///
    /// When there is no room and none can be made, or the disk fails; then none of them is
    /// appended.
    pub fn append(
        &self,
        events: Vec<Event>,
        state: EntryState,
    ) -> Result<Vec<EventKey>, SpoolError> {
        let events = events.into_iter().map(|event| (event, 0)).collect();
        let appended = self.append_once(events, state)?;
        Ok(appended.into_iter().map(|it| it.key).collect())
    }

    /// The same, each with the id of its call (0: none): an event that is already in the spool with
    /// this id is not appended again.
    ///
    /// # Errors
    ///
    /// As [`Spool::append`].
    pub fn append_once(
        &self,
        events: Vec<(Event, u64)>,
        state: EntryState,
    ) -> Result<Vec<AppendedEvent>, SpoolError> {
        let _lock = self.lock()?;
        let mut file = self.load()?;
        let mut numbers = self.load_counter(&file)?;
        let (mut appended, mut new, mut removed) =
            (Vec::new(), Vec::<NewEntry>::new(), BTreeSet::new());
        for (event, call) in events {
            let known = file.image.entries.iter().find(|it| call > 0 && it.payload.call == call);
            if let Some(known) = known {
                appended.push(AppendedEvent { key: key_of(&known.payload), is_new: false });
                continue;
            }
            let key = numbers.next_key();
            let arriving = self.new_entry(event, call, key, state)?;
            new.push(self.make_room_for(&file, &new, &mut removed, arriving)?);
            appended.push(AppendedEvent { key, is_new: true });
        }
        numbers.write(&self.path("numbers"))?;
        file.write(new, &removed.into_iter().collect::<Vec<_>>())?;
        let _ = file.shrink(self.file_bytes_max());
        Ok(appended)
    }

    /// Records, durably, that these are about to be sent.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn record_attempts(&self, keys: &BTreeSet<EventKey>) -> Result<(), SpoolError> {
        let _lock = self.lock()?;
        let mut file = self.load()?;
        let indices = indices_of(&file, keys, |state| state == EntryState::Waiting);
        if indices.is_empty() {
            return Ok(());
        }
        let states: Vec<_> = indices.into_iter().map(|at| (at, EntryState::Attempted)).collect();
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
    pub fn acknowledge(
        &self,
        keys: &BTreeSet<EventKey>,
        acked: Option<EventKey>,
        exceptions: &[StoredReply],
    ) -> Result<(), SpoolError> {
        let _lock = self.lock()?;
        // A full disk may refuse this and the numbers; that must not keep finished events in the
        // spool.
        if !exceptions.is_empty() {
            let _ = replies::add(&self.path("answers"), exceptions);
        }
        let mut file = self.load()?;
        let mut numbers = self.load_counter(&file)?;
        let known = file.image.entries.iter().find(|it| Some(key_of(&it.payload)) == acked);
        let owner = known.and_then(|it| self.owner_id(&it.payload.appliance));
        if let (Some(acked), Some(owner)) = (acked, owner)
            && acked.spool_id == numbers.spool_id
            && (numbers.owner != owner || numbers.acked_through < acked.sequence)
        {
            (numbers.owner, numbers.acked_through) = (owner, acked.sequence);
            let _ = numbers.write(&self.path("numbers"));
        }
        let excepted: BTreeSet<EventKey> = exceptions.iter().map(StoredReply::key).collect();
        let replied = indices_of(&file, keys, |state| !state.is_finished());
        let how = |at: usize| match excepted.contains(&key_of(&file.image.entries[at].payload)) {
            true => EntryState::OtherReply,
            false => EntryState::Stored,
        };
        let states: Vec<_> = replied.into_iter().map(|at| (at, how(at))).collect();
        file.set_states(&states)?;
        let _ = file.shrink(self.file_bytes_max());
        Ok(())
    }

    /// The state of the event, if it is still in the file.
    ///
    /// # Errors
    ///
    /// When the spool cannot be read.
    pub fn state(&self, key: EventKey) -> Result<Option<EntryState>, SpoolError> {
        let _lock = self.lock()?;
        let file = self.load()?;
        let found = file.image.entries.iter().rfind(|entry| key_of(&entry.payload) == key);
        Ok(found.map(|entry| entry.state))
    }

    /// The broker's reply to the event, if it was not stored and the reply was recorded.
    pub fn stored_reply(&self, key: EventKey) -> Option<StoredReply> {
        let _lock = self.lock().ok()?;
        replies::find(&self.path("answers"), key).filter(|it| !it.reply.is_empty())
    }

    /// The new number of the event, if it was renumbered.
    pub fn renumbered_to(&self, key: EventKey) -> Option<EventKey> {
        let _lock = self.lock().ok()?;
        let moved = replies::find(&self.path("answers"), key)?;
        let to = EventKey { spool_id: moved.new_spool_id, sequence: moved.new_sequence };
        moved.reply.is_empty().then_some(to)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn lock(&self) -> Result<LockGuard, SpoolError> {
        LockGuard::acquire(&self.path("lock"), self.lock_timeout)
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
            let copy = self.path("spool.damaged");
            let what = "the spool of this appliance was damaged";
            // A file system without hard links is no reason to stop.
            let text = match file.link_as(&copy) {
                Ok(()) => format!("{what}; the damaged file is saved as {}", copy.display()),
                Err(error) => format!("{what}; the damaged file cannot be saved: {error}"),
            };
            let reason = LostReason::SpoolDamaged;
            let lost =
                losses::counted_loss(EventKind::Unspecified, file.image.damaged, None, reason);
            let mut numbers = self.load_counter(&file)?;
            let new = self.notice_entry(&mut numbers, text, vec![lost])?;
            numbers.write(&self.path("numbers"))?;
            // A full disk leaves the file as it is; it is reported later.
            let _ = file.rewrite(&[], &[], &[new], self.file_bytes_max());
        }
        Ok(file)
    }
}

/// Rejects a folder in which another user could create links, and so make us write anywhere.
fn check_folder(folder: &Path) -> Result<(), SpoolError> {
    let found = fs::metadata(folder).map_err(SpoolError::io("examine", folder))?;
    let own = rustix::process::geteuid().as_raw();
    let is_ours = found.uid() == own || found.uid() == 0;
    if is_ours && found.mode() & 0o002 == 0 {
        return Ok(());
    }
    Err(SpoolError::Unsafe { path: folder.to_owned() })
}

fn key_of(payload: &EntryPayload) -> EventKey {
    EventKey { spool_id: payload.spool_id, sequence: payload.sequence }
}

fn waiting_event(entry: &SpoolEntry) -> WaitingEvent {
    let key = key_of(&entry.payload);
    let EntryPayload { appliance, spooled_at_us, event, .. } = entry.payload.clone();
    WaitingEvent { key, state: entry.state, kind: entry.kind, appliance, spooled_at_us, event }
}

fn indices_of(
    file: &SpoolFile,
    keys: &BTreeSet<EventKey>,
    has: impl Fn(EntryState) -> bool,
) -> Vec<usize> {
    let entries = file.image.entries.iter().enumerate();
    let found =
        entries.filter(|(_, entry)| has(entry.state) && keys.contains(&key_of(&entry.payload)));
    found.map(|(at, _)| at).collect()
}

/// The kind of an event.
pub fn kind_of_event(event: &Event) -> EventKind {
    event.kind.as_ref().map_or(EventKind::Unspecified, |kind| {
        contract::encode_event_kind(contract::decode::event_kind(kind))
    })
}
