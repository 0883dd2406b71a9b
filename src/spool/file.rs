//! The spool's file: appends entries, changes their state, and removes them.
//!
//! Guarantees that entries are on the disk when [`SpoolFile::write`] returns, that a crash leaves
//! the old or the new file, and that a failed append leaves no trace. The folder's lock must be
//! held throughout. Does not know what an entry means.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::{FallocateFlags, fallocate};

use super::SLACK;
use super::error::SpoolError;
use super::format::{self, EntryPayload, EntryState, HEAD, SpoolEntry, SpoolImage};
use super::lock::NO_FOLLOW;
use crate::contract::proto::EventKind;

/// The beginning of a spool of any version.
const ANY_VERSION: &[u8] = b"GRIDSPL";

/// Bytes of frames of recently finished entries that are retained.
const FINISHED_BYTES_MAX: usize = 8 << 10;

/// A spool without waiting entries is emptied when it is longer.
const EMPTY_SHRINK_ABOVE: usize = 64 << 10;

/// An entry to be appended.
#[derive(Clone, Debug)]
pub(super) struct NewEntry {
    pub(super) payload: EntryPayload,
    pub(super) kind: EventKind,
    pub(super) state: EntryState,
}

impl NewEntry {
    pub(super) fn frame(&self) -> Vec<u8> {
        format::frame(&self.payload, self.kind, self.state)
    }
}

/// The open file and its entries.
#[derive(Debug)]
pub(super) struct SpoolFile {
    path: PathBuf,
    file: File,
    /// Its content, updated by each operation.
    pub(super) image: SpoolImage,
}

impl SpoolFile {
    /// Opens the file; creates a missing one, with `reserved` bytes of disk space if the disk has
    /// them.
    pub(super) fn open(path: &Path, reserved: usize) -> Result<Self, SpoolError> {
        let mut options = File::options();
        options.create(true).read(true).write(true).truncate(false).mode(0o600);
        options.custom_flags(NO_FOLLOW);
        let file = options.open(path).map_err(SpoolError::io("open", path))?;
        let bytes = Bytes::from(fs::read(path).map_err(SpoolError::io("read", path))?);
        let image = format::parse(&bytes);
        // If entries of this version are readable, or there is nothing to lose, the version digit
        // is damaged.
        if has_other_version(&bytes) && image.entries.is_empty() && bytes.len() > HEAD.len() {
            return Err(SpoolError::Newer { path: path.to_owned() });
        }
        let mut found = Self { path: path.to_owned(), file, image };
        if found.image.end == 0 && found.image.damaged == 0 {
            found.initialize(reserved)?;
        } else if !found.image.is_clean && found.image.damaged == 0 {
            found.truncate_tail()?;
        }
        Ok(found)
    }

    fn initialize(&mut self, reserved: usize) -> Result<(), SpoolError> {
        let begun = self.file.set_len(0).and_then(|()| self.file.write_all_at(&HEAD, 0));
        begun.map_err(SpoolError::io("begin", &self.path))?;
        self.image = SpoolImage { end: HEAD.len(), is_clean: true, ..SpoolImage::default() };
        reserve(&self.file, reserved);
        sync_folder_of(&self.path)
    }

    /// Removes the bytes after the last whole entry: an incomplete write.
    fn truncate_tail(&mut self) -> Result<(), SpoolError> {
        let end = u64::try_from(self.image.end).unwrap_or(u64::MAX);
        self.file.set_len(end).map_err(SpoolError::io("cut", &self.path))?;
        self.image.is_clean = true;
        Ok(())
    }

    /// Entries that are not finished, in order.
    pub(super) fn unfinished(&self) -> impl Iterator<Item = &SpoolEntry> {
        self.image.entries.iter().filter(|entry| !entry.state.is_finished())
    }

    /// Appends entries durably; then marks those at `removed` as removed.
    pub(super) fn write(
        &mut self,
        new: Vec<NewEntry>,
        removed: &[usize],
    ) -> Result<(), SpoolError> {
        let frames: Vec<Vec<u8>> = new.iter().map(NewEntry::frame).collect();
        let offset = u64::try_from(self.image.end).unwrap_or(u64::MAX);
        let written = self.file.write_all_at(&frames.concat(), offset);
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            let _ = self.truncate_tail();
            return Err(SpoolError::io("write", &self.path)(error));
        }
        let states: Vec<(usize, EntryState)> =
            removed.iter().map(|at| (*at, EntryState::Removed)).collect();
        self.set_states(&states)?;
        for (NewEntry { payload, kind, state }, frame) in new.into_iter().zip(frames) {
            let (offset, frame_bytes) = (self.image.end, frame.len());
            self.image.end += frame_bytes;
            self.image.entries.push(SpoolEntry { offset, frame_bytes, state, kind, payload });
        }
        Ok(())
    }

    /// Changes states in place, by the entries' indices.
    pub(super) fn set_states(&mut self, states: &[(usize, EntryState)]) -> Result<(), SpoolError> {
        for (at, state) in states {
            let Some(entry) = self.image.entries.get_mut(*at) else { continue };
            let offset = u64::try_from(entry.state_offset()).unwrap_or(u64::MAX);
            let written = self.file.write_all_at(&[state.byte()], offset);
            written.map_err(SpoolError::io("write", &self.path))?;
            entry.state = *state;
        }
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<(), SpoolError> {
        self.file.sync_data().map_err(SpoolError::io("sync", &self.path))
    }

    /// Frees the space of finished entries, if it is worth it.
    pub(super) fn shrink(&mut self, bytes_max: usize) -> Result<(), SpoolError> {
        let is_empty = self.unfinished().next().is_none();
        // Before the reserved space is used up: a full disk has no space for a second file.
        if is_empty && self.image.end > EMPTY_SHRINK_ABOVE.min(bytes_max / SLACK) {
            return self.rewrite(&[], &[], &[], bytes_max).or_else(|_| self.initialize(bytes_max));
        }
        if self.image.end > bytes_max { self.rewrite(&[], &[], &[], bytes_max) } else { Ok(()) }
    }

    /// The first entry that is retained although it is finished: a call may still wait for its
    /// outcome.
    fn first_retained(&self) -> usize {
        let mut bytes = 0;
        let sized = self.image.entries.iter().enumerate().rev().map(|(at, it)| {
            bytes += it.frame_bytes;
            (at, bytes)
        });
        let recent = sized.take_while(|(_, bytes)| *bytes <= FINISHED_BYTES_MAX).last();
        recent.map_or(self.image.entries.len(), |(at, _)| at)
    }

    /// Replaces the file by one with the unfinished entries except those at `removed`, and the
    /// recently finished ones, with `first` before and `last` after them.
    pub(super) fn rewrite(
        &mut self,
        first: &[NewEntry],
        removed: &[usize],
        last: &[NewEntry],
        reserved: usize,
    ) -> Result<(), SpoolError> {
        let recent = self.first_retained();
        let mut bytes = HEAD.to_vec();
        bytes.extend(first.iter().flat_map(NewEntry::frame));
        for (at, entry) in self.image.entries.iter().enumerate() {
            if (!entry.state.is_finished() || at >= recent) && !removed.contains(&at) {
                bytes.extend(format::frame(&entry.payload, entry.kind, entry.state));
            }
        }
        bytes.extend(last.iter().flat_map(NewEntry::frame));
        let temporary = self.path.with_added_extension("new");
        let mut options = File::options();
        options.create(true).read(true).write(true).truncate(true).mode(0o600);
        options.custom_flags(NO_FOLLOW);
        let written = options.open(&temporary).and_then(|file| {
            file.write_all_at(&bytes, 0)?;
            file.sync_data()?;
            Ok(file)
        });
        let file = written.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            SpoolError::io("write", &temporary)(error)
        })?;
        reserve(&file, reserved);
        fs::rename(&temporary, &self.path).map_err(SpoolError::io("put in place", &self.path))?;
        let path = self.path.clone();
        // From now on this is the file, even if syncing the folder fails.
        *self = Self { path, file, image: format::parse(&Bytes::from(bytes)) };
        sync_folder_of(&self.path)
    }

    /// Links the file under another name, replacing an earlier link.
    pub(super) fn link_as(&self, name: &Path) -> Result<(), SpoolError> {
        let _ = fs::remove_file(name);
        fs::hard_link(&self.path, name).map_err(SpoolError::io("keep as", name))
    }
}

fn has_other_version(bytes: &[u8]) -> bool {
    let version = bytes.strip_prefix(ANY_VERSION).and_then(|rest| rest.first());
    version.is_some_and(u8::is_ascii_digit) && !bytes.starts_with(&HEAD)
}

/// Reserves disk space, so that the spool works on a full disk; without it appends may fail.
fn reserve(file: &File, bytes: usize) {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    let _ = fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes);
}

fn sync_folder_of(path: &Path) -> Result<(), SpoolError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let synced: io::Result<()> = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(SpoolError::io("sync the folder", folder))
}
