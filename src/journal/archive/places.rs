//! How is a sealed span read? By the places of its blocks in the files, without sled.
//!
//! sled writes to what it opens, and cuts away what it does not understand: one flipped bit has
//! cost all that lay behind it. So a span is never given to sled again once it is sealed: a scan
//! finds its blocks, and each is checked again when it is read. Guarantees that the files stay as
//! they were sealed, and that what is handed out is a whole block of this journal. Memory: a place
//! per block.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use uuid::Uuid;

use crate::journal::disk;
use crate::journal::error::JournalError;
use crate::journal::frame::{Block, Content};
use crate::journal::scan::{Found, Scan};

/// Where a whole block lies, and the number of its last record.
#[derive(Clone, Copy, Debug)]
struct Place {
    file: usize,
    offset: u64,
    bytes: usize,
    last: u64,
}

/// The blocks of a folder, by their first numbers.
#[derive(Debug)]
pub(super) struct Places {
    folder: PathBuf,
    files: Vec<(PathBuf, File)>,
    places: BTreeMap<u64, Place>,
}

impl Places {
    /// Finds every whole block of `numbers` below `folder`; one that is not there has none.
    pub(super) fn scan(
        folder: &Path,
        journal: Uuid,
        numbers: &RangeInclusive<u64>,
        closing: &AtomicBool,
    ) -> Result<Self, JournalError> {
        let (files, places) = (Vec::new(), BTreeMap::new());
        let mut found = Self { folder: folder.to_owned(), files, places };
        let mut paths = if folder.exists() { disk::paths_in(folder)? } else { Vec::new() };
        while let Some(path) = paths.pop() {
            if path.is_dir() {
                paths.extend(disk::paths_in(&path)?);
            } else {
                found.scan_file(path, journal, numbers, closing)?;
            }
        }
        Ok(found)
    }

    fn scan_file(
        &mut self,
        path: PathBuf,
        journal: Uuid,
        numbers: &RangeInclusive<u64>,
        closing: &AtomicBool,
    ) -> Result<(), JournalError> {
        let file = File::open(&path).map_err(JournalError::io("open", &path))?;
        let mut scan = Scan::new(&file);
        while let Some(found) = scan.next_block().map_err(JournalError::io("read", &path))? {
            if closing.load(Ordering::Acquire) {
                return Err(JournalError::Closed { path: self.folder.clone() });
            }
            let Found::Block { offset, block, bytes } = found else { continue };
            let draft = &block.header.draft;
            let is_ours = draft.content == Content::Records
                && draft.journal == journal
                && draft.count > 0
                && numbers.contains(&draft.first)
                && numbers.contains(&draft.last());
            if is_ours {
                let (file, bytes, last) = (self.files.len(), bytes.len(), draft.last());
                self.places.insert(draft.first, Place { file, offset, bytes, last });
            }
        }
        self.files.push((path, file));
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.folder
    }

    /// The numbers of each block, ascending.
    pub(super) fn blocks(&self) -> impl Iterator<Item = RangeInclusive<u64>> {
        self.places.iter().map(|(first, place)| *first..=place.last)
    }

    /// The first number of `held` that is in no block.
    pub(super) fn first_lost(&self, held: &[RangeInclusive<u64>]) -> Option<u64> {
        held.iter().find_map(|range| {
            let mut next = *range.start();
            while next <= *range.end() {
                match self.places.range(..=next).next_back() {
                    Some((_, place)) if place.last >= next => next = place.last + 1,
                    Some(_) | None => return Some(next),
                }
            }
            None
        })
    }

    /// The block around `number`, as it lies there; `None` if there is none.
    pub(super) fn bytes_at(&self, number: u64) -> Result<Option<Bytes>, JournalError> {
        let found = self.places.range(..=number).next_back();
        let Some((_, place)) = found.filter(|(_, place)| place.last >= number) else {
            return Ok(None);
        };
        let (path, file) = &self.files[place.file];
        let mut bytes = vec![0; place.bytes];
        file.read_exact_at(&mut bytes, place.offset).map_err(JournalError::io("read", path))?;
        Ok(Some(bytes.into()))
    }

    /// The block around `number`; `None` if there is none.
    pub(super) fn block_at(&self, number: u64) -> Result<Option<Block>, JournalError> {
        let Some(bytes) = self.bytes_at(number)? else { return Ok(None) };
        let damaged = |reason: String| JournalError::Archive {
            action: "read",
            path: self.folder.clone(),
            reason,
        };
        let block = Block::parse(&bytes).map_err(|error| damaged(error.to_string()))?;
        let draft = &block.header.draft;
        if (draft.first..=draft.last()).contains(&number) {
            Ok(Some(block))
        } else {
            Err(damaged("another block than at the opening lies there".to_owned()))
        }
    }
}
