//! The byte format of a spool, and the recovery of entries from a damaged one.
//!
//! ```text
//! file:  "GRIDSPL1", then frames
//! frame: "GSPE" | state u8 | kind u8 | 0 u16 | length u32 | CRC32C u32 | payload
//! ```
//!
//! Little-endian; the checksum covers kind, length and payload, but not the state, which is changed
//! in place. An unknown state counts as attempted, since sending again does no harm. Guarantees
//! that any bytes give all whole entries, in order, and a count of the others. A truncated last
//! frame was never reported as spooled, so it is no damage. Does not know files.

use bytes::Bytes;
use prost::Message;

use crate::contract::proto::EventKind;

/// The beginning of a spool; the digit is the version of the format.
pub(super) const HEAD: [u8; 8] = *b"GRIDSPL1";

const FRAME_MAGIC: [u8; 4] = *b"GSPE";
const STATE_AT: usize = 4;
const CHECKSUM_FROM: usize = 5;
const CRC_AT: usize = 12;
const FRAME_HEAD_BYTES: usize = 16;

/// The states of finished entries. A few flipped bits do not turn another state into one of them.
const STORED: u8 = 0xfe;
const OTHER_REPLY: u8 = 0x7c;
const REMOVED: u8 = 0xe6;

/// Longest payload: an event of 64 KiB and its metadata.
pub(super) const PAYLOAD_BYTES_MAX: usize = 68 << 10;

/// The state of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// It was never sent.
    Waiting,
    /// It was sent at least once, or was about to be sent: the broker may know it.
    Attempted,
    /// The broker stored it.
    Stored,
    /// The broker replied with another outcome.
    OtherReply,
    /// It was removed without a reply: evicted, quarantined, or renumbered.
    Removed,
}

impl EntryState {
    /// Whether it no longer waits.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Stored | Self::OtherReply | Self::Removed)
    }

    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Waiting => 0,
            Self::Attempted => 1,
            Self::Stored => STORED,
            Self::OtherReply => OTHER_REPLY,
            Self::Removed => REMOVED,
        }
    }

    fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Waiting,
            STORED => Self::Stored,
            OTHER_REPLY => Self::OtherReply,
            REMOVED => Self::Removed,
            _ => Self::Attempted,
        }
    }
}

/// The payload of an entry.
#[derive(Clone, PartialEq, Message)]
pub struct EntryPayload {
    /// The spool id of the event's number.
    #[prost(fixed64, tag = "1")]
    pub spool_id: u64,
    /// The number.
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
    /// The appliance.
    #[prost(string, tag = "3")]
    pub appliance: String,
    /// When it was spooled, by the appliance's clock, in microseconds since 1970.
    #[prost(sint64, tag = "4")]
    pub spooled_at_us: i64,
    /// The event, an `Event` of the contract.
    #[prost(bytes = "bytes", tag = "5")]
    pub event: Bytes,
    /// The id of the call, so that an event of one call is spooled once; 0: unknown.
    #[prost(fixed64, tag = "6")]
    pub call: u64,
}

/// An entry and its position in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct SpoolEntry {
    /// Where its frame begins.
    pub(super) offset: usize,
    /// How many bytes the frame takes.
    pub(super) frame_bytes: usize,
    /// Its state.
    pub state: EntryState,
    /// The event's kind, which is known without decoding it.
    pub kind: EventKind,
    /// Its payload.
    pub payload: EntryPayload,
}

impl SpoolEntry {
    /// The offset of its state.
    pub(super) fn state_offset(&self) -> usize {
        self.offset + STATE_AT
    }
}

/// The readable content of a spool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpoolImage {
    /// The whole entries, in order, including finished ones.
    pub entries: Vec<SpoolEntry>,
    /// How many entries at least are unreadable.
    pub damaged: u64,
    /// Where the next entry goes: after the last whole one.
    pub(super) end: usize,
    /// It begins as a spool does, and nothing follows its end.
    pub(super) is_clean: bool,
}

/// Encodes a frame.
pub(super) fn frame(entry_payload: &EntryPayload, kind: EventKind, state: EntryState) -> Vec<u8> {
    let payload = entry_payload.encode_to_vec();
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(FRAME_HEAD_BYTES + payload.len());
    frame.extend(FRAME_MAGIC);
    frame.push(state.byte());
    // A number of the contract fits.
    frame.push(u8::try_from(i32::from(kind)).unwrap_or(0));
    frame.extend([0, 0]);
    frame.extend(length.to_le_bytes());
    frame.extend(checksum(&frame, &payload).to_le_bytes());
    frame.extend(payload);
    frame
}

/// Parses a spool, whole or damaged.
pub fn parse(bytes: &Bytes) -> SpoolImage {
    let mut image = SpoolImage { is_clean: true, ..SpoolImage::default() };
    if bytes.is_empty() {
        return image;
    }
    let mut at = if bytes.starts_with(&HEAD) { HEAD.len() } else { 0 };
    image.is_clean = at > 0;
    image.end = at;
    while at < bytes.len() {
        if let Some(entry) = entry_at(bytes, at) {
            at += entry.frame_bytes;
            image.end = at;
            image.entries.push(entry);
            continue;
        }
        image.is_clean = false;
        let next = (at + 1..bytes.len()).find(|next| entry_at(bytes, *next).is_some());
        match next {
            None if is_truncated(&bytes[at..]) => break,
            next => {
                let end = next.unwrap_or(bytes.len());
                image.damaged += count_frames(&bytes[at..end]);
                at = end;
            }
        }
    }
    image
}

/// The entry at this offset, if it is whole.
fn entry_at(bytes: &Bytes, at: usize) -> Option<SpoolEntry> {
    let head = bytes.get(at..at + FRAME_HEAD_BYTES)?;
    if head[..STATE_AT] != FRAME_MAGIC {
        return None;
    }
    let payload_bytes = payload_bytes(head)?;
    let from = at + FRAME_HEAD_BYTES;
    let payload = bytes.get(from..from + payload_bytes)?;
    let expected = u32::from_le_bytes(head[CRC_AT..].try_into().ok()?);
    if checksum(head, payload) != expected {
        return None;
    }
    let kind = kind_from_byte(head[CHECKSUM_FROM])?;
    let entry_payload = EntryPayload::decode(bytes.slice(from..from + payload_bytes)).ok()?;
    let (state, frame_bytes) =
        (EntryState::from_byte(head[STATE_AT]), FRAME_HEAD_BYTES + payload_bytes);
    Some(SpoolEntry { offset: at, frame_bytes, state, kind, payload: entry_payload })
}

fn payload_bytes(head: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(head.get(8..CRC_AT)?.try_into().ok()?);
    usize::try_from(length).ok().filter(|length| *length <= PAYLOAD_BYTES_MAX)
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&head[CHECKSUM_FROM..CRC_AT]), payload)
}

/// Whether a write ended early here: zeros, or one frame that is longer than the rest.
fn is_truncated(rest: &[u8]) -> bool {
    if rest.iter().all(|byte| *byte == 0) {
        return true;
    }
    let begins = FRAME_MAGIC.starts_with(&rest[..rest.len().min(FRAME_MAGIC.len())])
        || rest.starts_with(&FRAME_MAGIC);
    let is_longer = rest.len() < FRAME_HEAD_BYTES
        || payload_bytes(rest).is_some_and(|bytes| FRAME_HEAD_BYTES + bytes > rest.len());
    begins && is_longer && count_frames(rest) <= 1
}

/// How many frames begin in the region, at least one.
fn count_frames(region: &[u8]) -> u64 {
    let begins = region.windows(FRAME_MAGIC.len()).filter(|window| *window == FRAME_MAGIC);
    u64::try_from(begins.count().max(1)).unwrap_or(u64::MAX)
}

fn kind_from_byte(byte: u8) -> Option<EventKind> {
    EventKind::try_from(i32::from(byte)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(sequence: u64) -> EntryPayload {
        let event = Bytes::from(format!("event {sequence}"));
        EntryPayload {
            spool_id: 9,
            sequence,
            appliance: "db1".into(),
            spooled_at_us: -1,
            event,
            call: 0,
        }
    }

    fn spool(count: u64) -> Vec<u8> {
        let frames =
            (1..=count).flat_map(|n| frame(&payload(n), EventKind::Log, EntryState::Waiting));
        HEAD.into_iter().chain(frames).collect()
    }

    fn sequences(image: &SpoolImage) -> Vec<u64> {
        image.entries.iter().map(|entry| entry.payload.sequence).collect()
    }

    #[test]
    fn entries_are_parsed_in_order() {
        let bytes = Bytes::from(spool(3));
        let image = parse(&bytes);
        assert_eq!(sequences(&image), [1, 2, 3]);
        assert_eq!((image.damaged, image.end, image.is_clean), (0, bytes.len(), true));
        assert_eq!(image.entries[1].payload, payload(2));
        assert_eq!(parse(&Bytes::new()), SpoolImage { is_clean: true, ..SpoolImage::default() });
    }

    #[test]
    fn a_state_is_changed_in_place_and_an_unknown_one_is_an_attempt() {
        for (byte, state) in [
            (0, EntryState::Waiting),
            (1, EntryState::Attempted),
            (STORED, EntryState::Stored),
            (OTHER_REPLY, EntryState::OtherReply),
            (REMOVED, EntryState::Removed),
        ] {
            let mut bytes = spool(1);
            let at = parse(&Bytes::from(bytes.clone())).entries[0].state_offset();
            bytes[at] = byte;
            assert_eq!(parse(&Bytes::from(bytes)).entries[0].state, state);
            assert_eq!(state.byte(), byte);
        }
        let mut bytes = spool(1);
        bytes[HEAD.len() + STATE_AT] = 77;
        assert_eq!(parse(&Bytes::from(bytes)).entries[0].state, EntryState::Attempted);
    }

    #[test]
    fn a_damaged_entry_is_counted_and_those_around_it_are_read() {
        let whole = spool(5);
        let frame = (whole.len() - HEAD.len()) / 5;
        let mut bytes = whole.clone();
        bytes[HEAD.len() + 2 * frame + FRAME_HEAD_BYTES + 3] ^= 1;
        let image = parse(&Bytes::from(bytes));
        assert_eq!((sequences(&image), image.damaged), (vec![1, 2, 4, 5], 1));
        assert!(!image.is_clean);

        let mut bytes = whole;
        bytes[..HEAD.len() + frame + 6].fill(0xff);
        let image = parse(&Bytes::from(bytes));
        assert_eq!(sequences(&image), [3, 4, 5]);
        assert_eq!(image.damaged, 1, "nothing of the first is left to count it");
    }

    #[test]
    fn a_last_write_that_ended_early_is_no_damage() {
        let whole = spool(2);
        let frame = (whole.len() - HEAD.len()) / 2;
        for cut in 1..frame {
            let image = parse(&Bytes::from(whole[..whole.len() - cut].to_vec()));
            assert_eq!((sequences(&image), image.damaged), (vec![1], 0), "cut by {cut}");
            assert_eq!((image.end, image.is_clean), (HEAD.len() + frame, false));
        }
        let zeros = [whole.as_slice(), &[0; 500]].concat();
        let image = parse(&Bytes::from(zeros));
        assert_eq!((sequences(&image), image.damaged), (vec![1, 2], 0));
    }

    #[test]
    fn another_file_is_one_damaged_entry() {
        let image = parse(&Bytes::from_static(b"[Unit]\nDescription=not a spool\n"));
        assert_eq!((image.entries.len(), image.damaged, image.is_clean), (0, 1, false));
    }
}
