//! What becomes of a sealed span that can't be read?
//!
//! It is moved aside and scanned for whole blocks, whatever sled thinks of it; what is found, and
//! what the commit log still has, makes a new span in its place, and the rest is named as missing.
//! Guarantees that nothing is deleted, that a repair cut short begins anew, and that one reader at
//! a time repairs. Bounded memory: a place per block, not the blocks.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use super::archiver::encode_block;
use super::places::Places;
use super::seal::{self, Seal};
use super::span::Span;
use super::{Archive, SealedSpan};
use crate::journal::commit_log::Files;
use crate::journal::disk;
use crate::journal::error::JournalError;
use crate::journal::frame::{Block, Draft};
use crate::journal::record::{EncodedRecord, records_of};

/// Records from the commit log go into blocks of so many, or of so many bytes before packing.
const RECORDS_PER_BLOCK: usize = 64;
const BYTES_PER_BLOCK: usize = 13 << 10;

impl Archive {
    /// Makes the sealed span around `number` readable again as far as it goes.
    pub(in crate::journal) fn repair(
        &self,
        number: u64,
        error: &JournalError,
        log: &Files,
    ) -> Result<(), JournalError> {
        let is_closed = self.repairing.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_closed {
            return Err(JournalError::Closed { path: self.folder.clone() });
        }
        // Another reader may have repaired it meanwhile, or it may be trimmed by now.
        let Some(first) = self.sealed_with(number) else { return Ok(()) };
        if self.sealed_block(first, number).is_ok() {
            return Ok(());
        }
        tracing::error!(error = error as &dyn std::error::Error, "a span is damaged: salvaging it");
        self.close_one(first);
        let before = {
            let spans = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
            spans.get(&first).map(|span| span.seal.clone())
        };
        let Some(before) = before else { return Ok(()) };
        let path = self.span_path(first);
        let aside = path.with_added_extension("damaged");
        // While the span itself is not there, what lies aside is all there is of it.
        if path.exists() {
            // One from before has nothing that was not taken out of it then.
            let _ = fs::remove_dir_all(&aside);
            disk::rename(&path, &aside)?;
        }
        let numbers = first..=before.last;
        let salvage = Places::scan(&aside, self.journal, &numbers, &self.closing)?;
        let rebuilt = self.rebuild(&salvage, first, &before, log)?;
        let held = rebuilt.as_ref().map_or_else(Vec::new, |span| span.seal.held(first));
        let lost = without(&before.held(first), &held);
        {
            let mut spans = self.sealed.write().unwrap_or_else(PoisonError::into_inner);
            match rebuilt {
                Some(span) => drop(spans.insert(first, span)),
                None => drop(spans.remove(&first)),
            }
        }
        let blocks = salvage.blocks().count();
        tracing::error!(blocks, lost_records = ?lost, path = %aside.display(), "a span was salvaged");
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).extend(lost);
        Ok(())
    }

    /// What repairs found missing since this was last asked.
    pub(in crate::journal) fn take_lost(&self) -> Vec<RangeInclusive<u64>> {
        std::mem::take(&mut *self.lost.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes the new span; `None` if there is nothing to make it of.
    fn rebuild(
        &self,
        salvage: &Places,
        first: u64,
        before: &Seal,
        log: &Files,
    ) -> Result<Option<SealedSpan>, JournalError> {
        let path = self.span_path(first);
        let beside = path.with_added_extension("rebuilt");
        let _ = fs::remove_dir_all(&beside);
        disk::create_folder(&beside)?;
        let span = Span::open(beside.clone())?;
        let mut filling = Filling { archive: self, span: &span, next: first, gaps: Vec::new() };
        for numbers in salvage.blocks() {
            let number = *numbers.start();
            // A block that overlaps with one before is of an older making of the span.
            let bytes = salvage.bytes_at(number)?.filter(|_| number >= filling.next);
            let Some((bytes, block)) =
                bytes.and_then(|it| Some((it.clone(), Block::parse(&it).ok()?)))
            else {
                continue;
            };
            if records_of(&block).is_ok() {
                filling.take_from_log(number - 1, log)?;
                filling.put(block.header.draft, &bytes)?;
            }
        }
        filling.take_from_log(before.last, log)?;
        let (last, missing) = filling.end(before.last);
        span.flush()?;
        span.close();
        let seal_path = self.seal_path(first);
        if last < first {
            // The seal goes first: it would bring the damaged span back.
            fs::remove_file(&seal_path).map_err(JournalError::io("remove", &seal_path))?;
            fs::remove_dir_all(&beside).map_err(JournalError::io("remove", &beside))?;
            disk::sync_folder(&self.folder)?;
            return Ok(None);
        }
        let (term, lived) = (before.term, before.lived);
        let mut seal = Seal { last, term, newest_us: None, lived, missing };
        disk::sync_tree(&beside)?;
        let again = Places::scan(&beside, self.journal, &(first..=last), &self.closing)?;
        seal.newest_us = Some(seal::check(&again, first, &seal)?);
        seal.write(&seal_path, self.journal, first)?;
        disk::rename(&beside, &path)?;
        Ok(Some(SealedSpan { seal, bytes: disk::allocated_below(&path) }))
    }
}

/// A new span, from its first number upwards.
struct Filling<'a> {
    archive: &'a Archive,
    span: &'a Span,
    next: u64,
    gaps: Vec<RangeInclusive<u64>>,
}

impl Filling<'_> {
    /// Puts a block in; what lies between is a gap.
    fn put(&mut self, draft: Draft, bytes: &[u8]) -> Result<(), JournalError> {
        if draft.first > self.next {
            self.gaps.push(self.next..=draft.first - 1);
        }
        self.span.insert(draft.first, bytes)?;
        self.next = draft.last() + 1;
        Ok(())
    }

    /// Takes what the commit log still has from the next number up to `through`.
    fn take_from_log(&mut self, through: u64, log: &Files) -> Result<(), JournalError> {
        let mut number = self.next;
        while let Some(at) = log.at_or_above(number).filter(|at| *at <= through) {
            let Ok(Some(blocks)) = log.blocks_at(at) else { break };
            let mut records = Vec::new();
            for block in &blocks {
                let term = block.header.draft.term;
                let of_block = records_of(block).unwrap_or_default();
                records.extend(of_block.into_iter().map(|record| (term, record)));
            }
            records.retain(|(_, record)| (at..=through).contains(&record.number));
            let Some((_, last)) = records.last() else { break };
            number = last.number + 1;
            for part in parts(&records) {
                let (draft, block) = encode_block(self.archive.journal, part);
                self.put(draft, &block)?;
            }
        }
        Ok(())
    }

    /// The last number that is there, and the gaps before it.
    fn end(self, last: u64) -> (u64, Vec<RangeInclusive<u64>>) {
        (last.min(self.next - 1), self.gaps)
    }
}

/// Cuts dense records into parts that make small blocks.
fn parts(mut rest: &[(u64, EncodedRecord)]) -> Vec<&[(u64, EncodedRecord)]> {
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let mut bytes = 0;
        let small = rest.iter().take(RECORDS_PER_BLOCK).take_while(|(_, record)| {
            bytes += record.bytes.len();
            bytes <= BYTES_PER_BLOCK
        });
        let (part, others) = rest.split_at(small.count().max(1));
        parts.push(part);
        rest = others;
    }
    parts
}

/// What of `all` is not in `held`; both ascending, and `held` within `all`.
fn without(all: &[RangeInclusive<u64>], held: &[RangeInclusive<u64>]) -> Vec<RangeInclusive<u64>> {
    let mut lost = Vec::new();
    for range in all {
        let mut next = *range.start();
        for kept in held.iter().filter(|it| it.end() >= range.start() && it.start() <= range.end())
        {
            if *kept.start() > next {
                lost.push(next..=*kept.start() - 1);
            }
            next = next.max(*kept.end() + 1);
        }
        if next <= *range.end() {
            lost.push(next..=*range.end());
        }
    }
    lost
}

/// Undoes repairs that were cut short: what is damaged is found so again.
pub(super) fn undo(folder: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let mut trash = Vec::new();
    for path in disk::paths_in(folder)? {
        if disk::number_in_name(&path, "span-", ".rebuilt").is_some() {
            let away = path.with_added_extension("trash");
            let _ = fs::remove_dir_all(&away);
            disk::rename(&path, &away)?;
            trash.push(away);
        } else if disk::number_in_name(&path, "span-", ".damaged").is_some() {
            let span = path.with_extension("");
            if !span.exists() && span.with_added_extension("sealed").exists() {
                disk::rename(&path, &span)?;
            }
        }
    }
    Ok(trash)
}

#[cfg(test)]
#[test]
fn what_is_lost_is_what_was_held_and_is_not() {
    assert_eq!(without(&[1..=10, 20..=30], &[3..=4, 6..=30]), [1..=2, 5..=5]);
    assert_eq!(without(&[1..=10], &[]), [1..=10]);
    assert_eq!(without(&[1..=10], &[1..=10]), []);
}
