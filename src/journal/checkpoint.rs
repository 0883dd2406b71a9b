//! Saves and loads checkpoints, so that a start need not read every record ever written.
//!
//! `checkpoints/checkpoint-<number>` is the state after that number, as a sequence of blocks and an
//! end block with length and checksum of the whole. Written to a temporary file, synced, renamed;
//! the two newest are retained. Guarantees that a loaded state is the one that was saved. Does not
//! know the content of a state.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut, Bytes};
use uuid::Uuid;

use super::disk;
use super::error::JournalError;
use super::frame::{Block, BlockContent, BlockInfo, Compression, FrameError, encode};
use super::scan::{BlockScan, ScanItem};

/// Length of a part of the state before compression, in bytes.
const PART_BYTES: usize = 1 << 20;
const CHECKPOINTS_RETAINED: usize = 2;
const PREFIX: &str = "checkpoint-";

/// The content of a checkpoint: the bytes of a state, in parts. They are taken one by one while the
/// checkpoint is written, by the thread that writes it.
pub struct CheckpointContent(Box<dyn Iterator<Item = Vec<u8>> + Send>);

impl CheckpointContent {
    /// The content in these parts.
    pub fn new(parts: impl Iterator<Item = Vec<u8>> + Send + 'static) -> Self {
        Self(Box::new(parts))
    }
}

impl From<Vec<u8>> for CheckpointContent {
    fn from(state: Vec<u8>) -> Self {
        Self::new(std::iter::once(state))
    }
}

impl fmt::Debug for CheckpointContent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CheckpointContent").finish_non_exhaustive()
    }
}

/// A checkpoint that could not be loaded and was renamed, so that it is not one of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedCheckpoint {
    /// Its present path.
    pub path: PathBuf,
    /// The check that failed.
    pub reason: FrameError,
}

/// The checkpoints found at the start.
#[derive(Debug)]
pub(super) struct RecoveredCheckpoints {
    /// The newest intact one: its last record, its term, its state.
    pub(super) newest: Option<(u64, u64, Vec<u8>)>,
    pub(super) failed: Vec<FailedCheckpoint>,
    pub(super) checkpoints: Checkpoints,
}

/// The folder of checkpoints.
#[derive(Debug)]
pub(super) struct Checkpoints {
    folder: PathBuf,
    journal: Uuid,
    /// The last records of the retained ones, ascending; at most two.
    numbers: Vec<u64>,
}

/// Loads the newest intact checkpoint in `folder`.
pub(super) fn open(folder: PathBuf, journal: Uuid) -> Result<RecoveredCheckpoints, JournalError> {
    let mut numbers: Vec<u64> =
        list_checkpoints(&folder)?.into_iter().map(|(through, _)| through).collect();
    let mut found = RecoveredCheckpoints {
        newest: None,
        failed: Vec::new(),
        checkpoints: Checkpoints { folder, journal, numbers: Vec::new() },
    };
    while let Some(&through) = numbers.last() {
        let path = found.checkpoints.path(through);
        let bytes = fs::read(&path).map_err(JournalError::io("read", &path))?;
        match decode(bytes.into(), journal, through) {
            Ok((term, state)) => {
                found.newest = Some((through, term, state));
                break;
            }
            Err(FrameError::NewerFormat) => {
                return Err(JournalError::NewerBlock { path, offset: 0 });
            }
            Err(reason) => {
                let damaged = path.with_added_extension("damaged");
                disk::rename(&path, &damaged)?;
                found.failed.push(FailedCheckpoint { path: damaged, reason });
                numbers.pop();
            }
        }
    }
    found.checkpoints.numbers = numbers;
    Ok(found)
}

impl Checkpoints {
    /// Writes the state after `through` durably, then removes all but the two newest.
    pub(super) fn save(
        &mut self,
        through: u64,
        term: u64,
        state: CheckpointContent,
    ) -> Result<(), JournalError> {
        disk::replace_file_with(&self.path(through), |file| {
            write_checkpoint(file, self.journal, term, through, state)
        })?;
        self.numbers.retain(|number| *number != through);
        self.numbers.push(through);
        while self.numbers.len() > CHECKPOINTS_RETAINED {
            let path = self.path(self.numbers[0]);
            fs::remove_file(&path).map_err(JournalError::io("remove", &path))?;
            self.numbers.remove(0);
        }
        disk::sync_folder(&self.folder)
    }

    /// The last record of the older of two checkpoints; 0 while there is only one.
    pub(super) fn older(&self) -> u64 {
        if self.numbers.len() < CHECKPOINTS_RETAINED { 0 } else { self.numbers[0] }
    }

    fn path(&self, through: u64) -> PathBuf {
        checkpoint_path(&self.folder, through)
    }
}

pub(super) fn checkpoint_path(folder: &Path, through: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{through:020}"))
}

/// Writes a checkpoint as its parts come: at no time is more than one block of it in memory.
fn write_checkpoint(
    out: &mut dyn Write,
    journal: Uuid,
    term: u64,
    through: u64,
    state: CheckpointContent,
) -> io::Result<()> {
    let info =
        BlockInfo { content: BlockContent::Checkpoint, journal, term, first: through, count: 0 };
    let mut writer = CheckpointWriter { out, info, block: Vec::new(), length: 0, crc: 0 };
    let mut gathered = Vec::new();
    for part in state.0 {
        gathered.extend_from_slice(&part);
        if gathered.len() >= PART_BYTES {
            let whole = gathered.len() - gathered.len() % PART_BYTES;
            gathered[..whole].chunks(PART_BYTES).try_for_each(|part| writer.write_part(part))?;
            gathered.drain(..whole);
        }
    }
    if !gathered.is_empty() {
        writer.write_part(&gathered)?;
    }
    writer.finish()
}

/// Writes the blocks of one checkpoint.
struct CheckpointWriter<'a> {
    out: &'a mut dyn Write,
    info: BlockInfo,
    block: Vec<u8>,
    length: u64,
    crc: u32,
}

impl CheckpointWriter<'_> {
    fn write_part(&mut self, part: &[u8]) -> io::Result<()> {
        self.length += part.len() as u64;
        self.crc = crc32c::crc32c_append(self.crc, part);
        self.write_block(Compression::Zstd, part)?;
        self.info.count += 1;
        Ok(())
    }

    fn write_block(&mut self, compression: Compression, payload: &[u8]) -> io::Result<()> {
        self.block.clear();
        encode(&mut self.block, &self.info, compression, &[], payload).expect("it fits a block");
        self.out.write_all(&self.block)
    }

    fn finish(mut self) -> io::Result<()> {
        let mut end = Vec::new();
        end.put_u64_le(self.length);
        end.put_u32_le(self.crc);
        self.info.content = BlockContent::CheckpointEnd;
        self.write_block(Compression::None, &end)
    }
}

/// Decodes the content of a checkpoint file: the term and the state.
///
/// # Errors
///
/// If it is not the complete state of that journal after `through`.
pub fn decode(mut rest: Bytes, journal: Uuid, through: u64) -> Result<(u64, Vec<u8>), FrameError> {
    let mut state = Vec::new();
    let mut parts = CheckpointDecoder::new(journal, through);
    loop {
        let block = Block::parse(&rest)?;
        rest.advance(block.header.block_bytes());
        match parts.push(&block)? {
            Some(part) => state.extend_from_slice(&part),
            None => return Ok((block.header.info.term, state)),
        }
    }
}

/// Verifies a checkpoint without storing it: returns its term, or why it is damaged.
pub(super) fn verify(
    read: impl Read,
    journal: Uuid,
    through: u64,
) -> io::Result<Result<u64, FrameError>> {
    let mut scan = BlockScan::new(read);
    let mut parts = CheckpointDecoder::new(journal, through);
    Ok(loop {
        match scan.next_block()? {
            None => break Err(scan.gap().reason.unwrap_or(FrameError::TooShort)),
            Some(_) if scan.gap().bytes > 0 => {
                break Err(scan.gap().reason.unwrap_or(FrameError::NotABlock));
            }
            Some(ScanItem::Newer { .. }) => break Err(FrameError::NewerFormat),
            Some(ScanItem::Block { block, .. }) => match parts.push(&block) {
                Ok(Some(_)) => {}
                Ok(None) => break Ok(block.header.info.term),
                Err(error) => break Err(error),
            },
        }
    })
}

/// The checkpoints in `folder`, ascending.
pub(super) fn list_checkpoints(folder: &Path) -> Result<Vec<(u64, PathBuf)>, JournalError> {
    let paths = disk::paths_in(folder)?.into_iter();
    let mut found: Vec<_> =
        paths.filter_map(|path| Some((disk::number_in_name(&path, PREFIX, "")?, path))).collect();
    found.sort_unstable();
    Ok(found)
}

/// Decodes the blocks of a checkpoint one by one.
#[derive(Debug)]
pub(super) struct CheckpointDecoder {
    journal: Uuid,
    through: u64,
    next: u32,
    bytes: u64,
    crc: u32,
}

impl CheckpointDecoder {
    /// A decoder that has no block yet.
    pub(super) fn new(journal: Uuid, through: u64) -> Self {
        Self { journal, through, next: 0, bytes: 0, crc: 0 }
    }

    /// Decodes the next block: a part of the state, or `None` if this is the end and all is intact.
    pub(super) fn push(&mut self, block: &Block) -> Result<Option<Bytes>, FrameError> {
        let info = block.header.info;
        if (info.journal, info.first, info.count) != (self.journal, self.through, self.next) {
            return Err(FrameError::OutOfPlace);
        }
        let mut payload = block.payload()?;
        if info.content == BlockContent::Checkpoint {
            self.next = self.next.checked_add(1).ok_or(FrameError::ImpossibleLength)?;
            self.bytes += payload.len() as u64;
            self.crc = crc32c::crc32c_append(self.crc, &payload);
            return Ok(Some(payload));
        }
        let is_intact = info.content == BlockContent::CheckpointEnd
            && payload.try_get_u64_le().ok() == Some(self.bytes)
            && payload.try_get_u32_le().ok() == Some(self.crc);
        if is_intact { Ok(None) } else { Err(FrameError::OutOfPlace) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JOURNAL: Uuid = Uuid::from_u128(5);

    fn loaded(folder: &Path) -> RecoveredCheckpoints {
        open(folder.to_owned(), JOURNAL).unwrap()
    }

    fn encoded(state: CheckpointContent) -> Vec<u8> {
        let mut whole = Vec::new();
        write_checkpoint(&mut whole, JOURNAL, 1, 7, state).unwrap();
        whole
    }

    #[test]
    fn the_parts_of_a_state_do_not_matter() {
        let state: Vec<u8> =
            (0..2 * PART_BYTES + 5).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let whole = encoded(state.clone().into());
        for length in [1_000, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES] {
            let parts: Vec<_> = state.chunks(length).map(<[u8]>::to_vec).collect();
            let written = encoded(CheckpointContent::new(parts.into_iter()));
            assert!(written == whole, "parts of {length} bytes");
        }
        assert_eq!(decode(whole.into(), JOURNAL, 7), Ok((1, state)));
    }

    #[test]
    fn the_two_newest_are_retained() {
        let dir = tempfile::tempdir().unwrap();
        let mut checkpoints = loaded(dir.path()).checkpoints;
        let large = vec![3; 3 * PART_BYTES + 1];
        checkpoints.save(10, 1, b"ten".to_vec().into()).unwrap();
        assert_eq!(checkpoints.older(), 0);
        checkpoints.save(20, 1, Vec::new().into()).unwrap();
        checkpoints.save(30, 2, large.clone().into()).unwrap();
        assert_eq!(checkpoints.older(), 20);
        assert_eq!(disk::paths_in(dir.path()).unwrap().len(), 2);
        let found = loaded(dir.path());
        assert_eq!(found.newest, Some((30, 2, large)));
        assert_eq!(found.checkpoints.older(), 20);
    }

    #[test]
    fn the_older_one_serves_when_the_newer_is_bad() {
        let dir = tempfile::tempdir().unwrap();
        let mut checkpoints = loaded(dir.path()).checkpoints;
        checkpoints.save(10, 1, b"ten".to_vec().into()).unwrap();
        checkpoints.save(20, 1, b"twenty".to_vec().into()).unwrap();
        let newest = checkpoint_path(dir.path(), 20);
        let mut bytes = fs::read(&newest).unwrap();
        bytes[66] ^= 1;
        fs::write(&newest, bytes).unwrap();

        let mut found = loaded(dir.path());
        assert_eq!(found.newest, Some((10, 1, b"ten".to_vec())));
        assert_eq!(found.failed.len(), 1);
        assert_eq!(found.failed[0].reason, FrameError::PayloadChecksum);
        // The damaged one must not count as the older of two.
        found.checkpoints.save(30, 2, b"thirty".to_vec().into()).unwrap();
        assert_eq!(found.checkpoints.older(), 10);
        assert!(loaded(dir.path()).failed.is_empty());
    }

    proptest! {
        #[test]
        fn a_loaded_state_equals_the_saved_one(
            state: Vec<u8>,
            damage: Option<(prop::sample::Index, u8)>,
            length: Option<prop::sample::Index>,
        ) {
            let whole = encoded(state.clone().into());
            let mut bytes = whole.clone();
            if let Some((at, byte)) = damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Some(length) = length {
                bytes.truncate(length.index(bytes.len() + 1));
            }
            match decode(bytes.clone().into(), JOURNAL, 7) {
                Ok(loaded) => prop_assert_eq!(loaded, (1, state)),
                Err(_) => prop_assert_ne!(bytes, whole),
            }
        }
    }
}
