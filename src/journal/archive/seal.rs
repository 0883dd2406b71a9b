//! Writes and reads seals, which say that a segment is whole.
//!
//! `check` reads every block of a span; the seal, a framed file beside the folder, says that it
//! was done, and up to which number. It does not know how a span came to be.

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use bytes::{Buf, BufMut};
use uuid::Uuid;

use crate::journal::archive::block_index::BlockIndex;
use crate::journal::disk;
use crate::journal::error::JournalError;
use crate::journal::frame::{Block, BlockContent, BlockInfo, Compression, encode};
use crate::journal::record::{BlockSummary, records_in_block};

/// What is known of a sealed span besides its first number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Seal {
    /// Its last number.
    pub(in crate::journal) last: u64,
    /// The newest term of its records.
    pub(in crate::journal) term: u64,
    /// The newest time of its records, in microseconds since the epoch.
    pub(in crate::journal) newest_us: Option<i64>,
    /// For how long brokers were at work when it was sealed: by this it gets old, whatever the wall
    /// clock says. Zero in seals of releases before.
    pub(in crate::journal) lived: Duration,
    /// What was lost of it, ascending; never its last number.
    pub(in crate::journal) missing: Vec<RangeInclusive<u64>>,
}

impl Seal {
    /// Writes the seal durably.
    pub(super) fn write(&self, path: &Path, journal: Uuid, first: u64) -> Result<(), JournalError> {
        let draft =
            BlockInfo { content: BlockContent::Seal, journal, term: self.term, first, count: 0 };
        let mut payload = Vec::new();
        payload.put_u64_le(self.last);
        payload.put_i64_le(self.newest_us.unwrap_or(i64::MAX));
        for gap in &self.missing {
            payload.put_u64_le(*gap.start());
            payload.put_u64_le(*gap.end());
        }
        // Behind the gaps, and no pair: releases before read on as far as pairs go.
        payload.put_u64_le(u64::try_from(self.lived.as_micros()).unwrap_or(u64::MAX));
        let mut out = Vec::new();
        encode(&mut out, &draft, Compression::None, &[], &payload).map_err(|_| {
            JournalError::Archive {
                action: "seal",
                path: path.to_owned(),
                reason: format!("it has {} gaps", self.missing.len()),
            }
        })?;
        disk::replace_file(path, &out)
    }

    /// Reads a seal; `None` if it is not one of this journal and span.
    pub(in crate::journal) fn read(path: &Path, journal: Uuid, first: u64) -> Option<Self> {
        let block = Block::parse(&fs::read(path).ok()?.into()).ok()?;
        let draft = block.header.info;
        let mut payload = block.payload().ok()?;
        let last = payload.try_get_u64_le().ok()?;
        let newest_us = payload.try_get_i64_le().ok().filter(|newest| *newest < i64::MAX);
        let mut missing = Vec::new();
        let mut lived = Duration::ZERO;
        while let Ok(word) = payload.try_get_u64_le() {
            match payload.try_get_u64_le() {
                Ok(to) => missing.push(word..=to),
                Err(_) => lived = Duration::from_micros(word),
            }
        }
        let ours = draft.content == BlockContent::Seal
            && (draft.journal, draft.first) == (journal, first)
            && last >= first;
        ours.then_some(Self { last, term: draft.term, newest_us, lived, missing })
    }

    /// The gap around `number`.
    pub(super) fn gap_at(&self, number: u64) -> Option<&RangeInclusive<u64>> {
        let at = self.missing.partition_point(|gap| *gap.end() < number);
        self.missing.get(at).filter(|gap| gap.contains(&number))
    }

    /// The numbers that are there, of a span that begins with `first`.
    pub(in crate::journal) fn present_ranges(&self, first: u64) -> Vec<RangeInclusive<u64>> {
        let mut held = Vec::with_capacity(self.missing.len() + 1);
        let mut from = first;
        for gap in &self.missing {
            if *gap.start() > from {
                held.push(from..=*gap.start() - 1);
            }
            from = *gap.end() + 1;
        }
        if from <= self.last {
            held.push(from..=self.last);
        }
        held
    }
}

/// Reads the whole span, from `first` to the seal's last: dense but for the gaps, every checksum,
/// record and summary good. Gives the newest time of its records.
pub(super) fn check_blocks(
    span: &BlockIndex,
    first: u64,
    seal: &Seal,
) -> Result<i64, JournalError> {
    let failed = |reason: String| JournalError::Archive {
        action: "seal",
        path: span.path().to_owned(),
        reason,
    };
    let mut newest_us = i64::MIN;
    for held in seal.present_ranges(first) {
        let mut next = *held.start();
        while next <= *held.end() {
            let block = span
                .block_at(next)?
                .filter(|block| block.header.info.first == next)
                .ok_or_else(|| failed(format!("record {next} is not in it")))?;
            let records = records_in_block(&block).map_err(|error| failed(error.to_string()))?;
            let summary = BlockSummary::from_records(&records);
            if records.is_empty() || BlockSummary::decode(&block.summary).as_ref() != Some(&summary)
            {
                return Err(failed(format!("the summary of record {next} does not fit")));
            }
            newest_us = newest_us.max(summary.at_us_max);
            next = block.header.info.last() + 1;
        }
        if next != *held.end() + 1 {
            return Err(failed(format!("it goes beyond {}", held.end())));
        }
    }
    Ok(newest_us)
}
