//! Is the commit log sound? Reads it as a start would, without cutting anything off.
//!
//! A tail that belongs to no finished commit is a note; bytes between blocks are damage. It tells
//! the two apart as a start does: a later commit proves that what came before was acknowledged.

use std::path::{Path, PathBuf};

use super::{Checking, Finding, open};
use crate::journal::commit_log::commit_of;
use crate::journal::disk;
use crate::journal::error::JournalError;
use crate::journal::frame::{Block, Content};
use crate::journal::identity::Identity;
use crate::journal::scan::{Found, Gap, Scan};

/// Behind a gap: blocks that count only if one of them proves that the gap was acknowledged.
#[derive(Default)]
struct Doubtful {
    gaps: Vec<Gap>,
    blocks: Vec<Block>,
}

impl Checking {
    pub(super) fn commits(
        &mut self,
        folder: &Path,
        identity: Identity,
        look: &mut impl FnMut(&Path),
    ) -> Result<(), JournalError> {
        if !folder.is_dir() {
            return Ok(());
        }
        let mut names: Vec<(u64, PathBuf)> = disk::paths_in(folder)?
            .into_iter()
            .filter_map(|path| Some((disk::number_in_name(&path, "", ".log")?, path)))
            .collect();
        names.sort_unstable();
        let mut next = 0;
        for (at, (first, path)) in names.iter().enumerate() {
            look(path);
            self.begun_with(*first);
            next = next.max(*first);
            // Every file begins with a number that follows what was durable before it.
            self.last = self.last.max(first - 1);
            let has_later = at + 1 < names.len();
            next = self.commit_file(path, next, identity, has_later)?;
        }
        Ok(())
    }

    /// Returns the number that comes after the file's last block.
    fn commit_file(
        &mut self,
        path: &Path,
        mut next: u64,
        identity: Identity,
        has_later: bool,
    ) -> Result<u64, JournalError> {
        let mut scan = Scan::new(open(path)?);
        let mut doubtful = Doubtful::default();
        while let Some(found) = scan.next_block().map_err(JournalError::io("read", path))? {
            if scan.gap().bytes > 0 {
                doubtful.gaps.push(scan.gap());
            }
            let (offset, block) = match found {
                Found::Newer { offset } => {
                    self.newer_block(path, offset);
                    continue;
                }
                Found::Block { offset, block, .. } => (offset, block),
            };
            let draft = block.header.draft;
            let is_ours = draft.journal == identity.journal
                && draft.content == Content::Commit
                && draft.count > 0
                && draft.first >= next;
            if !is_ours {
                let path = path.to_owned();
                self.report.findings.push(Finding::OutOfPlace { path, offset });
                continue;
            }
            let proves = has_later || commit_of(&block).is_ok_and(|commit| commit > next);
            if doubtful.gaps.is_empty() && draft.first == next {
                self.commit_block(path, &block, offset);
                next = draft.last() + 1;
            } else if proves {
                for gap in doubtful.gaps.drain(..) {
                    self.damaged(path, gap);
                }
                for block in doubtful.blocks.drain(..).chain([block]) {
                    next = block.header.draft.last() + 1;
                    self.commit_block(path, &block, offset);
                }
            } else {
                doubtful.blocks.push(block);
            }
        }
        let tail = scan.gap().not_zero > 0;
        if tail || !doubtful.gaps.is_empty() {
            let at = doubtful.gaps.first().map_or(scan.gap().offset, |gap| gap.offset);
            let words = "holds an unfinished commit, which nobody was told of";
            self.report.notes.push(format!("{}: from byte {at} on it {words}", path.display()));
        }
        Ok(next)
    }

    fn commit_block(&mut self, path: &Path, block: &Block, offset: u64) {
        let draft = block.header.draft;
        if self.records(path, block) {
            self.report.commit_blocks += 1;
            self.hold(draft.first..=draft.last());
        } else {
            self.last = self.last.max(draft.last());
            let path = path.to_owned();
            self.report.findings.push(Finding::OutOfPlace { path, offset });
        }
    }

    fn damaged(&mut self, path: &Path, gap: Gap) {
        let Gap { offset, bytes, reason, .. } = gap;
        let path = path.to_owned();
        self.report.findings.push(Finding::Damaged { path, offset, bytes, reason });
    }
}
