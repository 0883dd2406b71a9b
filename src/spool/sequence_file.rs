//! The file of the sequence counter: the spool id and the next number.
//!
//! The spool id is random and created with the file. The file is synced once, so that it has its
//! place on the disk; then it is written in place and not synced: if it is lost, damaged or from a
//! backup, a new spool id is drawn, under which every number is new to the broker. Guarantees that a
//! number is used once under one spool id as long as the file is the one last written. Does not know
//! locks.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use uuid::Uuid;

use super::EventKey;
use super::error::SpoolError;
use super::lock::NO_FOLLOW;

const HEAD: [u8; 8] = *b"GRIDNUM1";
const BYTES: usize = 52;
const CRC_AT: usize = BYTES - 4;

/// The content of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SequenceCounter {
    /// The spool id of the numbers; never 0.
    pub(super) spool_id: u64,
    /// The next number.
    pub(super) next: u64,
    /// The appliance and boot to which `acked` belongs.
    pub(super) owner: Uuid,
    /// The highest number of their events that the broker acknowledged; 0: none.
    pub(super) acked_through: u64,
}

impl SequenceCounter {
    /// A counter under a new random spool id.
    pub(super) fn random() -> Self {
        let spool_id = Uuid::new_v4().as_u64_pair().1;
        // Never 0: a version 4 UUID has a bit set in its second half.
        Self { spool_id, next: 1, owner: Uuid::nil(), acked_through: 0 }
    }

    /// Returns the next number and advances the counter.
    pub(super) fn next_key(&mut self) -> EventKey {
        let key = EventKey { spool_id: self.spool_id, sequence: self.next };
        self.next = self.next.saturating_add(1);
        key
    }

    /// Reads the file; draws a new counter if it is missing or invalid.
    pub(super) fn read(path: &Path) -> Result<Self, SpoolError> {
        match fs::read(path) {
            Ok(bytes) => Ok(Self::decode(&bytes).unwrap_or_else(Self::random)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::random()),
            Err(error) => Err(SpoolError::io("read", path)(error)),
        }
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), SpoolError> {
        let mut options = File::options();
        options.create(true).write(true).truncate(false).mode(0o600).custom_flags(NO_FOLLOW);
        let written = options.open(path).and_then(|file| {
            let had_bytes = file.metadata()?.len();
            file.write_all_at(&self.encode(), 0)?;
            // Trailing bytes would make it unreadable for ever.
            let bytes = u64::try_from(BYTES).unwrap_or(0);
            if had_bytes > bytes {
                file.set_len(bytes)?;
            }
            // Else the file of a kernel that crashes soon has no block, and its crash dump may fill the
            // disk: no number could be written any more.
            if had_bytes < bytes {
                let _ = file.sync_all();
            }
            Ok(())
        });
        written.map_err(SpoolError::io("write", path))
    }

    fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&HEAD);
        bytes[8..16].copy_from_slice(&self.spool_id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.next.to_le_bytes());
        bytes[24..40].copy_from_slice(self.owner.as_bytes());
        bytes[40..CRC_AT].copy_from_slice(&self.acked_through.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
        let crc = u32::from_le_bytes(bytes[CRC_AT..].try_into().ok()?);
        let number = |from: usize| bytes[from..from + 8].try_into().ok().map(u64::from_le_bytes);
        let numbers = Self {
            spool_id: number(8)?,
            next: number(16)?,
            owner: Uuid::from_slice(&bytes[24..40]).ok()?,
            acked_through: number(40)?,
        };
        let is_sound = bytes[..8] == HEAD && crc32c::crc32c(&bytes[..CRC_AT]) == crc;
        (is_sound && numbers.spool_id > 0 && numbers.next > 0).then_some(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_round_trips() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers");
        let numbers =
            SequenceCounter { spool_id: 7, next: 9, owner: Uuid::from_u128(3), acked_through: 8 };
        numbers.write(&path).unwrap();
        assert_eq!(SequenceCounter::read(&path).unwrap(), numbers);
        SequenceCounter { next: 10, ..numbers }.write(&path).unwrap();
        assert_eq!(SequenceCounter::read(&path).unwrap().next, 10);
    }

    #[test]
    fn a_lost_or_damaged_file_starts_another_spool_id() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers");
        let numbers = SequenceCounter::read(&path).unwrap();
        assert_eq!(numbers.next, 1);
        numbers.write(&path).unwrap();
        for (at, change) in [(0, 1), (9, 1), (CRC_AT, 0x80)] {
            let mut bytes = numbers.encode();
            bytes[at] ^= change;
            fs::write(&path, bytes).unwrap();
            assert_ne!(SequenceCounter::read(&path).unwrap().spool_id, numbers.spool_id);
        }
        for other in [Vec::new(), vec![7; 200]] {
            fs::write(&path, other).unwrap();
            let drawn = SequenceCounter::read(&path).unwrap();
            assert_ne!(drawn.spool_id, numbers.spool_id);
            drawn.write(&path).unwrap();
            assert_eq!(SequenceCounter::read(&path).unwrap(), drawn, "it is whole again");
        }
    }
}
