//! Recovers the archive at the start: lists sealed segments, and decides about unsealed ones.
//!
//! A sealed segment is accepted by its seal, without opening it. An unsealed one is discarded if
//! the commit log still has its records, and no later segment is sealed. If not, it is checked and sealed here, and renamed to
//! `.damaged` when that fails. Guarantees that nothing is deleted that exists nowhere else. Does
//! not know the content of a record.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use uuid::Uuid;

use super::seal::{self, Seal};
use super::{Archive, SealedSegment, pack, repair, retention};
use crate::journal::archive::block_index::BlockIndex;
use crate::journal::archive::pack::PACK;
use crate::journal::disk;
use crate::journal::error::JournalError;

/// The archive as it was recovered.
#[derive(Debug)]
pub(in crate::journal) struct RecoveredArchive {
    pub(in crate::journal) archive: Archive,
    /// The newest term of any sealed segment; 0 if there is none.
    pub(in crate::journal) term: u64,
    /// First numbers of the unsealed segments that the archiver will rebuild.
    pub(in crate::journal) rebuilt: Vec<u64>,
    /// Segments that could be neither used nor rebuilt: the folders that they were moved to.
    pub(in crate::journal) damaged: Vec<PathBuf>,
    /// Folders to delete in the background.
    pub(in crate::journal) trash: Vec<PathBuf>,
}

/// Opens the archive in `folder`; `is_in_log` returns whether the commit log has a number.
pub(in crate::journal) fn open(
    folder: PathBuf,
    journal: Uuid,
    is_in_log: impl Fn(u64) -> bool,
) -> Result<RecoveredArchive, JournalError> {
    let mut recovered = RecoveredArchive {
        archive: Archive {
            folder,
            journal,
            sealed: RwLock::default(),
            active: RwLock::default(),
            open_segments: Mutex::new(Some(Vec::new())),
            sealed_through: AtomicU64::new(0),
            archived_through: AtomicU64::new(0),
            trimmed_through: AtomicU64::new(0),
            repair_lock: Mutex::default(),
            is_closing: AtomicBool::default(),
            lost_ranges: Mutex::default(),
        },
        term: 0,
        rebuilt: Vec::new(),
        damaged: Vec::new(),
        trash: Vec::new(),
    };
    let folder = &recovered.archive.folder;
    let trimmed = retention::read_trim_mark(folder, journal);
    // Finishes a trim that was interrupted.
    recovered.trash = retention::move_to_trash(folder, journal, trimmed.unwrap_or(0))?;
    recovered.trash.extend(repair::undo_unfinished(folder)?);
    let mut sealed = BTreeMap::new();
    let paths = disk::paths_in(&recovered.archive.folder)?;
    for path in paths {
        if path.extension().is_some_and(|extension| extension == "trash") {
            if !recovered.trash.contains(&path) {
                recovered.trash.push(path);
            }
        } else if let Some(first) = disk::number_in_name(&path, "span-", "") {
            match recovered.recover_segment(first, &is_in_log)? {
                Some(seal) => {
                    // A stop between the seal and their removal.
                    pack::remove_leftovers(&path)?;
                    let bytes = disk::allocated_below(&path);
                    drop(sealed.insert(first, SealedSegment::new(seal, bytes)));
                }
                None => recovered.archive.remove_seal(first)?,
            }
        } else if let Some(first) = disk::number_in_name(&path, "span-", ".sealed")
            && !recovered.archive.segment_path(first).exists()
        {
            // A seal without its segment would later be valid for a new segment of that number.
            recovered.archive.remove_seal(first)?;
        }
    }
    recovered.term = sealed.values().map(|segment| segment.seal.term).max().unwrap_or(0);
    // If the trim mark is damaged, it is unknown what was below the oldest segment.
    let oldest = sealed.keys().next().copied();
    let trimmed = trimmed.or(oldest.map(|oldest| oldest - 1)).unwrap_or(0);
    let through = sealed.values().map(|segment| segment.seal.last).max().unwrap_or(0).max(trimmed);
    *recovered.archive.trimmed_through.get_mut() = trimmed;
    *recovered.archive.sealed_through.get_mut() = through;
    *recovered.archive.archived_through.get_mut() = through;
    recovered.archive.sealed = RwLock::new(sealed);
    Ok(recovered)
}

impl RecoveredArchive {
    /// The newest lived time of any seal.
    fn newest_lived(&self) -> Result<Duration, JournalError> {
        Ok(self.seals()?.map(|(_, seal)| seal.lived).max().unwrap_or_default())
    }

    fn is_before_a_sealed_one(&self, first: u64) -> Result<bool, JournalError> {
        Ok(self.seals()?.any(|(other, _)| other > first))
    }

    /// The intact seals, with the first numbers of their segments.
    fn seals(&self) -> Result<impl Iterator<Item = (u64, Seal)>, JournalError> {
        let firsts = disk::paths_in(&self.archive.folder)?.into_iter();
        let firsts = firsts.filter_map(|path| disk::number_in_name(&path, "span-", ".sealed"));
        Ok(firsts.filter_map(|first| {
            let seal = Seal::read(&self.archive.seal_path(first), self.archive.journal, first)?;
            Some((first, seal))
        }))
    }

    /// The seal of a segment folder, existing or new; without one the folder is moved away.
    fn recover_segment(
        &mut self,
        first: u64,
        is_in_log: impl Fn(u64) -> bool,
    ) -> Result<Option<Seal>, JournalError> {
        let path = self.archive.segment_path(first);
        let seal_path = self.archive.seal_path(first);
        if let Some(seal) = Seal::read(&seal_path, self.archive.journal, first) {
            return Ok(Some(seal));
        }
        // The archiver goes on behind the newest seal: it would never rebuild an earlier segment.
        if is_in_log(first) && !self.is_before_a_sealed_one(first)? {
            // First the seal, if there is a damaged one: it must not remain for the rebuilt
            // segment.
            self.archive.remove_seal(first)?;
            let trash = path.with_added_extension("trash");
            let _ = fs::remove_dir_all(&trash);
            disk::rename(&path, &trash)?;
            self.rebuilt.push(first);
            if !self.trash.contains(&trash) {
                self.trash.push(trash);
            }
            return Ok(None);
        }
        if let Ok(mut seal) = seal_of_files(&path, self.archive.journal, first) {
            // It is unknown when it was filled: take the newest lived time there is.
            seal.lived = self.newest_lived()?;
            disk::sync_tree(&path)?;
            seal.write(&seal_path, self.archive.journal, first)?;
            return Ok(Some(seal));
        }
        let damaged = path.with_added_extension("damaged");
        disk::rename(&path, &damaged)?;
        self.damaged.push(damaged);
        Ok(None)
    }
}

/// Reads all of a segment from its files, and compares it with its seal; returns why its index can't
/// be used, if it has a pack.
pub(in crate::journal) fn verify_segment(
    path: &Path,
    journal: Uuid,
    first: u64,
    seal: &Seal,
) -> Result<Option<String>, JournalError> {
    let numbers = first..=seal.last;
    let (has_pack, closing) = (path.join(PACK).exists(), AtomicBool::default());
    let scan = if has_pack { BlockIndex::scan_pack } else { BlockIndex::scan };
    let scanned = scan(path, journal, &numbers, &closing)?;
    seal::check_blocks(&scanned, first, seal)?;
    if !has_pack {
        return Ok(None);
    }
    Ok(match BlockIndex::open(path, journal, &numbers) {
        Ok(index) if index.equals(&scanned) => None,
        Ok(_) => Some("it is not the index of this pack".to_owned()),
        Err(reason) => Some(reason),
    })
}

/// Reads all of a segment from its files, and makes the seal that it has without gaps.
///
/// A pack that does not have all of it gets another name: only beside a whole pack are the files of
/// sled removed.
fn seal_of_files(path: &Path, journal: Uuid, first: u64) -> Result<Seal, JournalError> {
    let numbers = first..=u64::MAX - 1;
    let closing = AtomicBool::default();
    let all = BlockIndex::scan(path, journal, &numbers, &closing)?;
    let seal = seal_of_index(&all, first)?;
    let pack = path.join(PACK);
    if pack.exists() {
        let packed = BlockIndex::scan_pack(path, journal, &numbers, &closing)?;
        if !seal_of_index(&packed, first).is_ok_and(|packed| packed.last == seal.last) {
            disk::rename(&pack, &pack.with_added_extension("damaged"))?;
        }
    }
    Ok(seal)
}

fn seal_of_index(index: &BlockIndex, first: u64) -> Result<Seal, JournalError> {
    let empty = || JournalError::Archive {
        action: "seal",
        path: index.path().to_owned(),
        reason: "it is empty".to_owned(),
    };
    let last = index.blocks().last().ok_or_else(empty)?.last;
    let term = index.block_at(last)?.map_or(0, |block| block.header.info.term);
    let mut seal = Seal { last, term, newest_us: None, lived: Duration::ZERO, missing: Vec::new() };
    seal.newest_us = Some(seal::check_blocks(index, first, &seal)?);
    Ok(seal)
}
