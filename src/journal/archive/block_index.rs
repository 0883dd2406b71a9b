//! Reads a sealed segment by an index of its blocks in the files, without sled.
//!
//! sled writes to what it opens, and removes what it does not understand: one flipped bit has
//! cost all data after it. So sled never opens a segment again once it is sealed. A packed segment
//! has an index in a file; without one, and in segments of earlier releases, a scan finds the
//! blocks. Guarantees that the files stay as they were sealed, and that what is returned is an
//! intact block of this journal: each is checked again when it is read. Memory: 64 bytes a block,
//! and one or two for each appliance in a block. Does not know the content of a record.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use uuid::Uuid;

use crate::journal::archive::pack::{INDEX, PACK};
use crate::journal::archive::postings::Postings;
use crate::journal::archive::segment_index::{IndexedBlock, decode_index, encode_index};
use crate::journal::disk;
use crate::journal::error::JournalError;
use crate::journal::frame::{Block, BlockContent};
use crate::journal::query::HeaderFilter;
use crate::journal::record::BlockSummary;
use crate::journal::scan::{BlockScan, ScanItem};

/// With more appliances in a filter, the summary of each block is looked at instead.
const POSTINGS_LOOKED_UP_MAX: usize = 64;

/// The blocks of a folder, by their first numbers.
#[derive(Debug)]
pub(super) struct BlockIndex {
    folder: PathBuf,
    files: Vec<(PathBuf, File)>,
    /// Ascending by their first numbers.
    blocks: Vec<IndexedBlock>,
    postings: Postings,
    /// Whether the appliances of each block are known.
    has_postings: bool,
    is_scanned: bool,
}

/// Blocks as a scan finds them, by their first numbers, with their appliances.
type ScannedBlocks = BTreeMap<u64, (IndexedBlock, Option<Vec<u32>>)>;

impl BlockIndex {
    /// Finds every intact block of `numbers` below `folder`; a missing folder has none.
    pub(super) fn scan(
        folder: &Path,
        journal: Uuid,
        numbers: &RangeInclusive<u64>,
        closing: &AtomicBool,
    ) -> Result<Self, JournalError> {
        let mut files = Vec::new();
        let mut paths = if folder.exists() { disk::paths_in(folder)? } else { Vec::new() };
        while let Some(path) = paths.pop() {
            if path.is_dir() {
                paths.extend(disk::paths_in(&path)?);
            } else {
                files.push(path);
            }
        }
        Self::scan_files(folder, files, journal, numbers, closing)
    }

    /// The same in the pack of the segment alone.
    pub(super) fn scan_pack(
        folder: &Path,
        journal: Uuid,
        numbers: &RangeInclusive<u64>,
        closing: &AtomicBool,
    ) -> Result<Self, JournalError> {
        Self::scan_files(folder, vec![folder.join(PACK)], journal, numbers, closing)
    }

    fn scan_files(
        folder: &Path,
        paths: Vec<PathBuf>,
        journal: Uuid,
        numbers: &RangeInclusive<u64>,
        closing: &AtomicBool,
    ) -> Result<Self, JournalError> {
        let (mut files, mut found) = (Vec::new(), ScannedBlocks::new());
        for path in paths {
            let file = File::open(&path).map_err(JournalError::io("open", &path))?;
            let mut scan = BlockScan::new(&file);
            while let Some(item) = scan.next_block().map_err(JournalError::io("read", &path))? {
                if closing.load(Ordering::Acquire) {
                    return Err(JournalError::Closed { path: folder.to_owned() });
                }
                let ScanItem::Block { offset, block, bytes } = item else { continue };
                let info = &block.header.info;
                let is_ours = info.content == BlockContent::Records
                    && info.journal == journal
                    && info.count > 0
                    && numbers.contains(&info.first)
                    && numbers.contains(&info.last());
                if is_ours {
                    let at = (files.len(), offset, bytes.len());
                    found.insert(info.first, indexed_block(&block, at));
                }
            }
            files.push((path, file));
        }
        let has_postings = found.values().all(|(_, appliances)| appliances.is_some());
        let appliances = found.values().map(|(_, appliances)| appliances.as_deref().unwrap_or(&[]));
        let postings = Postings::from_blocks(appliances);
        let blocks = found.into_values().map(|(block, _)| block).collect();
        let folder = folder.to_owned();
        Ok(Self { folder, files, blocks, postings, has_postings, is_scanned: true })
    }

    /// Opens a packed segment by the index in its folder; the error says why it can't be used.
    pub(super) fn open(
        folder: &Path,
        journal: Uuid,
        numbers: &RangeInclusive<u64>,
    ) -> Result<Self, String> {
        let path = folder.join(PACK);
        let pack = File::open(&path).map_err(|error| error.to_string())?;
        let pack_bytes = pack.metadata().map_err(|error| error.to_string())?.len();
        let index = fs::read(folder.join(INDEX)).map_err(|error| error.to_string())?;
        let (blocks, postings) =
            decode_index(index.into(), journal, (*numbers.start(), *numbers.end()), pack_bytes)?;
        let (folder, files) = (folder.to_owned(), vec![(path, pack)]);
        Ok(Self { folder, files, blocks, postings, has_postings: true, is_scanned: false })
    }

    /// Writes the index into the folder, durably; `false` if this is not all of a pack.
    pub(super) fn write(&self, journal: Uuid, first: u64) -> Result<bool, JournalError> {
        let Some(at) = self.files.iter().position(|(path, _)| path.ends_with(PACK)) else {
            return Ok(false);
        };
        let (path, pack) = &self.files[at];
        let mut end = 0;
        for block in &self.blocks {
            if block.file as usize != at || block.offset != end {
                return Ok(false);
            }
            end += u64::from(block.bytes);
        }
        let bytes = pack.metadata().map_err(JournalError::io("look at", path))?.len();
        if bytes != end || !self.has_postings {
            return Ok(false);
        }
        let index = encode_index(journal, first, &self.blocks, &self.postings);
        disk::replace_file(&self.folder.join(INDEX), &index).map(|()| true)
    }

    pub(super) fn path(&self) -> &Path {
        &self.folder
    }

    /// Whether it was made by a scan, and not read from a file.
    pub(super) fn is_scanned(&self) -> bool {
        self.is_scanned
    }

    /// The blocks, ascending.
    pub(super) fn blocks(&self) -> &[IndexedBlock] {
        &self.blocks
    }

    /// Whether both have the same blocks with the same contents.
    pub(super) fn equals(&self, other: &Self) -> bool {
        self.blocks == other.blocks && self.postings == other.postings
    }

    /// The first number of `ranges` that is in no block.
    pub(super) fn first_missing(&self, ranges: &[RangeInclusive<u64>]) -> Option<u64> {
        ranges.iter().find_map(|range| {
            let mut next = *range.start();
            while next <= *range.end() {
                match self.position(next) {
                    Some(at) => next = self.blocks[at].last + 1,
                    None => return Some(next),
                }
            }
            None
        })
    }

    /// The position of the block around `number`.
    pub(super) fn position(&self, number: u64) -> Option<usize> {
        let after = self.blocks.partition_point(|block| block.first <= number);
        after.checked_sub(1).filter(|at| self.blocks[*at].last >= number)
    }

    /// The nearest block from position `from` on, or downwards, that may contain a matching record.
    pub(super) fn next_candidate(
        &self,
        from: usize,
        filter: &HeaderFilter,
        descending: bool,
    ) -> Option<usize> {
        let may_match = |at: &usize| self.blocks[*at].may_match(filter);
        let can_look_up = |few: &&HashSet<u32>| few.len() <= POSTINGS_LOOKED_UP_MAX;
        let wanted = filter.appliances.as_ref().filter(|_| self.has_postings).filter(can_look_up);
        match (wanted, descending) {
            (None, false) => (from..self.blocks.len()).find(may_match),
            (None, true) => (0..=from).rev().find(may_match),
            (Some(appliances), false) => {
                let first_of = |appliance: &u32| {
                    self.postings.blocks_of(*appliance).skip_while(|at| *at < from).find(may_match)
                };
                appliances.iter().filter_map(first_of).min()
            }
            (Some(appliances), true) => {
                let last_of = |appliance: &u32| {
                    let blocks = self.postings.blocks_of(*appliance);
                    blocks.take_while(|at| *at <= from).filter(may_match).last()
                };
                appliances.iter().filter_map(last_of).max()
            }
        }
    }

    /// The bytes of the block around `number`; `None` if there is none.
    pub(super) fn bytes_at(&self, number: u64) -> Result<Option<Bytes>, JournalError> {
        let Some(at) = self.position(number) else { return Ok(None) };
        let block = &self.blocks[at];
        let (path, file) = &self.files[block.file as usize];
        let mut bytes = vec![0; block.bytes as usize];
        match file.read_exact_at(&mut bytes, block.offset) {
            Ok(()) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(self.damaged(format!("{} was truncated", path.display())))
            }
            Err(error) => Err(JournalError::io("read", path)(error)),
        }
    }

    /// The block around `number`; `None` if there is none.
    pub(super) fn block_at(&self, number: u64) -> Result<Option<Block>, JournalError> {
        self.block_with_bytes_at(number).map(|found| found.map(|(block, _)| block))
    }

    /// The same, with all of its bytes.
    pub(super) fn block_with_bytes_at(
        &self,
        number: u64,
    ) -> Result<Option<(Block, Bytes)>, JournalError> {
        let Some(bytes) = self.bytes_at(number)? else { return Ok(None) };
        let block = Block::parse(&bytes).map_err(|error| self.damaged(error.to_string()))?;
        let info = &block.header.info;
        if (info.first..=info.last()).contains(&number) {
            Ok(Some((block, bytes)))
        } else {
            Err(self.damaged("it is not the block that was found there before".to_owned()))
        }
    }

    fn damaged(&self, reason: String) -> JournalError {
        JournalError::Archive { action: "read", path: self.folder.clone(), reason }
    }
}

/// A block that was found, and its appliances if its summary has them.
fn indexed_block(
    block: &Block,
    (file, offset, bytes): (usize, u64, usize),
) -> (IndexedBlock, Option<Vec<u32>>) {
    let info = &block.header.info;
    // A summary that can't be decoded only costs reading the block.
    let summary = BlockSummary::decode(&block.summary);
    let (at_us_min, at_us_max, severity_mask, kind_mask) =
        summary.as_ref().map_or((i64::MIN, i64::MAX, u8::MAX, u32::MAX), |it| {
            (it.at_us_min, it.at_us_max, it.severity_mask, it.kind_mask)
        });
    let indexed = IndexedBlock {
        first: info.first,
        last: info.last(),
        offset,
        bytes: u32::try_from(bytes).expect("a block is at most 9 MiB"),
        file: u32::try_from(file).expect("a segment has few files"),
        at_us_min,
        at_us_max,
        severity_mask,
        kind_mask,
    };
    (indexed, summary.map(|it| it.appliances))
}
