//! Checks the segments of the archive.
//!
//! Reads each twice: a raw scan of its files, which decodes every record, and the check that
//! sealed it. The first shows what can be salvaged if the second fails. Guarantees that no file is
//! written. Does not know how findings are printed.

use std::ops::RangeInclusive;
use std::path::Path;

use super::{CheckFinding, JournalCheck, open};
use crate::journal::archive::{Seal, read_trim_mark, verify_segment};
use crate::journal::disk;
use crate::journal::error::JournalError;
use crate::journal::frame::BlockContent;
use crate::journal::identity::Identity;
use crate::journal::recovery::missing_ranges;
use crate::journal::rescue::inventory::files_below;
use crate::journal::scan::{BlockScan, ScanItem};

impl JournalCheck {
    pub(super) fn check_segments(
        &mut self,
        folder: &Path,
        identity: Identity,
        on_file: &mut impl FnMut(&Path),
    ) -> Result<(), JournalError> {
        if !folder.is_dir() {
            return Ok(());
        }
        let trimmed = read_trim_mark(folder, identity.journal);
        if trimmed.is_none() {
            let text = "can't be read: trimmed and lost records can't be distinguished";
            self.report.notes.push(format!("{} {text}", folder.join("trimmed").display()));
        }
        for path in disk::paths_in(folder)? {
            if let Some(first) = disk::number_in_name(&path, "span-", "") {
                if trimmed.is_some_and(|trimmed| first <= trimmed) {
                    self.report.notes.push(format!("{} was trimmed", path.display()));
                    continue;
                }
                on_file(&path);
                self.check_segment(&path, first, identity)?;
            } else if path.is_dir() {
                let text = "is not used; `gridd journal salvage` reads it, too";
                self.report.notes.push(format!("{} {text}", path.display()));
            }
        }
        // Without the trim mark, the journal is taken to begin at the oldest record present.
        self.oldest = trimmed.map(|trimmed| trimmed + 1).or(self.oldest);
        Ok(())
    }

    fn check_segment(
        &mut self,
        path: &Path,
        first: u64,
        identity: Identity,
    ) -> Result<(), JournalError> {
        let seal_path = path.with_added_extension("sealed");
        let seal = Seal::read(&seal_path, identity.journal, first);
        let Some(seal) = seal else {
            return self.check_unsealed(path, &seal_path, first, identity);
        };
        self.note_first(first);
        self.last = self.last.max(seal.last);
        let mut found = self.scan_segment(path, identity)?;
        // Gaps in the seal are reported as missing records, not as a defect of the segment.
        let mut known = [found.clone(), seal.missing.clone()].concat();
        let lost = missing_ranges(Some(first), &mut known, seal.last);
        match check_readable(path, first, &seal, identity) {
            Ok(index) => {
                if let Some(reason) = index {
                    let text =
                        format!("its index can't be used ({reason}); a scan finds all of it");
                    self.report.notes.push(format!("{}: {text}", path.display()));
                }
                self.report.sealed_segments += 1;
                seal.present_ranges(first).into_iter().for_each(|range| self.add_present(range));
            }
            Err(reason) => {
                let (path, has_all) = (path.to_owned(), lost.is_empty());
                self.report.findings.push(CheckFinding::Segment { path, reason, found: has_all });
                found.drain(..).for_each(|range| self.add_present(range));
            }
        }
        Ok(())
    }

    /// A segment that was being filled: the next start rebuilds it from the commit log.
    fn check_unsealed(
        &mut self,
        path: &Path,
        seal: &Path,
        first: u64,
        identity: Identity,
    ) -> Result<(), JournalError> {
        if seal.exists() {
            let text = "can't be read: the next start checks its segment again";
            self.report.notes.push(format!("{} {text}", seal.display()));
        }
        if !self.present.iter().any(|range| range.contains(&first)) {
            for range in self.scan_segment(path, identity)? {
                self.note_first(*range.start());
                self.add_present(range);
            }
        }
        Ok(())
    }

    /// The numbers with intact blocks in the files of the segment, ascending.
    fn scan_segment(
        &mut self,
        segment: &Path,
        identity: Identity,
    ) -> Result<Vec<RangeInclusive<u64>>, JournalError> {
        let mut found = Vec::new();
        for path in files_below(segment)? {
            let mut scan = BlockScan::new(open(&path)?);
            while let Some(next) = scan.next_block().map_err(JournalError::io("read", &path))? {
                match next {
                    ScanItem::Newer { offset } => self.push_newer_block(&path, offset),
                    ScanItem::Block { block, .. } => {
                        let info = block.header.info;
                        let is_ours = info.journal == identity.journal
                            && info.content == BlockContent::Records
                            && info.count > 0;
                        if is_ours && self.check_records(&path, &block) {
                            found.push(info.first..=info.last());
                        }
                    }
                }
            }
        }
        found.sort_unstable_by_key(|range| *range.start());
        Ok(found)
    }
}

/// Whether the broker could read all of the segment, or its error; and why not by its index.
fn check_readable(
    segment: &Path,
    first: u64,
    seal: &Seal,
    identity: Identity,
) -> Result<Option<String>, String> {
    verify_segment(segment, identity.journal, first, seal).map_err(|error| {
        if let JournalError::Archive { reason, .. } = error { reason } else { error.to_string() }
    })
}
