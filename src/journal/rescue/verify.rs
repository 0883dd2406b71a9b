//! Verifies a backup without restoring it: every block must be intact, and all content decodable.
//!
//! Reads the stream once, from front to back, decodes every record and the state of the checkpoint,
//! and writes nothing. Guarantees that a backup it reports whole can be restored with all its
//! records and its state, by a gridd of this version. Needs memory for the state and one block of
//! records. Does not know the command line.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use crate::codec;
use crate::codec::DecodeError;
use crate::grid::log::record::Record;
use crate::journal::checkpoint::CheckpointDecoder;
use crate::journal::frame::{Block, FrameError};
use crate::journal::record::EncodedRecord;
use crate::journal::rescue::enrolled::EnrolledKeys;
use crate::journal::rescue::findings::Findings;
use crate::journal::stream::{
    StreamDefect, StreamError, StreamHead, StreamItem, StreamReader, StreamSummary,
};

/// The reason why a file could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The file can't be opened.
    #[error("cannot open it: {0}")]
    Open(#[source] std::io::Error),
    /// It is no backup, or the disk fails.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// A defect by which a restore would lose something.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// Bytes that are damaged, missing or out of place.
    #[error(transparent)]
    Stream(#[from] StreamDefect),
    /// A record whose checksum is right and that can't be decoded.
    #[error("record {number} can't be used: {reason}")]
    Record {
        /// The record.
        number: u64,
        /// The reason.
        reason: DecodeError,
    },
    /// A checkpoint that is damaged.
    #[error("the checkpoint is damaged: {0}")]
    Checkpoint(FrameError),
    /// A checkpoint whose state can't be decoded.
    #[error("the state after record {through} can't be used: {reason}")]
    State {
        /// Its last record.
        through: u64,
        /// The reason.
        reason: DecodeError,
    },
}

/// The result of a verification.
#[derive(Debug)]
pub struct Verified {
    /// The description in the backup; `None` if its head and its end are both damaged.
    pub head: Option<StreamHead>,
    /// The totals of what was read.
    pub summary: StreamSummary,
    /// The last record of the checkpoint in it, if that is intact.
    pub checkpoint: Option<u64>,
    /// The number of keys that are enrolled at its end.
    pub enrolled_keys: usize,
    /// The defects.
    pub defects: Findings<Defect>,
}

impl Verified {
    /// Whether a restore yields all that the backup should contain.
    pub fn is_intact(&self) -> bool {
        self.defects.is_empty()
    }
}

/// Verifies the backup at `path`; calls `on_progress` with the last record read so far.
///
/// # Errors
///
/// If the file can't be read, or is no backup, or one of a later format. Damage is no error: it is
/// reported in [`Verified`].
pub fn verify(path: &Path, on_progress: impl FnMut(u64)) -> Result<Verified, VerifyError> {
    let file = File::open(path).map_err(VerifyError::Open)?;
    verify_stream(BufReader::new(file), on_progress)
}

fn verify_stream(
    read: impl Read,
    mut on_progress: impl FnMut(u64),
) -> Result<Verified, VerifyError> {
    let mut stream = StreamReader::open(read)?;
    let mut defects = Findings::default();
    let mut state = StateParts::None;
    let mut keys = EnrolledKeys::default();
    let mut has_reported_newer = false;
    while let Some(item) = stream.next_item()? {
        match item {
            StreamItem::Defect(defect) => defects.push(defect.into()),
            // The reader counts and names them.
            StreamItem::Attachment(_) => {}
            StreamItem::Checkpoint { block, .. } => state.push(&block, &mut keys),
            StreamItem::Records(records) => {
                for record in &records {
                    match decode(record, &mut has_reported_newer) {
                        Ok(record) => keys.push(&record),
                        Err(defect) => defect.into_iter().for_each(|it| defects.push(it)),
                    }
                }
                if let Some(last) = records.last() {
                    on_progress(last.number);
                }
            }
        }
    }
    let head = stream.head().copied();
    let expected = head.and_then(|head| head.checkpoint);
    let checkpoint = match state.finish(expected) {
        Ok(through) => through,
        Err(defect) => {
            defects.push(defect);
            None
        }
    };
    let (summary, enrolled_keys) = (stream.summary().clone(), keys.count());
    Ok(Verified { head, summary, checkpoint, enrolled_keys, defects })
}

/// Decodes a record, or gives its defect. Of those that a newer gridd wrote only the first is reported.
fn decode(record: &EncodedRecord, has_reported_newer: &mut bool) -> Result<Record, Option<Defect>> {
    codec::decode_record(&record.bytes).map_err(|reason| {
        let is_newer = matches!(reason, DecodeError::Newer { .. });
        let is_known = is_newer && std::mem::replace(has_reported_newer, true);
        (!is_known).then_some(Defect::Record { number: record.number, reason })
    })
}

/// The state of the checkpoint, part by part.
enum StateParts {
    None,
    Open { parts: CheckpointDecoder, through: u64, state: Vec<u8> },
    Whole { through: u64 },
    Damaged(FrameError),
    Unusable { through: u64, reason: DecodeError },
}

impl StateParts {
    /// Takes a part; the last one gives `keys` their start.
    fn push(&mut self, block: &Block, keys: &mut EnrolledKeys) {
        if let Self::None = self {
            let info = block.header.info;
            let decoder = CheckpointDecoder::new(info.journal, info.first);
            *self = Self::Open { parts: decoder, through: info.first, state: Vec::new() };
        }
        let Self::Open { parts, through, state } = self else { return };
        match parts.push(block) {
            Ok(Some(part)) => state.extend_from_slice(&part),
            Ok(None) => {
                let through = *through;
                *self = match codec::decode_state(state) {
                    Ok(state) => {
                        keys.load(through, &state);
                        Self::Whole { through }
                    }
                    Err(reason) => Self::Unusable { through, reason },
                }
            }
            Err(reason) => *self = Self::Damaged(reason),
        }
    }

    /// The last record of the checkpoint; `expected` is the one in the head of the stream.
    fn finish(self, expected: Option<u64>) -> Result<Option<u64>, Defect> {
        match self {
            Self::None if expected.is_none() => Ok(None),
            Self::None | Self::Open { .. } => Err(Defect::Checkpoint(FrameError::TooShort)),
            Self::Damaged(reason) => Err(Defect::Checkpoint(reason)),
            Self::Unusable { through, reason } => Err(Defect::State { through, reason }),
            Self::Whole { through } => Ok(Some(through)),
        }
    }
}
