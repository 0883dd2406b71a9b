//! Are the spans of the archive sound?
//!
//! Two looks at each: a raw scan of its files, which decodes every record, and the check that its
//! sealing made. The first tells what can be saved when the second fails.

use std::ops::RangeInclusive;
use std::path::Path;

use super::{Checking, Finding, open};
use crate::journal::archive::{Seal, checked};
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
        for path in disk::paths_in(folder)? {
            if let Some(first) = disk::number_in_name(&path, "span-", "") {
                look(&path);
                self.span(&path, first, identity)?;
            } else if path.is_dir() {
                let words = "is not used; `gridd journal salvage` reads it, too";
                self.report.notes.push(format!("{} {words}", path.display()));
            }
        }
        Ok(())
    }

    fn span(&mut self, path: &Path, first: u64, identity: Identity) -> Result<(), JournalError> {
        let seal_path = path.with_added_extension("sealed");
        let seal = Seal::read(&seal_path, identity.journal, first);
        let Some(seal) = seal else { return self.unsealed(path, &seal_path, first, identity) };
        self.begun_with(first);
        self.last = self.last.max(seal.last);
        let mut found = self.scan(path, identity)?;
        let lost = holes(Some(first), &mut found, seal.last);
        let reason = match reads(path, first, identity) {
            Ok(last) if last == seal.last => None,
            Ok(last) => Some(format!("it ends with record {last}, its seal says {}", seal.last)),
            Err(reason) => Some(reason),
        };
        match reason {
            None => {
                self.report.sealed_spans += 1;
                self.hold(first..=seal.last);
            }
            Some(reason) => {
                let (path, found_all) = (path.to_owned(), lost.is_empty());
                self.report.findings.push(Finding::Span { path, reason, found: found_all });
                found.into_iter().for_each(|range| self.hold(range));
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

/// The last number that a start would find in the span, or its complaint.
fn reads(span: &Path, first: u64, identity: Identity) -> Result<u64, String> {
    let read = checked(span, identity.journal, first);
    read.map(|seal| seal.last).map_err(|error| {
        if let JournalError::Archive { reason, .. } = error { reason } else { error.to_string() }
    })
}
