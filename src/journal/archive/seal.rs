//! Is this span whole, and who says so?
//!
//! `check` reads every block of a span; the seal, a framed file beside the folder, says that it
//! was done, and up to which number. It does not know how a span came to be.

use std::fs;
use std::path::Path;

use bytes::{Buf, BufMut};
use uuid::Uuid;

use super::span::Span;
use crate::journal::disk;
use crate::journal::error::JournalError;
use crate::journal::frame::{Block, Codec, Content, Draft, encode};
use crate::journal::record::{Summary, records_of};

/// What is known of a sealed span besides its first number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Seal {
    /// Its last number.
    pub(in crate::journal) last: u64,
    /// The newest term of its records.
    pub(in crate::journal) term: u64,
}

impl Seal {
    /// Writes the seal durably.
    pub(super) fn write(self, path: &Path, journal: Uuid, first: u64) -> Result<(), JournalError> {
        let draft = Draft { content: Content::Seal, journal, term: self.term, first, count: 0 };
        let mut payload = Vec::new();
        payload.put_u64_le(self.last);
        let mut out = Vec::new();
        encode(&mut out, &draft, Codec::None, &[], &payload).expect("8 bytes fit a block");
        disk::replace_file(path, &out)
    }

    /// Reads a seal; `None` if it is not one of this journal and span.
    pub(in crate::journal) fn read(path: &Path, journal: Uuid, first: u64) -> Option<Self> {
        let block = Block::parse(&fs::read(path).ok()?.into()).ok()?;
        let draft = block.header.draft;
        let last = block.payload().ok()?.try_get_u64_le().ok()?;
        let ours = draft.content == Content::Seal
            && (draft.journal, draft.first) == (journal, first)
            && last >= first;
        ours.then_some(Self { last, term: draft.term })
    }
}

/// Reads the whole span: dense from `first` to `last`, every checksum, record and summary good.
pub(super) fn check(span: &Span, first: u64, last: u64) -> Result<(), JournalError> {
    let failed = |reason: String| JournalError::Archive {
        action: "seal",
        path: span.path().to_owned(),
        reason,
    };
    let mut next = first;
    while next <= last {
        let block = span
            .block_at(next)?
            .filter(|block| block.header.draft.first == next)
            .ok_or_else(|| failed(format!("record {next} is not in it")))?;
        let records = records_of(&block).map_err(|error| failed(error.to_string()))?;
        if records.is_empty() || Summary::decode(&block.summary) != Some(Summary::of(&records)) {
            return Err(failed(format!("the summary of record {next} does not fit")));
        }
        next = block.header.draft.last() + 1;
    }
    if next == last + 1 { Ok(()) } else { Err(failed(format!("it goes beyond {last}"))) }
}
