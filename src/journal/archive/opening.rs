//! Which spans are still good after the last stop?
//!
//! Sealed ones are taken at their word, without opening them. An unsealed one is put in the trash
//! if the commit log still has its records; if not, it is checked and sealed here, and set aside
//! when even that fails. Nothing is deleted that exists nowhere else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use uuid::Uuid;

use super::places::Places;
use super::seal::{self, Seal};
use super::{Archive, SealedSpan, repair, retention};
use crate::journal::disk;
use crate::journal::error::JournalError;

/// The archive as it was found.
#[derive(Debug)]
pub(in crate::journal) struct FoundArchive {
    pub(in crate::journal) archive: Archive,
    /// The newest term of any sealed span; 0 if there is none.
    pub(in crate::journal) term: u64,
    /// First numbers of the unsealed spans that the archiver will build again.
    pub(in crate::journal) rebuilt: Vec<u64>,
    /// Spans that could be neither used nor built again, where they lie now.
    pub(in crate::journal) set_aside: Vec<PathBuf>,
    /// Folders to delete, at leisure.
    pub(in crate::journal) trash: Vec<PathBuf>,
}

/// Opens the archive in `folder`; `is_in_log` says whether the commit log has a number.
pub(in crate::journal) fn open(
    folder: PathBuf,
    journal: Uuid,
    is_in_log: impl Fn(u64) -> bool,
) -> Result<FoundArchive, JournalError> {
    let mut found = FoundArchive {
        archive: Archive {
            folder,
            journal,
            sealed: RwLock::default(),
            active: RwLock::default(),
            open: Mutex::new(Some(Vec::new())),
            sealed_through: AtomicU64::new(0),
            archived_through: AtomicU64::new(0),
            trimmed_through: AtomicU64::new(0),
            repairing: Mutex::default(),
            closing: AtomicBool::default(),
            lost: Mutex::default(),
        },
        term: 0,
        rebuilt: Vec::new(),
        set_aside: Vec::new(),
        trash: Vec::new(),
    };
    let folder = &found.archive.folder;
    let trimmed = retention::read_mark(folder, journal);
    // A trim that was cut short is finished.
    found.trash = retention::trash(folder, journal, trimmed.unwrap_or(0))?;
    found.trash.extend(repair::undo(folder)?);
    let mut sealed = BTreeMap::new();
    let paths = disk::paths_in(&found.archive.folder)?;
    for path in paths {
        if path.extension().is_some_and(|extension| extension == "trash") {
            if !found.trash.contains(&path) {
                found.trash.push(path);
            }
        } else if let Some(first) = disk::number_in_name(&path, "span-", "") {
            match found.span(first, &is_in_log)? {
                Some(seal) => {
                    let bytes = disk::allocated_below(&path);
                    drop(sealed.insert(first, SealedSpan { seal, bytes }));
                }
                None => remove_seal(&found.archive, first)?,
            }
        } else if let Some(first) = disk::number_in_name(&path, "span-", ".sealed")
            && !found.archive.span_path(first).exists()
        {
            // A seal without its span would one day vouch for a new span of that number.
            remove_seal(&found.archive, first)?;
        }
    }
    found.term = sealed.values().map(|span| span.seal.term).max().unwrap_or(0);
    // With a damaged mark nobody knows any more what lay below.
    let oldest = sealed.keys().next().copied();
    let trimmed = trimmed.or(oldest.map(|oldest| oldest - 1)).unwrap_or(0);
    let through = sealed.values().map(|span| span.seal.last).max().unwrap_or(0).max(trimmed);
    *found.archive.trimmed_through.get_mut() = trimmed;
    *found.archive.sealed_through.get_mut() = through;
    *found.archive.archived_through.get_mut() = through;
    found.archive.sealed = RwLock::new(sealed);
    Ok(found)
}

impl FoundArchive {
    /// The newest that any seal tells of lived time.
    fn newest_lived(&self) -> Result<Duration, JournalError> {
        let firsts = disk::paths_in(&self.archive.folder)?.into_iter();
        let firsts = firsts.filter_map(|path| disk::number_in_name(&path, "span-", ".sealed"));
        let seals = firsts.filter_map(|first| {
            Seal::read(&self.archive.seal_path(first), self.archive.journal, first)
        });
        Ok(seals.map(|seal| seal.lived).max().unwrap_or_default())
    }

    /// The seal of a span folder, an old one or a new one; without one the folder is moved away.
    fn span(
        &mut self,
        first: u64,
        is_in_log: impl Fn(u64) -> bool,
    ) -> Result<Option<Seal>, JournalError> {
        let path = self.archive.span_path(first);
        let seal_path = self.archive.seal_path(first);
        if let Some(seal) = Seal::read(&seal_path, self.archive.journal, first) {
            return Ok(Some(seal));
        }
        if is_in_log(first) {
            // First the seal, if there is a bad one: it must not meet the span built anew.
            remove_seal(&self.archive, first)?;
            let trash = path.with_added_extension("trash");
            let _ = fs::remove_dir_all(&trash);
            disk::rename(&path, &trash)?;
            self.rebuilt.push(first);
            if !self.trash.contains(&trash) {
                self.trash.push(trash);
            }
            return Ok(None);
        }
        if let Ok(mut seal) = checked(&path, self.archive.journal, first) {
            // When it was filled nobody knows any more: as old as the youngest there is.
            seal.lived = self.newest_lived()?;
            disk::sync_tree(&path)?;
            seal.write(&seal_path, self.archive.journal, first)?;
            return Ok(Some(seal));
        }
        let aside = path.with_added_extension("damaged");
        disk::rename(&path, &aside)?;
        self.set_aside.push(aside);
        Ok(None)
    }
}

/// Reads all of a span, as it lies there, that its seal says is there.
pub(in crate::journal) fn verify(
    path: &Path,
    journal: Uuid,
    first: u64,
    seal: &Seal,
) -> Result<(), JournalError> {
    let span = Places::scan(path, journal, &(first..=seal.last), &AtomicBool::default())?;
    seal::check(&span, first, seal).map(drop)
}

/// Reads all of a span, as it lies there, and says what its seal would be if it has no gaps.
fn checked(path: &Path, journal: Uuid, first: u64) -> Result<Seal, JournalError> {
    let numbers = first..=u64::MAX - 1;
    let span = Places::scan(path, journal, &numbers, &AtomicBool::default())?;
    let empty = || JournalError::Archive {
        action: "seal",
        path: path.to_owned(),
        reason: "it is empty".to_owned(),
    };
    let last = *span.blocks().last().ok_or_else(empty)?.end();
    let term = span.block_at(last)?.map_or(0, |block| block.header.draft.term);
    let mut seal = Seal { last, term, newest_us: None, lived: Duration::ZERO, missing: Vec::new() };
    seal.newest_us = Some(seal::check(&span, first, &seal)?);
    Ok(seal)
}

fn remove_seal(archive: &Archive, first: u64) -> Result<(), JournalError> {
    let path = archive.seal_path(first);
    if path.exists() {
        fs::remove_file(&path).map_err(JournalError::io("remove", &path))?;
        disk::sync_folder(&archive.folder)?;
    }
    Ok(())
}
