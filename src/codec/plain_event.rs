//! Tells of an encoded record, without decoding it, whether its texts are its event's text alone.
//!
//! Guarantees that `true` is certain: whatever it does not know is not plain. So a search in bytes
//! finds the text of all plain events. Allocates nothing.

use crate::grid::values::record_flags::RecordFlags;

// Field numbers of `Record` and `ReceivedEvent` in `grid.journal.v1`, and their values.
const NUMBER: u64 = 1;
const AT_US: u64 = 2;
const EVENT: u64 = 3;
const OUTCOME: u64 = 32;
const FLAGS: u64 = 34;
const OUTCOME_STORED: u64 = 1;
const ALERT: u64 = 10;
const TEXT: u64 = 16;
const DROPPED_BEFORE: u64 = 23;
/// With one of these the time of the event is in the explanation.
const EXPLAINED: [RecordFlags; 2] = [RecordFlags::TIME_OFF, RecordFlags::REPLAYED];

/// The value of a field.
enum WireValue<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// What the bytes of every event with losses contain: the key of that field.
pub const LOSSES_KEY: [u8; 2] = [0xba, 0x01];

/// Whether the record is of an event that was simply stored, and its text is all that is shown as text.
///
/// `may_tell_more`: it may have losses, or a counter in place of a text; so may all
/// alerts, and records with [`LOSSES_KEY`] in them.
pub fn is_plain_event(mut record: &[u8], may_tell_more: bool) -> bool {
    let mut is_event = false;
    while !record.is_empty() {
        match next_field(&mut record) {
            Some((NUMBER | AT_US, WireValue::Varint(_))) => {}
            Some((EVENT, WireValue::Bytes(event))) => {
                if may_tell_more && !has_own_text_only(event) {
                    return false;
                }
                is_event = true;
            }
            Some((OUTCOME, WireValue::Varint(OUTCOME_STORED))) => {}
            Some((FLAGS, WireValue::Varint(bits))) if has_no_explained_flag(bits) => {}
            // Effects may tell more, as of a crash dump.
            Some(_) | None => return false,
        }
    }
    is_event
}

fn has_no_explained_flag(bits: u64) -> bool {
    u32::try_from(bits).is_ok_and(|bits| {
        let flags = RecordFlags::from_bits(bits);
        !EXPLAINED.iter().any(|explained| flags.contains(*explained))
    })
}

/// Whether the event tells nothing but its text: no losses, and no counter in place of a text.
fn has_own_text_only(mut event: &[u8]) -> bool {
    let (mut has_text, mut has_counter) = (false, false);
    while !event.is_empty() {
        match next_field(&mut event) {
            Some((DROPPED_BEFORE, _)) | None => return false,
            Some((ALERT, WireValue::Bytes(alert))) => has_counter = !alert.is_empty(),
            Some((TEXT, WireValue::Bytes(text))) => has_text = !text.is_empty(),
            Some(_) => {}
        }
    }
    has_text || !has_counter
}

#[inline]
fn next_field<'a>(message: &mut &'a [u8]) -> Option<(u64, WireValue<'a>)> {
    let key = varint(message)?;
    let value = match key & 7 {
        0 => WireValue::Varint(varint(message)?),
        1 => split(message, 8).map(|_| WireValue::Fixed)?,
        2 => {
            let length = usize::try_from(varint(message)?).ok()?;
            WireValue::Bytes(split(message, length)?)
        }
        5 => split(message, 4).map(|_| WireValue::Fixed)?,
        _ => return None,
    };
    Some((key >> 3, value))
}

#[inline]
fn split<'a>(message: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (bytes, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(bytes)
}

#[inline]
fn varint(message: &mut &[u8]) -> Option<u64> {
    if let [low @ ..0x80, rest @ ..] = *message {
        *message = rest;
        return Some((*low).into());
    }
    let mut value = 0;
    for (index, byte) in message.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *message = &message[index + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
#[test]
fn the_key_of_losses_is_that_of_the_generated_message() {
    use prost::Message;

    use super::proto;
    let dropped_before = vec![proto::DroppedEvents::default()];
    let event = proto::ReceivedEvent { dropped_before, ..Default::default() };
    assert_eq!(event.encode_to_vec(), [LOSSES_KEY[0], LOSSES_KEY[1], 0]);
}
