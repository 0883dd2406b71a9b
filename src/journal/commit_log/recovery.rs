//! Recovers the commit log after a stop or a crash.
//!
//! Reads the files in order and accepts blocks as long as they are valid: checksums, journal, dense
//! numbers, a term that does not decrease. After the first invalid block it searches on: blocks of
//! a later commit prove that the missing records had been acknowledged, so they stay and the
//! numbers have a gap. Without such proof the rest is an unfinished commit, and is zeroed. Does not
//! know the archive, so it does not know whether a gap is filled from there.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::files::{BlockRun, LogFile, LogFiles};
use super::{ActiveFile, CommitLog, TailState, commit_start, zero_from};
use crate::journal::disk;
use crate::journal::error::JournalError;
use crate::journal::frame::{Block, BlockHeader, FrameError, find_next};

/// Bytes at the end of a commit-log file that were not part of any finished commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TruncatedTail {
    /// The file.
    pub path: PathBuf,
    /// Where the unfinished commit began, in bytes.
    pub offset: u64,
    /// Length up to the last byte that was not zero.
    pub bytes: u64,
}

/// The commit log as it was found.
#[derive(Debug)]
pub(in crate::journal) struct RecoveredLog {
    pub(in crate::journal) log: CommitLog,
    /// The highest term of any block; 0 if there is none.
    pub(in crate::journal) term: u64,
    pub(in crate::journal) truncated_tails: Vec<TruncatedTail>,
}

/// Opens the commit log in `folder`; the caller must set a term before it appends.
pub(in crate::journal) fn open(
    folder: PathBuf,
    journal: Uuid,
    file_bytes: u64,
) -> Result<RecoveredLog, JournalError> {
    let mut walker = LogWalker { journal, term: 0, next_number: None };
    let mut names: Vec<(u64, PathBuf)> = disk::paths_in(&folder)?
        .into_iter()
        .filter_map(|path| Some((disk::number_in_name(&path, "", ".log")?, path)))
        .collect();
    let last = names.pop();
    let (mut files, mut cuts) = (Vec::new(), Vec::new());
    for (first, path) in names {
        let (file, _, rest) = walker.read_file(first, path, true)?;
        // It is not the last file, so its tail stays for `gridd journal salvage`.
        cuts.extend(rest);
        files.push(Arc::new(file));
    }
    let mut active = None;
    if let Some((first, path)) = last {
        let (file, handle, rest) = walker.read_file(first, path, false)?;
        let end = file.end();
        if end == 0 && walker.next_number != Some(first) {
            fs::remove_file(&file.path).map_err(JournalError::io("remove", &file.path))?;
            disk::sync_folder(&folder)?;
        } else {
            if rest.is_some() {
                zero_from(&handle, &file.path, end)?;
            }
            // The last commit may be unsynced.
            handle.sync_all().map_err(JournalError::io("sync", &file.path))?;
            // The present length: a file that is too short for the next commit is followed by
            // another, which uses what space there is. A start must not need space.
            let found = handle.metadata().map_err(JournalError::io("look at", &file.path))?;
            let size = found.len().max(end);
            let file = Arc::new(file);
            let handle = Arc::new(handle);
            active = Some(ActiveFile { file: Arc::clone(&file), handle, end, size });
            files.push(file);
        }
        cuts.extend(rest);
    }
    // A crash may have come between the creation of a file and the sync of its name.
    disk::sync_folder(&folder)?;
    let log = CommitLog {
        files: Arc::new(LogFiles::new(folder.clone(), files)),
        folder,
        journal,
        term: 0,
        file_bytes,
        active,
        next_number: walker.next_number.unwrap_or(1),
        tail: TailState::Clean,
    };
    Ok(RecoveredLog { log, term: walker.term, truncated_tails: cuts })
}

impl CommitLog {
    /// Sets the term of all commits to come.
    pub(in crate::journal) fn set_term(&mut self, term: u64) {
        self.term = term;
    }
}

impl LogFile {
    fn end(&self) -> u64 {
        self.runs().last().map_or(0, |run| run.end)
    }
}

struct LogWalker {
    journal: Uuid,
    term: u64,
    /// The next number; unknown until the first file.
    next_number: Option<u64>,
}

impl LogWalker {
    /// Reads one file. If `has_later`, its last commit must have been acknowledged.
    fn read_file(
        &mut self,
        first: u64,
        path: PathBuf,
        has_later: bool,
    ) -> Result<(LogFile, File, Option<TruncatedTail>), JournalError> {
        let handle = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(JournalError::io("open", &path))?;
        let bytes: Bytes = fs::read(&path).map_err(JournalError::io("read", &path))?.into();
        let file = LogFile::new(first, path);
        // The file was created when all before it was durable, so its name counts even after a gap.
        let mut next = self.next_number.map_or(first, |next| next.max(first));
        let mut offset = 0;
        loop {
            let block = match self.block_at(&bytes, offset, next) {
                Some(block) => block,
                // To zero it would lose what a newer gridd acknowledged.
                None if BlockHeader::parse(&bytes[offset..]) == Err(FrameError::NewerFormat) => {
                    return Err(JournalError::NewerBlock {
                        path: file.path,
                        offset: offset as u64,
                    });
                }
                None => match self.acknowledged_block_after(&bytes, offset, next, has_later) {
                    Some((at, block)) => {
                        offset = at;
                        block
                    }
                    None => break,
                },
            };
            let info = block.header.info;
            let end = offset + block.header.block_bytes();
            let run = (info.first, info.last(), offset as u64, end as u64);
            file.extend(&[BlockRun { first: run.0, last: run.1, offset: run.2, end: run.3 }]);
            (self.term, next, offset) = (info.term, info.last() + 1, end);
        }
        self.next_number = Some(next);
        let rest = unfinished_tail(&file.path, &bytes, offset);
        Ok((file, handle, rest))
    }

    fn block_at(&self, bytes: &Bytes, offset: usize, next: u64) -> Option<Block> {
        let block = Block::parse(&bytes.slice(offset..)).ok()?;
        (self.is_valid_block(&block) && block.header.info.first == next).then_some(block)
    }

    /// The first valid block after a gap, if it is proved that the gap was acknowledged.
    fn acknowledged_block_after(
        &self,
        bytes: &Bytes,
        mut from: usize,
        next: u64,
        has_later: bool,
    ) -> Option<(usize, Block)> {
        let mut first = None;
        while let Some(found) = find_next(&bytes[from..]) {
            let at = from + found;
            let block = Block::parse(&bytes.slice(at..)).ok()?;
            from = at + block.header.block_bytes();
            if !self.is_valid_block(&block) || block.header.info.first <= next {
                continue;
            }
            let is_proved = has_later || commit_start(&block).is_ok_and(|commit| commit > next);
            let candidate = first.get_or_insert((at, block));
            if is_proved {
                return Some((candidate.0, candidate.1.clone()));
            }
        }
        None
    }

    fn is_valid_block(&self, block: &Block) -> bool {
        let info = &block.header.info;
        info.journal == self.journal
            && info.term >= self.term
            && info.count > 0
            && commit_start(block).is_ok_and(|commit| commit <= info.first)
    }
}

fn unfinished_tail(path: &Path, bytes: &[u8], offset: usize) -> Option<TruncatedTail> {
    let last = bytes[offset..].iter().rposition(|byte| *byte != 0)?;
    Some(TruncatedTail { path: path.to_owned(), offset: offset as u64, bytes: last as u64 + 1 })
}
