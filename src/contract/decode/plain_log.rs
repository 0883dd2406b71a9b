//! Decodes a valid `log` event that has nothing unusual, without building the message first.
//!
//! Nearly every event is one. Guarantees the result of the general decoder, or none: whatever is invalid,
//! unknown, repeated or rare is left to that one. Reports no violation.

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Buf;
use prost::Message;
use prost::encoding::decode_varint;
use uuid::Uuid;

use super::{DecodedEvent, proto};
use crate::contract;
use crate::grid::values::event::{BoundedText, Event, EventBody};
use crate::grid::values::id::BootId;

/// Keys of the fields of `grid.events.v1.Event` that are decoded here: `tag << 3 | wire type`.
mod key {
    pub(super) const LOG: u64 = 4 << 3 | 2;
    pub(super) const TEXT: u64 = 16 << 3 | 2;
    pub(super) const SEVERITY: u64 = 17 << 3;
    pub(super) const BOOT_ID: u64 = 18 << 3 | 2;
    pub(super) const SEQUENCE: u64 = 19 << 3;
    pub(super) const EVENT_TIME: u64 = 20 << 3 | 2;
    pub(super) const UPTIME_MS: u64 = 21 << 3;
}

/// The event, if it is a plain one.
pub(super) fn decode(mut rest: &[u8]) -> Option<DecodedEvent> {
    let (mut text, mut boot, mut time, mut is_log) = (None, None, None, false);
    let (mut severity, mut sequence, mut uptime_ms) = (None, None, None);
    while !rest.is_empty() {
        match decode_varint(&mut rest).ok()? {
            key::LOG => {
                is_log = !is_log && delimited(&mut rest)?.is_empty();
                is_log.then_some(())?;
            }
            key::TEXT => set(&mut text, delimited(&mut rest)?)?,
            key::SEVERITY => set(&mut severity, decode_varint(&mut rest).ok()?)?,
            key::BOOT_ID => set(&mut boot, delimited(&mut rest)?)?,
            key::SEQUENCE => set(&mut sequence, decode_varint(&mut rest).ok()?)?,
            key::EVENT_TIME => set(&mut time, delimited(&mut rest)?)?,
            key::UPTIME_MS => set(&mut uptime_ms, decode_varint(&mut rest).ok()?)?,
            _ => return None,
        }
    }
    let text = std::str::from_utf8(text?).ok().filter(|text| is_log && !text.is_empty())?;
    let severity = proto::Severity::try_from(i32::try_from(severity.unwrap_or(0)).ok()?).ok()?;
    let event_time = match time {
        Some(time) => {
            let time = prost_types::Timestamp::decode(time).ok()?;
            Some(contract::decode_timestamp(&time)?)
        }
        None => None,
    };
    let body = EventBody::Log;
    Some(DecodedEvent {
        boot_id: boot
            .filter(|text| !text.is_empty())
            .map_or(Some(None), |text| boot_id(text).map(Some))?,
        sequence: NonZeroU64::new(sequence.unwrap_or(0)),
        event: Event {
            severity: contract::decode_severity(severity)
                .unwrap_or_else(|| body.default_severity()),
            body,
            text: BoundedText::new(text),
            event_time,
            uptime: uptime_ms.filter(|ms| *ms > 0).map(Duration::from_millis),
            spooled_at: None,
            is_repeated: false,
            dropped_before: Vec::new(),
            group_key: None,
            is_resolved: false,
            crash_dump: None,
        },
    })
}

/// Sets a field that may be there once.
fn set<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

fn delimited<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(decode_varint(rest).ok()?).ok()?;
    let bytes = rest.get(..len)?;
    rest.advance(len);
    Some(bytes)
}

fn boot_id(text: &[u8]) -> Option<BootId> {
    const HYPHENATED: usize = 36;
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == HYPHENATED)?;
    Uuid::try_parse(text).ok().filter(|id| !id.is_nil()).map(BootId)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::general_event;
    use super::*;
    use crate::contract::proto::event::Kind;

    fn plain() -> proto::Event {
        proto::Event {
            kind: Some(Kind::Log(proto::Log {})),
            text: "SSL certificate loaded OK".into(),
            severity: proto::Severity::Warn.into(),
            boot_id: "9a0c7c9e-4b1e-4f6e-8a57-0d2b6c1f3e55".into(),
            sequence: 7,
            event_time: Some(prost_types::Timestamp { seconds: 12, nanos: 345_678_901 }),
            uptime_ms: 1_500,
            ..proto::Event::default()
        }
    }

    #[test]
    fn a_plain_log_event_is_decoded_here() {
        let whole = plain();
        let bare = proto::Event {
            kind: whole.kind.clone(),
            text: "x".repeat(5_000),
            ..proto::Event::default()
        };
        for sent in [whole, bare] {
            let bytes = Bytes::from(sent.encode_to_vec());
            let decoded = decode(&bytes).expect("is plain");
            assert_eq!(Ok(decoded), general_event(&bytes));
        }
    }

    proptest! {
        /// Fields in any order and number, some of them invalid, and cut or changed bytes.
        #[test]
        fn what_is_decoded_here_is_what_the_general_decoder_gives(
            fields in prop::collection::vec((0..9_usize, any::<u64>(), 0..3_u32), 0..8),
            broken in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let mut bytes = Vec::new();
            for (which, number, shape) in fields {
                let mut one = proto::Event::default();
                match which {
                    0 | 1 => one.kind = plain().kind,
                    2 => one.text = ["", "text", "Gr\u{f6}\u{df}e"][shape as usize].into(),
                    3 => one.severity = i32::try_from(number % 8).unwrap_or(0),
                    4 => one.boot_id = ["yesterday", &plain().boot_id, ""][shape as usize].into(),
                    5 => one.sequence = number,
                    6 => one.event_time = Some(prost_types::Timestamp {
                        seconds: number.cast_signed() >> (shape * 20),
                        nanos: i32::try_from(number % 2_000_000_000).unwrap_or(-1),
                    }),
                    7 => one.uptime_ms = number,
                    _ => one.repeated = true,
                }
                bytes.extend(one.encode_to_vec());
            }
            if let Some((at, byte)) = broken && !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let bytes = Bytes::from(bytes);
            if let Some(decoded) = decode(&bytes) {
                prop_assert_eq!(Ok(decoded), general_event(&bytes));
            }
        }
    }
}
