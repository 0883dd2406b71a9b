//! Checks the commit log: reads it as a start would, without changing it.
//!
//! A tail that belongs to no finished commit is a note; bytes between blocks are damage. It
//! distinguishes the two as a start does: a later commit proves that what came before was
//! acknowledged. Guarantees that no file is written. Does not know how findings are printed.

use std::path::{Path, PathBuf};

use super::{CheckFinding, JournalCheck, open};
use crate::journal::commit_log::commit_start;
use crate::journal::disk;
use crate::journal::error::JournalError;
use crate::journal::frame::{Block, BlockContent};
use crate::journal::identity::Identity;
use crate::journal::scan::{BlockScan, ScanItem, UnreadableRange};

/// After a gap: blocks that count only if one of them proves that the gap was acknowledged.
#[derive(Default)]
struct UnprovenBlocks {
    gaps: Vec<UnreadableRange>,
    blocks: Vec<Block>,
}

impl JournalCheck {
    pub(super) fn check_commits(
        &mut self,
        folder: &Path,
        identity: Identity,
        on_file: &mut impl FnMut(&Path),
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
            on_file(path);
            self.note_first(*first);
            next = next.max(*first);
            // The first number of a file follows what was durable when it was created.
            self.last = self.last.max(first - 1);
            let has_later = at + 1 < names.len();
            next = self.check_commit_file(path, next, identity, has_later)?;
        }
        Ok(())
    }

    /// Returns the number after the last block of the file.
    fn check_commit_file(
        &mut self,
        path: &Path,
        mut next: u64,
        identity: Identity,
        has_later: bool,
    ) -> Result<u64, JournalError> {
        let mut scan = BlockScan::new(open(path)?);
        let mut unproven = UnprovenBlocks::default();
        while let Some(found) = scan.next_block().map_err(JournalError::io("read", path))? {
            if scan.gap().bytes > 0 {
                unproven.gaps.push(scan.gap());
            }
            let (offset, block) = match found {
                ScanItem::Newer { offset } => {
                    self.push_newer_block(path, offset);
                    continue;
                }
                ScanItem::Block { offset, block, .. } => (offset, block),
            };
            let info = block.header.info;
            let is_ours = info.journal == identity.journal
                && info.content == BlockContent::Commit
                && info.count > 0
                && info.first >= next;
            if !is_ours {
                let path = path.to_owned();
                self.report.findings.push(CheckFinding::OutOfPlace { path, offset });
                continue;
            }
            let is_proof = has_later || commit_start(&block).is_ok_and(|commit| commit > next);
            if unproven.gaps.is_empty() && info.first == next {
                self.check_commit_block(path, &block, offset);
                next = info.last() + 1;
            } else if is_proof {
                for gap in unproven.gaps.drain(..) {
                    self.push_damaged(path, gap);
                }
                for block in unproven.blocks.drain(..).chain([block]) {
                    next = block.header.info.last() + 1;
                    self.check_commit_block(path, &block, offset);
                }
            } else {
                unproven.blocks.push(block);
            }
        }
        let has_tail = scan.gap().not_zero > 0;
        if has_tail || !unproven.gaps.is_empty() {
            let at = unproven.gaps.first().map_or(scan.gap().offset, |gap| gap.offset);
            let text = "contains an unfinished commit, which was not acknowledged";
            self.report.notes.push(format!("{}: from byte {at} on it {text}", path.display()));
        }
        Ok(next)
    }

    fn check_commit_block(&mut self, path: &Path, block: &Block, offset: u64) {
        let info = block.header.info;
        if self.check_records(path, block) {
            self.report.commit_blocks += 1;
            self.add_present(info.first..=info.last());
        } else {
            self.last = self.last.max(info.last());
            let path = path.to_owned();
            self.report.findings.push(CheckFinding::OutOfPlace { path, offset });
        }
    }

    fn push_damaged(&mut self, path: &Path, gap: UnreadableRange) {
        let UnreadableRange { offset, bytes, reason, .. } = gap;
        let path = path.to_owned();
        self.report.findings.push(CheckFinding::Damaged { path, offset, bytes, reason });
    }
}
