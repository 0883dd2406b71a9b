//! Checks segments, and reads and writes their seals.
//!
//! `check_blocks` reads every block of a segment. The seal, a file of one block beside the folder,
//! records that this was done, and up to which number. Guarantees that a seal is read only for its
//! own journal and segment. Does not know how a segment was filled.

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use bytes::{Buf, BufMut};
use uuid::Uuid;

use crate::journal::archive::block_index::BlockIndex;
use crate::journal::disk;
use crate::journal::error::JournalError;
use crate::journal::frame::{Block, BlockContent, BlockInfo, Compression, FrameError, encode};
use crate::journal::record::BlockSummary;
use crate::journal::record_headers::RecordHeaders;

/// What is known of a sealed segment besides its first number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Seal {
    /// Its last number.
    pub(in crate::journal) last: u64,
    /// The newest term of its records.
    pub(in crate::journal) term: u64,
    /// The newest time of its records, in microseconds since the epoch.
    pub(in crate::journal) newest_us: Option<i64>,
    /// The lived time when it was sealed: its age is measured from this, independent of the wall
    /// clock. Zero in seals of earlier releases.
    pub(in crate::journal) lived: Duration,
    /// Its missing numbers, ascending; never its last number.
    pub(in crate::journal) missing: Vec<RangeInclusive<u64>>,
}

impl Seal {
    /// Writes the seal durably.
    pub(super) fn write(&self, path: &Path, journal: Uuid, first: u64) -> Result<(), JournalError> {
        let info =
            BlockInfo { content: BlockContent::Seal, journal, term: self.term, first, count: 0 };
        let mut payload = Vec::new();
        payload.put_u64_le(self.last);
        payload.put_i64_le(self.newest_us.unwrap_or(i64::MAX));
        for gap in &self.missing {
            payload.put_u64_le(*gap.start());
            payload.put_u64_le(*gap.end());
        }
        // After the gaps, and no pair: earlier releases read as far as there are pairs.
        payload.put_u64_le(u64::try_from(self.lived.as_micros()).unwrap_or(u64::MAX));
        let mut out = Vec::new();
        encode(&mut out, &info, Compression::None, &[], &payload).map_err(|_| {
            JournalError::Archive {
                action: "seal",
                path: path.to_owned(),
                reason: format!("it has {} gaps", self.missing.len()),
            }
        })?;
        disk::replace_file(path, &out)
    }

    /// Reads a seal; `None` if it is not one of this journal and segment.
    pub(in crate::journal) fn read(path: &Path, journal: Uuid, first: u64) -> Option<Self> {
        let block = Block::parse(&fs::read(path).ok()?.into()).ok()?;
        let info = block.header.info;
        let mut payload = block.payload().ok()?;
        let last = payload.try_get_u64_le().ok()?;
        let newest_us = payload.try_get_i64_le().ok().filter(|newest| *newest < i64::MAX);
        let mut missing = Vec::new();
        let mut lived = Duration::ZERO;
        while let Ok(from) = payload.try_get_u64_le() {
            match payload.try_get_u64_le() {
                Ok(to) => missing.push(from..=to),
                Err(_) => lived = Duration::from_micros(from),
            }
        }
        let is_ours = info.content == BlockContent::Seal
            && (info.journal, info.first) == (journal, first)
            && last >= first;
        is_ours.then_some(Self { last, term: info.term, newest_us, lived, missing })
    }

    /// The gap around `number`.
    pub(super) fn gap_at(&self, number: u64) -> Option<&RangeInclusive<u64>> {
        let at = self.missing.partition_point(|gap| *gap.end() < number);
        self.missing.get(at).filter(|gap| gap.contains(&number))
    }

    /// The ranges of numbers that are present, in a segment that begins with `first`.
    pub(in crate::journal) fn present_ranges(&self, first: u64) -> Vec<RangeInclusive<u64>> {
        let mut present = Vec::with_capacity(self.missing.len() + 1);
        let mut from = first;
        for gap in &self.missing {
            if *gap.start() > from {
                present.push(from..=*gap.start() - 1);
            }
            from = *gap.end() + 1;
        }
        if from <= self.last {
            present.push(from..=self.last);
        }
        present
    }
}

/// Reads the whole segment, from `first` to the last number of the seal: dense except for the gaps,
/// every checksum, record and summary valid. Returns the newest time of its records.
pub(super) fn check_blocks(
    index: &BlockIndex,
    first: u64,
    seal: &Seal,
) -> Result<i64, JournalError> {
    let failed = |reason: String| JournalError::Archive {
        action: "seal",
        path: index.path().to_owned(),
        reason,
    };
    let mut newest_us = i64::MIN;
    for range in seal.present_ranges(first) {
        let mut next = *range.start();
        while next <= *range.end() {
            let block = index
                .block_at(next)?
                .filter(|block| block.header.info.first == next)
                .ok_or_else(|| failed(format!("record {next} is not in it")))?;
            let summary = check_block(&block).map_err(&failed)?;
            newest_us = newest_us.max(summary.at_us_max);
            next = block.header.info.last() + 1;
        }
        if next != *range.end() + 1 {
            return Err(failed(format!("it has records beyond {}", range.end())));
        }
    }
    Ok(newest_us)
}

/// Checks that every record of the block can be split off, and that its summary is right.
fn check_block(block: &Block) -> Result<BlockSummary, String> {
    let info = &block.header.info;
    let payload = block.payload().map_err(|error| error.to_string())?;
    let headers: Result<Vec<_>, _> =
        RecordHeaders::new(&payload).map(|found| found.map(|(header, _)| header)).collect();
    let headers = headers.map_err(|error| error.to_string())?;
    if headers.len() != info.count as usize {
        return Err(FrameError::ImpossibleLength.to_string());
    }
    let summary = BlockSummary::from_headers(headers.into_iter());
    if info.count == 0 || block.summary != summary.encode() {
        return Err(format!("the summary of record {} is wrong", info.first));
    }
    Ok(summary)
}
