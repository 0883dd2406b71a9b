//! Checks a data folder.
//!
//! Reads every block of the commit log, of the sealed segments and of the checkpoints, decodes
//! their content, and checks that the numbers are dense. Guarantees that nothing in the folder is
//! written, since sled does not open it. What a start repairs by itself is a note; what is lost or
//! unreadable is a finding. Does not know the command line.

mod commits;
mod segments;

use std::fs::File;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::inventory::files_below;
use super::lock::lock;
use crate::codec;
use crate::codec::DecodeError;
use crate::journal::checkpoint;
use crate::journal::error::JournalError;
use crate::journal::frame::{Block, FrameError};
use crate::journal::identity::{self, Identity};
use crate::journal::record::records_in_block;
use crate::journal::recovery;
use crate::journal::recovery::{ARCHIVE, CHECKPOINTS, COMMITS, IDENTITY, RESTORING};
use crate::journal::rescue::findings::Findings;

/// A loss, or a defect that no start repairs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckFinding {
    /// The identity of the folder.
    #[error("{0}")]
    Identity(String),
    /// Bytes in the commit log that should be blocks.
    #[error("{}: damaged from byte {offset} on, {bytes} bytes{}", path.display(), reason_suffix(*reason))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it begins, in bytes.
        offset: u64,
        /// How many bytes.
        bytes: u64,
        /// The check that failed.
        reason: Option<FrameError>,
    },
    /// An intact block in a wrong position.
    #[error("{}: the block at byte {offset} does not belong there", path.display())]
    OutOfPlace {
        /// The file.
        path: PathBuf,
        /// Where it begins, in bytes.
        offset: u64,
    },
    /// Something that a later release wrote.
    #[error("{}: {what}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// What is newer, and that a newer gridd wrote it.
        what: String,
    },
    /// A record whose checksum is right and that can't be decoded.
    #[error("{}: record {number} can't be used: {reason}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The record.
        number: u64,
        /// The reason.
        reason: DecodeError,
    },
    /// A segment that a start can't use as it is.
    #[error("{}: it can't be read ({reason}); {}", path.display(), salvage_hint(*found))]
    Segment {
        /// The folder of the segment.
        path: PathBuf,
        /// The reason.
        reason: String,
        /// Whether a scan finds all of its records nevertheless.
        found: bool,
    },
    /// A checkpoint that can't be loaded.
    #[error("{}: the checkpoint can't be loaded: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// Numbers that were assigned and whose records were not found.
    #[error("records {} to {} are missing", .0.start(), .0.end())]
    Missing(RangeInclusive<u64>),
}

fn reason_suffix(reason: Option<FrameError>) -> String {
    reason.map_or_else(String::new, |reason| format!(" ({reason})"))
}

fn salvage_hint(found: bool) -> &'static str {
    if found {
        "all of its records are intact: `gridd journal salvage` recovers them"
    } else {
        "some of its records are lost: `gridd journal salvage` recovers the others"
    }
}

/// The result of a check.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// The identity of the journal.
    pub identity: Option<Identity>,
    /// The first and the last record.
    pub records: Option<RangeInclusive<u64>>,
    /// Intact blocks of the commit log.
    pub commit_blocks: u64,
    /// Sealed segments that are intact.
    pub sealed_segments: u64,
    /// The last records of intact checkpoints.
    pub checkpoints: Vec<u64>,
    /// Defects that a start repairs by itself.
    pub notes: Vec<String>,
    /// The findings.
    pub findings: Findings<CheckFinding>,
}

impl CheckReport {
    /// Whether nothing is lost and all can be read.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Checks the data folder `dir`; calls `on_file` before each file or folder.
///
/// # Errors
///
/// If a broker has it open, it is no data folder, it is a newer one, or the disk fails. Damage
/// is no error: it is reported in the [`CheckReport`].
pub fn check(dir: &Path, mut on_file: impl FnMut(&Path)) -> Result<CheckReport, JournalError> {
    let _lock = lock(dir)?;
    if dir.join(RESTORING).exists() {
        return Err(JournalError::UnfinishedRestore { path: dir.to_owned() });
    }
    let mut check = JournalCheck::default();
    let identity = match identity::read(&dir.join(IDENTITY)) {
        Ok(Some(identity)) => identity,
        Ok(None) if !dir.join(COMMITS).is_dir() && !dir.join(ARCHIVE).is_dir() => {
            return Err(JournalError::NoJournal { path: dir.to_owned() });
        }
        Ok(None) => {
            let text = format!("{} is missing", dir.join(IDENTITY).display());
            check.report.findings.push(CheckFinding::Identity(text));
            return Ok(check.report);
        }
        Err(error @ JournalError::Identity { .. }) => {
            check.report.findings.push(CheckFinding::Identity(error.to_string()));
            return Ok(check.report);
        }
        Err(error) => return Err(error),
    };
    check.report.identity = Some(identity);
    check.check_checkpoints(&dir.join(CHECKPOINTS), identity, &mut on_file)?;
    check.check_commits(&dir.join(COMMITS), identity, &mut on_file)?;
    check.check_segments(&dir.join(ARCHIVE), identity, &mut on_file)?;
    Ok(check.finish())
}

/// A running check.
#[derive(Default)]
struct JournalCheck {
    report: CheckReport,
    present: Vec<RangeInclusive<u64>>,
    /// The number that the oldest file or segment starts with.
    oldest: Option<u64>,
    /// The largest number that is known to have been assigned.
    last: u64,
    /// Whether a record of a newer gridd was reported already: the others would be the same.
    has_reported_newer: bool,
}

impl JournalCheck {
    fn note_first(&mut self, first: u64) {
        self.oldest = Some(self.oldest.map_or(first, |oldest| oldest.min(first)));
    }

    fn add_present(&mut self, range: RangeInclusive<u64>) {
        self.last = self.last.max(*range.end());
        match self.present.last_mut() {
            Some(held) if *range.start() == *held.end() + 1 => *held = *held.start()..=*range.end(),
            Some(_) | None => self.present.push(range),
        }
    }

    /// Decodes the records of a block; `false` if it can't be split into records.
    fn check_records(&mut self, path: &Path, block: &Block) -> bool {
        let Ok(records) = records_in_block(block) else { return false };
        for encoded in records {
            let Err(reason) = codec::decode_record(&encoded.bytes) else { continue };
            let path = path.to_owned();
            match reason {
                DecodeError::Newer { .. } if self.has_reported_newer => {}
                DecodeError::Newer { .. } => {
                    self.has_reported_newer = true;
                    let what = format!("record {}: {reason}", encoded.number);
                    self.report.findings.push(CheckFinding::Newer { path, what });
                }
                DecodeError::Malformed(_) | DecodeError::Impossible { .. } => {
                    let number = encoded.number;
                    self.report.findings.push(CheckFinding::Record { path, number, reason });
                }
            }
        }
        true
    }

    fn push_newer_block(&mut self, path: &Path, offset: u64) {
        let what = format!("the block at byte {offset} was written by a newer gridd: use that one");
        self.report.findings.push(CheckFinding::Newer { path: path.to_owned(), what });
    }

    fn check_checkpoints(
        &mut self,
        folder: &Path,
        identity: Identity,
        on_file: &mut impl FnMut(&Path),
    ) -> Result<(), JournalError> {
        if !folder.is_dir() {
            return Ok(());
        }
        let numbered = checkpoint::list_checkpoints(folder)?;
        for (through, path) in &numbered {
            on_file(path);
            let bytes = std::fs::read(path).map_err(JournalError::io("read", path))?;
            let decoded = checkpoint::decode(bytes.into(), identity.journal, *through)
                .map_err(|error| error.to_string())
                .and_then(|(_, state)| {
                    codec::decode_state(&state).map_err(|error| error.to_string())
                });
            match decoded {
                Ok(_) => {
                    self.last = self.last.max(*through);
                    self.report.checkpoints.push(*through);
                }
                Err(reason) => {
                    let path = path.clone();
                    self.report.findings.push(CheckFinding::Checkpoint { path, reason });
                }
            }
        }
        for path in files_below(folder)? {
            if !numbered.iter().any(|(_, known)| *known == path) {
                self.report.notes.push(format!("{} is not used any more", path.display()));
            }
        }
        Ok(())
    }

    fn finish(mut self) -> CheckReport {
        let missing = recovery::missing_ranges(self.oldest, &mut self.present, self.last);
        for range in missing {
            self.report.findings.push(CheckFinding::Missing(range));
        }
        let first = self.present.iter().map(|range| *range.start()).min();
        let last = self.present.iter().map(|range| *range.end()).max();
        self.report.records = first.zip(last).map(|(first, last)| first..=last);
        self.report
    }
}

fn open(path: &Path) -> Result<File, JournalError> {
    File::open(path).map_err(JournalError::io("open", path))
}
