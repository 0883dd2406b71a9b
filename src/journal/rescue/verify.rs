//! Checks a backup without restoring it: every block, and everything in it.
//!
//! Reads the stream once, from front to back, decodes every record and the state of the checkpoint, and
//! writes nothing. Guarantees that a backup it calls whole is restored with all its records and its
//! state, by a gridd of this version. Holds the state in memory, but never more than one block of records.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use crate::codec;
use crate::codec::DecodeError;
use crate::journal::checkpoint::CheckpointDecoder;
use crate::journal::frame::{Block, FrameError};
use crate::journal::record::EncodedRecord;
use crate::journal::rescue::findings::Findings;
use crate::journal::stream::{
    StreamDefect, StreamError, StreamHead, StreamItem, StreamReader, StreamSummary,
};

/// Why a file could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The file can't be opened.
    #[error("cannot open it: {0}")]
    Open(#[source] std::io::Error),
    /// It is no backup, or the disk fails.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// Something that a restore would lose.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// Bytes that are damaged, missing or out of place.
    #[error(transparent)]
    Stream(#[from] StreamDefect),
    /// A record whose checksum holds and that can't be decoded.
    #[error("record {number} can't be used: {reason}")]
    Record {
        /// The record.
        number: u64,
        /// Why.
        reason: DecodeError,
    },
    /// A checkpoint that is not whole.
    #[error("the checkpoint is not whole: {0}")]
    Checkpoint(FrameError),
    /// A checkpoint whose state can't be decoded.
    #[error("the state after record {through} can't be used: {reason}")]
    State {
        /// The number that it goes to.
        through: u64,
        /// Why.
        reason: DecodeError,
    },
}

/// What was found.
#[derive(Debug)]
pub struct Verified {
    /// What the backup says of itself; nothing if its head and its end are both damaged.
    pub head: Option<StreamHead>,
    /// What was read.
    pub summary: StreamSummary,
    /// The number that the state in it goes to, if that is whole.
    pub checkpoint: Option<u64>,
    /// What is wrong.
    pub defects: Findings<Defect>,
}

impl Verified {
    /// Whether a restore gives all that the backup was meant to hold.
    pub fn is_whole(&self) -> bool {
        self.defects.is_empty()
    }
}

/// Verifies the backup at `path`; `tell` gets the number of the last record read so far.
///
/// # Errors
///
/// When the file can't be read, or is no backup, or one of a later format. Damage is no error: it is
/// in [`Verified`].
pub fn verify(path: &Path, tell: impl FnMut(u64)) -> Result<Verified, VerifyError> {
    let file = File::open(path).map_err(VerifyError::Open)?;
    verify_stream(BufReader::new(file), tell)
}

fn verify_stream(read: impl Read, mut tell: impl FnMut(u64)) -> Result<Verified, VerifyError> {
    let mut stream = StreamReader::open(read)?;
    let mut defects = Findings::default();
    let mut state = StateParts::None;
    let mut has_newer = false;
    while let Some(item) = stream.next_item()? {
        match item {
            StreamItem::Defect(fault) => defects.push(fault.into()),
            StreamItem::Checkpoint { block, .. } => state.push(&block),
            StreamItem::Records(records) => {
                for record in &records {
                    if let Some(defect) = decode_defect(record, &mut has_newer) {
                        defects.push(defect);
                    }
                }
                if let Some(last) = records.last() {
                    tell(last.number);
                }
            }
        }
    }
    let head = stream.head().copied();
    let promised = head.and_then(|head| head.checkpoint);
    let checkpoint = match state.finish(promised) {
        Ok(through) => through,
        Err(defect) => {
            defects.push(defect);
            None
        }
    };
    Ok(Verified { head, summary: stream.summary().clone(), checkpoint, defects })
}

/// What is wrong with a record. Of those that a newer gridd wrote the first is enough.
fn decode_defect(record: &EncodedRecord, has_newer: &mut bool) -> Option<Defect> {
    let reason = codec::decode_record(&record.bytes).err()?;
    if let DecodeError::Newer { .. } = reason
        && std::mem::replace(has_newer, true)
    {
        return None;
    }
    Some(Defect::Record { number: record.number, reason })
}

/// The state of the checkpoint, part by part.
enum StateParts {
    None,
    Open { parts: CheckpointDecoder, through: u64, state: Vec<u8> },
    Whole { through: u64, state: Vec<u8> },
    Damaged(FrameError),
}

impl StateParts {
    fn push(&mut self, block: &Block) {
        if let Self::None = self {
            let draft = block.header.info;
            let parts = CheckpointDecoder::new(draft.journal, draft.first);
            *self = Self::Open { parts, through: draft.first, state: Vec::new() };
        }
        let Self::Open { parts, through, state } = self else { return };
        match parts.push(block) {
            Ok(Some(part)) => state.extend_from_slice(&part),
            Ok(None) => *self = Self::Whole { through: *through, state: std::mem::take(state) },
            Err(reason) => *self = Self::Damaged(reason),
        }
    }

    /// The number that the state goes to; `promised` is what the stream's head says.
    fn finish(self, promised: Option<u64>) -> Result<Option<u64>, Defect> {
        match self {
            Self::None if promised.is_none() => Ok(None),
            Self::None | Self::Open { .. } => Err(Defect::Checkpoint(FrameError::TooShort)),
            Self::Damaged(reason) => Err(Defect::Checkpoint(reason)),
            Self::Whole { through, state } => match codec::decode_state(&state) {
                Ok(_) => Ok(Some(through)),
                Err(reason) => Err(Defect::State { through, reason }),
            },
        }
    }
}
