//! Decides which segments are old enough to be deleted, and deletes them.
//!
//! Finds the oldest sealed spans that are beyond a limit; whoever asked makes that a durable record
//! and orders the trim. Guarantees that what is trimmed is known as trimmed before it goes, so that
//! it is never taken for missing; that a trim cut short is finished by the next start; and that
//! nothing above the older checkpoint goes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use uuid::Uuid;

use super::Archive;
use super::seal::Seal;
use crate::journal::disk;
use crate::journal::error::JournalError;
use crate::journal::frame::{Block, BlockContent, BlockInfo, Compression, encode};

/// The mark that says through which number records were trimmed.
const TRIM_MARK: &str = "trimmed";

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Spans whose records are all older than this go: in time that brokers were at work, so that no
    /// clock and no absence can make anything old.
    pub age: Duration,
    /// The oldest go while the sealed ones take more than this, in bytes.
    pub bytes: u64,
}

impl Retention {
    /// The same, with no more than so many bytes.
    pub(in crate::journal) fn capped_at(self, bytes: u64) -> Self {
        Self { bytes: self.bytes.min(bytes), ..self }
    }
}

/// The oldest records, ready to be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrimDue {
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// What they take on the disk, in bytes.
    pub bytes: u64,
    /// Whether it is for their age; otherwise for the bytes.
    pub is_by_age: bool,
}

impl Archive {
    /// What is beyond a limit when brokers were at work for `lived`, and neither needed by `checkpoint` nor ordered away up
    /// to `ordered` already.
    pub(in crate::journal) fn trim_due(
        &self,
        retention: Retention,
        lived: Duration,
        checkpoint: u64,
        ordered: u64,
    ) -> Option<TrimDue> {
        let before = self.trimmed_through().max(ordered);
        let spans = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        let mut taken: u64 = spans.range(before + 1..).map(|(_, span)| span.bytes).sum();
        let mut due: Option<TrimDue> = None;
        for (_, span) in spans.range(before + 1..) {
            let is_old = lived.saturating_sub(span.seal.lived) > retention.age;
            let is_much = taken > retention.bytes;
            let is_for_age = due.map_or(is_old, |due| due.is_by_age);
            let is_beyond = if is_for_age { is_old } else { is_much };
            if !is_beyond || span.seal.last > checkpoint {
                break;
            }
            let bytes = due.map_or(0, |due| due.bytes) + span.bytes;
            due = Some(TrimDue {
                first: before + 1,
                last: span.seal.last,
                bytes,
                is_by_age: is_for_age,
            });
            taken -= span.bytes;
        }
        due
    }

    /// For how long brokers were at work when the newest span was sealed.
    pub(super) fn newest_lived(&self) -> Duration {
        let spans = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        spans.values().next_back().map_or(Duration::ZERO, |span| span.seal.lived)
    }

    /// Forgets all sealed spans that end at or below `through`; gives the folders to delete.
    pub(in crate::journal) fn trim(&self, through: u64) -> Result<Vec<PathBuf>, JournalError> {
        if through <= self.trimmed_through() {
            return Ok(Vec::new());
        }
        write_trim_mark(&self.folder, self.journal, through)?;
        self.trimmed_through.store(through, Ordering::Release);
        let gone: Vec<u64> = {
            let mut spans = self.sealed.write().unwrap_or_else(PoisonError::into_inner);
            let gone = spans.iter().filter(|(_, span)| span.seal.last <= through);
            let gone: Vec<u64> = gone.map(|(first, _)| *first).collect();
            gone.iter().for_each(|first| drop(spans.remove(first)));
            gone
        };
        for first in gone {
            self.close_segment(first);
        }
        move_to_trash(&self.folder, self.journal, through)
    }
}

/// Moves all spans that end at or below `through` out of the way, and what was set aside of them;
/// gives the folders to delete.
pub(super) fn move_to_trash(
    folder: &Path,
    journal: Uuid,
    through: u64,
) -> Result<Vec<PathBuf>, JournalError> {
    let mut trash = Vec::new();
    let mut seals = Vec::new();
    for path in disk::paths_in(folder)? {
        let is_gone = if let Some(first) = disk::number_in_name(&path, "span-", ".damaged") {
            first <= through
        } else if let Some(first) = disk::number_in_name(&path, "span-", "") {
            let seal_path = path.with_added_extension("sealed");
            let seal = Seal::read(&seal_path, journal, first);
            let is_gone = seal.is_some_and(|seal| seal.last <= through);
            seals.extend(is_gone.then_some(seal_path));
            is_gone
        } else {
            false
        };
        if is_gone {
            let away = path.with_added_extension("trash");
            let _ = fs::remove_dir_all(&away);
            fs::rename(&path, &away).map_err(JournalError::io("rename", &path))?;
            trash.push(away);
        }
    }
    // A seal without its span is cleared away by the next start, so it goes last.
    for path in seals {
        fs::remove_file(&path).map_err(JournalError::io("remove", &path))?;
    }
    disk::sync_folder(folder)?;
    Ok(trash)
}

fn write_trim_mark(folder: &Path, journal: Uuid, through: u64) -> Result<(), JournalError> {
    let draft =
        BlockInfo { content: BlockContent::Seal, journal, term: 0, first: through, count: 0 };
    let mut out = Vec::new();
    encode(&mut out, &draft, Compression::None, &[], b"trimmed").expect("7 bytes fit a block");
    disk::replace_file(&folder.join(TRIM_MARK), &out)
}

/// Through which number records were trimmed; `None` if the mark is damaged, 0 if there is none.
pub(in crate::journal) fn read_trim_mark(folder: &Path, journal: Uuid) -> Option<u64> {
    let path = folder.join(TRIM_MARK);
    if !path.exists() {
        return Some(0);
    }
    let block = Block::parse(&fs::read(path).ok()?.into()).ok()?;
    let draft = block.header.info;
    let is_ours = draft.content == BlockContent::Seal && draft.journal == journal;
    is_ours.then_some(draft.first)
}
