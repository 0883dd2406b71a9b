//! Reads a sealed segment by an index of its blocks in the files, without sled.
//!
//! sled writes to what it opens, and removes what it does not understand: one flipped bit has
//! cost all data after it. So sled never opens a segment again once it is sealed: a scan
//! finds its blocks, and each is checked again when it is read. Guarantees that the files stay as
//! they were sealed, and that what is returned is an intact block of this journal. Memory: a
//! location per block. Does not know the content of a record.

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
use crate::journal::frame::{Block, BlockContent};
use crate::journal::scan::{BlockScan, ScanItem};

/// The location of an intact block, and the number of its last record.
#[derive(Clone, Copy, Debug)]
struct BlockLocation {
    file: usize,
    offset: u64,
    bytes: usize,
    last: u64,
}

/// The blocks of a folder, by their first numbers.
#[derive(Debug)]
pub(super) struct BlockIndex {
    folder: PathBuf,
    files: Vec<(PathBuf, File)>,
    locations: BTreeMap<u64, BlockLocation>,
}

impl BlockIndex {
    /// Finds every intact block of `numbers` below `folder`; a missing folder has none.
    pub(super) fn scan(
        folder: &Path,
        journal: Uuid,
        numbers: &RangeInclusive<u64>,
        closing: &AtomicBool,
    ) -> Result<Self, JournalError> {
        let (files, locations) = (Vec::new(), BTreeMap::new());
        let mut index = Self { folder: folder.to_owned(), files, locations };
        let mut paths = if folder.exists() { disk::paths_in(folder)? } else { Vec::new() };
        while let Some(path) = paths.pop() {
            if path.is_dir() {
                paths.extend(disk::paths_in(&path)?);
            } else {
                index.scan_file(path, journal, numbers, closing)?;
            }
        }
        Ok(index)
    }

    fn scan_file(
        &mut self,
        path: PathBuf,
        journal: Uuid,
        numbers: &RangeInclusive<u64>,
        closing: &AtomicBool,
    ) -> Result<(), JournalError> {
        let file = File::open(&path).map_err(JournalError::io("open", &path))?;
        let mut scan = BlockScan::new(&file);
        while let Some(found) = scan.next_block().map_err(JournalError::io("read", &path))? {
            if closing.load(Ordering::Acquire) {
                return Err(JournalError::Closed { path: self.folder.clone() });
            }
            let ScanItem::Block { offset, block, bytes } = found else { continue };
            let info = &block.header.info;
            let is_ours = info.content == BlockContent::Records
                && info.journal == journal
                && info.count > 0
                && numbers.contains(&info.first)
                && numbers.contains(&info.last());
            if is_ours {
                let (file, bytes, last) = (self.files.len(), bytes.len(), info.last());
                self.locations.insert(info.first, BlockLocation { file, offset, bytes, last });
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
        self.locations.iter().map(|(first, location)| *first..=location.last)
    }

    /// The first number of `ranges` that is in no block.
    pub(super) fn first_missing(&self, ranges: &[RangeInclusive<u64>]) -> Option<u64> {
        ranges.iter().find_map(|range| {
            let mut next = *range.start();
            while next <= *range.end() {
                match self.locations.range(..=next).next_back() {
                    Some((_, location)) if location.last >= next => next = location.last + 1,
                    Some(_) | None => return Some(next),
                }
            }
            None
        })
    }

    /// The bytes of the block around `number`; `None` if there is none.
    pub(super) fn bytes_at(&self, number: u64) -> Result<Option<Bytes>, JournalError> {
        let found = self.locations.range(..=number).next_back();
        let Some((_, location)) = found.filter(|(_, location)| location.last >= number) else {
            return Ok(None);
        };
        let (path, file) = &self.files[location.file];
        let mut bytes = vec![0; location.bytes];
        file.read_exact_at(&mut bytes, location.offset).map_err(JournalError::io("read", path))?;
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
        let info = &block.header.info;
        if (info.first..=info.last()).contains(&number) {
            Ok(Some(block))
        } else {
            Err(damaged("it is not the block that was found there before".to_owned()))
        }
    }
}
