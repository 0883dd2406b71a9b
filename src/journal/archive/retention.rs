//! Applies retention: finds the segments beyond a limit, and trims them.
//!
//! Finds the oldest sealed segments that are beyond a limit. The caller writes a durable record of
//! it and then requests the trim. Guarantees that trimmed records are marked as trimmed before they
//! are deleted, so that they never count as missing; that the next start finishes an interrupted
//! trim; and that nothing above the older checkpoint is trimmed. Does not know clocks.

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

/// The file that contains the number up to which records were trimmed.
const TRIM_MARK: &str = "trimmed";

/// The limits of what is retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Segments whose records are all older than this are trimmed: in lived time, so that no
    /// clock and no downtime can make anything old.
    pub age: Duration,
    /// The oldest are trimmed while the sealed ones use more than this, in bytes.
    pub bytes: u64,
}

impl Retention {
    /// The same limits, with at most so many bytes.
    pub(in crate::journal) fn capped_at(self, bytes: u64) -> Self {
        Self { bytes: self.bytes.min(bytes), ..self }
    }
}

/// The oldest records, due to be trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrimDue {
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// Bytes that they use on the disk.
    pub bytes: u64,
    /// Whether they exceed the age; otherwise they exceed the size.
    pub is_by_age: bool,
}

impl Archive {
    /// The records beyond a limit at the lived time `lived`, unless `checkpoint` needs them or
    /// their trim was requested already (up to `requested`).
    pub(in crate::journal) fn trim_due(
        &self,
        retention: Retention,
        lived: Duration,
        checkpoint: u64,
        requested: u64,
    ) -> Option<TrimDue> {
        let trimmed = self.trimmed_through().max(requested);
        let segments = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        let mut used: u64 = segments.range(trimmed + 1..).map(|(_, segment)| segment.bytes).sum();
        let mut due: Option<TrimDue> = None;
        for (_, segment) in segments.range(trimmed + 1..) {
            let is_old = lived.saturating_sub(segment.seal.lived) > retention.age;
            let is_too_large = used > retention.bytes;
            let is_for_age = due.map_or(is_old, |due| due.is_by_age);
            let is_beyond = if is_for_age { is_old } else { is_too_large };
            if !is_beyond || segment.seal.last > checkpoint {
                break;
            }
            let bytes = due.map_or(0, |due| due.bytes) + segment.bytes;
            due = Some(TrimDue {
                first: trimmed + 1,
                last: segment.seal.last,
                bytes,
                is_by_age: is_for_age,
            });
            used -= segment.bytes;
        }
        due
    }

    /// The lived time when the newest segment was sealed.
    pub(super) fn newest_lived(&self) -> Duration {
        let segments = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        segments.values().next_back().map_or(Duration::ZERO, |segment| segment.seal.lived)
    }

    /// Trims all sealed segments that end at or below `through`; returns the folders to delete.
    pub(in crate::journal) fn trim(&self, through: u64) -> Result<Vec<PathBuf>, JournalError> {
        if through <= self.trimmed_through() {
            return Ok(Vec::new());
        }
        write_trim_mark(&self.folder, self.journal, through)?;
        self.trimmed_through.store(through, Ordering::Release);
        let trimmed: Vec<u64> = {
            let mut segments = self.sealed.write().unwrap_or_else(PoisonError::into_inner);
            let trimmed = segments.iter().filter(|(_, segment)| segment.seal.last <= through);
            let trimmed: Vec<u64> = trimmed.map(|(first, _)| *first).collect();
            trimmed.iter().for_each(|first| drop(segments.remove(first)));
            trimmed
        };
        for first in trimmed {
            self.close_segment(first);
        }
        move_to_trash(&self.folder, self.journal, through)
    }
}

/// Discards all segments that end at or below `through`, and damaged ones of them;
/// returns the folders to delete.
pub(super) fn move_to_trash(
    folder: &Path,
    journal: Uuid,
    through: u64,
) -> Result<Vec<PathBuf>, JournalError> {
    let mut trash = Vec::new();
    let mut seals = Vec::new();
    for path in disk::paths_in(folder)? {
        let is_trimmed = if let Some(first) = disk::number_in_name(&path, "span-", ".damaged") {
            first <= through
        } else if let Some(first) = disk::number_in_name(&path, "span-", "") {
            let seal_path = path.with_added_extension("sealed");
            let seal = Seal::read(&seal_path, journal, first);
            let is_trimmed = seal.is_some_and(|seal| seal.last <= through);
            seals.extend(is_trimmed.then_some(seal_path));
            is_trimmed
        } else {
            false
        };
        if is_trimmed {
            let discarded = path.with_added_extension("trash");
            let _ = fs::remove_dir_all(&discarded);
            fs::rename(&path, &discarded).map_err(JournalError::io("rename", &path))?;
            trash.push(discarded);
        }
    }
    // The next start removes a seal without its segment, so it is removed last.
    for path in seals {
        fs::remove_file(&path).map_err(JournalError::io("remove", &path))?;
    }
    disk::sync_folder(folder)?;
    Ok(trash)
}

fn write_trim_mark(folder: &Path, journal: Uuid, through: u64) -> Result<(), JournalError> {
    let info =
        BlockInfo { content: BlockContent::Seal, journal, term: 0, first: through, count: 0 };
    let mut out = Vec::new();
    encode(&mut out, &info, Compression::None, &[], b"trimmed")
        .expect("7 bytes are within the limits of a block");
    disk::replace_file(&folder.join(TRIM_MARK), &out)
}

/// The number up to which records were trimmed; `None` if the mark is damaged, 0 if there is none.
pub(in crate::journal) fn read_trim_mark(folder: &Path, journal: Uuid) -> Option<u64> {
    let path = folder.join(TRIM_MARK);
    if !path.exists() {
        return Some(0);
    }
    let block = Block::parse(&fs::read(path).ok()?.into()).ok()?;
    let info = block.header.info;
    let is_ours = info.content == BlockContent::Seal && info.journal == journal;
    is_ours.then_some(info.first)
}
