//! Are the spans of the archive sound?
//!
//! Two looks at each: a raw scan of its files, which decodes every record, and the check that its
//! sealing made. The first tells what can be saved when the second fails.

use std::ops::RangeInclusive;
use std::path::Path;

use super::{Checking, Finding, open};
use crate::journal::archive::{Seal, read_mark, verify};
use crate::journal::disk;
use crate::journal::error::JournalError;
use crate::journal::frame::Content;
use crate::journal::identity::Identity;
use crate::journal::opening::holes;
use crate::journal::rescue::inventory::files_below;
use crate::journal::scan::{Found, Scan};

impl Checking {
    pub(super) fn spans(
        &mut self,
        folder: &Path,
        identity: Identity,
        look: &mut impl FnMut(&Path),
    ) -> Result<(), JournalError> {
        if !folder.is_dir() {
            return Ok(());
        }
        let trimmed = read_mark(folder, identity.journal);
        if trimmed.is_none() {
            let words = "can't be read: what was trimmed on purpose and what is lost look alike";
            self.report.notes.push(format!("{} {words}", folder.join("trimmed").display()));
        }
        for path in disk::paths_in(folder)? {
            if let Some(first) = disk::number_in_name(&path, "span-", "") {
                if trimmed.is_some_and(|trimmed| first <= trimmed) {
                    self.report.notes.push(format!("{} was trimmed", path.display()));
                    continue;
                }
                look(&path);
                self.span(&path, first, identity)?;
            } else if path.is_dir() {
                let words = "is not used; `gridd journal salvage` reads it, too";
                self.report.notes.push(format!("{} {words}", path.display()));
            }
        }
        // Without a word about trims the oldest that is there is where it began.
        self.oldest = trimmed.map(|trimmed| trimmed + 1).or(self.oldest);
        Ok(())
    }

    fn span(&mut self, path: &Path, first: u64, identity: Identity) -> Result<(), JournalError> {
        let seal_path = path.with_added_extension("sealed");
        let seal = Seal::read(&seal_path, identity.journal, first);
        let Some(seal) = seal else { return self.unsealed(path, &seal_path, first, identity) };
        self.begun_with(first);
        self.last = self.last.max(seal.last);
        let mut found = self.scan(path, identity)?;
        // Gaps that the seal knows of are told as missing records, not of the span.
        let mut whole = [found.clone(), seal.missing.clone()].concat();
        let lost = holes(Some(first), &mut whole, seal.last);
        match reads(path, first, &seal, identity) {
            Ok(()) => {
                self.report.sealed_spans += 1;
                seal.held(first).into_iter().for_each(|range| self.hold(range));
            }
            Err(reason) => {
                let (path, found_all) = (path.to_owned(), lost.is_empty());
                self.report.findings.push(Finding::Span { path, reason, found: found_all });
                found.drain(..).for_each(|range| self.hold(range));
            }
        }
        Ok(())
    }

    /// A span that was being filled: the next start builds it again from the commit log.
    fn unsealed(
        &mut self,
        path: &Path,
        seal: &Path,
        first: u64,
        identity: Identity,
    ) -> Result<(), JournalError> {
        if seal.exists() {
            let words = "can't be read: the next start checks its span again";
            self.report.notes.push(format!("{} {words}", seal.display()));
        }
        if !self.held.iter().any(|range| range.contains(&first)) {
            for range in self.scan(path, identity)? {
                self.begun_with(*range.start());
                self.hold(range);
            }
        }
        Ok(())
    }

    /// The numbers whose blocks lie whole in the span's files, ascending.
    fn scan(
        &mut self,
        span: &Path,
        identity: Identity,
    ) -> Result<Vec<RangeInclusive<u64>>, JournalError> {
        let mut found = Vec::new();
        for path in files_below(span)? {
            let mut scan = Scan::new(open(&path)?);
            while let Some(next) = scan.next_block().map_err(JournalError::io("read", &path))? {
                match next {
                    Found::Newer { offset } => self.newer_block(&path, offset),
                    Found::Block { block, .. } => {
                        let draft = block.header.draft;
                        let is_ours = draft.journal == identity.journal
                            && draft.content == Content::Records
                            && draft.count > 0;
                        if is_ours && self.records(&path, &block) {
                            found.push(draft.first..=draft.last());
                        }
                    }
                }
            }
        }
        found.sort_unstable_by_key(|range| *range.start());
        Ok(found)
    }
}

/// Whether the broker would read all of the span, or its complaint.
fn reads(span: &Path, first: u64, seal: &Seal, identity: Identity) -> Result<(), String> {
    verify(span, identity.journal, first, seal).map_err(|error| {
        if let JournalError::Archive { reason, .. } = error { reason } else { error.to_string() }
    })
}
